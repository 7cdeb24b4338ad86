"""Convolutions, pools and normalisations of ONNX: samples along the first axis, channels along the second."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from verifluxa.graph import ops
from verifluxa.graph.ops import Shape, Sizes
from verifluxa.interop.onnx_file import Array, OnnxNode
from verifluxa.interop.onnx_walk import Operator, Result, Walk, allow, refused


class _Window(NamedTuple):
    """A window over spatial axes, at `places` along each; `high` is what they need, `stated` what counts as padding."""

    size: Sizes
    stride: Sizes
    dilation: Sizes
    low: Sizes
    high: Sizes
    stated: Sizes
    places: Sizes


def _window(walk: Walk, node: OnnxNode, size: Sizes, image: Sizes) -> _Window:
    axes = len(size)
    if len(image) != axes or min(size, default=0) < 1:
        raise refused(node, f"a window of {size} meets an image of {image}", f"{len(image)} sizes from 1")
    stride, dilation = walk.sizes(node, "strides", axes, 1), walk.sizes(node, "dilations", axes, 1)
    if min((*stride, *dilation)) < 1:
        raise refused(node, f"its strides are {stride}, its dilations {dilation}", "numbers from 1")
    reach = tuple(gap * (width - 1) + 1 for gap, width in zip(dilation, size, strict=True))
    auto = node.attributes.get("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        count = tuple(-(-width // step) for width, step in zip(image, stride, strict=True))
        total = tuple(
            max((n - 1) * step + far - width, 0)
            for n, step, far, width in zip(count, stride, reach, image, strict=True)
        )
        less, more = tuple(pad // 2 for pad in total), tuple(pad - pad // 2 for pad in total)
        low, high = (less, more) if auto == "SAME_UPPER" else (more, less)
        return _Window(size, stride, dilation, low, high, high, count)
    pads = (0,) * (2 * axes) if auto == "VALID" else walk.sizes(node, "pads", 2 * axes, 0)
    if min(pads) < 0:
        raise refused(node, f"its pads are {pads}", "numbers from 0")
    low, high = pads[:axes], pads[axes:]
    room = [width + sum(pad) - far for width, pad, far in zip(image, zip(low, high, strict=True), reach, strict=True)]
    if min(room) < 0:
        raise refused(node, f"a window of {reach} does not fit into an image of {image} with pads {pads}")
    if not walk.whole(node, "ceil_mode", 0):
        count = tuple(left // step + 1 for left, step in zip(room, stride, strict=True))
        return _Window(size, stride, dilation, low, high, high, count)
    # A last window that is not filled counts too, unless it starts behind the image.
    count = tuple(
        -(-left // step) + 1 - (-(-left // step) * step >= width + before)
        for left, step, width, before in zip(room, stride, image, low, strict=True)
    )
    needed = tuple(
        max(pad, (n - 1) * step + far - width - before)
        for pad, n, step, far, width, before in zip(high, count, stride, reach, image, low, strict=True)
    )
    return _Window(size, stride, dilation, low, needed, high, count)


_SLIDES = {
    "auto_pad": ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"),
    "dilations": None,
    "pads": None,
    "strides": None,
}


def _conv(walk: Walk, node: OnnxNode) -> Result:
    allow(node, **_SLIDES, group=None, kernel_shape=None)
    weight = walk.needed(node, 1)
    axes = weight.ndim - 2
    if axes < 1 or walk.sizes(node, "kernel_shape", axes, 0) not in ((0,) * axes, weight.shape[2:]):
        raise refused(node, f"its weight has the shape {weight.shape}", "(outputs, inputs / group, *kernel_shape)")
    group, bias = walk.whole(node, "group", 1), walk.floats(node, 2)

    def apply(value: int) -> int:
        slides = _window(walk, node, weight.shape[2:], walk.shapes[value][1:])
        op = ops.Conv(weight, bias, slides.stride, slides.low, slides.high, slides.dilation, group)
        return walk.add(node, op, value)

    return walk.each(node, walk.value(node), apply)


def _conv_transpose(walk: Walk, node: OnnxNode) -> Result:
    """A convolution, with the kernel turned round, of the values with zeros between them."""
    allow(
        node,
        auto_pad=("NOTSET", "VALID"),
        dilations=None,
        group=None,
        kernel_shape=None,
        output_padding=None,
        pads=None,
        strides=None,
    )
    weight, group = walk.needed(node, 1), walk.whole(node, "group", 1)
    axes = weight.ndim - 2
    if axes < 1 or walk.sizes(node, "kernel_shape", axes, 0) not in ((0,) * axes, weight.shape[2:]):
        raise refused(node, f"its weight has the shape {weight.shape}", "(inputs, outputs / group, *kernel_shape)")
    if group < 1 or len(weight) % group:
        raise refused(node, f"{len(weight)} channels are no {group} groups")
    stride, dilation = walk.sizes(node, "strides", axes, 1), walk.sizes(node, "dilations", axes, 1)
    more = walk.sizes(node, "output_padding", axes, 0)
    pads = (
        walk.sizes(node, "pads", 2 * axes, 0)
        if node.attributes.get("auto_pad", "NOTSET") == "NOTSET"
        else (0,) * (2 * axes)
    )
    if min((*stride, *dilation)) < 1 or min((*more, *pads)) < 0:
        raise refused(node, "a stride or a dilation is below 1, or a padding below 0")
    grouped = weight.reshape(group, -1, *weight.shape[1:]).swapaxes(1, 2)
    kernel = np.flip(grouped, tuple(range(3, 3 + axes))).reshape(-1, len(weight) // group, *weight.shape[2:])

    def apply(value: int) -> int:
        shape = walk.shapes[value]
        if len(shape) != axes + 1:
            raise refused(node, f"a kernel of {axes} axes meets values of shape {shape}")
        reach = [gap * (size - 1) for gap, size in zip(dilation, weight.shape[2:], strict=True)]
        lengths = [
            (size - 1) * step + 1 + 2 * far - low - high + beyond
            for size, step, far, low, high, beyond in zip(
                shape[1:], stride, reach, pads[:axes], pads[axes:], more, strict=True
            )
        ]
        walk.room(node, shape[0] * math.prod(max(length, 1) for length in lengths))
        if any(length <= far for length, far in zip(lengths, reach, strict=True)):
            raise refused(node, f"nothing is left of values of shape {shape} with pads {pads}")

        def apart(array: Array) -> Array:
            for axis, (size, step, far, low, length) in enumerate(
                zip(shape[1:], stride, reach, pads[:axes], lengths, strict=True), array.ndim - axes
            ):
                at = np.arange(length) - (far - low)
                array = _placed(array, axis, np.where((at % step == 0) & (at // step < size), at // step, -1))
            return array

        spread = walk.moved(node, value, apart)
        none = (0,) * axes
        op = ops.Conv(np.ascontiguousarray(kernel), walk.floats(node, 2), (1,) * axes, none, none, dilation, group)
        return walk.add(node, op, spread)

    return _each_sample(walk, node, apply)


def _each_sample(walk: Walk, node: OnnxNode, apply: Callable[[int], int]) -> int:
    return walk.each(node, walk.value(node), apply)


def _placed(array: Array, axis: int, index: Array) -> Array:
    """Entries along an axis by their places; -1 below 0."""
    taken = np.take(array, np.maximum(index, 0), axis)
    outside = (index < 0).reshape(-1, *(1,) * (array.ndim - 1 - axis))
    return np.where(outside, -1, taken)


def _pool(walk: Walk, node: OnnxNode) -> Result:
    allow(node, **_SLIDES, ceil_mode=(0, 1), count_include_pad=(0, 1), kernel_shape=None, storage_order=None)
    size = node.attributes.get("kernel_shape")
    if not isinstance(size, tuple):
        raise refused(node, "it has no kernel_shape")
    sizes = walk.sizes(node, "kernel_shape", len(size), 1)

    def apply(value: int) -> int:
        slides = _window(walk, node, sizes, walk.shapes[value][1:])
        return (
            _mean_pool(walk, node, value, slides)
            if node.kind == "AveragePool"
            else _max_pool(walk, node, value, slides)
        )

    return walk.each(node, walk.value(node), apply)


def _taps(slides: _Window, axis: int) -> Array:
    """Which places along an axis each window reads, shape (count, size)."""
    starts = np.arange(slides.places[axis])[:, None] * slides.stride[axis] - slides.low[axis]
    return np.asarray(starts + np.arange(slides.size[axis]) * slides.dilation[axis])


def _max_pool(walk: Walk, node: OnnxNode, value: int, slides: _Window) -> int:
    image, axes = walk.shapes[value][1:], len(slides.size)
    walk.room(node, walk.shapes[value][0] * math.prod(slides.places) * math.prod(slides.size))
    taps = [_taps(slides, axis) for axis in range(axes)]
    inside = [(place >= 0) & (place < width) for place, width in zip(taps, image, strict=True)]
    if not all(known.any(axis=1).all() for known in inside):
        raise refused(node, "a window lies in the padding as a whole, and has no largest value")
    if slides.dilation == (1,) * axes:
        return walk.add(node, ops.MaxPool(slides.size, slides.stride, slides.low, slides.high), value)

    def windows(array: Array) -> Array:
        for axis, (place, known) in enumerate(zip(taps, inside, strict=True), array.ndim - axes):
            # A value of the window stands in for padding, and changes no maximum.
            first = np.take_along_axis(place, known.argmax(axis=1)[:, None], axis=1)
            array = np.take(array, np.where(known, place, first).ravel(), axis)
        return array

    none = (0,) * axes
    return walk.add(node, ops.MaxPool(slides.size, slides.size, none, none), walk.moved(node, value, windows))


def _mean_pool(walk: Walk, node: OnnxNode, value: int, slides: _Window) -> int:
    """Where windows count different numbers of values: sums, and a division by those numbers."""
    image, axes = walk.shapes[value][1:], len(slides.size)
    padded = bool(walk.whole(node, "count_include_pad", 0))
    walk.room(node, math.prod(slides.places) * math.prod(slides.size))
    divisor = np.ones((1,) * axes)
    for axis in range(axes):
        place = _taps(slides, axis)
        low, high = (-slides.low[axis], image[axis] + slides.stated[axis]) if padded else (0, image[axis])
        counts = ((place >= low) & (place < high)).sum(axis=1)
        divisor = divisor * counts.reshape(-1, *(1,) * (axes - 1 - axis))
    if not divisor.all():
        raise refused(node, "a window lies in the padding as a whole, and has no mean")
    if slides.dilation == (1,) * axes and (divisor == math.prod(slides.size)).all():
        return walk.add(node, ops.MeanPool(slides.size, slides.stride, slides.low, slides.high), value)
    channels = walk.shapes[value][0]
    ones = np.ones((channels, 1, *slides.size), dtype=walk.file.dtype)
    total = ops.Conv(ones, None, slides.stride, slides.low, slides.high, slides.dilation, channels)
    return walk.add(node, ops.Divide(divisor[None].astype(walk.file.dtype)), walk.add(node, total, value))


def _global_pool(walk: Walk, node: OnnxNode) -> Result:
    allow(node)
    kind = ops.MeanPool if node.kind == "GlobalAveragePool" else ops.MaxPool

    def apply(value: int) -> int:
        window = walk.shapes[value][1:]
        none = (0,) * len(window)
        return walk.add(node, kind(window, window, none, none), value)

    return walk.each(node, walk.value(node), apply)


def _batch_normalization(walk: Walk, node: OnnxNode) -> Result:
    """`(x - mean) / sqrt(variance + epsilon) * scale + shift`."""
    allow(node, epsilon=None, momentum=None, training_mode=(0,), spatial=(1,))
    factor, shift, mean, variance = (walk.needed(node, position).reshape(-1) for position in (1, 2, 3, 4))
    epsilon = walk.scalar(walk.number(node, "epsilon", 1e-5))
    if epsilon < 0 or not np.all(variance >= 0) or not np.all(variance + epsilon > 0):
        raise refused(node, "a variance is not positive, or the epsilon is below 0")
    op = ops.BatchNorm(mean, variance, float(epsilon), factor, shift, "divide first")
    return walk.each(node, walk.value(node), lambda value: walk.add(node, op, value))


def _instance_normalization(walk: Walk, node: OnnxNode) -> Result:
    """`(x - mean) / sqrt(variance + epsilon) * scale + shift`, of each channel of each sample by itself."""
    allow(node, epsilon=None)
    scale, shift = (walk.needed(node, position).reshape(-1) for position in (1, 2))
    epsilon = float(walk.scalar(walk.number(node, "epsilon", 1e-5)))

    def apply(value: int) -> int:
        shape = walk.shapes[value]
        if len(shape) < 2 or scale.shape != shape[:1] or shift.shape != shape[:1] or epsilon < 0:
            raise refused(node, f"{scale.size} scales, {shift.size} shifts, epsilon {epsilon} for values of {shape}")
        value = walk.add(node, ops.Normalise(len(shape) - 1, epsilon), value)
        wide = (-1, *(1,) * (len(shape) - 1))
        return walk.add(node, ops.Shift(shift.reshape(wide)), walk.add(node, ops.Scale(scale.reshape(wide)), value))

    return walk.each(node, walk.value(node), apply)


def _layer_normalization(walk: Walk, node: OnnxNode) -> Result:
    """`(x - mean) / sqrt(variance + epsilon) * scale + shift`, of the axes from `axis` on, each sample by itself."""
    allow(node, axis=None, epsilon=None, stash_type=(1,))
    value = walk.value(node)
    shape: Shape = walk.shapes[value]
    axes = len(shape) - walk.axis(node, value, walk.whole(node, "axis", -1))
    epsilon = float(walk.scalar(walk.number(node, "epsilon", 1e-5)))
    if epsilon < 0:
        raise refused(node, f"its epsilon is {epsilon}")
    result = walk.add(node, ops.Normalise(axes, epsilon), value)
    scale, shift = walk.aligned(node, 1, shape), walk.floats(node, 2)
    if not np.all(scale == 1):
        result = walk.add(node, ops.Scale(scale), result)
    return result if shift is None else walk.add(node, ops.Shift(walk.aligned(node, 2, shape)), result)


WINDOWS: dict[str, Operator] = {
    "AveragePool": _pool,
    "BatchNormalization": _batch_normalization,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "GlobalAveragePool": _global_pool,
    "GlobalMaxPool": _global_pool,
    "InstanceNormalization": _instance_normalization,
    "LayerNormalization": _layer_normalization,
    "MaxPool": _pool,
}
"""Operators by their ONNX names."""
