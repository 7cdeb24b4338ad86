"""Triggers that hurt, for networks too large to enumerate: counted in float64, found coordinate by coordinate.

Written apart from the engine's attack. Every point that was looked at is kept: they are the points at which
a certificate most easily shows that it is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.soundness.exact import Exact, objects
from tests.soundness.truth import Answers, Oracle, Point, any_alternative
from verifluxa.graph.graph import Graph
from verifluxa.question import Problem, Question

Floats = NDArray[np.float64]


class Floating(Exact):
    """Float64 values in place of exact ones."""

    def fractions(self) -> NDArray[np.object_]:
        """The floats, exactly."""
        return objects([Fraction(value) for value in self.numerators.ravel().tolist()], self.shape)


class FloatOracle(Oracle):
    """Answers in float64 instead of exactly: good to 1e-9 of the outputs, which proofs have to spare."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(replace(problem, graph=Graph(problem.graph.nodes[:1])))
        self.problem = problem
        self._deployed = Graph(problem.graph.nodes, "float64")

    def margins(self, question: Question, triggers: Floats) -> Floats:
        """How far each input is from violating under each trigger, (T, S): the best alternative's least row."""
        rows = self._rows(question, triggers)
        chosen = self.problem.selections[question.selection]
        by_label = self.problem.violations[question.violation].by_label
        options = [by_label[int(label)] for label in self.problem.labels[chosen]]
        columns = [
            np.max([rows[:, place, list(option)].min(axis=1) for option in choice], axis=0)
            for place, choice in enumerate(options)
        ]
        return np.stack(columns, axis=1)

    def answers(self, question: Question, points: Sequence[Point]) -> Answers:
        """Row values and violations at the given points, in float64."""
        rows = self._rows(question, np.array(points, np.float64))
        chosen = self.problem.selections[question.selection]
        by_label = self.problem.violations[question.violation].by_label
        options = [by_label[int(label)] for label in self.problem.labels[chosen]]
        met = np.where(self.problem.constraints.closed, rows >= 0, rows > 0)
        values = Floating(rows.astype(object), 1)
        return Answers(points, values, any_alternative(met, options), any_alternative(rows > 0, options))

    def _rows(self, question: Question, triggers: Floats) -> Floats:
        stamp = self.problem.placements[question.placement].stamp
        flat = self.problem.inputs[self.problem.selections[question.selection]]
        flat = np.repeat(flat.reshape(1, len(flat), -1), len(triggers), axis=0)
        moved = triggers @ stamp.gain.T + stamp.offset
        flat[:, :, stamp.positions] = stamp.keep * flat[:, :, stamp.positions] + moved[:, None]
        outputs = self._deployed.run(flat.reshape(-1, *self.problem.graph.input_shape))
        rows = (
            outputs.reshape(len(outputs), -1) @ self.problem.constraints.coefficients.T
            + self.problem.constraints.constants
        )
        return np.asarray(rows.reshape(len(triggers), flat.shape[1], -1), np.float64)


@dataclass(frozen=True, eq=False)
class Climbed:
    """What climbing saw: every trigger, how many inputs each makes violate clearly, and the best of them."""

    triggers: Floats
    counts: NDArray[Any]

    @property
    def most(self) -> int:
        """The most inputs that one trigger makes violate."""
        return int(self.counts.max())

    @property
    def best(self) -> Floats:
        """A trigger that does."""
        trigger: Floats = self.triggers[int(self.counts.argmax())]
        return trigger

    def points(self, count: int) -> list[Point]:
        """The worst triggers, exactly, at most `count` of them."""
        order = np.argsort(-self.counts, kind="stable")[:count]
        return [tuple(Fraction(float(value)) for value in trigger) for trigger in self.triggers[order]]


CLEARLY = 1e-3
"""A margin that no rounding of float32 turns around in the networks of these tests."""


def climb(
    oracle: FloatOracle, question: Question, random: np.random.Generator, starts: int = 24, rounds: int = 2
) -> Climbed:
    """Random corners and interior points of an integer grid, then coordinate search from the best of them."""
    domain = oracle.problem.domain
    levels = domain.upper - domain.lower
    triggers = np.round(random.random((starts, len(levels))) * levels) + domain.lower
    corners = random.integers(0, 2, (starts, len(levels))) * levels + domain.lower
    seen = [np.concatenate([triggers, corners])]
    margins = [oracle.margins(question, seen[0])]
    for _ in range(rounds):
        for k in range(len(levels)):
            best = np.concatenate(seen)[int(_score(np.concatenate(margins)).argmax())]
            trials = np.repeat(best[None], 4, axis=0)
            trials[:, k] = domain.lower[k] + np.round(levels[k] * np.array([0.0, 1 / 3, 2 / 3, 1.0]))
            seen.append(trials)
            margins.append(oracle.margins(question, trials))
    return Climbed(np.concatenate(seen), (np.concatenate(margins) > CLEARLY).sum(axis=1))


def _score(margins: Floats) -> Floats:
    """The count, with near misses as a part of one."""
    scale = np.abs(margins).mean() + 1e-9
    near = (1 / (1 + np.exp(np.clip(-margins / scale * 8, -50, 50)))).sum(axis=1)
    return np.asarray((margins > CLEARLY).sum(axis=1) + near / margins.shape[1] / 2, np.float64)
