"""Jia and Rinard's attack aimed at this verifier: the bias is bisected until its own float32 proof only just holds."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from tests.soundness.attacks.attack import Setting, deployed, posed
from tests.soundness.attacks.host import host
from tests.soundness.attacks.jia_rinard import exact_lead, with_bias
from tests.soundness.build import Ask
from tests.soundness.engine import answer
from verifluxa.question import Problem
from verifluxa.verdict import Verdict

STEPS = 24
BOXES = 40
"""Enough for every level of the trigger."""


def at_the_edge(setting: Setting, target: int) -> tuple[Problem, Fraction]:
    """The problem with the largest bias of the target that is certified (up to one unit), and its exact lead there."""
    trained = host(setting.host)
    setting = replace(setting, inputs=1, ask=Ask(targets=(target,)))
    start = posed(trained.graph(), trained, setting)
    lead = exact_lead(start, target)
    assert trained.logits.bias is not None
    bias = float(trained.logits.bias[target])

    def problem(number: np.float32) -> Problem:
        return deployed(posed(with_bias(trained, target, number), trained, setting))

    def holds(number: np.float32) -> bool:
        found = problem(number)
        question = next(found.all_questions())
        return answer(found, question, "balanced without attack", BOXES).verdict is Verdict.CERTIFIED

    low, high = np.float32(bias - float(lead) - 1.0), np.float32(bias - float(lead) + 1.0)
    if not holds(low) or holds(high):
        raise ValueError("the proof does not change between a lead of -1 and one of 1")
    for _ in range(STEPS):
        middle = np.float32((float(low) + float(high)) / 2)
        if middle in (low, high):
            break
        low, high = (middle, high) if holds(middle) else (low, middle)
    return problem(low), lead + Fraction(float(low)) - Fraction(bias)
