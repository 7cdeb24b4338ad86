"""BatchNorm, InstanceNorm, GroupNorm, LayerNorm in test mode; Dropout and AlphaDropout, which do nothing there.

Which formula Flux computes, and in which order, depends on its version (`src/layers/normalise.jl`,
`src/layers/stateless.jl` of the versions named below).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from verifluxa.flux.architecture import Literal, Sequence
from verifluxa.flux.builder import Builder, Row, printed_activation
from verifluxa.flux.layer import Fact, Facts, Floats, Layer, needs_version, training, unsupported
from verifluxa.flux.layers_dense import emit_scale
from verifluxa.flux.stored import Stored, activation, unfit
from verifluxa.flux.values import Function, JuliaType, NamedTuple, Struct, Tuple, Value, describe, is_empty
from verifluxa.flux.written import Arguments, Written, integer, integers, number
from verifluxa.graph.ops import BatchNorm, Normalise, Reshape, Scale, Shift

_SCALE_FORM = (0, 13, 16)
_SPLIT_FORM = (0, 13, 0)
_TRAINED = "call `Flux.testmode!(model)`, or leave the mode at its default, and save the model again"


def _check_mode(stored: Stored, what: str) -> None:
    if not stored.is_none("active") and stored.boolean("active"):
        raise training(f"{what} is in training mode (active = true)", stored.at("active"), _TRAINED)


# BatchNorm, InstanceNorm, GroupNorm


def _read_norm(stored: Stored) -> Layer:
    kind = stored.struct.type.name.removeprefix("Flux.")
    _check_mode(stored, kind)
    channels = stored.integer("chs")
    facts: Facts = {
        "channels": channels,
        **stored.function("λ"),
        "eps": stored.number("ϵ"),
        "affine": stored.boolean("affine"),
        "track": stored.boolean("track_stats"),
    }
    arrays: dict[str, Floats] = {}
    if facts["affine"]:
        arrays |= {"shift": _vector(stored, "β", channels), "factor": _vector(stored, "γ", channels)}
    if facts["track"] and kind != "GroupNorm":
        arrays |= {"mean": _vector(stored, "μ", channels), "variance": _variance(stored, channels)}
    elif kind == "BatchNorm":
        remedy = "use `BatchNorm` with `track_stats = true` (the default), so that it keeps running statistics"
        raise training("BatchNorm without running statistics normalises by the batch it is given", stored.place, remedy)
    if kind == "GroupNorm":
        facts["groups"] = _groups(stored, channels)
    return Layer(kind, stored.place, facts, arrays, parameters=2 * channels if facts["affine"] else 0)


def _vector(stored: Stored, name: str, channels: int) -> Floats:
    array = stored.array(name, 1)
    if array.shape != (channels,):
        raise unfit(f"{array.shape[0]} numbers stand here", stored.at(name), f"{channels}, one for each channel")
    return np.array(array)


def _variance(stored: Stored, channels: int) -> Floats:
    variance = _vector(stored, "σ²", channels)
    if (variance < 0).any() or (variance + variance.dtype.type(stored.number("ϵ")) <= 0).any():
        raise unfit("a variance is below 0, or 0 without an eps", stored.at("σ²"))
    return variance


def _groups(stored: Stored, channels: int) -> int:
    groups = stored.integer("G")
    if channels % groups:
        raise unfit(f"{channels} channels do not divide into {groups} groups", stored.at("G"))
    return groups


def _write_norm(arguments: Arguments) -> Written:
    facts: Facts = {"channels": integer(arguments.take("a number of channels"))}
    if arguments.layer == "GroupNorm":
        facts["groups"] = integer(arguments.take("a number of groups"))
    arguments.activation(facts)
    _norm_keywords(arguments, facts)
    track: Facts = {}
    arguments.boolean("track_stats", track)
    if track:
        facts["track"] = track["track_stats"]
    return Written(facts)


def _norm_keywords(arguments: Arguments, facts: Facts) -> None:
    arguments.boolean("affine", facts)
    arguments.number("eps", ("eps", "ϵ"), facts)
    arguments.ignore("momentum", "initβ", "initγ", "active")


def _norm_defaults(_: Facts) -> Facts:
    return {"activation": "identity", "parameter": None, "affine": True}


def _show_norm(layer: Layer) -> str:
    facts = layer.facts
    groups = f", {facts['groups']}" if "groups" in facts else ""
    affine = "" if facts["affine"] else ", affine=false"
    return f"{layer.kind}({facts['channels']}{groups}{printed_activation(facts)}{affine})"


def _wide(array: Floats, rank: int) -> Floats:
    """A number for each channel, the graph's first axis."""
    return array.reshape((-1, *(1,) * (rank - 1)))


