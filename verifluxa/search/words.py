"""Stage `enumerate`: words that are put into a text, and listed values, are tried one and all, with error radii.

A family of words has finitely many triggers, and a look-up of words is no function that bounds follow well. What
a word changes is small, so the network behind the look-up is evaluated for all words of a place at once (see
`search.tail`); categories of a table are tried the same way: an input may violate where the row plus its radius
reaches 0, and surely does where the row minus its radius lies above. Where no trigger makes `threshold` inputs possibly
violate the question is proved; nothing is left to relax. Where the order of the words does not matter, places
share their results.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from verifluxa.bounds import Constants, propagate
from verifluxa.errors import UnsupportedError
from verifluxa.evidence import NOTHING_FOUND, Node, Outcome, Strongest, Unrecorded
from verifluxa.question import AffineInputMap, Domain, Problem, Question
from verifluxa.search.bab import Incumbent
from verifluxa.search.replay import certainly_counted
from verifluxa.search.tail import Evaluation, Split, any_order, evaluate, split_network
from verifluxa.search.workspace import Workspace
from verifluxa.verdict import Reason

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

MOST_TRIGGERS = 2**17
"""Of one placement; with more, clusters are bounded first."""
MOST_POINTS = 2**20
"""Of one coordinate."""
CHUNK_NUMBERS = 2**23
"""Numbers of the widest array that lives at once."""
STAGE = "enumerate"
TRIES = 64
"""Triggers that are replayed where evaluation leaves open whether they refute."""


@dataclass(frozen=True, eq=False)
class Slots:
    """Where a placement puts what, out of finitely many triggers.

    Attributes:
        places: where something is put, shape (c,); a word that is replaced throughout stands at several, or none.
        sources: of each place the coordinate of tau that is put there, shape (c,), ascending.
        coordinates: of each group, those that take one of its points together.
        size: number of coordinates of tau.
        points: of each group, shape (m, len(coordinates)).
    """

    places: Integers
    sources: Integers
    size: int
    coordinates: tuple[Integers, ...]
    points: tuple[Floats, ...]

    @property
    def count(self) -> int:
        """Number of triggers."""
        return math.prod(len(points) for points in self.points)

    def triggers(self) -> Floats:
        """All triggers, shape (T, d); the last group turns first."""
        chosen = np.indices([len(points) for points in self.points]).reshape(len(self.points), -1)
        return self._of(chosen)

    def trigger(self, number: int) -> Floats:
        """One of them, shape (d,)."""
        at = np.unravel_index(number, [len(points) for points in self.points])
        found: Floats = self._of(np.array(at).reshape(-1, 1))[0]
        return found

    def _of(self, chosen: Integers) -> Floats:
        result = np.zeros((chosen.shape[1], self.size))
        for coordinates, points, at in zip(self.coordinates, self.points, chosen, strict=True):
            result[:, coordinates] = points[at]
        return result


@dataclass(frozen=True, eq=False)
class Table:
    """Which inputs violate under which trigger of a placement, by violation, shape (V, N, T) each.

    Attributes:
        possible: in some evaluation.
        certain: in every evaluation.
        nominal: in the verifier's own.
    """

    possible: Flags
    certain: Flags
    nominal: Flags

    @classmethod
    def joined(cls, parts: Sequence[tuple[Integers, Table]]) -> Table:
        """Parts with the inputs of each, as one."""
        order = np.concatenate([own for own, _ in parts]).argsort()
        kinds = zip(*((table.possible, table.certain, table.nominal) for _, table in parts), strict=True)
        return cls(*(np.concatenate(kind, axis=1)[:, order] for kind in kinds))


def slots_of(stamp: AffineInputMap, domain: Domain) -> Slots | None:
    """The triggers of a placement; None where there is no end of them, or it does more than putting and moving."""
    size = stamp.gain.shape[1]
    put = np.flatnonzero(np.abs(stamp.gain).sum(1))
    of_place = stamp.gain[put].argmax(1)
    if not stamp.exact.all() or domain.slabs is not None:
        return None
    listed = {int(k) for one in domain.lists for k in one.coordinates}
    alone = [k for k in range(size) if k not in listed]
    if any(domain.step[k] <= 0 < domain.upper[k] - domain.lower[k] for k in alone):
        return None
    counts = [round((domain.upper[k] - domain.lower[k]) / (domain.step[k] or 1.0)) + 1 for k in alone]
    if max(counts, default=0) > MOST_POINTS:
        return None
    grids = [domain.lower[k] + domain.step[k] * np.arange(count) for k, count in zip(alone, counts, strict=True)]
    order = np.argsort(of_place, kind="stable")
    return Slots(
        stamp.positions[put[order]],
        of_place[order],
        size,
        (*(one.coordinates for one in domain.lists), *(np.array([k]) for k in alone)),
        (*(one.points for one in domain.lists), *(grid[:, None] for grid in grids)),
    )


@dataclass(frozen=True, eq=False)
class NetworkSplit:
    """A network whose triggers are tried one and all: cut behind a look-up, or whole."""

    split: Split
    in_any_order: bool


def network_split(problem: Problem) -> NetworkSplit | None:
    """How a problem's network is evaluated; None where some operation is not evaluated for many words at once."""
    found = split_network(problem.graph, problem.readout)
    looks_up = found is not None
    found = found or Split(None, problem.graph, problem.readout % len(problem.graph.nodes))
    nothing = np.zeros((1, *found.tail.input_shape))
    everywhere = np.arange(nothing.size)
    try:
        constants = propagate(found.tail, nothing, problem.arithmetic, found.readout)
        evaluate(found, constants, everywhere, np.zeros((1, nothing.size)), slice(0, 1))
    except UnsupportedError:
        return None
    return NetworkSplit(found, looks_up and any_order(found, constants.maps))


