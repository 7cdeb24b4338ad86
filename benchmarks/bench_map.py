"""The map of the digit example: of each place and target, between which ends its worst rate lies; what that costs."""

from __future__ import annotations

import time
from fractions import Fraction

from benchmarks.questions import Setting, problem
from benchmarks.records import Record, machine, spent
from verifluxa.dispatch.cluster import load_cluster, open_pool
from verifluxa.dispatch.driver import Answers, Plan
from verifluxa.dispatch.engine import StrategyEngine
from verifluxa.dispatch.measure import Closeness, measure
from verifluxa.dispatch.observe import Silent
from verifluxa.question import Problem
from verifluxa.strategy.load import load_strategy

NAME = "map"
GAP = Fraction(2, 100)
BUDGET = 1800.0


def run(small: bool = False) -> list[Record]:
    """`measure ... within 2 % everywhere` on the clean model, a process per core."""
    setting = Setting(places="rows 0..25 step 13, columns 0..25 step 13" if small else "any", arithmetic="float32")
    asked = problem(setting)
    before = spent()
    answers = _measured(asked)
    cpu = spent() - before
    sizes = [len(asked.selections[outcome.question.selection]) for outcome in answers.outcomes]
    apart = [
        Fraction(outcome.proved - outcome.found, size) for outcome, size in zip(answers.outcomes, sizes, strict=True)
    ]
    case = f"clean 3x3 {setting.places}, 100 digits, within 2 % everywhere"
    figures = {
        "(place, target) pairs": len(apart),
        "pairs whose worst rate is known within 2 %, in %": 100 * sum(gap <= GAP for gap in apart) / len(apart),
        "pairs whose worst rate is known exactly, in %": 100 * sum(gap == 0 for gap in apart) / len(apart),
        "widest interval, in %": float(100 * max(apart)),
        "CPU seconds of all processes, their start included": cpu,
    }
    return [Record(NAME, case, what, value, machine=machine()) for what, value in figures.items()]


def _measured(asked: Problem) -> Answers:
    cluster = load_cluster("local")
    pool = open_pool(cluster, StrategyEngine(load_strategy("balanced")))
    try:
        plan = Plan(cluster.attack_slice, cluster.prove_slice, deadline=time.monotonic() + BUDGET)
        return measure(asked, Closeness(GAP, everywhere=True), pool, plan, Silent()).answers
    finally:
        pool.close()
