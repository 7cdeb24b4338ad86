"""Pools of all kinds, Upsample and PixelShuffle. Spatial axes are turned round, as for convolutions."""

from __future__ import annotations

import math

from verifluxa.flux.architecture import Literal, refuse
from verifluxa.flux.builder import Builder, Missing, Row, printed_pad, printed_sizes
from verifluxa.flux.layer import Fact, Facts, Layer, unsupported
from verifluxa.flux.layers_conv import MOST_AXES, low_high, pads, read_steps, same_pad, turned, write_pad
from verifluxa.flux.stored import Stored, unfit, whole
from verifluxa.flux.values import Symbol, Tuple, Value
from verifluxa.flux.written import Arguments, Written, integer, integers
from verifluxa.graph.ops import Concat, MaxPool, MeanPool, Reshape, Sizes, Transpose

_POOLS = ("Max", "Mean")


def _kind(stored: Stored) -> str:
    return stored.struct.type.name.removeprefix("Flux.")


def _pool(layer: Layer) -> type[MaxPool] | type[MeanPool]:
    return MaxPool if "Max" in layer.kind else MeanPool


def _tuple(value: Fact) -> tuple[int, ...]:
    assert isinstance(value, tuple)  # facts of this kind are tuples
    return value


# MaxPool, MeanPool


def _read_pool(stored: Stored) -> Layer:
    window = stored.sizes("k", 1)
    if not 1 <= len(window) <= MOST_AXES:
        raise unfit(f"the window has {len(window)} axes", stored.at("k"), f"1 to {MOST_AXES}")
    facts: Facts = {
        "window": window,
        "pad": pads(stored.sizes("pad", 0), len(window), stored.at("pad")),
        "stride": read_steps(stored, "stride", len(window)),
    }
    return Layer(_kind(stored), stored.place, facts)


def _write_pool(arguments: Arguments) -> Written:
    window = integers(arguments.take("a window such as (2, 2)"))
    facts: Facts = {"window": window}
    arguments.spread("stride", len(window), facts)
    write_pad(arguments, facts, lambda: same_pad(window, (1,) * len(window)))
    return Written(facts)


def _pool_defaults(facts: Facts) -> Facts:
    window = _tuple(facts["window"])
    return {"stride": window, "pad": (0,) * (2 * len(window))}


def _show_pool(layer: Layer) -> str:
    facts = layer.facts
    pad = f", pad={printed_pad(facts['pad'])}" if any(_tuple(facts["pad"])) else ""
    stride = "" if facts["stride"] == facts["window"] else f", stride={printed_sizes(facts['stride'])}"
    return f"{layer.kind}({facts['window']}{pad}{stride})"


def _emit_pool(layer: Layer, builder: Builder, node: int) -> int:
    low, high = low_high(layer.facts["pad"])
    window, stride = turned(layer.facts["window"]), turned(layer.facts["stride"])
    return builder.add(layer, _pool(layer)(window, stride, low, high), node)


def _blank_pool(facts: Facts) -> dict[str, Value | Missing]:
    return {name: Tuple(_tuple(facts[fact])) for name, fact in (("k", "window"), ("pad", "pad"), ("stride", "stride"))}


# GlobalMaxPool, GlobalMeanPool


def _spatial(layer: Layer, builder: Builder, node: int) -> Sizes:
    shape = builder.shape(node)
    if not 2 <= len(shape) <= MOST_AXES + 1:
        raise unsupported(layer.kind, layer.place, f"values of shape {shape} are no image with channels")
    return shape[1:]


def _emit_global(layer: Layer, builder: Builder, node: int) -> int:
    window = _spatial(layer, builder, node)
    zeros = (0,) * len(window)
    return builder.add(layer, _pool(layer)(window, window, zeros, zeros), node)


# AdaptiveMaxPool, AdaptiveMeanPool


