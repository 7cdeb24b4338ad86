"""What is to be decided: a Problem (shared, shipped once) and the small Questions that point into it.

A question asks: is there ONE trigger `tau` in the domain that makes at least `threshold` of the selected
inputs violate, at this placement? Universal properties select many inputs; per-input properties one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from verifluxa.graph.graph import Graph

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class AffineInputMap:
    """The triggered input, affine in tau: at `positions`, `keep * x[source] + gain @ tau + offset`; else x.

    Attributes:
        positions: flat indices (C order) into one input, shape (m,).
        keep: factor on the original value, shape (m,); 0 where the trigger replaces.
        gain: shape (m, d).
        offset: shape (m,).
        source: flat indices of the original values that `keep` multiplies, shape (m,); None: `positions`.
            An insertion moves what stands behind it.
        stored: whether keep, gain and offset are the numbers that are meant; else the nearest doubles of them, as of an
            opacity of a third, and of products of such.
    """

    positions: Integers
    keep: Floats
    gain: Floats
    offset: Floats
    source: Integers | None = None
    stored: bool = True

    @property
    def sources(self) -> Integers:
        """Where the original values come from, shape (m,)."""
        return self.positions if self.source is None else self.source

    @cached_property
    def exact(self) -> NDArray[np.bool_]:
        """Which positions get a copy: of one original value, of one coordinate of tau, or zero; shape (m,)."""
        used = np.abs(self.gain).sum(1)
        one = (self.keep == 1) & (used == 0)
        tau = (self.keep == 0) & (used == 1) & (self.gain == 1).any(1)
        copied: NDArray[np.bool_] = (one | tau | ((self.keep == 0) & (used == 0))) & (self.offset == 0)
        return copied

    def applied(self, flat: Floats, trigger: Floats) -> Floats:
        """Flat inputs (n, size) with one trigger (d,), or one each (n, d)."""
        result = flat.copy()
        result[:, self.positions] = self.keep * flat[:, self.sources] + trigger @ self.gain.T + self.offset
        return result

    @property
    def replaces(self) -> bool:
        """Whether the stamp copies tau into the input without any arithmetic (exact in floats)."""
        size = len(self.positions)
        return (
            self.gain.shape == (size, size)
            and bool((self.gain == np.eye(size)).all())
            and not self.keep.any()
            and not self.offset.any()
        )


@dataclass(frozen=True, eq=False)
class SlabConstraints:
    """`lower <= directions @ tau <= upper`; directions (m, d) are exact stored floats."""

    directions: Floats
    lower: Floats
    upper: Floats


@dataclass(frozen=True, eq=False)
class Listed:
    """Coordinates of tau that together take one of listed points: a word, a category as one-hot, numbers to keep.

    Attributes:
        coordinates: shape (c,), of no other list.
        points: shape (m, c), each once, inside the box.
        names: what people call each point: a word, `region = north`.
    """

    coordinates: Integers
    points: Floats
    names: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Domain:
    """Where tau lives: a box, its grid, and possibly slabs and lists. Bounds may leave the lists out.

    Attributes:
        lower, upper: shape (d,), inclusive, on the grid where there is one.
        step: shape (d,); the distance of grid lines from `lower`, 0 where continuous.
        slabs: further linear limits, or None.
        lists: coordinates that take listed points alone.
        names: for each coordinate what people call it, with `{}` for its value; empty where it has no name.
    """

    lower: Floats
    upper: Floats
    step: Floats
    slabs: SlabConstraints | None = None
    lists: tuple[Listed, ...] = ()
    names: tuple[str, ...] = ()

    def described(self, trigger: Floats) -> tuple[str, ...]:
        """A trigger as people say it, in the order of its coordinates; nothing where the domain has no names."""
        said: dict[int, str] = {k: name.format(f"{trigger[k]:g}") for k, name in enumerate(self.names) if name}
        for one in self.lists:
            at = np.flatnonzero((one.points == trigger[one.coordinates]).all(1))
            if len(at) and one.names:
                said[int(one.coordinates[0])] = one.names[at[0]]
        return tuple(said[k] for k in sorted(said))

    def contains(self, trigger: Floats) -> bool:
        """Whether a point lies in the box, the slabs (in exact rationals) and the lists; the grid is not asked."""
        if not bool(((self.lower <= trigger) & (trigger <= self.upper)).all()):
            return False
        if not all((one.points == trigger[one.coordinates]).all(1).any() for one in self.lists):
            return False
        if self.slabs is None:
            return True
        point = [Fraction(float(value)) for value in trigger]
        limits = zip(self.slabs.directions, self.slabs.lower, self.slabs.upper, strict=True)
        return all(
            Fraction(float(low))
            <= sum(Fraction(float(v)) * p for v, p in zip(row, point, strict=True))
            <= Fraction(float(high))
            for row, low, high in limits
        )


@dataclass(frozen=True, eq=False)
class Placement:
    """Where the trigger goes: what people call it (`(("row", 24), ("column", 24))`) and its stamp.

    Attributes:
        label, stamp: see above. Where the place depends on the input (the end of a text) the numbers of `stamp` are
            NaN, with which nothing is proved and nothing refuted.
        domain: where tau lives at this placement; None: where it lives at all.
        stamps, which: the stamps of a place that depends on the input, and for each input the index of its own,
            shape (N,).
    """

    label: tuple[tuple[str, int], ...]
    stamp: AffineInputMap
    domain: Domain | None = None
    stamps: tuple[AffineInputMap, ...] = ()
    which: Integers | None = None

    def groups(self, inputs: Integers) -> list[tuple[AffineInputMap, Integers]]:
        """Each stamp, and the positions in `inputs` (indices into the problem's) of those that it is for."""
        if self.which is None:
            return [(self.stamp, np.arange(len(inputs)))]
        own = self.which[inputs]
        return [(self.stamps[k], np.flatnonzero(own == k)) for k in np.unique(own)]


@dataclass(frozen=True, eq=False)
class OutputConstraints:
    """Linear rows over the outputs: row r is met at `y` when `coefficients[r] @ y + constants[r] >= 0`.

    A closed row (class: a tie violates) is met at 0; an open one (range, deviation) only above 0.

    Attributes:
        coefficients: shape (R, outputs).
        constants: shape (R,); never below what an allowed evaluation may make of them, so that what they exclude
            is excluded.
        closed: shape (R,).
        replayed: shape (R,): constants for the network's own outputs in a replay, where a row that is above 0 is
            violated; None: `constants`, or zeros where the readout is not the output.
        certain: shape (R,): constants with which a row above 0 is violated in every evaluation; None: `constants`,
            or their negatives where the readout is not the output.
    """

    coefficients: Floats
    constants: Floats
    closed: NDArray[np.bool_]
    replayed: Floats | None = None
    certain: Floats | None = None


@dataclass(frozen=True)
class Violation:
    """What counts as a violation, as an OR of ANDs of row indices, by the input's label.

    Attributes:
        label: what people call it: `target 7`, `untargeted`.
        target: the class, or None.
        by_label: for each label the alternatives; each alternative is a tuple of row indices.
    """

    label: str
    target: int | None
    by_label: tuple[tuple[tuple[int, ...], ...], ...]


class Question(NamedTuple):
    """One question of a problem: indices into its placements, violations and selections, and `threshold`."""

    placement: int
    violation: int
    selection: int
    threshold: int


@dataclass(frozen=True)
class Doubt:
    """Inputs that count in some of the allowed evaluations only: `correct(model, x)` is within the error of evaluation.

    What is proved holds whichever of them count: they may violate like any other input, and the inputs needed are
    computed as if none of them counted. What refutes is a replay, in which some of them count and some do not.

    Attributes:
        inputs: indices into the problem's inputs, ascending.
        not_replayed: those of them that do not count in the replay.
        replay_thresholds: by selection how many of the inputs that count in the replay must violate to refute.
        unprovable: selections of a rate in which no input counts in every evaluation: nothing is proved about them.
    """

    inputs: tuple[int, ...] = ()
    not_replayed: tuple[int, ...] = ()
    replay_thresholds: tuple[int, ...] = ()
    unprovable: tuple[int, ...] = ()


NO_DOUBT = Doubt()


@dataclass(frozen=True, eq=False)
class Problem:
    """Everything that the questions of one property share. Immutable; identified by `digest`.

    Attributes:
        name: the property's name.
        digest: the property digest, `sha256:...`.
        graph: the deployed network with `encode` in front; reads inputs in the user's units.
        inputs: the inputs that count, and those in doubt, float64, shape (N, *graph.input_shape).
        labels: shape (N,).
        indices: position of each of `inputs` in the data file.
        excluded: (position in the data file, reason) of those that do not count, and of those in doubt.
        placements: all placements.
        domain: the domain of tau at each placement that has none of its own.
        constraints: those that violations name.
        violations: one per target; one when untargeted.
        selections: inputs (indices into `inputs`) by selection index.
        per_input: whether each question speaks of one input.
        thresholds: `threshold` by selection index.
        pairs: (violation, selection) pairs that are asked at each placement.
        arithmetic: `float32`, `float64` or `real`.
        readout: index of the node whose values the rows speak of: the output, or the logits in front of a
            last softmax (then `rows.constants` carry the gap below which softmax values may tie).
        spread: each input stands for all inputs within so much in every value, under the same trigger. Bounds treat
            it as an error of the input, so that what they exclude is excluded for all of them.
        blends: whether inputs are three planes (image, opacity, levels) that the graph blends first, see
            `lower.stamp`.
        doubt: the inputs that count in some evaluations only.
    """

    name: str
    digest: str
    graph: Graph
    inputs: Floats
    labels: Integers
    indices: tuple[int, ...]
    excluded: tuple[tuple[int, str], ...]
    placements: tuple[Placement, ...]
    domain: Domain
    constraints: OutputConstraints
    violations: tuple[Violation, ...]
    selections: tuple[Integers, ...]
    thresholds: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]
    per_input: bool
    arithmetic: str = "real"
    readout: int = -1
    spread: float = 0.0
    blends: bool = False
    doubt: Doubt = NO_DOUBT

    @cached_property
    def counted(self) -> tuple[int, ...]:
        """Position in the data file of each input that counts in every evaluation."""
        doubtful = set(self.doubt.inputs)
        return tuple(position for at, position in enumerate(self.indices) if at not in doubtful)

    @cached_property
    def totals(self) -> tuple[int, ...]:
        """By selection, how many inputs count in every evaluation, or else may count: what rates are shares of."""
        certain = (int((~np.isin(chosen, self.doubt.inputs)).sum()) for chosen in self.selections)
        return tuple(count or len(chosen) for count, chosen in zip(certain, self.selections, strict=True))

    def replayed_total(self, selection: int) -> int:
        """How many inputs of a selection count in the replay."""
        return int((~np.isin(self.selections[selection], self.doubt.not_replayed)).sum())

    def asking(self, thresholds: tuple[int, ...]) -> Problem:
        """The same with other numbers of inputs that must violate, as where it is measured how many can."""
        doubt = replace(self.doubt, replay_thresholds=thresholds) if self.doubt.inputs else self.doubt
        return replace(self, thresholds=thresholds, doubt=doubt)

    def refutes(self, question: Question, violated: int) -> bool:
        """Whether a replay in which so many of the inputs that count violate refutes what a question asks."""
        thresholds = self.doubt.replay_thresholds
        return violated >= (thresholds[question.selection] if thresholds else question.threshold)

    @cached_property
    def replayed(self) -> Floats:
        """The rows' constants in a replay, shape (R,)."""
        if self.constraints.replayed is not None:
            return self.constraints.replayed
        return np.zeros_like(self.constraints.constants) if self.readout != -1 else self.constraints.constants

    @cached_property
    def certain(self) -> Floats:
        """The rows' constants with which a row above 0 is violated in every evaluation, shape (R,)."""
        if self.constraints.certain is not None:
            return self.constraints.certain
        return -self.constraints.constants if self.readout != -1 else self.constraints.constants

    @cached_property
    def size(self) -> int:
        """Number of questions."""
        return len(self.placements) * len(self.pairs)

    def domain_of(self, placement: int) -> Domain:
        """Where tau lives at a placement."""
        return self.placements[placement].domain or self.domain

    def questions(self, placement: int) -> list[Question]:
        """The questions at one placement: they share bounds."""
        return [Question(placement, v, s, self.thresholds[s]) for v, s in self.pairs]

    def all_questions(self) -> Iterator[Question]:
        """All questions, placement by placement."""
        for placement in range(len(self.placements)):
            yield from self.questions(placement)
