"""What operators of ONNX give of constants alone: shapes, masks, places, and floats that are not rounded.

A result that would have to be rounded is no constant: its operators stay in the network, where a proof covers their
rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from verifluxa.interop.onnx_file import Array, OnnxNode
from verifluxa.interop.onnx_walk import Walk, allow, refused

MOST_EXACT = 1 << 16
"""So many numbers are computed with exactly."""
_TYPES = {1: np.float32, 11: np.float64, 6: np.int32, 7: np.int64, 9: np.bool_}

Fold = Callable[[Walk, OnnxNode, Sequence[Array]], Array | None]


def _each(compute: Callable[..., Any]) -> Fold:
    """A function of numbers, place by place, as exact numbers; None where the result is not in the type."""

    def fold(walk: Walk, node: OnnxNode, arrays: Sequence[Array]) -> Array | None:
        kind = arrays[0].dtype
        shape = walk.together(node, *(array.shape for array in arrays))
        if any(array.dtype != kind for array in arrays) or kind.kind not in "fi" or math.prod(shape) > MOST_EXACT:
            return None
        exact = Fraction if kind.kind == "f" else int
        columns = (np.broadcast_to(array, shape).ravel().tolist() for array in arrays)
        found: list[Any] = []
        for numbers in zip(*columns, strict=True):
            try:
                value = compute(*map(exact, numbers))
            except (ZeroDivisionError, OverflowError, ValueError):
                return None
            if value is None:
                return None
            found.append(value)
        if kind.kind == "i":
            known = np.iinfo(kind)
            if any(not known.min <= value <= known.max for value in found):
                return None
            return np.array(found, dtype=kind).reshape(shape)
        rounded = np.array([_float(value) for value in found], dtype=np.float64).astype(kind)
        if not np.isfinite(rounded).all() or any(Fraction(float(a)) != b for a, b in zip(rounded, found, strict=True)):
            return None
        return rounded.reshape(shape)

    return fold


def _float(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _divided(first: Any, second: Any) -> Any:
    """Whole numbers are cut off towards zero."""
    if isinstance(first, Fraction):
        return first / second
    return abs(first) // abs(second) * (1 if (first < 0) == (second < 0) else -1)


def _root(value: Any) -> Any:
    """None where it is irrational."""
    if not isinstance(value, Fraction) or value < 0:
        return None
    found = Fraction(math.isqrt(value.numerator), math.isqrt(value.denominator))
    return found if found * found == value else None


def _powered(first: Any, second: Any) -> Any:
    if second < 0 or second > 64 or second != int(second):
        return None
    return first ** int(second)


def _added(*numbers: Any) -> Any:
    return sum(numbers[1:], numbers[0])


def _compared(compare: Callable[[Array, Array], Array]) -> Fold:
    def fold(walk: Walk, node: OnnxNode, arrays: Sequence[Array]) -> Array | None:
        allow(node)
        if len(arrays) != 2 or arrays[0].dtype != arrays[1].dtype:
            return None
        walk.together(node, arrays[0].shape, arrays[1].shape)
        return np.asarray(compare(arrays[0], arrays[1]))

    return fold


def _not(walk: Walk, node: OnnxNode, arrays: Sequence[Array]) -> Array | None:
    return np.logical_not(arrays[0])


def _cast(walk: Walk, node: OnnxNode, arrays: Sequence[Array]) -> Array | None:
    """Only where nothing is lost, but for the digits that a cast to whole numbers cuts off by its definition."""
    allow(node, to=None, saturate=None, round_mode=None)
    (array,) = arrays
    kind = _TYPES.get(walk.whole(node, "to", 0))
    if kind is None:
        raise refused(node, "it casts to a type that no proof covers", "float32, float64, int32, int64 or bool")
    if array.dtype.kind == "f" and np.dtype(kind).kind == "i":
        array = np.trunc(array)
        if array.size and not np.abs(array).max() < 2.0**31:
            return None
    with np.errstate(all="ignore"):
        found: Array = array.astype(kind)
    if kind is np.bool_ or array.dtype == np.bool_:
        return found
    back = found.astype(array.dtype)
    return found if np.array_equal(back, array) and (found.dtype.kind != "f" or np.isfinite(found).all()) else None


def _constant_of_shape(walk: Walk, node: OnnxNode, arrays: Sequence[Array]) -> Array | None:
    allow(node, value=None)
    value = node.attributes.get("value", np.zeros(1, np.float32))
    if not isinstance(value, np.ndarray) or value.size != 1 or arrays[0].dtype.kind != "i" or arrays[0].ndim > 1:
        raise refused(node, "its value is not one number, or its shape no list of sizes")
    shape = tuple(int(size) for size in arrays[0].reshape(-1))
    if min(shape, default=0) < 0:
        raise refused(node, f"its shape is {shape}", "sizes from 0")
    walk.room(node, math.prod(shape))
    return np.full(shape, value.reshape(()))


def _range(walk: Walk, node: OnnxNode, arrays: Sequence[Array]) -> Array | None:
    """Floats as well, where none is rounded."""
    allow(node)
    if len(arrays) != 3 or any(array.size != 1 for array in arrays):
        raise refused(node, "its start, limit and step are not one number each")
    exact = Fraction if arrays[0].dtype.kind == "f" else int
    start, limit, step = (exact(array.reshape(()).item()) for array in arrays)
    if step == 0:
        raise refused(node, "its step is 0")
    count = max(math.ceil(Fraction(limit - start) / step), 0)
    walk.room(node, count)
    if isinstance(start, int):
        return (start + np.arange(count) * int(step)).astype(arrays[0].dtype)
    values = [start + number * step for number in range(count)]
    found = np.array([float(value) for value in values]).astype(arrays[0].dtype)
    return found if all(Fraction(float(a)) == b for a, b in zip(found, values, strict=True)) else None


def _same(walk: Walk, node: OnnxNode, arrays: Sequence[Array]) -> Array | None:
    return arrays[0]


def _reduced(compute: Callable[..., Any]) -> Fold:
    def fold(walk: Walk, node: OnnxNode, arrays: Sequence[Array]) -> Array | None:
        """Of whole numbers, as sizes of shapes are."""
        allow(node, axes=None, keepdims=(0, 1), noop_with_empty_axes=(0,))
        axes, array = walk.integers(node, 1, "axes"), arrays[0]
        if array.dtype.kind != "i" or array.ndim > 1 or array.size > MOST_EXACT or (axes and set(axes) - {0, -1}):
            return None
        found = compute([int(value) for value in array.reshape(-1)])
        if abs(found) >= 2**62:
            return None
        return np.array(found, dtype=array.dtype).reshape((1,) * array.ndim if walk.whole(node, "keepdims", 1) else ())

    return fold


def _shape(walk: Walk, node: OnnxNode) -> Array:
    """Of what the network computes too: shapes are fixed, but for the number of samples."""
    allow(node, start=None, end=None)
    name = node.inputs[0] if node.inputs else ""
    if name in walk.constants:
        shape = walk.constants[name].shape
    else:
        shape = walk.shape(walk.value(node))
        walk.counted |= walk.samples is not None
    if node.kind == "Size":
        return np.array(math.prod(shape), dtype=np.int64)
    start, end = walk.whole(node, "start", 0), walk.whole(node, "end", len(shape))
    return np.array(shape[start:end], dtype=np.int64)


FOLDS: dict[str, Fold] = {
    "Abs": _each(abs),
    "Add": _each(lambda a, b: a + b),
    "And": _compared(np.logical_and),
    "Cast": _cast,
    "Ceil": _each(lambda a: type(a)(math.ceil(a))),
    "ConstantOfShape": _constant_of_shape,
    "Div": _each(_divided),
    "Dropout": _same,
    "Equal": _compared(np.equal),
    "Floor": _each(lambda a: type(a)(math.floor(a))),
    "Greater": _compared(np.greater),
    "GreaterOrEqual": _compared(np.greater_equal),
    "Identity": _same,
    "Less": _compared(np.less),
    "LessOrEqual": _compared(np.less_equal),
    "Max": _each(max),
    "Min": _each(min),
    "Mul": _each(lambda a, b: a * b),
    "Neg": _each(lambda a: -a),
    "Not": _not,
    "Or": _compared(np.logical_or),
    "Pow": _each(_powered),
    "Range": _range,
    "Reciprocal": _each(lambda a: 1 / a if isinstance(a, Fraction) else None),
    "ReduceMax": _reduced(max),
    "ReduceMin": _reduced(min),
    "ReduceProd": _reduced(math.prod),
    "ReduceSum": _reduced(sum),
    "Sqrt": _each(_root),
    "Sub": _each(lambda a, b: a - b),
    "Sum": _each(_added),
}
"""Operators by their ONNX names, of constants alone; None where the result cannot be one."""


def folded(walk: Walk, node: OnnxNode) -> Array | None:
    """What an operator gives of constants, or of shapes; None where that is not known without rounding."""
    if node.kind in ("Shape", "Size"):
        return _shape(walk, node)
    fold = FOLDS.get(node.kind)
    names = [name for name in node.inputs if name]
    if fold is None or not names or not all(name in walk.constants for name in names):
        return None
    return fold(walk, node, [walk.constants[name] for name in names])