def enumerable(work: Workspace, placement: int) -> NetworkSplit | None:
    """The cut, where the triggers of a placement are words, or listed and few; else None."""
    problem = work.problem
    domain = problem.domain_of(placement)
    if not domain.lists:
        return None
    if "cut" not in work.kept:
        work.kept["cut"] = network_split(problem)
    found: NetworkSplit | None = work.kept["cut"]
    parts = problem.placements[placement].groups(np.arange(len(problem.inputs)))
    slots = [slots_of(stamp, domain) for stamp, _ in parts]
    if found is None or not slots or any(one is None for one in slots):
        return None
    first = slots[0]
    assert first is not None
    if found.split.table is None:
        return found if first.count <= MOST_TRIGGERS else None
    return found if all(len(coordinates) == 1 for coordinates in first.coordinates) else None


def decide_words(
    work: Workspace, cut: NetworkSplit, questions: Sequence[Question], late: float | None
) -> Iterator[Outcome]:
    """Decides questions of one placement by evaluation.

    Args:
        cut: of the problem; see `network_split`.
        questions: of one placement.
        late: past this (`time.monotonic`) the rest is unknown.
    """
    started = time.monotonic()
    table, reason = None, Reason.UNSUPPORTED
    with suppress(UnsupportedError):
        table, slots = placed_table(work, cut, questions[0].placement, late)
        reason = Reason.TIME if late is not None and time.monotonic() > late else Reason.NODES
    for question in questions:
        if table is None:
            yield Incumbent(question).outcome(STAGE, reason, len(work.problem.selections[question.selection]))
        else:
            yield _decide(work, question, table, slots, started)


def _decide(work: Workspace, question: Question, table: Table, slots: Slots, started: float) -> Outcome:
    """One question by the table: the strongest triggers are replayed as deployed where enough inputs may violate."""
    chosen = work.problem.selections[question.selection]
    certain, nominal, possible = (
        part[question.violation][chosen] for part in (table.certain, table.nominal, table.possible)
    )
    counts = possible.sum(0)
    found, proved = Incumbent(question, strongest_of(work.problem, question, certain, slots.trigger)), int(counts.max())
    for at in np.lexsort((-counts, -nominal.sum(0), -certain.sum(0)))[:TRIES] if proved >= question.threshold else ():
        if counts[at] < question.threshold or found.replay(work, slots.trigger(int(at)), certain[:, at]):
            break
    return found.outcome(
        STAGE,
        Reason.PRECISION if proved >= question.threshold else None,
        proved,
        boxes=slots.count,
        seconds=time.monotonic() - started,
        # Decided by evaluation alone: there is nothing that a checker could follow step by step.
        tree=Node(step=Unrecorded()),
    )


def strongest_of(
    problem: Problem, question: Question, certain: NDArray[np.bool_], trigger_at: Callable[[int], Floats]
) -> Strongest:
    """The strongest of some triggers.

    Args:
        certain: which inputs of the selection violate in every evaluation under which trigger, shape (n, triggers).
        trigger_at: the values of a trigger.
    """
    doubtful = np.isin(problem.selections[question.selection], problem.doubt.inputs)
    best = int(certain[~doubtful].sum(0).argmax())
    count = certainly_counted(problem, question, certain[:, best])
    return Strongest(count, trigger_at(best)) if count else NOTHING_FOUND


def placed_table(work: Workspace, cut: NetworkSplit, placement: int, late: float | None) -> tuple[Table | None, Slots]:
    """All violations of a placement; None when time ran out. Placements that come to the same share it.

    Raises:
        UnsupportedError: VF7001 for an operation without bounds.
    """
    problem = work.problem
    parts = problem.placements[placement].groups(np.arange(len(problem.inputs)))
    if len(parts) == 1:
        return _table_of(work, cut, problem, parts[0][0], late)
    found = []
    for stamp, own in parts:
        some = replace(problem, inputs=problem.inputs[own], labels=problem.labels[own])
        table, slots = _table_of(work, cut, some, stamp, late)
        if table is None:
            return None, slots
        found.append((own, table))
    return Table.joined(found), slots


