"""What counts as a violation: rows over the outputs, and which of them by the input's label."""

from __future__ import annotations

import numpy as np

from verifluxa.graph.graph import Graph
from verifluxa.graph.ops import LogSoftmax, Softmax
from verifluxa.question import Rows, Violation
from verifluxa.spec.spec import PerInput

SOFTMAX_GAP = {
    ("softmax", "float32"): 2.0**-20,
    ("logsoftmax", "float32"): 2.0**-19,
    ("softmax", "float64"): 2.0**-49,
    ("logsoftmax", "float64"): 2.0**-48,
}
"""Logit gaps at or below this may tie after a float32 softmax: one unit in the last place of a probability
near 1 is 2^-24, exp and the division are within a few; logsoftmax rounds at the size of log(sum)."""


def readout(graph: Graph, arithmetic: str) -> tuple[int, float]:
    """Which node the rows speak of, and the gap below which the values behind it may tie."""
    last = graph.nodes[-1]
    if not isinstance(last.op, Softmax | LogSoftmax):
        return -1, 0.0
    return last.inputs[0], SOFTMAX_GAP.get((last.op.kind, arithmetic), 0.0)


def class_rows(classes: int, gap: float) -> Rows:
    """Row of each ordered pair (j, k), j != k, in lexicographic order: y_j - y_k + gap >= 0, closed."""
    pairs = [(j, k) for j in range(classes) for k in range(classes) if j != k]
    coefficients = np.zeros((len(pairs), classes))
    for row, (j, k) in enumerate(pairs):
        coefficients[row, j], coefficients[row, k] = 1.0, -1.0
    return Rows(coefficients, np.full(len(pairs), gap), np.ones(len(pairs), dtype=bool))


def _row(j: int, k: int, classes: int) -> int:
    return j * (classes - 1) + (k if k < j else k - 1)


def _reaches(target: int, classes: int) -> tuple[int, ...]:
    return tuple(_row(target, j, classes) for j in range(classes) if j != target)


def _misses(label: int, classes: int) -> tuple[tuple[int, ...], ...]:
    return tuple((_row(j, label, classes),) for j in range(classes) if j != label)


def targeted(target: int, classes: int) -> Violation:
    """An input violates when its class is the target."""
    return Violation(f"target {target}", target, ((_reaches(target, classes),),) * classes)


def untargeted(classes: int) -> Violation:
    """An input violates when its class is not its label."""
    return Violation("untargeted", None, tuple(_misses(label, classes) for label in range(classes)))


def per_input_violation(statement: PerInput, classes: int) -> Violation:
    """What a claim about single inputs forbids."""
    if statement.targets:
        reached = tuple(_reaches(target, classes) for target in statement.targets)
        return Violation("reaches " + ", ".join(map(str, statement.targets)), None, (reached,) * classes)
    if statement.expected is not None:
        return Violation(f"not {statement.expected}", None, (_misses(statement.expected, classes),) * classes)
    return untargeted(classes)
