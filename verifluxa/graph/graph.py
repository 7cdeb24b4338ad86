"""The graph: operations in order, shapes checked when it is built, one canonical form and sha256."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from verifluxa.errors import ModelError
from verifluxa.graph.ops import SHAPE, Input, Op, Shape

FLOAT_TYPES = ("float32", "float64")
MOST_BRANCHES = 1024
# How many steps an operation reads, where that is not one.
READS = {"input": (0, 0), "add": (2, MOST_BRANCHES), "concat": (2, MOST_BRANCHES), "multiply": (2, 2), "matmul": (2, 2)}


@dataclass(frozen=True, eq=False)
class Node:
    """One step: an operation, the indices of the nodes that it reads, the shape that it gives."""

    op: Op
    inputs: tuple[int, ...]
    shape: Shape


@dataclass(frozen=True, eq=False)
class Graph:
    """A network in its deployed operation order, unsimplified. The last node is the output.

    Attributes:
        nodes: in an order in which every node reads only earlier ones; node 0 is the input.
        dtype: `float32` or `float64`, the type in which the network computes.
    """

    nodes: tuple[Node, ...]
    dtype: str = "float32"

    @property
    def input_shape(self) -> Shape:
        """Shape of one input, without the sample axis."""
        return self.nodes[0].shape

    @property
    def output_shape(self) -> Shape:
        """Shape of one output, without the sample axis."""
        return self.nodes[-1].shape

    @cached_property
    def digest(self) -> str:
        """Digest of the canonical form, written as sha256 and hex digits."""
        return "sha256:" + hashlib.sha256(canonical(self)).hexdigest()

    def run(self, *inputs: NDArray[np.generic]) -> NDArray[np.floating]:
        """Evaluates the network as deployed, samples first, in its own float type."""
        from verifluxa.graph.run import run

        return run(self, *inputs)


def build(steps: Iterable[tuple[Op, tuple[int, ...]]], dtype: str = "float32") -> Graph:
    """Builds a graph and checks every shape.

    Args:
        steps: operations with the indices of the nodes that they read, the input first.
        dtype: `float32` or `float64`.

    Raises:
        ModelError: VF2101 when the shapes of a step do not fit, VF2103 for an unknown activation.
    """
    if dtype not in FLOAT_TYPES:
        raise ModelError("VF2101", f"a network cannot compute in {dtype}", expected=" or ".join(FLOAT_TYPES))
    nodes: list[Node] = []
    for index, (op, inputs) in enumerate(steps):
        _check_reads(index, op, inputs)
        shape = SHAPE[op.kind](op, *(nodes[source].shape for source in inputs))
        nodes.append(Node(op, inputs, shape))
    if not nodes or not isinstance(nodes[0].op, Input):
        raise ModelError("VF2101", "a network needs an input as its first step")
    return Graph(tuple(nodes), dtype)


def _check_reads(index: int, op: Op, inputs: tuple[int, ...]) -> None:
    if any(not 0 <= source < index for source in inputs):
        raise ModelError("VF2101", f"step {index} ({op.kind}) reads a step that does not come before it")
    least, most = READS.get(op.kind, (1, 1))
    if not least <= len(inputs) <= most:
        raise ModelError("VF2101", f"step {index} ({op.kind}) reads {len(inputs)} steps", expected=f"{least} to {most}")


def resized(graph: Graph, *shapes: Shape) -> Graph:
    """The same operations on inputs of other shapes, as where an image size is known only from the spec.

    Args:
        graph: the network.
        shapes: one shape per input step, without the sample axis.

    Raises:
        ModelError: VF2101 when the operations do not fit the shapes.
    """
    waiting = iter(shapes)
    steps = ((Input(next(waiting)) if isinstance(n.op, Input) else n.op, n.inputs) for n in graph.nodes)
    return build(steps, graph.dtype)


def chain(shape: Shape, ops: Sequence[Op], dtype: str = "float32") -> Graph:
    """Builds the graph of a plain sequence of operations."""
    steps: list[tuple[Op, tuple[int, ...]]] = [(Input(shape), ())]
    steps += [(op, (index,)) for index, op in enumerate(ops)]
    return build(steps, dtype)


def canonical(graph: Graph) -> bytes:
    """The canonical bytes of a graph: a JSON line per node, arrays as little-endian bytes by digest."""
    lines = [json.dumps({"verifluxa": "graph/1", "dtype": graph.dtype}, sort_keys=True)]
    for node in graph.nodes:
        record: dict[str, object] = {"kind": node.op.kind, "inputs": list(node.inputs), "shape": list(node.shape)}
        for field in fields(node.op):
            record["." + field.name] = _plain(getattr(node.op, field.name))
        lines.append(json.dumps(record, sort_keys=True))
    return "\n".join(lines).encode()


def _plain(value: object) -> object:
    if isinstance(value, np.ndarray):
        data = np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<"))
        return {
            "dtype": data.dtype.str,
            "shape": list(data.shape),
            "sha256": hashlib.sha256(data.tobytes()).hexdigest(),
        }
    if isinstance(value, float):
        return value.hex()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