def _table_of(
    work: Workspace, cut: NetworkSplit, problem: Problem, stamp: AffineInputMap, late: float | None
) -> tuple[Table | None, Slots]:
    """The table of some inputs with one stamp."""
    slots = slots_of(stamp, work.problem.domain)
    assert slots is not None
    base, places = base_of(problem, stamp, slots, cut)
    if not len(places):
        return _untouched(problem, cut.split, base, slots.count), slots
    # Groups of inputs may have equal texts and other labels.
    asked = (problem.labels.tobytes(), base.tobytes(), places.tobytes())
    key = (*asked, slots.sources.tobytes(), tuple(points.tobytes() for points in slots.points))
    if work.kept.get("table", (None,))[0] != key:
        table = None
        if slots.count <= MOST_TRIGGERS:
            constants = tail_constants(problem, cut.split, base)
            columns, rows = cut.split.put(places, slots.triggers()[:, slots.sources])
            table = judged(problem, cut.split, constants, columns, rows, late)
        if table is None:
            return None, slots
        work.kept["table"] = (key, table)
    return work.kept["table"][1], slots


def _untouched(problem: Problem, cut: Split, base: Floats, triggers: int) -> Table:
    """The table of inputs that no trigger changes: the same for all of them."""
    constants = tail_constants(problem, cut, base)
    radius = np.where(constants.unsafe[:, None], np.inf, constants.radii[-1])
    flags = _judge(problem, Evaluation(constants.values[-1][:, None], radius), problem.labels)
    return Table(*np.repeat(flags, triggers, axis=3))


def base_of(problem: Problem, stamp: AffineInputMap, slots: Slots, cut: NetworkSplit) -> tuple[Floats, Integers]:
    """Each input with holes where the trigger goes, shape (N, size), and where they are.

    A hole is -1 in a text and 0 elsewhere. Where the order of words does not matter the holes come first and the
    words are sorted: equal bags then are equal.
    """
    flat = problem.inputs.reshape(len(problem.inputs), -1)
    base = stamp.applied(flat, np.zeros(stamp.gain.shape[1]))
    base[:, slots.places] = 0.0 if cut.split.table is None else -1.0
    if cut.in_any_order:
        return np.sort(base, axis=1), np.arange(len(slots.places))
    return base, slots.places


def tail_constants(problem: Problem, cut: Split, base: Floats) -> Constants:
    """The tail on the inputs with holes."""
    return propagate(cut.tail, cut.rows(base), problem.arithmetic, cut.readout)


def judged(
    problem: Problem, cut: Split, constants: Constants, columns: Integers, rows: Floats, late: float | None
) -> Table | None:
    """Violations of all inputs under rows of words (T, c) at flat places (c,); None when time ran out."""
    widest = evaluate(cut, constants, columns, rows[:1], slice(0, 1)).widest
    at_once = max(1, min(len(rows), CHUNK_NUMBERS // widest))
    size = max(1, CHUNK_NUMBERS // (at_once * widest))
    count = len(constants.values[0])
    table = np.zeros((3, len(problem.violations), count, len(rows)), dtype=bool)
    for start in range(0, count, size):
        inputs = slice(start, start + size)
        for first in range(0, len(rows), at_once):
            if late is not None and time.monotonic() > late:
                return None
            some = slice(first, first + at_once)
            found = evaluate(cut, constants, columns, rows[some], inputs)
            table[:, :, inputs, some] = _judge(problem, found, problem.labels[inputs])
    return Table(*table)


def _judge(problem: Problem, found: Evaluation, labels: Integers) -> Flags:
    """(possible, certain, nominal) by violation, shape (3, V, n, T)."""
    flags = np.zeros((3, len(problem.violations), *found.values.shape[:2]), dtype=bool)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        some = Evaluation(found.values[own], found.radius[own])
        for number, violation in enumerate(problem.violations):
            for alternative in violation.by_label[int(label)]:
                flags[:, number, own] |= _met(problem, some, list(alternative))
    return flags


def _met(problem: Problem, found: Evaluation, alternative: list[int]) -> Flags:
    """Whether all rows of an alternative may be met, surely are, and are in the verifier's own numbers, (3, n, T)."""
    coefficients = problem.constraints.coefficients[alternative]
    constants, clear, closed = (
        problem.constraints.constants[alternative],
        problem.certain[alternative],
        problem.constraints.closed,
    )
    size = np.abs(coefficients).T
    values = found.values @ coefficients.T
    largest = np.abs(found.values).max(1, initial=0.0)
    own = 2.0**-40 * (largest @ size + np.abs(constants) + np.abs(clear))
    spread = found.radius @ size * (1 + 2.0**-40) + own
    spread = np.where(np.isnan(spread), np.inf, spread)[:, None]
    with np.errstate(invalid="ignore"):
        reach = values + constants + spread
        possible = np.where(closed[alternative], reach >= 0, reach > 0) | np.isnan(reach)
        certain, nominal = values + clear - spread > 0, values + clear > 0
    return np.stack([possible.all(2), certain.all(2), nominal.all(2)])
