"""Jia and Rinard 2021, "Exploiting verified neural networks via floating point numerical error" (SAS).

The bias of one class is moved until the exact network is only just safe: the largest lead of that class over the
label, over all triggers, lies a few units in the last place of the bias below zero. Some order of summation then
shows a tie or the other class. (The paper bisects against the verifier; the exact lead tells where that ends.)
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from tests.soundness.attacks.attack import Attack, Setting, posed, shown, stamped
from tests.soundness.attacks.host import Host, host
from tests.soundness.build import Ask
from tests.soundness.exact import ExactNetwork, exact
from tests.soundness.truth import grid
from verifluxa.graph.graph import Graph, chain
from verifluxa.graph.ops import Affine
from verifluxa.question import Problem


def attack(setting: Setting, target: int, ulps: int = 1) -> Attack:
    """The host with a moved bias, asked about one input.

    Args:
        setting: its `ask` and `inputs` are replaced: one input, the target class.
        target: the class whose bias is moved.
        ulps: how many units in the last place of the bias lie between it and the exact tie (1: the very next number).
    """
    trained = host(setting.host)
    setting = replace(setting, inputs=1, ask=Ask(targets=(target,)))
    problem = posed(trained.graph(), trained, setting)
    label = int(problem.labels[0])
    assert label != target
    bias = _below(Fraction(float(_bias(trained.logits)[target])) - exact_lead(problem, target), ulps)
    moved = posed(with_bias(trained, target, bias), trained, setting)
    trigger, how = shown(moved)
    return Attack(
        "the exact lead is negative by less than the rounding of the sums",
        moved,
        trigger,
        how,
        quiet=False,
    )


def exact_lead(problem: Problem, target: int) -> Fraction:
    """The largest exact lead of the target over all other classes, over the grid and the inputs."""
    points = [tuple(float(value) for value in point) for point in grid(problem.domain)]
    outputs = ExactNetwork(problem.graph).run(exact(stamped(problem, points))).fractions()
    leads: list[Fraction] = [row[target] - max(np.delete(row, target)) for row in outputs]
    return max(leads)


def _bias(step: Affine) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    assert step.bias is not None
    return step.bias.astype(np.float32)


def _below(tie: Fraction, ulps: int) -> np.float32:
    """The float32 that lies `ulps` numbers below a rational."""
    bias = np.float32(float(tie))
    while Fraction(float(bias)) >= tie:
        bias = np.nextafter(bias, np.float32(-np.inf))
    for _ in range(ulps - 1):
        bias = np.nextafter(bias, np.float32(-np.inf))
    return bias


def with_bias(trained: Host, target: int, bias: np.float32) -> Graph:
    """The host with another bias of one class."""
    biases = _bias(trained.logits)
    biases[target] = bias
    nodes = trained.graph().nodes
    return chain(trained.shape, [*(node.op for node in nodes[1:-1]), Affine(trained.logits.weight, biases)])
