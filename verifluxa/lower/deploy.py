"""The deployed network: layout and `encode` in front of the lifted one, operation by operation."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from verifluxa.graph.graph import Graph, build, resized
from verifluxa.graph.ops import Divide, Input, Op, Scale, Shift, Transpose
from verifluxa.lower.outputs import decided
from verifluxa.question import Integers
from verifluxa.spec.spec import ClassOutput, EncodeStep, ImageSpace, ModelDecl, Output


def deploy(graph: Graph, model: ModelDecl, space: ImageSpace) -> Graph:
    """The deployed operation sequence: layout, `encode`, then the network, unsimplified."""
    shape = (space.channels, space.height, space.width)
    front: list[Op] = [_encode(step, graph.dtype) for step in model.encode]
    if model.layout == "hwcn":
        front.append(Transpose((0, 2, 1)))
        network_shape = (space.channels, space.width, space.height)
    else:
        network_shape = shape
    network = graph if graph.input_shape == network_shape else resized(graph, network_shape)
    steps: list[tuple[Op, tuple[int, ...]]] = [(Input(shape), ())]
    steps += [(op, (number,)) for number, op in enumerate(front)]
    moved = len(front)
    steps += [(node.op, tuple(source + moved for source in node.inputs)) for node in network.nodes[1:]]
    return build(steps, graph.dtype)


def _encode(step: EncodeStep, dtype: str) -> Op:
    values = np.array([_rounded(value, dtype) for value in step.values], dtype=dtype)
    constant = values.reshape(()) if len(values) == 1 else values.reshape(-1, 1, 1)
    if step.kind == "divide":
        return Divide(constant)
    if step.kind == "multiply":
        return Scale(constant)
    # The negative of an array without axes is a NumPy scalar, which has no canonical form.
    return Shift(constant if step.kind == "add" else np.asarray(-constant))


def _rounded(value: Fraction, dtype: str) -> np.floating:
    """The nearest number of a float type, ties to even: by way of float64 a tie could be met that is none."""
    near = np.dtype(dtype).type(float(value))
    around = (near, np.nextafter(near, near.dtype.type(-np.inf)), np.nextafter(near, near.dtype.type(np.inf)))
    closest: np.floating = min(around, key=lambda v: (abs(Fraction(float(v)) - value), _is_odd(v)))
    return closest


def _is_odd(value: np.floating) -> bool:
    """Whether the last place of the significand is 1."""
    return bool(int(value.view(f"u{value.itemsize}")) & 1)


def predictions(graph: Graph, inputs: NDArray[np.float64], output: Output | None = None) -> Integers:
    """The class of each input as deployed; -1 where there is none (a tie, or NaN).

    Args:
        graph: the deployed network.
        inputs: shape (N, *graph.input_shape).
        output: how a class is read off; None: the strict maximum.
    """
    return decided(output or ClassOutput(graph.output_shape[0]), graph.run(inputs))
