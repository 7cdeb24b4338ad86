"""Hard questions: large patches, low rates; statuses, share decided, boxes, seconds, and [found, proved]."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.hard_questions import (
    RATES,
    TARGETS,
    Answer,
    Triple,
    answer,
    attacked,
    best_found,
    exact_count,
    graphs,
    limited,
    need_of,
    recheck_answer,
    triples,
)
from benchmarks.records import Record, machine
from benchmarks.train import digits
from verifluxa.errors import CertificateError
from verifluxa.strategy.load import BoundStage, BranchStage, Strategy, load_strategy
from verifluxa.verdict import Verdict

NAME = "hard"


@dataclass(frozen=True)
class Effort:
    """What is asked of patches of one size under one arithmetic.

    Attributes:
        side: of the patch.
        arithmetic: `real`, or that of the deployed network.
        targets: of the triples.
        seconds: wall-clock limit of a question.
        count: CPU seconds for [found, proved] after a triple's questions; 0: not asked.
    """

    side: int
    arithmetic: str
    targets: tuple[int, ...]
    seconds: float
    count: float


EFFORTS = (
    Effort(5, "real", TARGETS, 40.0, 12.0),
    Effort(5, "float32", TARGETS, 40.0, 0.0),
    Effort(6, "real", TARGETS[:1], 10.0, 0.0),
)
"""Together some twelve minutes on one core."""
SMALL = Effort(5, "real", TARGETS[:1], 1.0, 30.0)


@dataclass(frozen=True, eq=False)
class Tried:
    """A triple with its answers: those that the attack had settled before are None."""

    triple: Triple
    attack_seconds: float
    answers: tuple[Answer | None, ...]
    found: int
    proved: int
    count_seconds: float


def run(small: bool = False) -> list[Record]:
    """5x5 on all networks in both arithmetics, then 6x6; `small`: one place and target, a second each."""
    data = digits()
    nets = graphs(data, small)
    strategy = recheckable(load_strategy("balanced" if small else "thorough"))
    records: list[Record] = []
    for effort in (SMALL,) if small else EFFORTS:
        for name, graph in nets.items():
            every = triples(data, {name: graph}, effort.side, effort.arithmetic)
            asked = [triple for triple in every if triple.target in effort.targets]
            tried = [_try(triple, strategy, effort) for triple in asked[: 1 if small else None]]
            what = f"{name} {effort.side}x{effort.side} in {effort.arithmetic}"
            records += _records(f"{what}, {len(tried)} triples, {data.source}", tried, effort.count > 0)
    return records


def recheckable(strategy: Strategy) -> Strategy:
    """The strategy without a solver's answers, which the checker does not recompute, and without optimised slopes."""
    stages = strategy.without("smt").stages
    kept = [stage for stage in stages if not (isinstance(stage, BoundStage) and stage.method == "alpha")]
    return replace(strategy, stages=tuple(replace(s, alpha=0) if isinstance(s, BranchStage) else s for s in kept))


def _try(triple: Triple, strategy: Strategy, effort: Effort) -> Tried:
    known, spent = attacked(triple, strategy)
    answers: list[Answer | None] = []
    for rate in RATES:
        need = need_of(rate, len(triple.problem.labels))
        if known.found >= need:
            answers.append(None)
            continue
        asked = answer(triple, need, known, limited(strategy, effort.seconds))
        known = best_found(known, asked.outcome)
        answers.append(asked)
    known, proved, counted = exact_count(triple, known, strategy, effort.count)
    proved = min([proved, *(a.outcome.proved for a in answers if a and a.outcome.verdict is Verdict.CERTIFIED)])
    tried = Tried(triple, spent, tuple(answers), known.found, proved, counted)
    print(f"{triple.label}: {_words(tried)}", file=sys.stderr, flush=True)
    return tried


def _words(tried: Tried) -> str:
    answers = [
        "attack" if one is None else f"{one.outcome.verdict.value[:4]} {one.outcome.boxes} {one.seconds:.2f} s"
        for one in tried.answers
    ]
    return f"{', '.join(answers)}; [{tried.found}, {tried.proved}] in {tried.count_seconds:.1f} s"


def _records(case: str, tried: Sequence[Tried], counted: bool) -> list[Record]:
    def record(what: str, value: float) -> Record:
        return Record(NAME, case, what, value, machine=machine())

    asked = [one for item in tried for one in item.answers]
    searched = [one for one in asked if one is not None]
    decided = sum(one is None or one.outcome.verdict is not Verdict.UNKNOWN for one in asked)
    seconds = sorted(one.seconds for one in searched) or [0.0]
    return [
        record("questions", len(asked)),
        record("decided, in %", 100 * decided / len(asked)),
        record("certified", sum(one.outcome.verdict is Verdict.CERTIFIED for one in searched)),
        record("CPU seconds of a question that the attack leaves, median", statistics.median(seconds)),
        record("CPU seconds of a question that the attack leaves, worst", seconds[-1]),
        record("boxes of such a question, median", statistics.median([one.outcome.boxes for one in searched] or [0])),
        record("CPU seconds of the attack, median", statistics.median(item.attack_seconds for item in tried)),
        *(record(f"CPU seconds of such a question at {rate:.0%}, median", value) for rate, value in _medians(tried)),
        *([record(what, value) for what, value in _gaps(tried)] if counted else []),
        *_rechecked(case, tried),
    ]


def _rechecked(case: str, tried: Sequence[Tried]) -> list[Record]:
    """How many of the proofs the independent checker accepts, and what that costs beside finding them."""
    pairs = [(item.triple, one) for item in tried for one in item.answers if one is not None]
    proved = [(triple, one) for triple, one in pairs if one.outcome.verdict is Verdict.CERTIFIED]
    spent = [(one.seconds, seconds) for triple, one in proved if (seconds := _accepted(triple, one)) is not None]
    if not proved:
        return []
    theirs, ours = (sum(column) for column in zip(*spent, strict=True)) if spent else (0.0, 0.0)
    share = 100 * len(spent) / len(proved)
    what = f"CPU seconds to recheck {len(spent)} of these proofs"
    ratio = theirs / ours if ours else None
    return [
        Record(NAME, case, "certified, and recomputed by the checker, in % of the proofs", share, machine=machine()),
        Record(NAME, case, what, ours, "the proofs themselves", theirs, ratio, machine=machine()),
    ]


def _accepted(triple: Triple, answered: Answer) -> float | None:
    """CPU seconds of the recheck; None where it is refused, or not all was recomputed."""
    try:
        return recheck_answer(triple, answered)
    except (CertificateError, RuntimeError) as reason:
        print(f"{triple.label}, {answered.need}: {reason}", file=sys.stderr, flush=True)
        return None


def _medians(tried: Sequence[Tried]) -> list[tuple[float, float]]:
    """The rates at which the attack left questions, and the median of their seconds."""
    columns = zip(RATES, zip(*(item.answers for item in tried), strict=True), strict=True)
    seconds = {float(rate): [one.seconds for one in column if one is not None] for rate, column in columns}
    return [(rate, statistics.median(some)) for rate, some in seconds.items() if some]


def _gaps(tried: Sequence[Tried]) -> list[tuple[str, float]]:
    gaps = [item.proved - item.found for item in tried]
    return [
        ("[found, proved] is one number, in % of the triples", 100 * sum(gap == 0 for gap in gaps) / len(gaps)),
        ("[found, proved], widest", max(gaps)),
    ]
