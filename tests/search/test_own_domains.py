"""Placements with domains of their own, lists of points, and stamps that move values."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from tests.search.small import random_problem
from tests.soundness.build import digested
from verifluxa.bounds.build import build_chain
from verifluxa.bounds.domain import Domains, geometry_of
from verifluxa.bounds.linear import Subproblems, bound_all_layers, evaluate_net
from verifluxa.bounds.net import load_net
from verifluxa.question import AffineInputMap, Domain, Listed, Placement, Problem
from verifluxa.search.exact import exact_margins
from verifluxa.search.replay import replay_trigger, stamped_inputs, witness_of
from verifluxa.search.workspace import workspace_of
from verifluxa.strategy.decide import decide
from verifluxa.strategy.load import load_strategy
from verifluxa.verdict import Verdict


def moving(size: int) -> AffineInputMap:
    """Writes tau to place 0 and moves the two values behind it one to the right."""
    gain = np.zeros((3, 1))
    gain[0, 0] = 1.0
    return AffineInputMap(np.array([0, 1, 2]), np.array([0.0, 1.0, 1.0]), gain, np.zeros(3), np.array([0, 0, 1]))


def test_a_stamp_moves_values() -> None:
    problem = random_problem(0)
    size = int(np.prod(problem.graph.input_shape))
    problem = replace(problem, placements=(Placement((("place", 0),), moving(size)),), domain=_levels(1, 0, 3))
    after = stamped_inputs(problem, 0, np.array([7.0]), np.array([1, 2])).reshape(2, -1)
    before = problem.inputs[[1, 2]].reshape(2, -1)
    np.testing.assert_array_equal(after[:, 0], [7.0, 7.0])
    np.testing.assert_array_equal(after[:, 1:3], before[:, 0:2])
    np.testing.assert_array_equal(after[:, 3:], before[:, 3:])
    assert moving(size).exact.all()


def _levels(size: int, low: float, high: float, step: float = 1.0) -> Domain:
    return Domain(np.full(size, low), np.full(size, high), np.full(size, step))


def test_the_local_network_of_a_moving_stamp_is_that_of_the_whole() -> None:
    problem = random_problem(3)
    stamp = moving(int(np.prod(problem.graph.input_shape)))
    problem = digested(replace(problem, placements=(Placement((("place", 0),), stamp),), domain=_levels(1, 0, 3)))
    work = workspace_of(problem)
    net = load_net(build_chain(problem.graph, work.constants, stamp), "cpu")
    inputs = torch.arange(len(problem.inputs))
    for value in (0.0, 2.0):
        trigger = torch.tensor([[value]], dtype=torch.float64)
        outputs = evaluate_net(net, trigger.expand(len(inputs), -1), inputs)
        whole = problem.graph.run(stamped_inputs(problem, 0, np.array([value]), np.arange(len(inputs))))
        np.testing.assert_allclose(outputs.numpy(), whole, rtol=1e-4, atol=1e-4)
        none = trigger.new_zeros(0, 1)
        shape = geometry_of(Domains(trigger, trigger, none, trigger.new_zeros(1, 0), trigger.new_zeros(1, 0)))
        assert bound_all_layers(net, shape, Subproblems(torch.zeros_like(inputs), inputs))
    question = next(problem.all_questions())
    played = replay_trigger(problem, question, np.array([2.0]))
    margins = exact_margins(problem, question, np.array([2.0]), played.inputs)
    np.testing.assert_allclose([float(m) for m in margins], played.margins, rtol=1e-3, atol=1e-3)


def test_a_listed_point_is_a_trigger_and_another_is_none() -> None:
    problem = random_problem(0, positions=(3, 1))
    lists = (Listed(np.array([0, 1]), np.array([[0.0, 2.0], [1.0, 0.0]])),)
    domain = replace(problem.domain, lists=lists)
    assert domain.contains(np.array([0.0, 2.0]))
    assert not domain.contains(np.array([0.0, 0.0])), "each value is listed, the pair is not"
    work = workspace_of(digested(replace(problem, domain=domain)))
    snapped = work.on_grid(torch.tensor([[0.2, 1.6], [1.0, 0.4]], dtype=torch.float64))
    np.testing.assert_array_equal(snapped.numpy(), [[0.0, 2.0], [1.0, 0.0]])
    question = next(problem.all_questions())
    assert witness_of(work, question, np.array([0.0, 0.0])).inputs == (), "whatever it does, it is not of the family"


@pytest.mark.parametrize("seed", range(6))
def test_each_placement_is_decided_on_its_own_domain(seed: int) -> None:
    """Verdicts are those of two problems with one placement each."""
    problem = random_problem(seed, positions=(3, 1))
    stamp = problem.placements[0].stamp
    alone = AffineInputMap(stamp.positions[:1], np.zeros(1), np.eye(1), np.zeros(1))
    whole, narrow = problem.domain, replace(problem.domain, upper=problem.domain.lower.copy())
    single = Domain(problem.domain.lower[:1], problem.domain.upper[:1], problem.domain.step[:1])
    parts = [(stamp, whole), (stamp, narrow), (alone, single)]
    both = digested(replace(problem, placements=tuple(Placement((("p", n),), s, d) for n, (s, d) in enumerate(parts))))
    strategy = load_strategy("balanced")
    together = {o.question: o for o in decide(both, list(both.all_questions()), strategy)}
    for number, (one, domain) in enumerate(parts):
        lone = digested(replace(problem, placements=(Placement((("p", 0),), one),), domain=domain))
        for outcome in decide(lone, list(lone.all_questions()), strategy):
            same = together[outcome.question._replace(placement=number)]
            assert same.verdict is outcome.verdict
            assert (same.verdict is Verdict.CERTIFIED) == (same.tree is not None)
            if same.witness is not None:
                assert domain.contains(same.witness.trigger)


def test_strips_hold_in_rationals() -> None:
    """Kept for the domain itself: no float rounding lets a point through."""
    from verifluxa.question import SlabConstraints

    strips = SlabConstraints(np.array([[0.1, 0.2]]), np.array([0.3]), np.array([0.3]))
    domain = Domain(np.zeros(2), np.ones(2), np.ones(2), strips)
    exact = Fraction(0.1) + Fraction(0.2) == Fraction(0.3)
    assert domain.contains(np.ones(2)) == exact


def test_the_problem_knows_where_tau_lives() -> None:
    problem: Problem = random_problem(0)
    other = _levels(len(problem.domain.lower), 0, 1)
    placed = replace(problem, placements=(replace(problem.placements[0], domain=other),))
    assert placed.domain_of(0) is other
    assert problem.domain_of(0) is problem.domain
