"""How the cost of a question grows: with inputs, places, the patch's pixels, width and depth of the network."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

from benchmarks.nets import trained
from benchmarks.questions import Setting, digits, known, lifted, problem
from benchmarks.records import Record, growth
from verifluxa.question import Problem
from verifluxa.strategy.decide import decide
from verifluxa.strategy.load import BranchStage, Strategy, load_strategy

NAME = "growth"
REPEATS = 1
BOXES = 100
"""A question that needs more boxes stays open; its time until then counts."""
PLACES = "(3, 3), (6, 14), (12, 6), (12, 12), (18, 18)"
INPUTS = (25, 50, 100, 200, 400)
STEPS = (25, 9, 6, 3, 2, 1)
"""Rows and columns 0..25 in these steps: 4, 9, 25, 81, 169 and 676 places."""
SIDES = (2, 3, 4, 5, 6, 7)
WIDTHS = (16, 32, 64, 128, 256)
DEPTHS = (1, 2, 3, 4, 5, 6)
RATES = ("50 %", "20 %")

Point = tuple[float, float, float]
"""Size, seconds per question, share decided."""


def run(small: bool = False) -> list[Record]:
    """Each curve at each rate; sizes and shares of decided questions stand in the case."""
    repeats = 1 if small else REPEATS
    records = []
    for rate in RATES[1:] if small else RATES:
        setting = Setting(places=PLACES, rate=rate)
        for name, points in _curves(setting, small):
            records.append(_record(name, rate, [_measured(size, asked, repeats) for size, asked in points], repeats))
    return records


def _curves(setting: Setting, small: bool) -> Iterable[tuple[str, Iterable[tuple[float, Problem]]]]:
    def cut(sizes: Sequence[int]) -> Sequence[int]:
        return sizes[:2] if small else sizes

    yield "inputs", ((n, problem(known(setting, lifted("clean"), n))) for n in cut(INPUTS))
    yield "places", ((len(asked.placements), asked) for asked in (_everywhere(setting, s) for s in cut(STEPS)))
    yield "pixels of the patch", ((k * k, problem(replace(setting, side=k))) for k in cut(SIDES))
    yield "width of two hidden layers", ((w, _trained(setting, (w, w))) for w in cut(WIDTHS))
    yield "hidden layers of 64", ((depth, _trained(setting, (64,) * depth)) for depth in cut(DEPTHS))


def _everywhere(setting: Setting, step: int) -> Problem:
    return problem(replace(setting, places=f"rows 0..25 step {step}, columns 0..25 step {step}", inputs=25))


def _trained(setting: Setting, hidden: tuple[int, ...]) -> Problem:
    data = digits(200)
    return problem(setting, trained(hidden, data.inputs / 255, data.labels))


def _measured(size: float, asked: Problem, repeats: int) -> Point:
    """Proof only (what an attack costs is a matter of its settings), from nothing: no prepared values are reused."""
    strategy = _proof_only()
    questions = list(asked.all_questions())
    decide(asked, questions[: len(asked.pairs)], strategy)
    taken, outcomes = [], []
    for _ in range(repeats):
        fresh = replace(asked, inputs=asked.inputs.copy())
        started = time.process_time()
        outcomes = decide(fresh, questions, strategy)
        taken.append(time.process_time() - started)
    decided = sum(outcome.reason is None for outcome in outcomes)
    return size, statistics.median(taken) / len(questions), decided / len(outcomes)


def _proof_only() -> Strategy:
    """The default strategy without its attack, and with a limit in boxes, not in seconds."""
    strategy = load_strategy("balanced").without("attack")
    stages = [replace(s, boxes=BOXES) if isinstance(s, BranchStage) else s for s in strategy.stages]
    return replace(strategy, stages=tuple(stages))


def _record(name: str, rate: str, points: Sequence[Point], repeats: int) -> Record:
    shares = ", ".join(f"{100 * share:.0f}" for _, _, share in points)
    case = f"against {name}, rate {rate}; decided in %: {shares}"
    curve = [(size, seconds) for size, seconds, _ in points]
    return growth(NAME, case, "CPU seconds per question, proof only", curve, repeats)
