"""ONNX to graph: the operators of a file, one after the other, as steps of a network."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from verifluxa.errors import ModelError
from verifluxa.graph import ops
from verifluxa.graph.graph import Graph
from verifluxa.graph.ops import Shape
from verifluxa.interop.onnx_arithmetic import ARITHMETIC
from verifluxa.interop.onnx_file import Array, Dims, OnnxFile, OnnxNode, broken, read_onnx, short
from verifluxa.interop.onnx_fold import FOLDS, folded
from verifluxa.interop.onnx_functions import READ
from verifluxa.interop.onnx_moves import MOVES
from verifluxa.interop.onnx_walk import Operator, OperatorRow, Reading, Result, Walk, allow, refused
from verifluxa.interop.onnx_windows import WINDOWS

# The operators of ONNX that are understood, one small function each; any other one is refused by name.
#
# Each is read as https://onnx.ai/onnx/operators/ defines it, in its own order of operations.

_SOFTMAX_BY_AXIS = 13
"""Before this version Softmax ran over all axes from `axis` on."""
_SOME_SAMPLES = 3
"""With so many a file is read that leaves their number open; more than one show what mixes them."""


def _softmax(walk: Walk, node: OnnxNode) -> Result:
    allow(node, axis=None)
    value = walk.value(node)
    kind = ops.Softmax if node.kind == "Softmax" else ops.LogSoftmax
    by_axis = walk.file.opset >= _SOFTMAX_BY_AXIS
    axis, shape = walk.axis(node, value, walk.whole(node, "axis", -1 if by_axis else 1)), walk.shapes[value]
    if by_axis or axis == len(shape) - 1:
        return walk.add(node, kind(axis), value)
    flat = walk.add(node, ops.Reshape((*shape[:axis], -1)), value)
    return walk.add(node, ops.Reshape(shape), walk.add(node, kind(axis), flat))


def _clip(walk: Walk, node: OnnxNode) -> Result:
    allow(node, min=None, max=None)
    ends = []
    for position, (name, default) in enumerate((("min", -math.inf), ("max", math.inf)), start=1):
        given = walk.floats(node, position)
        if given is not None and given.size != 1:
            raise refused(node, f"its end has the shape {given.shape}", "one number")
        stated = walk.number(node, name, default) if name in node.attributes else default
        ends.append(stated if given is None else float(given.reshape(())))
    return walk.add(node, ops.Clip(*ends), walk.value(node))


def _same(walk: Walk, node: OnnxNode) -> Result:
    """Identity, and Dropout as it is in test mode."""
    allow(node, ratio=None, seed=None)
    mode = node.inputs[2] if len(node.inputs) > 2 else ""
    if mode and (mode not in walk.constants or walk.constants[mode].any()):
        raise refused(node, "it may be in training mode", "no third input")
    return walk.value(node)


def _cast(walk: Walk, node: OnnxNode) -> Result:
    """A cast to whole numbers goes with the Gather that reads words; another one must change nothing."""
    allow(node, to=None, saturate=None, round_mode=None)
    value, target = walk.value(node), walk.whole(node, "to", 0)
    same = {"float32": 1, "float64": 11}[walk.file.dtype]
    if target in (6, 7) and isinstance(walk.steps[value][0], ops.Input):
        walk.words.add(node.outputs[0])
    elif target != same:
        raise refused(node, "it changes the type of values", "the input as whole numbers, for a Gather")
    return value


def _hard_sigmoid(walk: Walk, node: OnnxNode) -> Result:
    """`clip(alpha x + beta, 0, 1)`, in this order."""
    allow(node, alpha=None, beta=None)
    value = walk.add(node, ops.Scale(walk.scalar(walk.number(node, "alpha", 0.2))), walk.value(node))
    value = walk.add(node, ops.Shift(walk.scalar(walk.number(node, "beta", 0.5))), value)
    return walk.add(node, ops.Clip(0.0, 1.0), value)


OPERATORS: dict[str, Operator] = {
    **READ,
    **ARITHMETIC,
    **MOVES,
    **WINDOWS,
    "Cast": _cast,
    "Clip": _clip,
    "Dropout": _same,
    "HardSigmoid": _hard_sigmoid,
    "Identity": _same,
    "LogSoftmax": _softmax,
    "Softmax": _softmax,
}


# The walk over a file


@dataclass(frozen=True, eq=False)
class Imported:
    """An ONNX file, understood.

    Attributes:
        graph: the network.
        rows: one for each operator.
        format: `ONNX 17`.
        producer: what wrote the file, as it says itself.
    """

    graph: Graph
    rows: tuple[OperatorRow, ...]
    format: str
    producer: str


def import_onnx(data: bytes | memoryview, input_shape: tuple[Shape, ...] | None = None) -> Imported:
    """Reads an ONNX file as a graph.

    Args:
        data: the file's bytes.
        input_shape: of each input without the sample axis; where the file has fixed sizes, as many numbers.

    Raises:
        ModelError: VF2017 for a file that is malformed or refused as a whole, VF2018 for an operator,
            VF2101 when shapes do not fit, VF2004 past a limit, VF2013 when the input's shape is open.
        UsageError: VF4411 when the `onnx` package is not installed.
    """
    file = read_onnx(data)
    failed: list[tuple[int, ModelError]] = []
    for reading in _readings(file, input_shape):
        try:
            walk, graph = _walked(file, reading)
        except _Stopped as stopped:
            failed.append((stopped.done, stopped.error))
            continue
        return Imported(graph, tuple(walk.rows), f"ONNX {file.opset}", file.producer)
    # That of the reading that came furthest.
    raise max(failed, key=lambda item: item[0])[1]


class _Stopped(Exception):
    """A reading of a file that does not work: after how many operators, and why."""

    def __init__(self, done: int, error: ModelError) -> None:
        super().__init__(done, error)
        self.done, self.error = done, error


def _walked(file: OnnxFile, reading: Reading) -> tuple[Walk, Graph]:
    walk = Walk(file, reading)
    try:
        for node in file.nodes:
            _read(walk, node)
        graph = walk.finish(file.output)
        if walk.counted and not reading.fixed:
            assert reading.samples is not None
            _check_any_number(file, reading._replace(samples=reading.samples + 1), graph)
    except ModelError as error:
        raise _Stopped(len(walk.rows), error) from None
    return walk, graph


def _check_any_number(file: OnnxFile, reading: Reading, graph: Graph) -> None:
    """The network of a sample must not depend on how many there are.

    Raises:
        ModelError: VF2017.
    """
    walk = Walk(file, reading)
    try:
        for node in file.nodes:
            _read(walk, node)
        same = walk.finish(file.output).digest == graph.digest
    except ModelError:
        same = False
    if not same:
        raise broken(
            "what the network computes of a sample depends on how many there are", expected="a first axis of 1"
        )


def _readings(file: OnnxFile, given: tuple[Shape, ...] | None) -> Iterator[Reading]:
    """How the axes of a file may be understood, the likeliest first.

    An open first axis is the samples'. One of size 1 is, where operators let it be, and else an axis like others. A
    vector of a fixed size has none, nor have inputs of other sizes, unless shapes are asked for that leave it out.

    Raises:
        ModelError: VF2013 where sizes are open, VF2017 for shapes that do not go with the inputs.
    """
    names, dims = [name for name, _ in file.inputs], [sizes for _, sizes in file.inputs]
    if given is not None and len(given) != len(dims):
        raise broken(f"the network reads {len(dims)} inputs, shapes are given for {len(given)}")
    wanted = given or (None,) * len(dims)
    first = {None if not sizes else sizes[0] for sizes in dims}
    of_samples = [
        None if sizes is None else _sizes(sizes[1:], shape) for sizes, shape in zip(dims, wanted, strict=True)
    ]
    whole = [None if sizes is None or None in sizes else _fixed(sizes) for sizes in dims]
    have = all(sizes is None or len(sizes) > 0 for sizes in dims) and len(first) == 1
    count = next(iter(first)) if have else None
    found = False
    if have and count in (None, 1) and not (count == 1 and any(sizes is None or len(sizes) == 1 for sizes in dims)):
        known = [
            shape if sizes is not None else want for sizes, shape, want in zip(dims, of_samples, wanted, strict=True)
        ]
        if None not in known:
            shapes = tuple(shape for shape in known if shape is not None)
            found = True
            yield Reading(count or _SOME_SAMPLES, shapes, given or shapes, fixed=count is not None)
    if None not in whole:
        shapes = tuple(shape for shape in whole if shape is not None)
        # One sample: the graph's inputs have the samples' axis outside, as all inputs of graphs have.
        own = tuple(shape[1:] if len(shape) > 1 and shape[0] == 1 else shape for shape in shapes)
        read = Reading(None, shapes, given or own)
        each = have and count not in (None, 1) and all(len(shape) > 1 for shape in shapes)
        by_sample = Reading(count, tuple(shape[1:] for shape in shapes), given or tuple(shape[1:] for shape in shapes))
        asked = given is not None and [math.prod(shape) for shape in given] != [math.prod(shape) for shape in shapes]
        found = True
        yield from ((by_sample,) if each and asked else (read, by_sample) if each else (read,))
    if not found:
        open_name = next(
            (name for name, sizes in zip(names, dims, strict=True) if sizes is None or None in sizes[1:]), names[0]
        )
        raise ModelError(
            "VF2013",
            f"the file leaves the shape of its input `{short(open_name)}` open",
            expected="the samples' axis and then fixed sizes",
            remedy="give it: `--input-shape 3,32,32`, or `input_shape = (3, 32, 32)` in Python",
        )


def _sizes(sizes: Dims, given: Shape | None) -> Shape | None:
    """Fixed sizes; those given where the file leaves them open."""
    return given if None in sizes else _fixed(sizes)


def _fixed(sizes: Dims) -> Shape:
    return tuple(size for size in sizes if size is not None)


def _read(walk: Walk, node: OnnxNode) -> None:
    """Reads an operator: it gives values, or constants where all that it reads is constant."""
    names = [name for name in node.outputs if name]
    if any(name in walk.values or name in walk.constants for name in names) or len(set(names)) != len(names):
        raise broken("two operators give one name", node.place)
    before = tuple(walk.shapes[walk.values[name]] for name in node.inputs if name in walk.values)
    parameters = sum(walk.constants[name].size for name in node.inputs if name in walk.constants)
    result: Result | None = _constant(node) if node.kind == "Constant" else folded(walk, node)
    if result is None:
        operator = OPERATORS.get(node.kind)
        if operator is None:
            raise _unknown(node)
        result = operator(walk, node)
    parts = result if isinstance(result, tuple) else (result,)
    for name, part in zip(node.outputs, parts, strict=False):
        if isinstance(part, np.ndarray | np.generic):
            walk.keep(node, name, np.asarray(part))
        elif isinstance(part, int):
            walk.values[name] = part
    after = next((walk.shapes[part] for part in parts if isinstance(part, int)), None)
    if after is not None:
        walk.rows.append(OperatorRow(node.place, node.kind, before, after, parameters))


def _unknown(node: OnnxNode) -> ModelError:
    if node.kind in FOLDS:
        return refused(node, "it is read of constants only, and this reads what the network computes", "constants")
    close = get_close_matches(node.kind, OPERATORS, 1, 0.8)
    return refused(node, "this operator is not supported", f"`{close[0]}`?" if close else None)


def _constant(node: OnnxNode) -> Array:
    if len(node.attributes) == 1:
        ((name, value),) = node.attributes.items()
        if name == "value" and isinstance(value, np.ndarray):
            return value
        if name in ("value_float", "value_floats") and not isinstance(value, str | np.ndarray):
            return np.asarray(value, dtype=np.float32)
        if name in ("value_int", "value_ints") and not isinstance(value, str | np.ndarray):
            return np.asarray(value, dtype=np.int64)
    raise ModelError("VF2018", "a Constant is not given by its `value`", place=node.place, expected="one array")
