"""Operators of ONNX that only move values, or put zeros between them.

Each is a function on arrays of the shape in the file. Of a constant it gives the result, of what the network computes
the places: so one definition serves both, and no sample may mix with another one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from verifluxa.graph import ops
from verifluxa.graph.ops import Shape
from verifluxa.interop.onnx_file import Array, OnnxNode
from verifluxa.interop.onnx_walk import Operator, Result, Walk, allow, refused

Move = Callable[[Array], Array]
Mover = Callable[[Walk, OnnxNode, Shape], Move]


def _operator(mover: Mover) -> Operator:
    def read(walk: Walk, node: OnnxNode) -> Result:
        return moved_by(walk, node, mover)

    return read


def moved_by(walk: Walk, node: OnnxNode, mover: Mover) -> int | Array:
    """A move applied to the first input of an operator, be it a constant or a value."""
    name = node.inputs[0] if node.inputs else ""
    if name in walk.constants:
        array = walk.constants[name]
        return walk.tried(node, mover(walk, node, array.shape), array)
    value = walk.value(node)
    return walk.moved(node, value, mover(walk, node, walk.shape(value)))


def axis_of(node: OnnxNode, axis: int, rank: int) -> int:
    """An axis of the file, counted from the start."""
    if not -rank <= axis < rank:
        raise refused(node, f"its axis is {axis}", f"one of the {rank} that there are")
    return axis % rank


def axes_of(node: OnnxNode, axes: Sequence[int], rank: int) -> tuple[int, ...]:
    """Axes of the file, counted from the start, each once."""
    found = tuple(axis_of(node, axis, rank) for axis in axes)
    if len(set(found)) != len(found):
        raise refused(node, f"its axes are {tuple(axes)}", "each axis once")
    return found


def _squeeze(walk: Walk, node: OnnxNode, shape: Shape) -> Move:
    allow(node, axes=None)
    axes = walk.integers(node, 1, "axes")
    if axes is None:
        # The samples' axis stays: there may be one sample, or more.
        lead = 0 if walk.samples is None else 1
        axes = tuple(axis for axis, size in enumerate(shape) if size == 1 and axis >= lead)
    return lambda array: array.squeeze(axes_of(node, axes, len(shape)))


def _unsqueeze(walk: Walk, node: OnnxNode, shape: Shape) -> Move:
    allow(node, axes=None)
    axes = walk.integers(node, 1, "axes")
    if axes is None:
        raise refused(node, "its axes are left out")
    places = axes_of(node, axes, len(shape) + len(axes))
    return lambda array: np.expand_dims(array, places)


def _flatten(walk: Walk, node: OnnxNode, shape: Shape) -> Move:
    allow(node, axis=None)
    axis = walk.whole(node, "axis", 1)
    if not -len(shape) <= axis <= len(shape):
        raise refused(node, f"its axis is {axis}")
    axis = axis if axis >= 0 else axis + len(shape)
    return lambda array: array.reshape(math.prod(shape[:axis]), -1)


def _flattened(walk: Walk, node: OnnxNode) -> Result:
    """Each sample flattened holds for any size of image, and stays one operation that says so."""
    if walk.samples is not None and walk.whole(node, "axis", 1) == 1 and node.inputs[0] not in walk.constants:
        allow(node, axis=None)
        return walk.add(node, ops.Reshape((-1,)), walk.value(node))
    return moved_by(walk, node, _flatten)


def _reshape(walk: Walk, node: OnnxNode, shape: Shape) -> Move:
    """A 0 keeps what stands there."""
    allow(node, allowzero=(0,))
    sizes = walk.integers(node, 1, "shape")
    if sizes is None:
        raise refused(node, "its new shape is left out")
    if any(size == 0 and axis >= len(shape) for axis, size in enumerate(sizes)) or min(sizes, default=0) < -1:
        raise refused(node, f"the new shape is {sizes}", "sizes, at most one of them -1")
    return lambda array: array.reshape([shape[axis] if size == 0 else size for axis, size in enumerate(sizes)])


def _reshaped(walk: Walk, node: OnnxNode) -> Result:
    """Where samples stand first, their number is 0, 1, -1 or how many there are."""
    if walk.samples is None or node.inputs[0] in walk.constants:
        return moved_by(walk, node, _reshape)
    allow(node, allowzero=(0,))
    value, sizes = walk.value(node), walk.integers(node, 1, "shape")
    if not sizes or sizes[0] not in (0, 1, -1, walk.samples):
        raise refused(node, f"the new shape is {sizes}", "0, 1 or -1 first, for the samples, and then fixed sizes")
    walk.counted |= sizes[0] not in (0, 1, -1)
    before = walk.shapes[value]
    rest = [before[axis] if size == 0 and axis < len(before) else size for axis, size in enumerate(sizes[1:])]
    if sizes[0] == -1 and -1 in rest:
        raise refused(node, "two sizes are open")
    return walk.add(node, ops.Reshape(tuple(rest)), value)


def _transpose(walk: Walk, node: OnnxNode) -> Result:
    allow(node, perm=None)
    constant = walk.constants.get(node.inputs[0])
    shape = walk.shape(walk.value(node)) if constant is None else constant.shape
    order = walk.sizes(node, "perm", len(shape), 0) if "perm" in node.attributes else (*reversed(range(len(shape))),)
    order = axes_of(node, order, len(shape))
    if constant is not None:
        return constant.transpose(order)
    if walk.samples is None:
        return walk.add(node, ops.Transpose(order), walk.value(node))
    if order[0] != 0:
        raise refused(node, f"its order is {order}", "the samples' axis first")
    return walk.add(node, ops.Transpose(tuple(axis - 1 for axis in order[1:])), walk.value(node))


def _slice(walk: Walk, node: OnnxNode, shape: Shape) -> Move:
    allow(node, starts=None, ends=None, axes=None)
    parts = [walk.integers(node, place, name) for place, name in enumerate(("starts", "ends", "axes", "steps"), 1)]
    starts, ends = parts[0], parts[1]
    if starts is None or ends is None:
        raise refused(node, "its starts or ends are left out")
    axes = axes_of(node, parts[2] if parts[2] is not None else range(len(starts)), len(shape))
    steps = parts[3] or (1,) * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps) or 0 in steps:
        raise refused(node, f"its starts, ends, axes and steps are {starts}, {ends}, {axes}, {steps}")
    cut = [slice(None)] * len(shape)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        cut[axis] = slice(start, end, step)
    return lambda array: array[tuple(cut)]


def _split(walk: Walk, node: OnnxNode) -> Result:
    allow(node, axis=None, split=None, num_outputs=None)
    constant = walk.constants.get(node.inputs[0])
    shape = walk.shape(walk.value(node)) if constant is None else constant.shape
    axis = axis_of(node, walk.whole(node, "axis", 0), len(shape))
    sizes, count = walk.integers(node, 1, "split"), len(node.outputs)
    if sizes is None:
        each = -(-shape[axis] // count)
        sizes = (*(each,) * (count - 1), shape[axis] - each * (count - 1))
    if len(sizes) != count or sum(sizes) != shape[axis] or min(sizes) < 1:
        raise refused(
            node, f"it splits {shape[axis]} values into parts of {sizes}", f"{count} parts that give them all"
        )
    ends = np.cumsum(sizes)

    def part(number: int) -> int | Array:
        cut = [slice(None)] * len(shape)
        cut[axis] = slice(int(ends[number]) - sizes[number], int(ends[number]))
        return moved_by(walk, node, lambda _walk, _node, _shape: lambda array: array[tuple(cut)])

    return tuple(part(number) for number in range(count))


def _gather(walk: Walk, node: OnnxNode, shape: Shape) -> Move:
    allow(node, axis=None)
    index = walk.constant(node, 1)
    if index is None or index.dtype.kind != "i":
        raise refused(node, "its places are no whole numbers")
    axis = axis_of(node, walk.whole(node, "axis", 0), len(shape))
    if index.size and not -shape[axis] <= index.min() <= index.max() < shape[axis]:
        raise refused(node, f"it reads places {index.min()} to {index.max()} of {shape[axis]} values")
    walk.room(node, math.prod(shape) // shape[axis] * index.size)
    return lambda array: np.take(array, index, axis)


def gathered(walk: Walk, node: OnnxNode) -> Result:
    """By constant places; or the rows of a constant that words name."""
    if len(node.inputs) == 2 and node.inputs[1] in walk.words:
        allow(node, axis=(0,))
        return walk.add(node, ops.Embedding(walk.needed(node, 0)), walk.values[node.inputs[1]])
    if len(node.inputs) != 2 or node.inputs[1] not in walk.constants:
        raise refused(node, "it does not read words", "constant places, or the input cast to whole numbers")
    return moved_by(walk, node, _gather)


def _expand(walk: Walk, node: OnnxNode, shape: Shape) -> Move:
    allow(node)
    wanted = walk.integers(node, 1, "shape")
    if wanted is None or min(wanted, default=1) < 1:
        raise refused(node, f"its shape is {wanted}", "sizes from 1")
    after = walk.together(node, shape, wanted)
    return lambda array: np.broadcast_to(array, after)


def _tile(walk: Walk, node: OnnxNode, shape: Shape) -> Move:
    allow(node)
    times = walk.integers(node, 1, "repeats")
    if times is None or len(times) != len(shape) or min(times, default=1) < 1:
        raise refused(node, f"it repeats {times} times", f"{len(shape)} numbers from 1")
    walk.room(node, math.prod(shape) * math.prod(times))
    return lambda array: np.tile(array, times)


def _pads(walk: Walk, node: OnnxNode, shape: Shape) -> list[tuple[int, int]]:
    """Values before and after, axis by axis; fewer than none cut some off."""
    found, axes = walk.integers(node, 1, "pads"), walk.integers(node, 3, "axes")
    chosen = axes_of(node, range(len(shape)) if axes is None else axes, len(shape))
    if found is None or len(found) != 2 * len(chosen):
        raise refused(node, f"its pads are {found}", f"two numbers for each of {len(chosen)} axes")
    pads = [(0, 0)] * len(shape)
    for number, axis in enumerate(chosen):
        pads[axis] = found[number], found[len(chosen) + number]
    walk.room(node, math.prod(max(size + sum(pad), 1) for size, pad in zip(shape, pads, strict=True)))
    return pads


def _padded(walk: Walk, node: OnnxNode) -> Result:
    """Zeros are places that read nothing, another constant is added to them."""
    allow(node, mode=("constant", "edge", "reflect", "wrap"), pads=None, value=None)
    value, mode = walk.value(node), node.attributes.get("mode", "constant")
    shape = walk.shape(value)
    pads = _pads(walk, node, shape)
    if mode in ("reflect", "wrap") and any(max(pad) > size - (mode == "reflect") for pad, size in zip(pads, shape)):  # noqa: B905
        raise refused(node, f"its pads {pads} are larger than values of shape {shape}")
    grown = [(max(low, 0), max(high, 0)) for low, high in pads]
    cut = tuple(slice(max(-low, 0), size - max(-high, 0)) for (low, high), size in zip(pads, shape, strict=True))

    def pad(array: Array) -> Array:
        if mode == "constant":
            return np.pad(array[cut], grown, constant_values=-1)
        return np.pad(array[cut], grown, mode=str(mode))  # type: ignore[call-overload,no-any-return]

    result = walk.moved(node, value, pad)
    given = walk.floats(node, 2)
    fill = float(walk.number(node, "value", 0.0)) if given is None else float(given.reshape(-1)[0])
    if mode != "constant" or fill == 0:
        return result
    outside = pad(np.zeros(shape, np.int64)) < 0
    added = np.where(outside, walk.scalar(fill), walk.scalar(0.0)).reshape(walk.shape(result))
    return walk.add(node, ops.Shift(added if walk.samples is None else added[0]), result)


def _nearest(walk: Walk, node: OnnxNode, shape: Shape, sizes: Sequence[int], scales: Sequence[float]) -> Move:
    """Of each place the nearest one before; https://onnx.ai/onnx/operators/onnx__Resize.html has the formulas."""
    how = node.attributes.get("coordinate_transformation_mode", "half_pixel")
    nearest = node.attributes.get("nearest_mode", "round_prefer_floor")
    walk.room(node, math.prod(sizes))

    def places(before: int, after: int, scale: float) -> Array:
        at = np.arange(after, dtype=np.float64)
        match how:
            case "asymmetric":
                at = at / scale
            case "align_corners":
                at = at * ((before - 1) / (after - 1) if after > 1 else 0.0)
            case "pytorch_half_pixel" if after == 1:
                at = np.zeros(1)
            case _:
                at = (at + 0.5) / scale - 0.5
        match nearest:
            case "floor":
                at = np.floor(at)
            case "ceil":
                at = np.ceil(at)
            case "round_prefer_ceil":
                at = np.floor(at + 0.5)
            case _:
                at = np.ceil(at - 0.5)
        return np.clip(at, 0, before - 1).astype(np.int64)

    index = [
        places(*item) if item[0] != item[1] else np.arange(item[0]) for item in zip(shape, sizes, scales, strict=True)
    ]
    return lambda array: array[np.ix_(*index)]


