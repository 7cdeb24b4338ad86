"""The protocol of hard questions: 5x5 patches at four places, three targets, four rates, 100 digits (6x6 beside it)."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from benchmarks.questions import Setting, lifted, problem, spec_of
from benchmarks.questions import digits as example_digits
from benchmarks.rechecked import Ground, recheck, write_evidence
from benchmarks.train import Digits, train
from verifluxa.asking import untouched
from verifluxa.evidence import Outcome, Strongest
from verifluxa.graph.graph import Graph
from verifluxa.lower import Given, lower, predictions
from verifluxa.question import Problem, Question
from verifluxa.search.workspace import workspace_of
from verifluxa.spec.digest import property_digest
from verifluxa.stages import GridStage, SmtStage
from verifluxa.strategy.decide import Run, attack_slice, prove_slice
from verifluxa.strategy.load import AttackStage, BranchStage, Stage, Strategy
from verifluxa.strategy.work import Attacked
from verifluxa.verdict import Verdict

NETS = {"784-32-32-10": (32, 32), "784-100-100-10": (100, 100)}
PLACES = ((12, 12), (10, 14), (6, 12), (20, 20))
TARGETS = (2, 3, 9)
RATES = (Fraction(1, 2), Fraction(1, 5), Fraction(1, 10), Fraction(1, 20))
VICTIMS = 100


@dataclass(frozen=True, eq=False)
class Triple:
    """A network, a place and a target: one placement, one violation, one selection of victims."""

    net: str
    place: tuple[int, int]
    target: int
    side: int
    problem: Problem
    graph: Graph

    @property
    def label(self) -> str:
        """What people call it."""
        return f"{self.net} {self.side}x{self.side} at {self.place}, target {self.target}"

    def question(self, need: int) -> Question:
        """Can one patch send `need` victims to the target?"""
        return Question(0, 0, 0, need)


@dataclass(frozen=True, eq=False)
class Answer:
    """The outcome of one question and its CPU seconds; the attack, done once for a triple, is not among them."""

    need: int
    outcome: Outcome
    seconds: float


def graphs(data: Digits, small: bool) -> dict[str, Graph]:
    """The example's clean network and, unless `small`, those that are trained here."""
    trained = {} if small else {name: train(hidden, data) for name, hidden in NETS.items()}
    return {"clean 784-64-32-10": lifted("clean"), **trained}


def triples(data: Digits, nets: Mapping[str, Graph], side: int = 5, arithmetic: str = "real") -> Iterator[Triple]:
    """All triples, net by net."""
    places = ", ".join(f"({row}, {column})" for row, column in PLACES)
    for name, graph in nets.items():
        whole = problem(Setting(side=side, places=places, arithmetic=arithmetic), graph)
        for place in PLACES:
            for target in TARGETS:
                yield Triple(name, place, target, side, _narrowed(whole, data, place, target), graph)


def _narrowed(whole: Problem, data: Digits, place: tuple[int, int], target: int) -> Problem:
    """One place and target, and the first victims that the network classifies correctly and that are not the target."""
    images, labels = data.test
    inputs = images[:, None].astype(np.float64)
    right = predictions(whole.graph, inputs) == labels
    chosen = np.flatnonzero(right & (labels != target))[:VICTIMS]
    violation = next(v for v in whole.violations if v.target == target)
    return replace(
        whole,
        inputs=inputs[chosen],
        labels=labels[chosen],
        indices=tuple(int(i) for i in chosen),
        excluded=(),
        placements=tuple(p for p in whole.placements if tuple(value for _, value in p.label) == place),
        violations=(violation,),
        selections=(np.arange(len(chosen)),),
        thresholds=(1,),
        pairs=((0, 0),),
    )


def need_of(rate: Fraction, victims: int) -> int:
    """How many victims refute a limit."""
    return int(rate * victims) + 1


def limited(strategy: Strategy, seconds: float) -> Strategy:
    """The strategy with at most so many seconds for each of its slow stages."""

    def one(stage: Stage) -> Stage:
        return replace(stage, seconds=seconds) if isinstance(stage, BranchStage | SmtStage | GridStage) else stage

    return replace(strategy, stages=tuple(map(one, strategy.stages)))


def attacked(triple: Triple, strategy: Strategy) -> tuple[Attacked, float]:
    """What the strategy's attack finds when it looks for as many as it can get, and its CPU seconds."""
    asked = replace(triple.problem, thresholds=(len(triple.problem.labels),))
    workspace_of(asked).net(0)
    stages = [stage for stage in strategy.stages if isinstance(stage, AttackStage)]
    hard = [replace(stage, refine=1) for stage in stages]
    started = time.process_time()
    found = attack_slice(asked, [0], Run(replace(strategy, stages=tuple(hard))))
    return found[0], time.process_time() - started


def answer(triple: Triple, need: int, known: Attacked, strategy: Strategy) -> Answer:
    """Decides one question, with what the attack has found before."""
    question = triple.question(need)
    asked = replace(triple.problem, thresholds=(need,))
    workspace_of(asked).net(0)
    before = known._replace(question=question)
    started = time.process_time()
    (outcome,) = itertools.chain.from_iterable(
        prove_slice(asked, [0], {question: before}, Run(strategy.without("attack")))
    )
    assert isinstance(outcome, Outcome), "without limits on a slice nothing is handed back unfinished"
    return Answer(need, outcome, time.process_time() - started)


def recheck_answer(triple: Triple, answered: Answer) -> float:
    """CPU seconds of rechecking a certified answer from its evidence file on; its digits are the data.

    Raises:
        CertificateError: where the proof is refused.
        RuntimeError: where something was not recomputed.
    """
    rate = 100 * (answered.need - 0.5) / len(triple.problem.labels)
    spec = spec_of(Setting(side=triple.side, places=str(triple.place), rate=f"{rate:.4f} %"))
    data = replace(example_digits(1), inputs=triple.problem.inputs, labels=triple.problem.labels)
    prop = spec.properties[0]
    digest = property_digest(spec, prop, {data.name: data.sha256})
    arithmetic = triple.problem.arithmetic
    asked = lower(spec, prop, Given(triple.graph, data, digest, arithmetic, untouched=untouched))
    number = next(k for k, violation in enumerate(asked.violations) if violation.target == triple.target)
    question = Question(0, number, dict(asked.pairs)[number], answered.need)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "evidence.jsonl.gz"
        write_evidence(path, asked, [replace(answered.outcome, question=question)])
        return recheck(path, Ground(spec, data, triple.graph, arithmetic))


def best_found(known: Attacked, outcome: Outcome) -> Attacked:
    """What is known after an outcome."""
    if outcome.witness is None or len(outcome.witness.inputs) <= known.found:
        return known
    trigger = outcome.witness.trigger
    return known._replace(strongest=Strongest(len(outcome.witness.inputs), trigger), trigger=trigger)


def exact_count(triple: Triple, known: Attacked, strategy: Strategy, seconds: float) -> tuple[Attacked, int, float]:
    """Raises `need` above what is found until it is proved or the CPU time is over: found, proved, seconds."""
    spent, proved = 0.0, len(triple.problem.labels)
    while known.found < proved and spent < seconds:
        asked = answer(triple, known.found + 1, known, limited(strategy, seconds - spent))
        spent += asked.seconds
        known = best_found(known, asked.outcome)
        if asked.outcome.verdict is not Verdict.FALSIFIED:
            proved = asked.outcome.proved if asked.outcome.verdict is Verdict.CERTIFIED else proved
            break
    return known, proved, spent
