"""The true answer to a question in exact real arithmetic, by enumeration of the domain.

A tie counts as a violation in a proof (closed rows) and never as one in a witness, so a question has two
counts: `most` (ties count) must stay below `need` for `certified`, `strict` must reach it for `falsified`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from tests.soundness.exact import Exact, ExactNetwork, add, align, exact, linear, multiply, objects, windows
from verifluxa.graph.graph import Node
from verifluxa.graph.ops import Activation, Clip, MaxPool
from verifluxa.question import AffineInputMap, Domain, Problem, Question
from verifluxa.verdict import Verdict

Bools = NDArray[np.bool_]
Point = tuple[Fraction, ...]


@dataclass(frozen=True, eq=False)
class Answers:
    """What happens at T points: rows met and violations of the S selected inputs.

    Attributes:
        points: the triggers.
        values: the row values, (T, S, R).
        loose: violations where a tie counts for closed rows, (T, S).
        strict: violations by every row above 0, (T, S).
    """

    points: Sequence[Point]
    values: Exact
    loose: Bools
    strict: Bools

    def met(self, closed: Bools) -> Bools:
        """Whether row r is met, (T, S, R): at 0 where closed."""
        numerators = self.values.numerators
        return np.where(closed, (numerators >= 0).astype(bool), (numerators > 0).astype(bool))


@dataclass(frozen=True, eq=False)
class Truth:
    """The exact counts over a whole domain, and a point that reaches each."""

    need: int
    most: int
    strict: int
    loose_point: Point
    strict_point: Point

    @property
    def verdict(self) -> Verdict:
        """The only decided verdict that is right; `unknown` where ties leave room for neither."""
        if self.strict >= self.need:
            return Verdict.FALSIFIED
        return Verdict.CERTIFIED if self.most < self.need else Verdict.UNKNOWN


class Oracle:
    """Evaluates one problem exactly."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.network = ExactNetwork(problem.graph)
        self._coefficients = exact(problem.constraints.coefficients)
        self._constants = exact(problem.constraints.constants)

    def stamped(self, question: Question, points: Sequence[Point]) -> Exact:
        """Every selected input under every trigger, shape (T * S, values)."""
        chosen = self.problem.selections[question.selection]
        inputs = exact(self.problem.inputs[chosen].reshape(len(chosen), -1))
        return apply_stamp(self.problem.placements[question.placement].stamp, inputs, points)

    def answers(self, question: Question, points: Sequence[Point]) -> Answers:
        """Row values and violations at the given points."""
        stamped = self.stamped(question, points)
        return self._judge(question, points, self.rows(self.network.trace(stamped)))

    def rows(self, trace: list[Exact]) -> Exact:
        """The values of all rows, shape (T * S, R)."""
        outputs = trace[self.problem.readout]
        return add(linear(outputs.reshape(outputs.shape[0], -1), self._coefficients), self._constants)

    def _judge(self, question: Question, points: Sequence[Point], values: Exact) -> Answers:
        chosen = self.problem.selections[question.selection]
        values = values.reshape(len(points), len(chosen), -1)
        above = (values.numerators > 0).astype(bool)
        met = np.where(self.problem.constraints.closed, (values.numerators >= 0).astype(bool), above)
        by_label = self.problem.violations[question.violation].by_label
        alternatives = [by_label[int(label)] for label in self.problem.labels[chosen]]
        return Answers(points, values, any_alternative(met, alternatives), any_alternative(above, alternatives))

    def truth(self, question: Question, batch: int = 1024) -> Truth:
        """The exact counts over the problem's domain.

        Raises:
            ValueError: if more than one continuous coordinate varies, or one with strips.
        """
        most, strict = _NOTHING, _NOTHING
        points = self.points(question)
        while chunk := list(itertools.islice(points, batch)):
            answers = self.answers(question, chunk)
            most = _higher(most, _peak(answers.loose, chunk))
            strict = _higher(strict, _peak(answers.strict, chunk))
        return Truth(question.threshold, most[0], strict[0], most[1], strict[1])

    def points(self, question: Question) -> Iterator[Point]:
        """Points that show every answer there is: the grid; along a continuous coordinate, where rows change sign."""
        domain = self.problem.domain
        free = np.flatnonzero((domain.step == 0) & (domain.lower < domain.upper))
        if len(free) > 1 or (len(free) and domain.slabs is not None):
            raise ValueError("exact enumeration knows at most one continuous coordinate, and then no strips")
        for point in grid(domain):
            yield from self._line(question, point, int(free[0])) if len(free) else [point]

    def _line(self, question: Question, start: Point, free: int) -> list[Point]:
        domain = self.problem.domain

        def at(value: Fraction) -> Point:
            return (*start[:free], value, *start[free + 1 :])

        ends = [Fraction(float(domain.lower[free])), Fraction(float(domain.upper[free]))]
        cuts, pieces = set(ends), [(ends[0], ends[1])]
        while pieces:
            low, high = pieces.pop()
            trace = self.network.trace(self.stamped(question, [at(low), at(high)]))
            inner = [low + (high - low) * part for part in self._crossings(trace)]
            cuts.update(inner)
            stations = [low, *sorted(set(inner)), high]
            pieces += list(itertools.pairwise(stations)) if self._bends(trace) else []
        ordered = sorted(cuts)
        middles = [(low + high) / 2 for low, high in itertools.pairwise(ordered)]
        return [at(value) for value in ordered + middles]

    def _bends(self, trace: list[Exact]) -> bool:
        return any(_kinks(node, source) for node, source in self._kinked(trace))

    def _crossings(self, trace: list[Exact]) -> list[Fraction]:
        """Where (as a part of the segment) the first bent node bends; where rows change sign if none does."""
        for node, source in self._kinked(trace):
            if found := _kinks(node, source):
                return found
        return _zeros(self.rows(trace))

    def _kinked(self, trace: list[Exact]) -> Iterator[tuple[Node, Exact]]:
        for node in self.problem.graph.nodes:
            if isinstance(node.op, (Activation, Clip, MaxPool)):
                yield node, trace[node.inputs[0]]