def _resized(walk: Walk, node: OnnxNode) -> Result:
    allow(
        node,
        mode=("nearest",),
        coordinate_transformation_mode=("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners"),
        nearest_mode=("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"),
        axes=None,
        scales=None,
        antialias=(0,),
        cubic_coeff_a=None,
        exclude_outside=(0,),
        extrapolation_value=None,
        keep_aspect_ratio_policy=("stretch",),
    )
    value = walk.value(node)
    shape = walk.shape(value)
    old = node.kind == "Upsample" or len(node.inputs) == 2
    if node.kind == "Upsample" or walk.file.opset < 11:
        # Older ones read the place `floor(i / scale)`.
        attributes = {**node.attributes, "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        node = OnnxNode(node.kind, node.place, node.inputs, node.outputs, attributes)
    axes = axes_of(node, walk.integers(node, 9, "axes") or range(len(shape)), len(shape))
    given = node.attributes.get("scales")
    found = walk.constant(node, 1 if old else 2) if given is None else np.asarray(given)
    sizes, scales = list(shape), [1.0] * len(shape)
    wanted = None if found is not None and found.size else walk.integers(node, 3, "sizes")
    count = len(wanted) if wanted is not None else 0 if found is None else found.size
    if count != len(axes):
        raise refused(node, f"it has {count} scales or sizes", f"{len(axes)} of them")
    for number, axis in enumerate(axes):
        if wanted is not None:
            sizes[axis], scales[axis] = wanted[number], wanted[number] / shape[axis]
        elif found is not None:
            scales[axis] = float(found.reshape(-1)[number])
            sizes[axis] = math.floor(shape[axis] * scales[axis]) if math.isfinite(scales[axis]) else 0
    if min(sizes) < 1 or min(scales) <= 0:
        raise refused(node, f"values of shape {shape} would have the shape {tuple(sizes)}")
    return walk.moved(node, value, _nearest(walk, node, shape, sizes, scales))


def _depth(walk: Walk, node: OnnxNode, shape: Shape) -> Move:
    """Blocks of channels to places, or back."""
    allow(node, blocksize=None, mode=("DCR", "CRD"))
    size = walk.whole(node, "blocksize", 0)
    if size < 1 or len(shape) != 4:
        raise refused(node, f"its blocks have the size {size}, its values the shape {shape}")
    n, c, h, w = shape
    if node.kind == "SpaceToDepth":
        return lambda array: (
            array.reshape(n, c, h // size, size, w // size, size)
            .transpose(0, 3, 5, 1, 2, 4)
            .reshape(n, c * size**2, h // size, w // size)
        )
    first = node.attributes.get("mode", "DCR") == "DCR"
    parts = (size, size, c // size**2) if first else (c // size**2, size, size)
    order = (0, 3, 4, 1, 5, 2) if first else (0, 1, 4, 2, 5, 3)
    return lambda array: array.reshape(n, *parts, h, w).transpose(order).reshape(n, -1, h * size, w * size)


def _concat(walk: Walk, node: OnnxNode) -> Result:
    allow(node, axis=None)
    if "axis" not in node.attributes and walk.file.opset >= 4:
        raise refused(node, "its axis is left out")
    arrays = [walk.constants.get(name) for name in node.inputs]
    if all(array is not None for array in arrays):
        kept = [array for array in arrays if array is not None]
        axis = axis_of(node, walk.whole(node, "axis", 1), kept[0].ndim)
        return walk.tried(node, lambda _: np.concatenate(kept, axis), kept[0])
    values = [walk.value(node, position) for position in range(len(node.inputs))]
    axis = walk.axis(node, values[0], walk.whole(node, "axis", 1))
    return values[0] if len(values) == 1 else walk.add(node, ops.Concat(axis), *values)


def _where(walk: Walk, node: OnnxNode) -> Result:
    """One value or another, place by place, by a constant condition."""
    allow(node)
    condition = walk.constant(node, 0)
    if condition is None or condition.dtype != np.bool_:
        raise refused(node, "its condition holds no truth values")
    arrays = [walk.constants.get(name) for name in node.inputs[1:3]]
    if arrays[0] is not None and arrays[1] is not None:
        walk.together(node, condition.shape, arrays[0].shape, arrays[1].shape)
        return np.where(condition, arrays[0], arrays[1])
    if walk.samples is not None and condition.ndim:
        raise refused(node, "its condition reaches into the samples")
    values = [walk.value(node, position) for position in (1, 2)]
    shape = walk.together(node, condition.shape, *(walk.shapes[value] for value in values))
    values = [walk.add(node, ops.Reshape((-1,)), walk.spread(node, value, shape)) for value in values]
    both = walk.add(node, ops.Concat(0), *values)
    places = np.arange(2 * math.prod(shape)).reshape(2, *shape)
    return walk.add(node, ops.Take(walk.shapes[both], np.where(condition, places[0], places[1])), both)


MOVES: dict[str, Operator] = {
    "Concat": _concat,
    "DepthToSpace": _operator(_depth),
    "Expand": _operator(_expand),
    "Flatten": _flattened,
    "Gather": gathered,
    "Pad": _padded,
    "Reshape": _reshaped,
    "Resize": _resized,
    "Slice": _operator(_slice),
    "SpaceToDepth": _operator(_depth),
    "Split": _split,
    "Squeeze": _operator(_squeeze),
    "Tile": _operator(_tile),
    "Transpose": _transpose,
    "Unsqueeze": _operator(_unsqueeze),
    "Upsample": _resized,
    "Where": _where,
}
"""Operators by their ONNX names."""
