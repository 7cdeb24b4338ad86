"""Hard questions: large patches, low rates; statuses, share decided, boxes, seconds, and [found, proved]."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.hard_questions import (
    RATES,
    Answer,
    Triple,
    answer,
    attacked,
    best_found,
    exact_count,
    graphs,
    limited,
    need_of,
    triples,
)
from benchmarks.records import Record, machine
from benchmarks.train import digits
from verifluxa.strategy.load import BoundStage, BranchStage, Strategy, load_strategy
from verifluxa.verdict import Verdict

NAME = "hard"
SECONDS = 40.0
"""Wall-clock limit of a question."""
COUNT_SECONDS = {5: 30.0, 6: 0.0}
"""CPU seconds for [found, proved] after the questions, by the patch's side."""


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
    """5x5 on all networks, then 6x6; `small`: one place and target, a second each."""
    data = digits()
    nets = graphs(data, small)
    strategy = recheckable(load_strategy("balanced" if small else "thorough"))
    records: list[Record] = []
    for side in (5,) if small else COUNT_SECONDS:
        for name, graph in nets.items():
            chosen = list(triples(data, {name: graph}, side))[: 1 if small else None]
            tried = [_try(triple, strategy, 1.0 if small else SECONDS) for triple in chosen]
            records += _records(f"{name} {side}x{side}, {len(tried)} triples, {data.source}", tried)
    return records


def recheckable(strategy: Strategy) -> Strategy:
    """The strategy without what the checker does not recompute: optimised slopes and a solver's answers."""
    stages = strategy.without("smt").stages
    kept = [stage for stage in stages if not (isinstance(stage, BoundStage) and stage.method == "alpha")]
    return replace(strategy, stages=tuple(replace(s, alpha=0) if isinstance(s, BranchStage) else s for s in kept))


def _try(triple: Triple, strategy: Strategy, seconds: float) -> Tried:
    known, spent = attacked(triple, strategy)
    answers: list[Answer | None] = []
    for rate in RATES:
        need = need_of(rate, len(triple.problem.labels))
        if known.found >= need:
            answers.append(None)
            continue
        asked = answer(triple, need, known, limited(strategy, seconds))
        known = best_found(known, asked.outcome)
        answers.append(asked)
    longest = min(COUNT_SECONDS[triple.side], 30 * seconds)
    known, proved, counted = exact_count(triple, known, strategy, longest)
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


def _records(case: str, tried: Sequence[Tried]) -> list[Record]:
    def record(what: str, value: float) -> Record:
        return Record(NAME, case, what, value, machine=machine())

    asked = [one for item in tried for one in item.answers]
    searched = [one for one in asked if one is not None]
    decided = sum(one is None or one.outcome.verdict is not Verdict.UNKNOWN for one in asked)
    gaps = [item.proved - item.found for item in tried]
    seconds = sorted(one.seconds for one in searched) or [0.0]
    return [
        record("questions", len(asked)),
        record("decided, in %", 100 * decided / len(asked)),
        record("certified", sum(one.outcome.verdict is Verdict.CERTIFIED for one in searched)),
        record("CPU seconds of a question that the attack leaves, median", statistics.median(seconds)),
        record("CPU seconds of a question that the attack leaves, worst", seconds[-1]),
        record("boxes of such a question, median", statistics.median([one.outcome.boxes for one in searched] or [0])),
        record("CPU seconds of the attack, median", statistics.median(item.attack_seconds for item in tried)),
        record("[found, proved] is one number, in % of the triples", 100 * sum(gap == 0 for gap in gaps) / len(gaps)),
        record("[found, proved], widest", max(gaps)),
    ]
