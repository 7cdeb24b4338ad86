"""Asks every question of a problem through a cluster's pool; the product stops at the first counterexample."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.records import spent
from verifluxa.dispatch.cluster import Cluster, open_pool
from verifluxa.dispatch.engine import StrategyEngine
from verifluxa.dispatch.slices import AttackDone, AttackSlice, Decided, Pool, ProofDone, ProofSlice, Slice
from verifluxa.evidence import Outcome
from verifluxa.question import Problem, Question
from verifluxa.strategy.load import Strategy
from verifluxa.strategy.work import Attacked
from verifluxa.verdict import Verdict


@dataclass(frozen=True, eq=False)
class Asked:
    """Every question with its outcome; those that the budget did not reach are missing.

    Attributes:
        outcomes: in the order in which they came.
        total: number of questions.
        attack_seconds, seconds: on the clock, for the attack and for all.
        cpu_seconds: of all processes together, their start included.
    """

    outcomes: tuple[Outcome, ...]
    total: int
    attack_seconds: float
    seconds: float
    cpu_seconds: float = 0.0

    def share(self, verdict: Verdict) -> float:
        """Questions with this verdict, in % of all."""
        return 100 * Counter(outcome.verdict for outcome in self.outcomes)[verdict] / self.total

    @property
    def decided(self) -> float:
        """Questions that are certified or falsified, in % of all."""
        return self.share(Verdict.CERTIFIED) + self.share(Verdict.FALSIFIED)

    @property
    def boxes(self) -> int:
        """Domains that were bounded, over all questions."""
        return sum(outcome.boxes for outcome in self.outcomes)


def ask(problem: Problem, strategy: Strategy, cluster: Cluster, budget: float | None = None) -> Asked:
    """Attacks all placements, then proves all; starting the workers is counted in CPU seconds alone.

    Args:
        problem: whose questions are asked.
        strategy: how.
        cluster: where.
        budget: seconds, or None.
    """
    started = spent()
    answers = _ask(problem, strategy, cluster, budget)
    return replace(answers, cpu_seconds=spent() - started)


def _ask(problem: Problem, strategy: Strategy, cluster: Cluster, budget: float | None) -> Asked:
    pool = open_pool(cluster, StrategyEngine(strategy))
    try:
        pool.load(problem)
        _warm(problem, pool, cluster)
        started = time.monotonic()
        deadline = None if budget is None else started + budget
        attacked: dict[Question, Attacked] = {}
        attacks = [AttackSlice(group, deadline) for group in _groups(problem, cluster.attack_slice)]
        _work(pool, attacks, attacked, [])
        attack_seconds = time.monotonic() - started
        proofs = [_proof(problem, group, attacked, deadline) for group in _groups(problem, cluster.prove_slice)]
        outcomes: list[Outcome] = []
        _work(pool, proofs, attacked, outcomes)
        return Asked(tuple(outcomes), problem.size, attack_seconds, time.monotonic() - started)
    finally:
        pool.close()


def _groups(problem: Problem, size: int) -> list[tuple[int, ...]]:
    numbers = tuple(range(len(problem.placements)))
    return [numbers[start : start + size] for start in range(0, len(numbers), size)]


def _warm(problem: Problem, pool: Pool, cluster: Cluster) -> None:
    """Every worker imports torch and prepares the problem's constants before the clock starts."""
    _work(pool, [AttackSlice((0,), time.monotonic() + 60) for _ in range(cluster.workers)], {}, [])


def _proof(
    problem: Problem, group: tuple[int, ...], attacked: dict[Question, Attacked], deadline: float | None
) -> ProofSlice:
    known = {q: attacked[q] for place in group for q in problem.questions(place) if q in attacked}
    return ProofSlice(group, None, known, deadline)


def _work(pool: Pool, slices: Sequence[Slice], attacked: dict[Question, Attacked], outcomes: list[Outcome]) -> None:
    """Keeps the pool fed until all slices are done.

    Raises:
        RuntimeError: for any event that is not an answer: a benchmark has no use for half of them.
    """
    pending, flying = deque(slices), 0
    while pending or flying:
        while pending and flying < pool.capacity:
            pool.submit(pending.popleft())
            flying += 1
        match pool.next(1.0):
            case None:
                continue
            case AttackDone(attacked=found):
                attacked.update({item.question: item for item in found})
                flying -= 1
            case Decided(outcomes=decided):
                outcomes.extend(decided)
            case ProofDone():
                flying -= 1
            case other:
                raise RuntimeError(f"the benchmark was disturbed: {other}")
