"""Conv, CrossCor, DepthwiseConv and ConvTranspose: Flux flips the kernel, the graph does not.

A stored weight is (width, height, channels in, channels out); the graph's is (out, in, height, width).
Spatial axes are turned round everywhere: Flux counts width first, the graph last.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from verifluxa.flux.architecture import Call, Expression, Pair, Sequence, refuse
from verifluxa.flux.builder import Builder, Missing, Row, printed_activation, printed_pad, printed_sizes
from verifluxa.flux.layer import Facts, Floats, Layer, unsupported
from verifluxa.flux.stored import Stored, unfit
from verifluxa.flux.values import Tuple, Value
from verifluxa.flux.written import Arguments, Written, integer, integers, spread
from verifluxa.graph.ops import Concat, Conv, Reshape, Scale, Sizes

MOST_AXES = 3
_OLD_SILENT = frozenset({"stride", "pad", "dilation", "groups"})


def pads(numbers: tuple[int, ...], axes: int, place: str) -> Sizes:
    """Padding as Flux keeps it, N or 2N numbers, as 2N: low and high for each axis.

    Raises:
        ModelError: VF2008 for another number of them.
    """
    if len(numbers) == axes:
        return tuple(number for number in numbers for _ in range(2))
    if len(numbers) != 2 * axes:
        raise unfit(f"the padding has {len(numbers)} numbers", place, f"{axes} or {2 * axes}")
    return numbers


def read_steps(stored: Stored, name: str, axes: int, least: int = 1) -> Sizes:
    """Stride, dilation or output padding: one number for each spatial axis."""
    numbers = stored.sizes(name, least)
    if len(numbers) != axes:
        raise unfit(f"{len(numbers)} numbers stand here", stored.at(name), str(axes))
    return numbers


def low_high(pad: object) -> tuple[Sizes, Sizes]:
    """Flux's 2N numbers as the graph's two tuples, last axis first."""
    assert isinstance(pad, tuple)  # facts of this kind are tuples
    return tuple(reversed(pad[0::2])), tuple(reversed(pad[1::2]))


def turned(sizes: object) -> Sizes:
    """Sizes in Flux's order as the graph has them."""
    assert isinstance(sizes, tuple)  # facts of this kind are tuples
    return tuple(reversed(sizes))


def _window_facts(stored: Stored, weight: Floats) -> Facts:
    axes = weight.ndim - 2
    if not 1 <= axes <= MOST_AXES:
        raise unfit(f"the weight has {weight.ndim} axes", stored.at("weight"), f"3 to {MOST_AXES + 2}")
    return {
        "window": weight.shape[:axes],
        **stored.function("σ"),
        "stride": read_steps(stored, "stride", axes),
        "pad": pads(stored.sizes("pad", 0), axes, stored.at("pad")),
        "dilation": read_steps(stored, "dilation", axes),
    }


def _to_graph(weight: Floats, flip: bool) -> Floats:
    """(width, height, in, out) to (out, in, height, width), the kernel reversed where Flux reverses it."""
    axes = tuple(reversed(range(weight.ndim)))
    array = weight.transpose(axes)
    return np.array(np.flip(array, tuple(range(2, weight.ndim))) if flip else array, order="C")


def _conv_layer(stored: Stored, kind: str, facts: Facts, weight: Floats, silent: frozenset[str] = frozenset()) -> Layer:
    outputs = facts["out"]
    assert isinstance(outputs, int)  # both readers put one there
    bias = stored.bias("bias", outputs)
    facts["bias"] = bias is not None
    arrays = {"weight": weight} | ({} if bias is None else {"bias": np.array(bias)})
    count = weight.size + (0 if bias is None else bias.size)
    return Layer(kind, stored.place, facts, arrays, parameters=count, silent=silent)


def _read_conv(stored: Stored) -> Layer:
    if stored.struct.type.name == "Flux.DepthwiseConv":
        return _read_depthwise(stored)
    weight = stored.array("weight")
    facts = _window_facts(stored, weight)
    groups = stored.integer("groups") if stored.has("groups") else 1
    *_, inputs, outputs = weight.shape
    if outputs % groups:
        raise unfit(f"{outputs} outputs do not divide into {groups} groups", stored.at("weight"))
    facts |= {"in": inputs * groups, "out": outputs, "groups": groups}
    kind = stored.struct.type.name.removeprefix("Flux.")
    old = _OLD_SILENT if kind == "Conv" and not stored.has("groups") else frozenset()
    return _conv_layer(stored, kind, facts, _to_graph(weight, flip=kind == "Conv"), old)


def _read_depthwise(stored: Stored) -> Layer:
    """The struct of its own that Flux had up to 0.12: weight (width, height, multiplier, channels)."""
    weight = stored.array("weight")
    facts = _window_facts(stored, weight)
    *window, multiplier, channels = weight.shape
    facts |= {"in": channels, "out": multiplier * channels, "groups": channels}
    wide = weight.reshape((*window, 1, multiplier * channels), order="F")
    return _conv_layer(stored, "Conv", facts, _to_graph(wide, flip=True), _OLD_SILENT)


