"""The network on untouched inputs: the value of every step and how far any allowed evaluation may be from it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from verifluxa.certificate.check.functions import Function, function_of
from verifluxa.certificate.check.linear import Floats, Integers, Taps, pool_index, taps_of
from verifluxa.certificate.check.rounding import SAFETY, TINY, Rounding, rounding_of
from verifluxa.errors import CertificateError
from verifluxa.graph import ops
from verifluxa.graph.graph import Graph


@dataclass(frozen=True, eq=False)
class Step:
    """One operation of the chain; exactly one of `taps`, `function`, `pool` is there.

    `small` has those of the weights that a deployment may flush to zero, where there are any.
    """

    taps: Taps | None = None
    small: Taps | None = None
    function: Function | None = None
    pool: Integers | None = None


@dataclass(frozen=True, eq=False)
class Constants:
    """A network and its values on some inputs.

    Attributes:
        steps: the operations after the input, as far as the readout.
        values: for the input and each step the exact values, shape (N, size).
        radii: for each of them how far a deployed value may be away, same shapes.
        rounding: the error model.
    """

    steps: tuple[Step, ...]
    values: tuple[Floats, ...]
    radii: tuple[Floats, ...]
    rounding: Rounding


def steps_of(graph: Graph) -> tuple[Step, ...]:
    """The operations of a plain chain, without a softmax at its end (the rows speak of the logits).

    Raises:
        CertificateError: VF5058 for a network that the checker cannot recompute.
    """
    nodes = graph.nodes[1:]
    for index, node in enumerate(nodes):
        if node.inputs != (index,):
            raise _unknown(index, node.op)
    if nodes and isinstance(nodes[-1].op, ops.Softmax | ops.LogSoftmax) and len(graph.output_shape) == 1:
        nodes = nodes[:-1]
    steps = []
    for index, node in enumerate(nodes):
        step = _step(node.op, graph.nodes[index].shape, graph.dtype)
        if step is None:
            raise _unknown(index, node.op)
        steps.append(step)
    return tuple(steps)


def _unknown(index: int, op: ops.Op) -> CertificateError:
    return CertificateError(
        "VF5058",
        f"the checker cannot recompute the step {index + 1} ({op.kind})",
        expected="a chain of linear steps, max pools, relu, leakyrelu, clip, tanh, sigmoid; softmax at the end",
        remedy="the proof may hold, but nobody can recheck it with this version",
    )


def _step(op: ops.Op, shape: ops.Shape, dtype: str) -> Step | None:
    taps, function = taps_of(op, shape), function_of(op)
    if taps is not None and not (np.isfinite(taps.weight).all() and np.isfinite(taps.bias).all()):
        return None
    if isinstance(op, ops.Divide) and np.abs(op.divisor).min() < TINY[dtype]:
        return None  # a deployment may flush it to zero
    if taps is not None:
        return Step(taps, taps.subnormal(TINY[dtype]) if taps.terms else None)
    if function is not None:
        return Step(function=function)
    return Step(pool=pool_index(op, shape)) if isinstance(op, ops.MaxPool) else None


def constants_or_none(graph: Graph, inputs: Floats, arithmetic: str) -> Constants | None:
    """`constants_of`, or None for a network that the checker cannot recompute: then that is said, not guessed."""
    try:
        return constants_of(graph, inputs, arithmetic)
    except CertificateError as error:
        if error.code != "VF5058":
            raise
        return None


def width_of(graph: Graph) -> int:
    """The largest number of values of any step."""
    return max(math.prod(node.shape) for node in graph.nodes)


def constants_of(graph: Graph, inputs: Floats, arithmetic: str) -> Constants:
    """Walks the inputs, shape (N, *input shape), through the network.

    Raises:
        CertificateError: VF5058 for a network that the checker cannot recompute.
    """
    rounding = rounding_of(arithmetic, width_of(graph))
    steps = steps_of(graph)
    values = [inputs.reshape(len(inputs), -1)]
    radii = [np.zeros_like(values[0])]
    for step in steps:
        value, radius = _walk(step, values[-1], radii[-1], rounding)
        values.append(value)
        radii.append(radius)
    return Constants(steps, tuple(values), tuple(radii), rounding)


def _walk(step: Step, value: Floats, radius: Floats, rounding: Rounding) -> tuple[Floats, Floats]:
    if step.taps is not None:
        return _linear(step.taps, step.small, (value, radius), rounding)
    if step.function is not None:
        result = step.function.value(value)
        error = step.function.error[rounding.arithmetic] * np.maximum(1.0, np.abs(result))
        return result, step.function.lipschitz * radius + error + rounding.tiny()
    assert step.pool is not None
    filled = np.concatenate([value, np.full((len(value), 1), -np.inf)], axis=1)
    spread = np.concatenate([radius, np.zeros((len(value), 1))], axis=1)
    return filled[:, step.pool].max(axis=2), spread[:, step.pool].max(axis=2)


def _linear(taps: Taps, small: Taps | None, known: tuple[Floats, Floats], rounding: Rounding) -> tuple[Floats, Floats]:
    value, radius = known
    result = taps.apply(value) + taps.bias
    if taps.terms == 0:
        return result, taps.apply(radius, absolute=True)
    size = np.abs(value) + radius
    magnitude = taps.apply(size, absolute=True) + np.abs(taps.bias)
    grown = SAFETY * taps.apply(radius, absolute=True) + rounding.coefficient(taps.terms) * magnitude
    if small is not None:
        grown = grown + SAFETY * small.apply(size, absolute=True)
    return result, grown + rounding.tiny(taps.terms) + SAFETY * rounding.tiny() * taps.reach
