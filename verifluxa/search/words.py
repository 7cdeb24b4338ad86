"""Stage `enumerate`: triggers that put words into a text are tried one and all, each with its error radius.

A family of words has finitely many triggers, and a look-up of words is no function that bounds follow well. What
a word changes is small, so the network behind the look-up is evaluated for all words of a place at once (see
`search.tail`): an input may violate where the row plus its radius reaches 0, and surely does where the row minus
its radius lies above. Where no trigger makes `need` inputs possibly violate the question is proved; nothing is
left to relax. Where the order of the words does not matter, places share their results.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verifluxa.bounds.constants import Constants, propagate
from verifluxa.errors import UnsupportedError
from verifluxa.evidence import Node, Outcome, Witness
from verifluxa.question import Domain, Problem, Question, Stamp
from verifluxa.search.replay import witness
from verifluxa.search.tail import Evaluation, Split, any_order, evaluate, split
from verifluxa.search.workspace import Workspace
from verifluxa.verdict import Reason, Verdict

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

MOST_TRIGGERS = 2**17
"""Of one placement; with more, clusters are bounded first."""
CHUNK_NUMBERS = 2**23
"""Numbers of the widest array that lives at once."""
TRIES = 64
"""Triggers that are replayed where evaluation leaves open whether they refute."""


@dataclass(frozen=True, eq=False)
class Slots:
    """Where a placement puts words.

    Attributes:
        places: of each coordinate of tau in the input, ascending by coordinate, shape (k,).
        words: of each coordinate, the words that it may be.
    """

    places: Integers
    words: tuple[Integers, ...]

    @property
    def count(self) -> int:
        """Number of triggers."""
        return int(np.prod([len(words) for words in self.words], dtype=object))


@dataclass(frozen=True, eq=False)
class Table:
    """Which inputs violate under which trigger of a placement, by violation; shape (N, T) each.

    Attributes:
        may: in some evaluation.
        sure: in every evaluation.
        plain: in the verifier's own.
    """

    may: tuple[Flags, ...]
    sure: tuple[Flags, ...]
    plain: tuple[Flags, ...]


def slots_of(stamp: Stamp, domain: Domain) -> Slots | None:
    """The words of a placement; None where it does more than putting and moving words."""
    size = stamp.gain.shape[1]
    put = np.flatnonzero(np.abs(stamp.gain).sum(1))
    coordinates = stamp.gain[put].argmax(1)
    if not stamp.exact.all() or sorted(coordinates) != list(range(size)) or domain.strips is not None:
        return None
    listed = {int(one.coordinates[0]): one.points[:, 0] for one in domain.lists if len(one.coordinates) == 1}
    if sorted(listed) != list(range(size)) or len(domain.lists) != size:
        return None
    words = tuple(np.asarray(listed[k], dtype=np.int64) for k in range(size))
    return Slots(stamp.positions[put[np.argsort(coordinates)]], words)


@dataclass(frozen=True, eq=False)
class Cut:
    """A problem whose network looks words up, cut behind the look-up."""

    problem: Problem
    split: Split
    in_any_order: bool


def cut_of(problem: Problem) -> Cut | None:
    """The cut of a problem; None where its network does not begin with a look-up or a placement does more."""
    found = split(problem.graph, problem.readout)
    if found is None or any(
        slots_of(place.stamp, problem.domain_of(p)) is None for p, place in enumerate(problem.placements)
    ):
        return None
    nothing = np.zeros((1, *found.tail.input_shape))
    maps = propagate(found.tail, nothing, problem.arithmetic, found.readout).maps
    return Cut(problem, found, any_order(found, maps))


def words_of(work: Workspace) -> Cut | None:
    """`cut_of` the workspace's problem, kept."""
    if "cut" not in work.kept:
        work.kept["cut"] = cut_of(work.problem)
    found: Cut | None = work.kept["cut"]
    return found


