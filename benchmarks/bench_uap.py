"""Universal perturbations of all pixels: how many digits of a batch stay right under any ONE perturbation.

The table of RACoon (Banerjee and Singh 2024, ICML): worst-case accuracy over batches, certified by bounds of single
inputs, by a mixed-integer program over the same bounds, and by the project's own universal question; and what an attack
leaves, which is above all of them.
"""

from __future__ import annotations

import itertools
import sys
import time
from dataclasses import dataclass, field, replace
from statistics import fmean

from benchmarks.perturbed import batches
from benchmarks.records import Record, machine
from benchmarks.shared_bounds import STEPS, SharedBounds, most_by_program, most_without_cases
from benchmarks.train import Digits, digits
from benchmarks.train_conv import train_conv
from verifluxa.evidence import Outcome
from verifluxa.question import Problem
from verifluxa.stages import CrossStage
from verifluxa.strategy.decide import Run, attack_slice, prove_slice
from verifluxa.strategy.load import AttackStage, BoundStage, Stage, load_strategy
from verifluxa.verdict import Verdict

NAME = "uap"
EACH, BATCHES = 10, 5
SPENT = ("single inputs", "with the program", "inputs together", "Verifluxa in as much time", "Verifluxa")


ATTACK = AttackStage(inputs=0, starts=8, steps=40, refine=1, refine_starts=16, refine_steps=80)


@dataclass(frozen=True)
class Effort:
    """Seconds on the clock for a batch and a method, the attack, and gradient steps of single bounds.

    Single bounds need fewer seconds and gain nothing more.
    """

    seconds: float = 20.0
    attack: AttackStage = field(default=ATTACK)
    steps: int = STEPS


SHORT = Effort(1.0, AttackStage(inputs=0, starts=1, steps=4, refine=1, refine_starts=1, refine_steps=4), 5)


@dataclass(frozen=True)
class Kind:
    """How a network was trained, and the size of the perturbations, in units of encoded pixels."""

    training: float
    size: float

    @property
    def label(self) -> str:
        """How the table calls it."""
        trained = f"PGD, size {self.training:g}" if self.training else "plain"
        return f"convolutional network trained {trained}, perturbations up to {self.size:g}"


KINDS = (Kind(0.0, 0.02), Kind(0.0, 0.04), Kind(0.0, 0.08), Kind(0.1, 0.08), Kind(0.1, 0.1))


@dataclass(frozen=True)
class Batch:
    """Digits of one batch that some perturbation may make wrong, by each method, and seconds where they differ."""

    single: int
    program: int
    together: int
    early: int
    ours: int
    attacked: int
    seconds: tuple[float, float, float, float, float]


def run(small: bool = False, data: Digits | None = None) -> list[Record]:
    """All kinds; `small`: one, one batch, a second."""
    data = data or digits()
    records: list[Record] = []
    graphs = {training: train_conv(data, training) for training in sorted({kind.training for kind in _kinds(small)})}
    for kind in _kinds(small):
        trained = graphs[kind.training]
        count, effort = (1, SHORT) if small else (BATCHES, Effort())
        tried = [_tried(problem, effort) for problem in batches(trained.graph, data, kind.size, count, EACH)]
        records += _records(kind, data, tried, trained.accuracy)
    return records


def _kinds(small: bool) -> tuple[Kind, ...]:
    return (Kind(0.0, 0.02),) if small else KINDS


def _tried(problem: Problem, effort: Effort) -> Batch:
    started, on_clock = time.process_time(), time.monotonic()
    bounds = SharedBounds.of(problem, effort.steps)
    single = time.process_time() - started
    program = most_by_program(bounds, effort.seconds)
    both, as_long = time.process_time() - started, time.monotonic() - on_clock
    attacked = _attacked(problem, effort.attack)
    started = time.process_time()
    together = most_without_cases(problem, effort.seconds)
    together_seconds = time.process_time() - started
    started = time.process_time()
    early = _ours(problem, attacked + 1, as_long)
    early_seconds = time.process_time() - started
    started = time.process_time()
    outcome = _ours(problem, attacked + 1, effort.seconds)
    found = max(attacked, outcome.found, len(outcome.witness.inputs) if outcome.witness else 0)
    taken = (single, both, together_seconds, early_seconds, time.process_time() - started)
    batch = Batch(len(bounds.inputs), program, together, early.proved, outcome.proved, found, taken)
    print(batch, file=sys.stderr, flush=True)
    return batch


def _attacked(problem: Problem, attack: AttackStage) -> int:
    """Most digits of a batch that one perturbation is seen to make wrong."""
    strategy = replace(load_strategy("thorough"), stages=(attack,))
    asked = replace(problem, thresholds=(EACH,))
    (found,) = attack_slice(asked, [0], Run(strategy))
    return int(found.found)


def _ours(problem: Problem, need: int, seconds: float) -> Outcome:
    """One universal question, as `thorough` would ask it; raised while triggers refute it."""
    ends, least = time.monotonic() + seconds, EACH
    while True:
        left = max(0.1, ends - time.monotonic())
        stages: tuple[Stage, ...] = (BoundStage("interval"), BoundStage("crown"), CrossStage(seconds=left, cases=10**6))
        strategy = replace(load_strategy("thorough"), stages=stages)
        asked = replace(problem, thresholds=(need,))
        (outcome,) = itertools.chain.from_iterable(prove_slice(asked, [0], {}, Run(strategy, ends)))
        assert isinstance(outcome, Outcome), "without limits on a slice nothing is handed back unfinished"
        least = min(least, outcome.proved)
        if outcome.verdict is not Verdict.FALSIFIED or outcome.witness is None or need == EACH:
            return replace(outcome, proved=least)
        need = len(outcome.witness.inputs) + 1


def _records(kind: Kind, data: Digits, tried: list[Batch], accuracy: float) -> list[Record]:
    case = f"{kind.label} (right on {100 * accuracy:.1f} % of the test digits), {len(tried)} x {EACH} digits"

    def share(name: str) -> float:
        return 100 - 100 * fmean(getattr(batch, name) for batch in tried) / EACH

    def record(what: str, value: float) -> Record:
        return Record(NAME, f"{case}, {data.source}", what, value, machine=machine())

    spent = [fmean(part) for part in zip(*(batch.seconds for batch in tried), strict=True)]
    return [
        record("worst-case accuracy in %, slopes optimised for single inputs", share("single")),
        record("worst-case accuracy in %, 0/1 program over the same bounds", share("program")),
        record("worst-case accuracy in %, slopes of several inputs optimised together", share("together")),
        record("worst-case accuracy in %, Verifluxa in as much time as the program", share("early")),
        record("worst-case accuracy in %, Verifluxa", share("ours")),
        record("accuracy in % under the strongest perturbation found", share("attacked")),
        *(record(f"CPU seconds a batch, {name}", seconds) for name, seconds in zip(SPENT, spent, strict=True)),
    ]