def _check_channels(layer: Layer, builder: Builder, node: int) -> int:
    shape, channels = builder.shape(node), layer.facts["channels"]
    if not shape or shape[0] != channels:
        raise unfit(f"{layer.kind} is given values of shape {shape}", layer.place, f"{channels} channels first")
    return len(shape)


def _epsilon(layer: Layer, builder: Builder) -> np.floating:
    eps = layer.facts["eps"]
    assert isinstance(eps, float)  # the readers put one there
    return builder.scalar(eps)


def _emit_batch(layer: Layer, builder: Builder, node: int) -> int:
    """With running statistics; the order of evaluation is that of the version of Flux."""
    _check_channels(layer, builder, node)
    arrays, affine = layer.arrays, bool(layer.facts["affine"])
    version = builder.version or _SCALE_FORM
    if builder.version is None and affine:
        builder.note("normalisation layers are rounded in the order of Flux 0.13.16 and later")
    order = "factor first" if version < _SPLIT_FORM else "divide first"
    if affine and version >= _SCALE_FORM:
        order = "scale and shift"
    epsilon = float(_epsilon(layer, builder))
    op = BatchNorm(arrays["mean"], arrays["variance"], epsilon, arrays.get("factor"), arrays.get("shift"), order)
    return builder.activate(layer, builder.add(layer, op, node))


def _emit_instance(layer: Layer, builder: Builder, node: int) -> int:
    if layer.facts["track"]:
        return _emit_batch(layer, builder, node)
    rank = _check_channels(layer, builder, node)
    if rank < 2:
        raise unsupported("InstanceNorm", layer.place, "it is given values without spatial axes")
    node = builder.add(layer, Normalise(rank - 1, float(_epsilon(layer, builder)), False), node)
    return _affine(layer, builder, node)