def decide_words(work: Workspace, cut: Cut, questions: Sequence[Question], late: float | None) -> Iterator[Outcome]:
    """Decides questions of one placement by evaluation.

    Args:
        cut: of the problem; see `cut_of`.
        questions: of one placement.
        late: past this (`time.monotonic`) the rest is unknown.
    """
    started = time.monotonic()
    stage = "enumerate"
    try:
        table, slots = _table(work, cut, questions[0].placement, late)
    except UnsupportedError:
        yield from (_unknown(work, question, Reason.UNSUPPORTED, stage) for question in questions)
        return
    if table is None:
        reason = Reason.TIME if late is not None and time.monotonic() > late else Reason.NODES
        yield from (_unknown(work, question, reason, stage) for question in questions)
        return
    for question in questions:
        yield _decide(work, question, table, slots, started)


def _decide(work: Workspace, question: Question, table: Table, slots: Slots, started: float) -> Outcome:
    chosen = work.problem.selections[question.selection]
    may = table.may[question.violation][chosen].sum(0)
    sure = table.sure[question.violation][chosen].sum(0)
    found, proved = int(sure.max()), int(may.max())
    verdict, reason, refutes = Verdict.CERTIFIED, None, None
    if proved >= question.need:
        refutes = _refuting(work, question, table, slots)
        verdict = Verdict.UNKNOWN if refutes is None else Verdict.FALSIFIED
        reason = Reason.PRECISION if refutes is None else None
    return Outcome(
        question=question,
        verdict=verdict,
        reason=reason,
        found=found,
        proved=proved,
        witness=refutes,
        stage="enumerate",
        boxes=slots.count,
        seconds=time.monotonic() - started,
        # Decided by evaluation alone: there is nothing that a checker could follow step by step.
        tree=Node(closed=True, smt=True) if verdict is Verdict.CERTIFIED else None,
    )


def _refuting(work: Workspace, question: Question, table: Table, slots: Slots) -> Witness | None:
    """The strongest triggers, replayed as deployed."""
    chosen = work.problem.selections[question.selection]
    flags = [part[question.violation][chosen] for part in (table.sure, table.plain, table.may)]
    counts = [part.sum(0) for part in flags]
    order = np.lexsort((-counts[2], -counts[1], -counts[0]))[:TRIES]
    for at in order:
        if counts[2][at] < question.need:
            break
        trigger = trigger_at(slots, int(at))
        played = witness(work, question, trigger, sure=flags[0][:, at])
        if len(played.inputs) >= question.need:
            return played
    return None


def trigger_at(slots: Slots, number: int) -> Floats:
    """The trigger of a number, shape (k,); the last coordinate turns first."""
    at = np.unravel_index(number, [len(words) for words in slots.words])
    return np.array([float(words[i]) for words, i in zip(slots.words, at, strict=True)])


def _unknown(work: Workspace, question: Question, reason: Reason, stage: str) -> Outcome:
    asked = len(work.problem.selections[question.selection])
    return Outcome(question, Verdict.UNKNOWN, reason, 0, asked, stage=stage)


def _table(work: Workspace, cut: Cut, placement: int, late: float | None) -> tuple[Table | None, Slots]:
    """All violations of a placement; None when time ran out. Placements that come to the same share it."""
    problem = work.problem
    stamp = problem.placements[placement].stamp
    slots = slots_of(stamp, problem.domain_of(placement))
    assert slots is not None
    base, places = base_words(problem, stamp, slots, cut.in_any_order)
    key = (base.tobytes(), places.tobytes(), tuple(words.tobytes() for words in slots.words))
    if work.kept.get("words", (None,))[0] != key:
        table = None
        if slots.count <= MOST_TRIGGERS:
            table = _evaluated(problem, cut.split, (base, places), slots, late)
        if table is None:
            return None, slots
        work.kept["words"] = (key, table)
    return work.kept["words"][1], slots


