"""Ends of neurons with slopes of their own, for cases of one input: true, tighter, and bounded in size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given

from tests.bounds.samples import Sample, sample_of, samples
from tests.bounds.test_bounds_sampled import LITTLE, check_layers, states
from tests.certificate.steps import conflicts_of, leaf_ends
from tests.search.small import in_real, with_thresholds
from tests.search.test_conflicts import ALL, steady
from tests.soundness.build import Ask
from tests.soundness.judge import judge
from tests.soundness.truth import Oracle
from verifluxa.bounds.alpha import supports_alpha
from verifluxa.bounds.linear import bound_all_layers
from verifluxa.certificate.check.clipped_cases import clips
from verifluxa.search.activation_bab import tightened
from verifluxa.search.initial_bounds import bound_root
from verifluxa.search.relational import begin_conflicts
from verifluxa.search.workspace import workspace_of


@LITTLE
@given(samples())
def test_no_value_lies_outside(sample: Sample) -> None:
    for number in range(len(sample.pairs.input) if supports_alpha(sample.net) else 0):
        layers, _ = tightened(sample.net, sample.geometry, sample.pairs.take(torch.tensor([number])))
        check_layers(layers, [values[:, [number]] for values in states(sample)])


@pytest.mark.parametrize("seed", range(6))
def test_ends_are_never_looser_and_no_more_slopes_than_allowed(seed: int) -> None:
    sample = sample_of(in_real(steady(seed)), np.random.default_rng(seed), 0)
    pairs = sample.pairs.take(torch.tensor([0]))
    plain = bound_all_layers(sample.net, sample.geometry, pairs)
    layers, found = tightened(sample.net, sample.geometry, pairs)
    assert bool((layers[1].lower >= plain[1].lower).all())
    assert bool((layers[1].upper <= plain[1].upper).all())
    size = sum(len(own.levels) for own in found)
    assert [own.layer for own in found] == list(range(1, 1 + len(found)))
    layers, fewer = tightened(sample.net, sample.geometry, pairs, size - 1)
    assert fewer == found[:-1]
    if not fewer:
        assert torch.equal(layers[1].upper, plain[1].upper)


SOON = with_thresholds(ALL, clipped_from=1)


def test_what_cases_of_tighter_ends_close_is_true() -> None:
    """Taken up behind the first case of an input, cases clipped from the second one on: nothing false is closed."""
    closed, clipped = 0, 0
    for seed in range(8):
        problem = in_real(steady(seed, Ask(per_input=True)))
        work = workspace_of(problem)
        for question in problem.questions(0):
            oracle = Oracle(problem)
            for search in begin_conflicts(work, bound_root(work, [question], "interval"), SOON, None).values():
                for cases in (1, 300):
                    outcome = search.run(cases)
                    judge(problem, outcome, oracle.truth(question), list(oracle.points(question)), oracle)
                closed += len(leaf_ends(outcome.tree)) > 0
                for conflict in conflicts_of(outcome.tree):
                    clipped += clips(conflict.case)
    assert closed > 3
    assert clipped


@pytest.mark.parametrize("seed", range(6))
def test_a_search_that_was_asked_where_to_attack_goes_on_as_any_other(seed: int) -> None:
    """From the bounds of the first look or its own, with the same cases, and no tighter ends before the first."""
    problem = in_real(steady(seed, Ask(per_input=True)))
    work = workspace_of(problem)
    for question in problem.questions(0):
        (rooted,) = bound_root(work, [question], "crown")
        if not rooted.remaining:
            continue
        asked, plain = (
            begin_conflicts(work, [one], ALL, None)[question] for one in (rooted, replace(rooted, layers=()))
        )
        assert ((asked.corner == work.lower) | (asked.corner == work.upper)).all()
        first, second = asked.run(1), plain.run(1)
        assert (first.verdict, first.boxes, first.tree) == (second.verdict, second.boxes, second.tree)
        assert asked.relational is not None
        assert not asked.relational.slopes
