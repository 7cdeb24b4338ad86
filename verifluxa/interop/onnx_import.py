"""ONNX to graph: the operators of a file, one after the other, as steps of a network."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

from verifluxa.errors import ModelError
from verifluxa.graph.graph import Graph
from verifluxa.graph.ops import Shape
from verifluxa.interop.onnx_file import Array, OnnxNode, broken, read_onnx
from verifluxa.interop.onnx_operators import OPERATORS
from verifluxa.interop.onnx_walk import OperatorRow, Walk, refused


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
    file = read_onnx(data, input_shape)
    walk = Walk(file)
    rows = []
    for node in file.nodes:
        if node.output in walk.values or node.output in walk.constants:
            raise broken("two operators give one name", node.place)
        if node.kind == "Constant":
            walk.constants[node.output] = _constant(node)
            continue
        rows.append(_operator(walk, node))
    return Imported(walk.finish(file.output), tuple(rows), f"ONNX {file.opset}", file.producer)


def _operator(walk: Walk, node: OnnxNode) -> OperatorRow:
    operator = OPERATORS.get(node.kind)
    if operator is None:
        close = get_close_matches(node.kind, OPERATORS, 1, 0.8)
        raise refused(node, "this operator is not supported", f"`{close[0]}`?" if close else None)
    before = tuple(walk.shapes[walk.values[name]] for name in node.inputs if name in walk.values)
    parameters = sum(walk.constants[name].size for name in node.inputs if name in walk.constants)
    walk.values[node.output] = operator(walk, node)
    return OperatorRow(node.place, node.kind, before, walk.shapes[walk.values[node.output]], parameters)


def _constant(node: OnnxNode) -> Array:
    value = node.attributes.get("value")
    if len(node.attributes) != 1 or isinstance(value, int | float | str | tuple) or value is None:
        raise ModelError("VF2018", "a Constant is not given by its `value`", place=node.place, expected="one array")
    return value
