"""What counts as a violation: rows over the outputs, and which of them by the input's label."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from verifluxa.graph.graph import Graph
from verifluxa.graph.ops import LogSoftmax, Softmax
from verifluxa.question import Floats, OutputConstraints, Violation
from verifluxa.spec.spec import BinaryOutput, Output, PerInput

SOFTMAX_GAP = {
    ("softmax", "float32"): 2.0**-20,
    ("logsoftmax", "float32"): 2.0**-19,
    ("softmax", "float64"): 2.0**-49,
    ("logsoftmax", "float64"): 2.0**-48,
}
"""Logit gaps at or below this may tie after a float32 softmax: one unit in the last place of a probability
near 1 is 2^-24, exp and the division are within a few; logsoftmax rounds at the size of log(sum)."""


def readout(graph: Graph, arithmetic: str) -> tuple[int, float]:
    """Which node the rows of classes speak of, and the gap below which the values behind it may tie."""
    last = graph.nodes[-1]
    if not isinstance(last.op, Softmax | LogSoftmax):
        return -1, 0.0
    return last.inputs[0], SOFTMAX_GAP.get((last.op.kind, arithmetic), 0.0)


@dataclass(frozen=True, eq=False)
class Classes:
    """The rows of a classifier, and which of them say that a class is reached or left.

    Attributes:
        count: of classes.
        rows: `y_j - y_k + gap >= 0` of each ordered pair in lexicographic order; of one score `threshold - y >= 0`
            and `y - threshold >= 0`.
    """

    count: int
    rows: OutputConstraints
    of_one_score: bool = False

    def reaches(self, target: int) -> tuple[int, ...]:
        """The rows that are all met where the class may be the target."""
        if self.of_one_score:
            return (target,)
        return tuple(self._row(target, other) for other in range(self.count) if other != target)

    def misses(self, label: int) -> tuple[tuple[int, ...], ...]:
        """The alternatives, one of which is met where the class may be another than the label."""
        if self.of_one_score:
            return ((1 - label,),)
        return tuple((self._row(other, label),) for other in range(self.count) if other != label)

    def _row(self, first: int, second: int) -> int:
        return first * (self.count - 1) + (second if second < first else second - 1)

    def targeted(self, target: int) -> Violation:
        """An input violates when its class is the target."""
        return Violation(f"target {target}", target, ((self.reaches(target),),) * self.count)

    def untargeted(self) -> Violation:
        """An input violates when its class is not its label."""
        return Violation("untargeted", None, tuple(self.misses(label) for label in range(self.count)))

    def single(self, statement: PerInput) -> Violation:
        """What a claim about single inputs forbids."""
        if statement.targets:
            reached = tuple(self.reaches(target) for target in statement.targets)
            return Violation("reaches " + ", ".join(map(str, statement.targets)), None, (reached,) * self.count)
        if statement.expected is not None:
            return Violation(f"not {statement.expected}", None, (self.misses(statement.expected),) * self.count)
        return self.untargeted()


def classes_of(output: Output, gap: float) -> Classes:
    """The rows of a model that has classes."""
    if isinstance(output, BinaryOutput):
        return Classes(2, _threshold_rows(output.threshold), of_one_score=True)
    pairs = [(j, k) for j in range(output.count) for k in range(output.count) if j != k]
    coefficients = np.zeros((len(pairs), output.count))
    for row, (j, k) in enumerate(pairs):
        coefficients[row, j], coefficients[row, k] = 1.0, -1.0
    return Classes(
        output.count, OutputConstraints(coefficients, np.full(len(pairs), gap), np.ones(len(pairs), dtype=bool))
    )


def _threshold_rows(threshold: Fraction) -> OutputConstraints:
    ends = (threshold, -threshold)
    inward = np.array([downward(end) for end in ends])
    return OutputConstraints(
        np.array([[-1.0], [1.0]]),
        np.array([upward(end) for end in ends]),
        np.ones(2, dtype=bool),
        replayed=inward,
        certain=inward,
    )


def decided(output: Output, outputs: NDArray[np.floating]) -> NDArray[np.int64]:
    """The class of each row of outputs: the strict maximum, or the side of the threshold; -1 where there is none."""
    if isinstance(output, BinaryOutput):
        score = outputs[:, 0].astype(np.float64)
        # No double lies strictly between the threshold and its neighbours.
        above, below = score > downward(output.threshold), score < upward(output.threshold)
        return np.where(above & ~below, 1, np.where(below & ~above, 0, -1)).astype(np.int64)
    top = outputs.argmax(1)
    best = outputs[np.arange(len(outputs)), top]
    unique = (outputs >= best[:, None]).sum(1) == 1
    return np.where(unique & np.isfinite(best), top, -1).astype(np.int64)


def upward(value: Fraction) -> float:
    """The least double that is not below."""
    near = float(value)
    return math.nextafter(near, math.inf) if Fraction(near) < value else near


def downward(value: Fraction) -> float:
    """The largest double that is not above."""
    return -upward(-value)


@dataclass(frozen=True, eq=False)
class Untouched:
    """The network on the inputs without a trigger.

    Attributes:
        value, radius: every allowed evaluation lies within, shape (N, outputs).
        replayed: what the deployed network gives, shape (N, outputs).
    """

    value: Floats
    radius: Floats
    replayed: Floats
