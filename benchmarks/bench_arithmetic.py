"""What float32 soundness costs: the same questions proved for real arithmetic and for every binary32 evaluation."""

from __future__ import annotations

import gc
import time
from dataclasses import replace
from functools import partial

from benchmarks.questions import Setting, problem
from benchmarks.records import Record, interleaved, machine
from verifluxa.evidence import Outcome
from verifluxa.question import Problem
from verifluxa.strategy.decide import decide
from verifluxa.strategy.load import load_strategy
from verifluxa.verdict import Verdict

NAME = "arithmetic"
REPEATS = 5
PLACES = "rows 0..25 step 5, columns 0..25 step 5"
SETTINGS = tuple(Setting(model, 3, PLACES, rate) for model in ("clean", "clean_cnn") for rate in ("50 %", "10 %"))


def run(small: bool = False) -> list[Record]:
    """Proof only, in both arithmetics in turn."""
    settings, repeats = (SETTINGS[:1], 1) if small else (SETTINGS, REPEATS)
    return [record for setting in settings for record in _measure(setting, repeats)]


def _measure(setting: Setting, repeats: int) -> list[Record]:
    sides = [problem(replace(setting, arithmetic=arithmetic)) for arithmetic in ("float32", "real")]
    ours, theirs = interleaved([partial(_seconds, side) for side in sides], repeats)
    certified = [sum(o.verdict is Verdict.CERTIFIED for o in _timed(side)[1]) for side in sides]
    case = f"{setting.model} 3x3, 36 places, rate {setting.rate}"
    peer = "Verifluxa, real arithmetic"
    return [
        Record(NAME, case, "CPU seconds for 360 questions", ours, peer, theirs, theirs / ours, repeats, machine()),
        Record(NAME, case, "questions certified", certified[0], peer, certified[1], None, 1, machine()),
    ]


def _seconds(asked: Problem) -> float:
    return _timed(asked)[0]


def _timed(asked: Problem) -> tuple[float, list[Outcome]]:
    strategy = load_strategy("balanced").without("attack")
    fresh = replace(asked, inputs=asked.inputs.copy())
    gc.collect()  # one side's garbage is not the other side's time
    started = time.process_time()
    outcomes = decide(fresh, list(fresh.all_questions()), strategy)
    return time.process_time() - started, outcomes
