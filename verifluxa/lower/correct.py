"""Which inputs a model gets right: in every allowed evaluation, in none, or in some of them only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from verifluxa.data.dataset import CORRECT, IN_DOUBT, WRONG
from verifluxa.graph.graph import Graph
from verifluxa.lower.deploy import predictions
from verifluxa.lower.outputs import Untouched, downward, readout, upward
from verifluxa.question import Floats, Integers
from verifluxa.spec.spec import BinaryOutput, Output

MOST_VALUES = 1 << 24
"""In the rows of inputs that are judged together."""


class BoundsOf(Protocol):
    """Bounds of a deployed network's outputs on inputs, in an arithmetic; closer ones of rows over them."""

    def __call__(self, graph: Graph, inputs: Floats, arithmetic: str, rows: Floats | None = None) -> Untouched:
        """The bounds; rows have the shape (N, R, outputs).

        Raises:
            UnsupportedError: VF7001 for an operation without bounds.
        """
        ...


@dataclass(frozen=True, eq=False)
class Answers:
    """What a model says of each input of a data set.

    Attributes:
        states: `CORRECT`, `IN_DOUBT` or `WRONG` over all evaluations, shape (N,).
        replayed: whether the replay gets it right, shape (N,).
    """

    states: NDArray[np.int8]
    replayed: NDArray[np.bool_]


def answers(
    graph: Graph, output: Output, inputs: Floats, labels: Integers, bounds_of: BoundsOf, arithmetic: str
) -> Answers:
    """Judges every input.

    Args:
        graph: the deployed network.
        output: how a class is read off.
        inputs: shape (N, *graph.input_shape).
        labels: shape (N,).
        bounds_of: how outputs are bounded.
        arithmetic: in which.

    Raises:
        UnsupportedError: VF7001 for an operation without bounds.
    """
    size = max(1, MOST_VALUES // output.size**2)
    states = [
        _some(graph, output, inputs[at : at + size], labels[at : at + size], bounds_of, arithmetic)
        for at in range(0, len(labels), size)
    ]
    replayed = predictions(graph, inputs, output) == labels
    return Answers(np.concatenate([np.zeros(0, dtype=np.int8), *states]), replayed)


def _some(
    graph: Graph, output: Output, inputs: Floats, labels: Integers, bounds_of: BoundsOf, arithmetic: str
) -> NDArray[np.int8]:
    read, gap = readout(graph, arithmetic)
    scores = graph if read == -1 else Graph(graph.nodes[: read + 1], graph.dtype)
    rows, limits = _rows(output, labels, gap)
    plain = bounds_of(scores, inputs, arithmetic)
    value, radius = (rows @ plain.value[..., None])[..., 0], (np.abs(rows) @ plain.radius[..., None])[..., 0]
    states = _states(value, radius, limits)
    waiting = np.flatnonzero(states == IN_DOUBT)
    if len(waiting):
        close = bounds_of(scores, inputs[waiting], arithmetic, rows[waiting])
        states[waiting] = _states(close.value, close.radius, limits[waiting])
    states[labels >= (2 if isinstance(output, BinaryOutput) else output.size)] = WRONG
    return states


def _rows(output: Output, labels: Integers, gap: float) -> tuple[Floats, Floats]:
    """Rows over the scores that are all above their limits where the label is right, (N, R, scores) and (N, R, 2).

    The first limit is for what is right in every evaluation, the second for what is in none: behind a softmax values
    whose logits are no further apart than `gap` may be in any order.
    """
    if isinstance(output, BinaryOutput):
        sign = np.where(labels == 1, 1.0, -1.0)
        above = [
            [upward(output.threshold), downward(output.threshold)],
            [-downward(output.threshold), -upward(output.threshold)],
        ]
        return sign[:, None, None], np.where(labels[:, None] == 1, *above)[:, None]
    own = np.arange(output.size) == labels[:, None]
    others = np.stack([np.flatnonzero(~one)[: output.size - 1] for one in own]).reshape(len(own), output.size - 1)
    return own[:, None] - np.eye(output.size)[others], np.broadcast_to([gap, -gap], (*others.shape, 2))


@np.errstate(invalid="ignore")
def _states(value: Floats, radius: Floats, limits: Floats) -> NDArray[np.int8]:
    """What follows from bounds of rows; what overflows has infinite ones, and what is no number is above nothing."""
    states = np.full(len(value), IN_DOUBT, dtype=np.int8)
    states[(value - radius > limits[..., 0]).all(axis=1)] = CORRECT
    states[(value + radius <= limits[..., 1]).any(axis=1)] = WRONG
    return states


def replayed_answers(graph: Graph, output: Output, inputs: Floats, labels: Integers) -> Answers:
    """The same from the replay alone."""
    replayed = predictions(graph, inputs, output) == labels
    return Answers(np.where(replayed, CORRECT, WRONG).astype(np.int8), replayed)
