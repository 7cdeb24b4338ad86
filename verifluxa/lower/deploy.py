"""The deployed network: layout and `encode` in front of the lifted one, operation by operation."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from verifluxa.errors import ModelError
from verifluxa.graph.graph import Graph, build, resized
from verifluxa.graph.ops import Activation, Clip, Divide, Embedding, Input, Op, Reshape, Scale, Shift, Transpose
from verifluxa.lower.outputs import decided
from verifluxa.lower.stamp import Steps, blend_steps
from verifluxa.question import Integers
from verifluxa.spec.spec import (
    ClassOutput,
    EncodeStep,
    ImageSpace,
    InputSpace,
    ModelDecl,
    Output,
    SeriesSpace,
    TableSpace,
    TokenSpace,
)


def deploy(graph: Graph, model: ModelDecl, space: InputSpace, clip: bool = False, blend: bool = False) -> Graph:
    """The deployed operation sequence: layout, `encode`, then the network, unsimplified.

    Args:
        graph: the lifted network.
        model: its declaration.
        space: of its inputs.
        clip: whether the image is clipped to its range first, as behind a stamp that may leave it.
        blend: whether the input is that of a blend of variable opacity; see `stamp`.
    """
    shape = shape_of(space)
    front: list[Op] = []
    if clip and isinstance(space, ImageSpace):
        front.append(Clip(float(space.low), float(space.high)))
    front += [_encode(step, shape, graph.dtype) for step in model.encode]
    network_shape = shape
    if isinstance(space, ImageSpace) and model.layout == "hwcn":
        front.append(Transpose((0, 2, 1)))
        network_shape = (space.channels, space.width, space.height)
    elif isinstance(space, TokenSpace) and math.prod(graph.input_shape) == space.length:
        network_shape = graph.input_shape
        front += [Reshape(network_shape)] if network_shape != shape else []
    network = graph if graph.input_shape == network_shape else resized(graph, network_shape)
    if isinstance(space, TokenSpace):
        _looks_up(network, model, space)
    first: Steps = [(Input(shape), ())]
    steps = blend_steps(space, graph.dtype) if blend and isinstance(space, ImageSpace) else first
    moved = len(steps) - 1
    steps += [(op, (number,)) for number, op in enumerate(front, moved)]
    moved += len(front)
    steps += [(node.op, tuple(source + moved for source in node.inputs)) for node in network.nodes[1:]]
    return build(steps, graph.dtype)


def shape_of(space: InputSpace) -> tuple[int, ...]:
    """The shape of one input in the user's units."""
    match space:
        case ImageSpace():
            return space.channels, space.height, space.width
        case SeriesSpace():
            return space.channels, space.steps
        case TokenSpace():
            return (space.length,)
        case TableSpace():
            return (space.width,)


def _looks_up(network: Graph, model: ModelDecl, space: TokenSpace) -> None:
    """A network that reads words begins with a look-up that has a row for each of them."""
    first = network.nodes[1].op if len(network.nodes) > 1 else None
    rows = len(first.weight) if isinstance(first, Embedding) else 0
    if rows < len(space.words):
        found = f"a look-up of {rows:,} words" if rows else "no look-up of words at its beginning"
        raise ModelError(
            "VF2202",
            f"model {model.name!r} has {found}, the vocabulary of `{space.name}` has {len(space.words):,}",
            place=model.span,
            expected="an Embedding or EmbeddingBag with a row for each word of the vocabulary",
            remedy="use the vocabulary that the model was trained with",
        )


def _encode(step: EncodeStep, shape: tuple[int, ...], dtype: str) -> Op:
    if step.kind == "round":
        return Activation("round")
    values = np.array([nearest(value, dtype) for value in step.values], dtype=dtype)
    if step.kind == "clip":
        return Clip(float(values[0]), float(values[1]))
    constant = values.reshape(()) if len(values) == 1 else values.reshape(-1, *[1] * (len(shape) - 1))
    if step.kind == "divide":
        return Divide(constant)
    if step.kind == "multiply":
        return Scale(constant)
    # The negative of an array without axes is a NumPy scalar, which has no canonical form.
    return Shift(constant if step.kind == "add" else np.asarray(-constant))


def nearest(value: Fraction, dtype: str) -> np.floating:
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