def _read_transpose(stored: Stored) -> Layer:
    weight = stored.array("weight")
    facts = _window_facts(stored, weight)
    axes = weight.ndim - 2
    groups = stored.integer("groups") if stored.has("groups") else 1
    *_, outputs, inputs = weight.shape
    if inputs % groups:
        raise unfit(f"{inputs} inputs do not divide into {groups} groups", stored.at("weight"))
    outpad = read_steps(stored, "outpad", axes, 0) if stored.has("outpad") else (0,) * axes
    facts |= {"in": inputs, "out": outputs * groups, "groups": groups, "outpad": outpad}
    old = frozenset() if stored.has("groups") else _OLD_SILENT
    return _conv_layer(stored, "ConvTranspose", facts, _adjoint(weight, groups), old)


def _adjoint(weight: Floats, groups: int) -> Floats:
    """The weight of the plain convolution that a transposed one is, once its input is spread out.

    A transposed convolution is the adjoint of a convolution with a reversed kernel; reversed twice, the
    kernel stands as it is stored, inputs and outputs of each group change places.
    """
    *window, outputs, inputs = weight.shape
    split = weight.reshape((*window, outputs, inputs // groups, groups), order="F")
    axes = len(window)
    # To (group, outputs, inputs of the group, height, width).
    moved = split.transpose((axes + 2, axes, axes + 1, *reversed(range(axes))))
    return np.array(moved.reshape((groups * outputs, inputs // groups, *reversed(window))), order="C")


def _write(arguments: Arguments) -> Written:
    facts: Facts = {}
    window = integers(arguments.take("a window such as (3, 3)"))
    facts["window"], axes = window, len(window)
    pair = arguments.take("`in => out`")
    if not isinstance(pair, Pair):
        raise refuse(pair.span, "channels belong here", "`in => out`")
    facts["in"], facts["out"] = integer(pair.left), integer(pair.right)
    # Up to 0.12.4 Flux prints `2=>4` without blanks, and neither stride, padding nor dilation.
    facts["compact"] = pair.right.span.column - pair.left.span.end_column == 2
    arguments.activation(facts)
    arguments.bias(facts)
    for name in ("stride", "dilation", "outpad"):
        arguments.spread(name, axes, facts)
    groups = arguments.keyword("groups")
    if groups is not None:
        facts["groups"] = integer(groups)
    arguments.ignore("init")
    write_pad(arguments, facts, _same_pad(arguments.layer, window, facts))
    return Written(facts)


def write_pad(arguments: Arguments, facts: Facts, same: Callable[[], Sizes]) -> None:
    """The keyword `pad`: one number, N, 2N, or `SamePad()`, which `same` works out."""
    value = arguments.keyword("pad")
    if value is None:
        return
    if isinstance(value, Call) and value.name in ("SamePad", "Flux.SamePad") and not value.arguments:
        facts["pad"] = same()
        return
    window = facts["window"]
    assert isinstance(window, tuple)  # the callers put one there
    facts["pad"] = _written_pads(value, len(window))


def _written_pads(value: Expression, axes: int) -> Sizes:
    numbers = integers(value)
    if isinstance(value, Sequence) and len(numbers) == 2 * axes:
        return numbers
    if len(numbers) not in (1, axes):
        raise refuse(value.span, f"{len(numbers)} numbers stand here", f"1, {axes} or {2 * axes} of them")
    return tuple(number for number in spread(numbers, axes, value.span) for _ in range(2))


def same_pad(window: Sizes, dilation: Sizes) -> Sizes:
    """The padding of `SamePad()`: the larger part first (Flux `calc_padding`)."""
    totals = (1 + (size - 1) * step - 1 for size, step in zip(window, dilation, strict=True))
    return tuple(part for total in totals for part in (-(-total // 2), total // 2))


def _same_pad(layer: str, window: Sizes, facts: Facts) -> Callable[[], Sizes]:
    def same() -> Sizes:
        ones = (1,) * len(window)
        dilation, stride = facts.get("dilation", ones), facts.get("stride", ones)
        assert isinstance(dilation, tuple)  # spread() gives tuples
        assert isinstance(stride, tuple)  # likewise
        if layer != "ConvTranspose":
            return same_pad(window, dilation)
        return same_pad(tuple(k - s + 1 for k, s in zip(window, stride, strict=True)), dilation)

    return same


def _write_depthwise(arguments: Arguments) -> Written:
    facts = _write(arguments).facts
    if "groups" in facts:
        raise refuse(arguments.call.span, "DepthwiseConv does not take this keyword `groups`")
    return Written({**facts, "groups": facts["in"]})


def _defaults(facts: Facts) -> Facts:
    window = facts["window"]
    assert isinstance(window, tuple)  # every text and every struct gives one
    ones, zeros = (1,) * len(window), (0,) * len(window)
    return {
        "activation": "identity",
        "parameter": None,
        "bias": True,
        "stride": ones,
        "dilation": ones,
        "pad": zeros + zeros,
        "groups": 1,
        "outpad": zeros,
    }


def _show(layer: Layer) -> str:
    facts = layer.facts
    text = f"{layer.kind}({facts['window']}, {facts['in']} => {facts['out']}{printed_activation(facts)}"
    for name, plain in (("pad", 0), ("stride", 1), ("dilation", 1)):
        sizes = facts[name]
        if isinstance(sizes, tuple) and any(size != plain for size in sizes):
            text += f", {name}={printed_pad(sizes) if name == 'pad' else printed_sizes(sizes)}"
    text += f", groups={facts['groups']}" if facts["groups"] != 1 else ""
    text += "" if facts["bias"] else ", bias=false"
    outpad = facts.get("outpad")
    text += f", outpad={outpad}" if isinstance(outpad, tuple) and any(outpad) else ""
    return text + ")"


def _emit_conv(layer: Layer, builder: Builder, node: int) -> int:
    facts = layer.facts
    low, high = low_high(facts["pad"])
    groups = facts["groups"]
    assert isinstance(groups, int)  # the readers put one there
    op = Conv(
        layer.arrays["weight"],
        layer.arrays.get("bias"),
        turned(facts["stride"]),
        low,
        high,
        turned(facts["dilation"]),
        groups,
    )
    return builder.activate(layer, builder.add(layer, op, node), fast=True)


def _emit_transpose(layer: Layer, builder: Builder, node: int) -> int:
    """A transposed convolution: zeros are put between the values, then comes a plain convolution."""
    facts = layer.facts
    weight = layer.arrays["weight"]
    stride, dilation, outpad = turned(facts["stride"]), turned(facts["dilation"]), turned(facts["outpad"])
    low, high = low_high(facts["pad"])
    axes = range(len(stride))
    reach = [dilation[axis] * (weight.shape[2 + axis] - 1) for axis in axes]
    first = tuple(reach[axis] - low[axis] for axis in axes)
    # The zeros behind the last value are already padding.
    last = tuple(reach[axis] - high[axis] + outpad[axis] - (stride[axis] - 1) for axis in axes)
    if min((*first, *last)) < 0:
        raise unsupported("ConvTranspose", layer.place, "its padding is larger than its window")
    groups = facts["groups"]
    assert isinstance(groups, int)  # the reader puts one there
    spread_out = _spread_out(layer, builder, node, stride)
    op = Conv(weight, layer.arrays.get("bias"), (1,) * len(stride), first, last, dilation, groups)
    return builder.activate(layer, builder.add(layer, op, spread_out), fast=True)


def _spread_out(layer: Layer, builder: Builder, node: int, stride: Sizes) -> int:
    """Puts `stride - 1` zeros behind each value of each spatial axis; adding and moving zeros is exact."""
    for axis, step in enumerate(stride):
        if step == 1:
            continue
        shape = builder.shape(node)
        before, size, after = shape[: axis + 1], shape[axis + 1], shape[axis + 2 :]
        column = builder.add(layer, Reshape((*before, size, 1, math.prod(after))), node)
        zeros = builder.add(layer, Scale(builder.constant(0, len(before) + 3)), column)
        stacked = builder.add(layer, Concat(len(before) + 1), column, *([zeros] * (step - 1)))
        node = builder.add(layer, Reshape((*before, size * step, *after)), stacked)
    return node


def _blank(facts: Facts) -> dict[str, Value | Missing]:
    names = ("stride", "pad", "dilation")
    sizes: dict[str, Value | Missing] = {name: _tuple(facts[name]) for name in names}
    groups = facts["groups"]
    assert isinstance(groups, int)  # from the text or the defaults
    return {"weight": Missing(), "bias": Missing() if facts["bias"] else False, **sizes, "groups": groups}


def _tuple(sizes: object) -> Tuple:
    assert isinstance(sizes, tuple)  # facts of this kind are tuples
    return Tuple(sizes)


def _blank_transpose(facts: Facts) -> dict[str, Value | Missing]:
    return {**_blank(facts), "outpad": _tuple(facts["outpad"])}


def _blank_cross(facts: Facts) -> dict[str, Value | Missing]:
    return {name: value for name, value in _blank(facts).items() if name != "groups"}


def _row(
    name: str,
    stored: tuple[str, ...],
    read: Callable[[Stored], Layer] = _read_conv,
    operations: tuple[str, ...] = ("conv",),
) -> Row:
    blanks = {"ConvTranspose": _blank_transpose, "CrossCor": _blank_cross}
    return Row(
        name=name,
        stored=stored,
        operations=operations,
        write=_write_depthwise if name == "DepthwiseConv" else _write,
        show=_show,
        read=read,
        emit=_emit_transpose if name == "ConvTranspose" else _emit_conv,
        defaults=_defaults,
        functions={"σ": "activation"},
        blank=blanks.get(name, _blank),
    )


CONV_ROWS: tuple[Row, ...] = (
    _row("Conv", ("Flux.Conv",)),
    _row("CrossCor", ("Flux.CrossCor",)),
    _row("DepthwiseConv", ("Flux.DepthwiseConv", "Flux.Conv")),
    _row("ConvTranspose", ("Flux.ConvTranspose",), _read_transpose, ("concat", "conv", "reshape", "scale")),
)