_NOTHING: tuple[int, Point] = (-1, ())


def _higher(first: tuple[int, Point], second: tuple[int, Point]) -> tuple[int, Point]:
    return second if second[0] > first[0] else first


def _peak(violations: Bools, points: Sequence[Point]) -> tuple[int, Point]:
    counts = violations.sum(axis=1)
    best = int(counts.argmax())
    return int(counts[best]), points[best]


def any_alternative(met: Bools, alternatives: Sequence[tuple[tuple[int, ...], ...]]) -> Bools:
    """OR over alternatives of AND over rows, input by input: (T, S, R) to (T, S)."""
    columns = [
        np.any([met[:, place, list(rows)].all(axis=1) for rows in options], axis=0)
        if options
        else np.zeros(len(met), dtype=bool)
        for place, options in enumerate(alternatives)
    ]
    return np.stack(columns, axis=1)


def _zeros(values: Exact) -> list[Fraction]:
    """Parts of a segment at which values, given at its two ends and linear between them, cross 0."""
    half = values.shape[0] // 2
    start, end = values.numerators[:half].ravel(), values.numerators[half:].ravel()
    crossing = [(a, b) for a, b in zip(start.tolist(), end.tolist(), strict=True) if a < 0 < b or b < 0 < a]
    return [Fraction(-a, b - a) for a, b in crossing]


def _kinks(node: Node, source: Exact) -> list[Fraction]:
    if isinstance(node.op, Clip):
        return [part for level in (node.op.low, node.op.high) for part in _zeros(add(source, exact(-level)))]
    if isinstance(node.op, MaxPool):
        pairs = itertools.combinations(windows(node, source), 2)
        return [part for a, b in pairs for part in _zeros(Exact(a - b, source.denominator))]
    return _zeros(source)


def grid(domain: Domain) -> Iterator[Point]:
    """All points of the grid inside the strips; continuous coordinates stay at their lower ends."""
    axes = [
        [Fraction(low) + k * Fraction(step) for k in range(_steps(low, high, step) + 1)]
        for low, high, step in zip(domain.lower.tolist(), domain.upper.tolist(), domain.step.tolist(), strict=True)
    ]
    return (point for point in itertools.product(*axes) if inside(domain, point))


def _steps(low: float, high: float, step: float) -> int:
    return int((Fraction(high) - Fraction(low)) // Fraction(step)) if step else 0


def inside(domain: Domain, point: Point) -> bool:
    """Whether a point meets the domain's strips (all closed)."""
    if domain.slabs is None:
        return True
    strips = domain.slabs
    ends = zip(strips.directions.tolist(), strips.lower.tolist(), strips.upper.tolist(), strict=True)
    return all(low <= dot(direction, point) <= high for direction, low, high in ends)


def dot(direction: Sequence[float], point: Point) -> Fraction:
    """The exact inner product of stored floats and a point."""
    return sum((Fraction(a) * b for a, b in zip(direction, point, strict=True)), Fraction(0))


def apply_stamp(stamp: AffineInputMap, inputs: Exact, points: Sequence[Point]) -> Exact:
    """Inputs (S, values) under T triggers, shape (T * S, values): `keep * x + gain @ tau + offset` at the positions."""
    at = stamp.positions
    moved = add(
        linear(exact(objects([v for p in points for v in p], (len(points), -1))), exact(stamp.gain)),
        exact(stamp.offset),
    )
    kept = multiply(Exact(inputs.numerators[:, at], inputs.denominator), exact(stamp.keep))
    change = add(Exact(moved.numerators[:, None, :], moved.denominator), Exact(kept.numerators[None], kept.denominator))
    base, patch, common = align(inputs, change)
    whole = np.repeat(base[None], len(points), axis=0)
    whole[:, :, at] = patch
    return Exact(whole.reshape(len(points) * inputs.shape[0], -1), common)