def base_words(problem: Problem, stamp: Stamp, slots: Slots, in_any_order: bool) -> tuple[Integers, Integers]:
    """The words of each input with holes (-1) where the trigger's go, shape (N, places), and where they go.

    Where the order does not matter the holes come first and the words are sorted: equal bags then are equal.
    """
    flat = problem.inputs.reshape(len(problem.inputs), -1)
    words = stamp.applied(flat, np.zeros(stamp.gain.shape[1])).astype(np.int64)
    words[:, slots.places] = -1
    if in_any_order:
        return np.sort(words, axis=1), np.arange(len(slots.places))
    return words, slots.places


def tail_constants(problem: Problem, cut: Split, base: Integers) -> Constants:
    """The tail on the inputs with holes."""
    return propagate(cut.tail, cut.rows(base), problem.arithmetic, cut.readout)


def _evaluated(
    problem: Problem, cut: Split, at: tuple[Integers, Integers], slots: Slots, late: float | None
) -> Table | None:
    base, places = at
    constants = tail_constants(problem, cut, base)
    columns = (places[:, None] * cut.features + np.arange(cut.features)).ravel()
    numbers = np.array(np.meshgrid(*slots.words, indexing="ij")).reshape(len(slots.words), -1)
    rows = np.concatenate([cut.table[words] for words in numbers], axis=1)
    return judged(problem, cut, constants, (columns, rows), late)


def judged(
    problem: Problem, cut: Split, constants: Constants, words: tuple[Integers, Floats], late: float | None
) -> Table | None:
    """Violations of all inputs under rows of words at flat places (c,), (T, c); None when time ran out."""
    columns, rows = words
    widest = max(int(np.prod(node.shape)) for node in cut.tail.nodes[1:])
    size = max(1, CHUNK_NUMBERS // (len(rows) * min(widest, 8 * len(columns))))
    parts = []
    for start in range(0, len(constants.values[0]), size):
        if late is not None and time.monotonic() > late:
            return None
        inputs = slice(start, start + size)
        found = evaluate(cut, constants, columns, rows, inputs)
        parts.append(_judge(problem, found, problem.labels[inputs]))
    joined = [
        tuple(np.concatenate([part[kind][v] for part in parts]) for v in range(len(problem.violations)))
        for kind in range(3)
    ]
    return Table(*joined)


def _judge(problem: Problem, found: Evaluation, labels: Integers) -> tuple[list[Flags], list[Flags], list[Flags]]:
    """(may, sure, plain) by violation, shape (n, T) each."""
    results = []
    for violation in problem.violations:
        flags = np.zeros((3, *found.values.shape[:2]), dtype=bool)
        for label in np.unique(labels):
            own = np.flatnonzero(labels == label)
            for alternative in violation.by_label[int(label)]:
                flags[:, own] |= _met(problem, Evaluation(found.values[own], found.radius[own]), list(alternative))
        results.append(flags)
    may, sure, plain = ([flags[kind] for flags in results] for kind in range(3))
    return may, sure, plain


def _met(problem: Problem, found: Evaluation, alternative: list[int]) -> Flags:
    """Whether all rows of an alternative may be met, surely are, and are in the verifier's own numbers, (3, n, T)."""
    coefficients = problem.rows.coefficients[alternative]
    constants, clear, closed = problem.rows.constants[alternative], problem.sure[alternative], problem.rows.closed
    size = np.abs(coefficients).T
    values = found.values @ coefficients.T
    largest = np.abs(found.values).max(1, initial=0.0)
    own = 2.0**-40 * (largest @ size + np.abs(constants) + np.abs(clear))
    spread = found.radius @ size * (1 + 2.0**-40) + own
    spread = np.where(np.isnan(spread), np.inf, spread)[:, None]
    with np.errstate(invalid="ignore"):
        reach = values + constants + spread
        may = np.where(closed[alternative], reach >= 0, reach > 0) | np.isnan(reach)
        sure, plain = values + clear - spread > 0, values + clear > 0
    return np.stack([may.all(2), sure.all(2), plain.all(2)])
