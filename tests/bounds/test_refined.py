"""Ends of neurons with slopes of their own: sound at sampled points, never looser, and marked as not rechecked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given

from tests.bounds.samples import Sample, sample_of, samples
from tests.bounds.test_bounds_sampled import LITTLE, check_layers, check_planes, exact_rows, states
from tests.certificate.steps import is_unrecorded
from tests.search.small import in_real, most, with_need
from tests.search.test_conflicts import steady
from verifluxa.bounds.linear import bound_all_layers
from verifluxa.bounds.refined import refined_layers
from verifluxa.strategy.decide import decide
from verifluxa.strategy.load import BoundStage, load_strategy
from verifluxa.verdict import Verdict


@LITTLE
@given(samples())
def test_no_value_lies_outside(sample: Sample) -> None:
    layers = refined_layers(sample.net, sample.geometry, sample.pairs, 4)
    check_layers(layers, states(sample))
    check_planes(sample, layers, exact_rows(sample))


@pytest.mark.parametrize("seed", range(4))
def test_the_first_refined_layer_is_never_looser(seed: int) -> None:
    sample = sample_of(in_real(steady(seed)), np.random.default_rng(seed), 0)
    plain = bound_all_layers(sample.net, sample.geometry, sample.pairs)
    refined = refined_layers(sample.net, sample.geometry, sample.pairs, 10)
    assert bool((refined[1].lower >= plain[1].lower).all())
    assert bool((refined[1].upper <= plain[1].upper).all())


def test_something_gets_tighter() -> None:
    gained = 0.0
    for seed in range(4):
        sample = sample_of(in_real(steady(seed)), np.random.default_rng(seed), 0)
        plain, refined = (refined_layers(sample.net, sample.geometry, sample.pairs, steps)[1] for steps in (0, 10))
        gained += float(((plain.upper - plain.lower) - (refined.upper - refined.lower)).sum())
    assert gained > 1e-3


@pytest.mark.parametrize("seed", [0, 3, 7])
def test_what_closes_is_true_and_not_rechecked(seed: int) -> None:
    problem = in_real(steady(seed))
    stages = (BoundStage("interval"), BoundStage("crown"), BoundStage("alpha", 20, 10))
    strategy = replace(load_strategy("quick"), stages=stages)
    for need in range(1, 7):
        question = with_need(problem, need)
        (outcome,) = decide(problem, [question], strategy)
        if outcome.verdict is Verdict.CERTIFIED:
            assert most(problem, question) < need
            assert outcome.tree is not None
            assert is_unrecorded(outcome.tree) == (outcome.stage == "alpha")