def _read_adaptive(stored: Stored) -> Layer:
    return Layer(_kind(stored), stored.place, {"out": stored.sizes("out", 1)})


def _emit_adaptive(layer: Layer, builder: Builder, node: int) -> int:
    sizes, outputs = _spatial(layer, builder, node), turned(layer.facts["out"])
    if len(sizes) != len(outputs) or any(size < output for size, output in zip(sizes, outputs, strict=True)):
        raise unsupported(layer.kind, layer.place, f"an image of {sizes} has no {outputs} windows")
    stride = tuple(size // output for size, output in zip(sizes, outputs, strict=True))
    window = tuple(size - (out - 1) * step for size, out, step in zip(sizes, outputs, stride, strict=True))
    zeros = (0,) * len(sizes)
    return builder.add(layer, _pool(layer)(window, stride, zeros, zeros), node)


# Upsample


def _read_upsample(stored: Stored) -> Layer:
    mode = stored.struct.type.parameters[0] if stored.struct.type.parameters else None
    if not isinstance(mode, Symbol):
        raise unfit("the mode of an Upsample is missing", stored.place)
    facts: Facts = {"mode": mode.name, "scale": _scale(stored, "scale"), "size": _scale(stored, "size")}
    return Layer("Upsample", stored.place, facts)


def _scale(stored: Stored, name: str) -> Fact:
    value = stored.value(name)
    if value is None:
        return None
    return stored.sizes(name, 1) if isinstance(value, Tuple) else whole(value, 1, stored.at(name))


def _write_upsample(arguments: Arguments) -> Written:
    facts: Facts = {"mode": "nearest"}
    while (value := arguments.peek()) is not None:
        arguments.take("a mode such as :nearest")
        if isinstance(value, Literal) and isinstance(value.value, Symbol):
            facts["mode"] = value.value.name
        else:
            facts["scale"] = integers(value) if not isinstance(value, Literal) else integer(value)
    for name in ("scale", "size"):
        if (value := arguments.keyword(name)) is not None:
            facts[name] = integer(value) if isinstance(value, Literal) else integers(value)
    if ("scale" in facts) == ("size" in facts):
        raise refuse(arguments.call.span, "Upsample needs either a scale or a size")
    return Written(facts)


def _show_upsample(layer: Layer) -> str:
    facts = layer.facts
    parts = [f"{name} = {facts[name]}" for name in ("scale", "size") if facts[name] is not None]
    return f"Upsample(:{facts['mode']}, {', '.join(parts)})"


def _emit_upsample(layer: Layer, builder: Builder, node: int) -> int:
    facts = layer.facts
    if facts["mode"] != "nearest":
        raise unsupported("Upsample", layer.place, f"only :nearest is, this is :{facts['mode']}")
    sizes = _spatial(layer, builder, node)
    if facts["size"] is not None:
        wanted = turned(facts["size"])
        if len(wanted) != len(sizes) or any(want % size for want, size in zip(wanted, sizes, strict=True)):
            raise unsupported("Upsample", layer.place, f"{sizes} does not grow to {wanted} by whole steps")
        scale = tuple(want // size for want, size in zip(wanted, sizes, strict=True))
    else:
        numbers = facts["scale"] if isinstance(facts["scale"], tuple) else (facts["scale"],) * len(sizes)
        scale = turned(numbers)
        if len(scale) != len(sizes):
            raise unsupported("Upsample", layer.place, f"the scale has {len(scale)} numbers for {len(sizes)} axes")
    for axis, times in enumerate(scale):
        node = _repeat(layer, builder, node, axis + 1, times)
    return node


def _repeat(layer: Layer, builder: Builder, node: int, axis: int, times: int) -> int:
    """Repeats each value along an axis, next to itself."""
    if times == 1:
        return node
    shape = builder.shape(node)
    before, size, after = shape[:axis], shape[axis], shape[axis + 1 :]
    column = builder.add(layer, Reshape((*before, size, 1, math.prod(after))), node)
    stacked = builder.add(layer, Concat(axis + 1), *([column] * times))
    return builder.add(layer, Reshape((*before, size * times, *after)), stacked)


# PixelShuffle


def _emit_shuffle(layer: Layer, builder: Builder, node: int) -> int:
    """Channels to places: NNlib splits them as (r, ..., r, channels), first axis fastest."""
    factor = layer.facts["r"]
    assert isinstance(factor, int)  # the reader puts one there
    sizes = _spatial(layer, builder, node)
    channels, axes = builder.shape(node)[0], len(sizes)
    if channels % factor**axes:
        raise unsupported("PixelShuffle", layer.place, f"{channels} channels do not divide by {factor**axes}")
    # In the graph's order: (channels, r of the last axis, ..., r of the first, sizes).
    split = builder.add(layer, Reshape((channels // factor**axes, *(factor,) * axes, *sizes)), node)
    order = (0, *(place for axis in range(axes) for place in (1 + axes + axis, 1 + axis)))
    moved = builder.add(layer, Transpose(order), split)
    return builder.add(layer, Reshape((channels // factor**axes, *(size * factor for size in sizes))), moved)


def _operation(name: str) -> str:
    return "maxpool" if name.endswith("MaxPool") else "meanpool"


def _plain(name: str) -> Row:
    return Row(
        name=name,
        stored=(f"Flux.{name}",),
        operations=(_operation(name),),
        write=_write_pool,
        show=_show_pool,
        read=_read_pool,
        emit=_emit_pool,
        defaults=_pool_defaults,
        blank=_blank_pool,
    )


def _global(name: str) -> Row:
    return Row(
        name=name,
        stored=(f"Flux.{name}",),
        operations=(_operation(name),),
        write=lambda _: Written({}),
        show=lambda layer: f"{layer.kind}()",
        read=lambda stored: Layer(_kind(stored), stored.place),
        emit=_emit_global,
        blank=lambda _: {},
    )


def _adaptive(name: str) -> Row:
    return Row(
        name=name,
        stored=(f"Flux.{name}",),
        operations=(_operation(name),),
        write=lambda arguments: Written({"out": integers(arguments.take("an output size such as (3, 3)"))}),
        show=lambda layer: f"{layer.kind}({layer.facts['out']})",
        read=_read_adaptive,
        emit=_emit_adaptive,
        blank=lambda facts: {"out": Tuple(_tuple(facts["out"]))},
    )


def _scale_value(value: Fact) -> Value:
    return Tuple(value) if isinstance(value, tuple) else value


def integer_fact(value: Fact) -> int:
    """A fact that is a whole number."""
    assert isinstance(value, int)  # from the text or the struct
    return value


POOL_ROWS: tuple[Row, ...] = (
    *(_plain(f"{kind}Pool") for kind in _POOLS),
    *(_global(f"Global{kind}Pool") for kind in _POOLS),
    *(_adaptive(f"Adaptive{kind}Pool") for kind in _POOLS),
    Row(
        name="Upsample",
        stored=("Flux.Upsample",),
        operations=("concat", "reshape"),
        write=_write_upsample,
        show=_show_upsample,
        read=_read_upsample,
        emit=_emit_upsample,
        defaults=lambda _: {"scale": None, "size": None},
        blank=lambda facts: {"scale": _scale_value(facts["scale"]), "size": _scale_value(facts["size"])},
    ),
    Row(
        name="PixelShuffle",
        stored=("Flux.PixelShuffle",),
        operations=("reshape", "transpose"),
        write=lambda arguments: Written({"r": integer(arguments.take("a factor"))}),
        show=lambda layer: f"PixelShuffle({layer.facts['r']})",
        read=lambda stored: Layer("PixelShuffle", stored.place, {"r": stored.integer("r")}),
        emit=_emit_shuffle,
        blank=lambda facts: {"r": integer_fact(facts["r"])},
    ),
)