def _emit_group(layer: Layer, builder: Builder, node: int) -> int:
    rank = _check_channels(layer, builder, node)
    shape, groups = builder.shape(node), layer.facts["groups"]
    assert isinstance(groups, int)  # the reader puts one there
    if rank < 2:
        raise unsupported("GroupNorm", layer.place, "it is given values without spatial axes")
    node = builder.add(layer, Reshape((groups, math.prod(shape) // groups)), node)
    node = builder.add(layer, Normalise(1, float(_epsilon(layer, builder)), False), node)
    return _affine(layer, builder, builder.add(layer, Reshape(shape), node))


def _affine(layer: Layer, builder: Builder, node: int) -> int:
    if layer.facts["affine"]:
        rank = len(builder.shape(node))
        node = builder.add(layer, Scale(_wide(layer.arrays["factor"], rank)), node)
        node = builder.add(layer, Shift(_wide(layer.arrays["shift"], rank)), node)
    return builder.activate(layer, node)


# LayerNorm


def _read_layer_norm(stored: Stored) -> Layer:
    sizes, affine = stored.sizes("size", 1), stored.boolean("affine")
    facts: Facts = {"sizes": sizes, **stored.function("λ"), "eps": stored.number("ϵ"), "affine": affine}
    arrays: dict[str, Floats] = {}
    old = False
    if affine:
        arrays, old = _diagonal(stored, facts)
    else:
        _check_no_diagonal(stored, facts)
    return Layer(
        "LayerNorm",
        stored.place,
        {**facts, "old": old},
        arrays,
        parameters=2 * math.prod(sizes) if affine else 0,
    )


def _diagonal(stored: Stored, facts: Facts) -> tuple[dict[str, Floats], bool]:
    """Scale and shift of the Scale inside (a Diagonal up to 0.12, without the activation)."""
    diag = stored.value("diag")
    if not isinstance(diag, Struct) or diag.type.name not in ("Flux.Scale", "Flux.Diagonal"):
        raise unfit(f"{describe(diag)} stands here", stored.at("diag"), "a Scale")
    inner = Stored(diag, stored.at("diag"))
    old = diag.type.name == "Flux.Diagonal"
    scale, bias = (inner.array("α"), inner.array("β")) if old else (inner.array("scale"), inner.array("bias"))
    if scale.shape != facts["sizes"] or bias.shape != facts["sizes"]:
        raise unfit(f"scale and bias have the sizes {scale.shape}, {bias.shape}", inner.place, str(facts["sizes"]))
    if not old and {**inner.function("σ")} != {name: facts[name] for name in ("activation", "parameter")}:
        raise unfit("the activation of the Scale inside is another one", inner.place)
    return {"scale": np.array(scale.transpose()), "bias": np.array(bias.transpose())}, old


def _check_no_diagonal(stored: Stored, facts: Facts) -> None:
    """Without a scale the field holds the activation: `identity`, or `Base.Fix1(broadcast, λ)`."""
    diag = stored.value("diag")
    if isinstance(diag, Struct) and diag.type.name == "Base.Fix1":
        broadcast = diag["f"]
        if isinstance(broadcast, Function) and broadcast.name == "broadcast":
            diag = diag["x"]
    if diag is not None and activation(diag, stored.at("diag"))["activation"] != facts["activation"]:
        raise unfit(f"{describe(diag)} stands here", stored.at("diag"), str(facts["activation"]))


def _write_layer_norm(arguments: Arguments) -> Written:
    facts: Facts = {}
    first = arguments.take("a size")
    sizes = list(integers(first)) if isinstance(first, Sequence) else [integer(first)]
    while isinstance(arguments.peek(), Literal):
        sizes.append(integer(arguments.take("a size")))
    facts["sizes"] = tuple(sizes)
    arguments.activation(facts)
    _norm_keywords(arguments, facts)
    return Written(facts)


def _show_layer_norm(layer: Layer) -> str:
    facts = layer.facts
    assert isinstance(facts["sizes"], tuple)  # the reader puts one there
    affine = "" if facts["affine"] else ", affine=false"
    return f"LayerNorm({', '.join(map(str, facts['sizes']))}{printed_activation(facts)}{affine})"


def _emit_layer_norm(layer: Layer, builder: Builder, node: int) -> int:
    sizes = layer.facts["sizes"]
    assert isinstance(sizes, tuple)  # the reader puts one there
    shape = builder.shape(node)
    if shape[len(shape) - len(sizes) :] != tuple(reversed(sizes)):
        raise unfit(f"LayerNorm is given values of shape {shape}", layer.place, f"that end in {tuple(reversed(sizes))}")
    node = builder.add(layer, _normalise(layer, builder, len(sizes)), node)
    return emit_scale(layer, builder, node) if layer.facts["affine"] else builder.activate(layer, node)


def _normalise(layer: Layer, builder: Builder, axes: int) -> Normalise:
    """Where eps stands: beside the deviation to 0.14, squared beside the variance to 0.16.10, then as it is."""
    eps = _epsilon(layer, builder)
    version = (0, 12) if layer.facts["old"] else builder.version
    if version is None and eps != 0:
        why = "`eps` is added to the deviation up to 0.14, squared to the variance up to 0.16.10, plain from 0.16.11"
        raise needs_version("LayerNorm", layer.place, why)
    if version is None or version >= (0, 16, 11):
        return Normalise(axes, float(eps), False)
    # The square of a float32 as it is: `eps * eps` would be rounded before the arithmetic of a proof begins.
    exact = float(eps)
    return Normalise(axes, exact * exact, False) if version >= (0, 15) else Normalise(axes, exact, True)


def _merge_layer_norm(state: NamedTuple, facts: Facts) -> Mapping[str, Value]:
    """The Scale inside, from its own state; without one the state holds an empty function."""
    diag = state["diag"]
    function = Function(str(facts.get("activation", "identity")))
    if isinstance(diag, NamedTuple) and diag.names in (("scale", "bias", "σ"), ("α", "β")):
        name = "Flux.Scale" if "scale" in diag.names else "Flux.Diagonal"
        items = tuple(function if key == "σ" else value for key, value in zip(diag.names, diag.items, strict=True))
        if name == "Flux.Diagonal" or is_empty(diag["σ"]):
            return {"diag": Struct(JuliaType(name), diag.names, items)}
    fix = isinstance(diag, NamedTuple) and diag.names == ("f", "x") and all(is_empty(item) for item in diag.items)
    return {"diag": function} if fix or is_empty(diag) else {}


# Dropout, AlphaDropout


def read_dropout(stored: Stored) -> Layer:
    """A Dropout or AlphaDropout in test mode; also the one inside a MultiHeadAttention."""
    kind = stored.struct.type.name.removeprefix("Flux.")
    _check_mode(stored, kind)
    probability = stored.number("p")
    if probability > 1:
        raise unfit(f"the probability is {probability}", stored.at("p"), "0 to 1")
    return Layer(kind, stored.place, {"p": probability})


def _write_dropout(arguments: Arguments) -> Written:
    facts: Facts = {"p": number(arguments.take("a probability"))}
    arguments.ignore("active", "dims", "rng")
    return Written(facts)


def _emit_dropout(layer: Layer, builder: Builder, node: int) -> int:
    builder.leave_out(f"{layer.kind} does nothing in test mode; nothing is proved about training mode")
    return node


def _norm(name: str, emit: Callable[[Layer, Builder, int], int], *operations: str) -> Row:
    return Row(
        name=name,
        stored=(f"Flux.{name}",),
        operations=operations,
        write=_write_norm,
        show=_show_norm,
        read=_read_norm,
        emit=emit,
        # InstanceNorm is made without an affine part unless that is asked for, and prints only its absence.
        defaults=_norm_defaults,
        functions={"λ": "activation"},
    )


def _dropout(name: str) -> Row:
    return Row(
        name=name,
        stored=(f"Flux.{name}",),
        write=_write_dropout,
        show=lambda layer: f"{layer.kind}({layer.facts['p']})",
        read=read_dropout,
        emit=_emit_dropout,
        blank=lambda facts: {"p": float_fact(facts["p"]), "dims": Tuple(()), "active": None, "rng": Tuple(())},
    )


def float_fact(value: Fact) -> float:
    """A fact that is a number."""
    assert isinstance(value, float)  # from the text or the struct
    return value


NORM_ROWS: tuple[Row, ...] = (
    _norm("BatchNorm", _emit_batch, "batchnorm"),
    _norm("InstanceNorm", _emit_instance, "batchnorm", "normalise", "scale", "shift"),
    _norm("GroupNorm", _emit_group, "normalise", "reshape", "scale", "shift"),
    Row(
        name="LayerNorm",
        stored=("Flux.LayerNorm",),
        operations=("normalise", "scale", "shift"),
        write=_write_layer_norm,
        show=_show_layer_norm,
        read=_read_layer_norm,
        emit=_emit_layer_norm,
        defaults=_norm_defaults,
        functions={"λ": "activation"},
        merge=_merge_layer_norm,
    ),
    _dropout("Dropout"),
    _dropout("AlphaDropout"),
)
