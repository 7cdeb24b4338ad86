"""A joint closing says that fewer than `need` inputs can violate together: sampled triggers must agree."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.bounds.samples import Sample, sample_of, samples
from tests.bounds.test_bounds_sampled import claims_of, exact_rows, met_claims
from tests.soundness.build import Ask, Family, levels, make_problem, replacing
from tests.soundness.climb import FloatOracle, climb
from tests.soundness.test_attack_off import trained_like
from verifluxa.bounds.linear import bound_all_layers
from verifluxa.evidence import Joint
from verifluxa.graph.graph import chain
from verifluxa.graph.ops import Affine, Reshape
from verifluxa.question import Problem
from verifluxa.search.disjuncts import decide_disjuncts
from verifluxa.search.joint import joint_step

SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large)
LITTLE = settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=SLOW)
MUCH = settings(max_examples=1000, deadline=None, derandomize=True, suppress_health_check=SLOW)


def most_together(sample: Sample) -> int:
    """The most inputs that one of the points makes violate (ties count)."""
    claims = claims_of(sample)
    met = met_claims(sample, claims, exact_rows(sample))
    inputs = np.unique(claims.input.numpy())
    if not len(inputs):
        return 0
    violated = np.stack([met[:, claims.input.numpy() == i].any(axis=1) for i in inputs], axis=1)
    return int(violated.sum(axis=1).max())


def closing(sample: Sample, need: int, rounds: int) -> Joint | None:
    """What the joint step says about the sample's domain."""
    claims = claims_of(sample)
    pairs = sample.pairs.take(claims.input)
    layers = bound_all_layers(sample.net, sample.geometry, pairs)
    last = decide_disjuncts(sample.scene, layers, pairs, claims, rounds).last
    if not len(last.at):
        return None
    together = joint_step(sample.scene, last, claims.take(last.at), need, 3.0)
    return None if together is None else together.closing


def check(sample: Sample, rounds: int) -> int:
    """At the count that a point reaches, nothing may be closed; returns how many of the next two needs are closed."""
    most = most_together(sample)
    assert most == 0 or closing(sample, most, rounds) is None
    inputs = len(torch.unique(claims_of(sample).input))
    return sum(closing(sample, need, rounds) is not None for need in range(most + 1, min(most + 2, inputs) + 1))


@LITTLE
@given(samples(), st.sampled_from([0, 2]))
def test_no_closing_where_points_violate_together(sample: Sample, rounds: int) -> None:
    check(sample, rounds)


INPUTS = 8
INSET = 1e-5
"""How far inside their half-spaces the corners are taken."""


def half_spaces(seed: int, shared: float) -> Problem:
    """Inputs that are violated each on a half-space of its own in three continuous dimensions, with a shared tilt."""
    random = np.random.default_rng(seed)
    weight = np.zeros((INPUTS + 1, 3 + INPUTS), np.float32)
    weight[1:, :3] = random.standard_normal((INPUTS, 3)) + shared * random.standard_normal(3)
    weight[1:, 3:] = -64 * (1 - np.eye(INPUTS))
    bias = np.concatenate([[0.0], -random.random(INPUTS) * 0.8]).astype(np.float32)
    graph = chain((3 + INPUTS,), [Reshape((-1,)), Affine(weight, bias)])
    inputs = np.hstack([np.zeros((INPUTS, 3)), np.eye(INPUTS)])
    return make_problem(graph, inputs, [0] * INPUTS, Family((replacing([0, 1, 2]),), levels(3, -1, 1, 0)), Ask())


def corners(sample: Sample) -> Sample:
    """The same with the corners of all regions into which half-spaces, box and strips cut the domain.

    The most half-spaces that meet in the domain meet in one of these, up to the inset.
    """
    affine = sample.problem.graph.nodes[-1].op
    assert isinstance(affine, Affine)
    assert affine.bias is not None
    domains = sample.domains
    box = (domains.lower[0].numpy(), domains.upper[0].numpy())
    strips = (domains.low[0].numpy() + INSET, domains.high[0].numpy() - INSET)
    normals = np.concatenate([affine.weight[1:, :3], np.eye(3), np.eye(3), *[domains.directions.numpy()] * 2])
    ends = np.concatenate([INSET - affine.bias[1:], *box, *strips])
    triples = np.array(list(itertools.combinations(range(len(ends)), 3)))
    matrices = normals[triples]
    regular = np.abs(np.linalg.det(matrices)) > 1e-6
    found = np.linalg.solve(matrices[regular], ends[triples[regular]][..., None])[..., 0]
    across = found @ domains.directions.numpy().T
    inside = (found >= box[0]).all(axis=1) & (found <= box[1]).all(axis=1)
    inside &= (across >= strips[0] - INSET / 2).all(axis=1) & (across <= strips[1] + INSET / 2).all(axis=1)
    return replace(sample, points=np.concatenate([sample.points[:20], found[inside]]))


@pytest.mark.parametrize("shared", [0.0, 1.0])
@pytest.mark.parametrize("strips", [0, 2])
def test_closings_of_half_spaces_are_true(shared: float, strips: int) -> None:
    """Linear inputs: the planes are the truth, so that a closing that counts wrongly shows at once."""
    closed = 0
    for seed in range(3):
        sample = sample_of(half_spaces(seed, shared), np.random.default_rng(seed), strips)
        closed += check(corners(sample), 0)
    assert closed >= 2, "the joint step must close something here, else this test says nothing"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("strips", [0, 2])
def test_no_closing_of_larger_networks_where_points_violate_together(seed: int, strips: int) -> None:
    problem = trained_like(seed)
    sample = sample_of(problem, np.random.default_rng(seed), strips)
    low, high = sample.domains.lower[0].numpy(), sample.domains.upper[0].numpy()
    domain = replace(problem.domain, lower=low, upper=high)
    (question,) = problem.all_questions()
    climbed = climb(
        FloatOracle(replace(problem, domain=domain)), question, np.random.default_rng(seed), starts=8, rounds=1
    )
    across = climbed.triggers @ sample.domains.directions.numpy().T
    fits = (across >= sample.domains.low.numpy()).all(axis=1) & (across <= sample.domains.high.numpy()).all(axis=1)
    worst = climbed.triggers[fits][np.argsort(-climbed.counts[fits])[:40]]
    inside = worst[(worst >= low).all(axis=1) & (worst <= high).all(axis=1)]
    check(replace(sample, points=np.concatenate([inside, sample.points[:20]])), 2)


@pytest.mark.soak
@MUCH
@given(samples(), st.sampled_from([0, 2]))
def test_a_thousand_domains(sample: Sample, rounds: int) -> None:
    check(sample, rounds)
