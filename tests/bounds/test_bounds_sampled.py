"""At sampled points of random domains of random networks, no value lies outside any bound."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from tests.bounds.samples import Sample, sample_of, samples
from tests.soundness.build import digested
from tests.soundness.floats import evaluate, stamped
from tests.soundness.test_attack_off import trained_like
from tests.soundness.truth import Oracle
from verifluxa.bounds.clip import self_clip
from verifluxa.bounds.domain import rise_and_fall, spread_shared
from verifluxa.bounds.linear import LayerBounds, bound_all_layers
from verifluxa.bounds.net import Net
from verifluxa.evidence import CONTRADICTED, OPEN
from verifluxa.search.disjuncts import DisjunctBounds, constraint_bounds, decide_disjuncts
from verifluxa.search.workspace import Claims

SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large)
LITTLE = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=SLOW)
MUCH = settings(max_examples=1000, deadline=None, derandomize=True, suppress_health_check=SLOW)
ROUNDING = 1e-9
"""What float64 sums on the way to a compared value may be off, relative to its size."""
Floats = NDArray[np.float64]


def above(bound: Floats, value: Floats) -> None:
    """Every value lies below its bound."""
    slack = ROUNDING * (1 + np.abs(bound) + np.abs(value))
    assert (value <= bound + slack).all(), float((value - bound).max())


def exact_rows(sample: Sample) -> Floats:
    """Exact row values of all inputs at all points, rounded at the end, shape (T, N, R)."""
    everyone = np.arange(len(sample.problem.inputs), dtype=np.int64)
    oracle = Oracle(replace(sample.problem, selections=(everyone,)))
    points = [tuple(Fraction(float(value)) for value in point) for point in sample.points]
    fractions = oracle.answers(sample.question, points).values.fractions()
    return np.asarray(fractions, np.float64)


def states(sample: Sample) -> list[Floats]:
    """Pre-activations of every layer of the local network at all points, shape (T, N, n) each."""
    net, count = sample.net, len(sample.problem.inputs)
    inputs = torch.arange(count).repeat(len(sample.points))
    state = torch.as_tensor(sample.points).repeat_interleave(count, 0)
    result = []
    for layer in net.layers:
        z = state @ layer.weight.T + layer.offset_of(inputs)
        result.append(z.numpy().reshape(len(sample.points), count, -1))
        state = layer.apply(z)
    return result


def all_rows(sample: Sample) -> Tensor:
    """Every row of the problem for every input, shape (N, R)."""
    return torch.arange(len(sample.problem.constraints.constants)).expand(len(sample.problem.inputs), -1)


def check_planes(sample: Sample, layers: list[LayerBounds], rows: Floats) -> None:
    """Upper planes of all rows lie above the given row values (T, N, R) at the points, and below `upper`."""
    everything = torch.arange(len(sample.problem.inputs))
    planes = constraint_bounds(sample.scene, layers, everything, sample.pairs, all_rows(sample))
    at = planes.value.numpy() + np.einsum("nrd,td->tnr", planes.slope.numpy(), sample.offsets)
    above(at, rows)
    above(np.broadcast_to(planes.upper.numpy(), at.shape), at)


def check_layers(layers: list[LayerBounds], values: list[Floats]) -> None:
    """Every pre-activation (T, N, n) lies between its bounds."""
    for bounds, z in zip(layers, values, strict=True):
        above(np.broadcast_to(bounds.upper.numpy(), z.shape), z)
        above(-np.broadcast_to(bounds.lower.numpy(), z.shape), -z)


@LITTLE
@given(samples())
def test_the_local_network_is_the_whole_one(sample: Sample) -> None:
    """Locality, layouts, windows, pools: the chain gives the rows of the exact evaluation of the graph."""
    outputs = states(sample)[-1]
    rows = outputs @ sample.problem.constraints.coefficients.T + sample.problem.constraints.constants
    np.testing.assert_allclose(rows, exact_rows(sample), rtol=ROUNDING, atol=ROUNDING)


def check_bounds(sample: Sample, method: str) -> None:
    """Layers and row planes of one method."""
    layers = bound_all_layers(sample.net, sample.geometry, sample.pairs, method)
    check_layers(layers, states(sample))
    check_planes(sample, layers, exact_rows(sample))


@pytest.mark.parametrize("method", ["interval", "crown"])
@LITTLE
@given(samples())
def test_bounds_hold(method: str, sample: Sample) -> None:
    check_bounds(sample, method)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("strips", [0, 3])
def test_bounds_of_larger_networks_hold(seed: int, strips: int) -> None:
    sample = sample_of(trained_like(seed), np.random.default_rng(seed), strips)
    check_bounds(sample, "crown")
    check_clipping(sample)


@LITTLE
@given(samples(), st.integers(0, 2**32 - 1))
def test_linear_functions_over_strips_are_not_exceeded(sample: Sample, seed: int) -> None:
    rows = torch.as_tensor(np.random.default_rng(seed).standard_normal((1, 4, len(sample.points[0]))))
    values = np.einsum("rd,td->tr", rows[0].numpy(), sample.offsets)
    for up, down in (
        rise_and_fall(rows, torch.zeros(1, dtype=torch.long), sample.geometry),
        spread_shared(rows, sample.geometry),
    ):
        above(np.broadcast_to(up.numpy(), values.shape), values)
        above(np.broadcast_to(down.numpy(), values.shape), -values)


def test_a_domain_with_points_is_not_empty() -> None:
    problem = trained_like(1)
    for seed in range(30):
        sample = sample_of(problem, np.random.default_rng(seed), 2)
        assert not sample.geometry.empty.any()


def claims_of(sample: Sample) -> Claims:
    """All claims of the question."""
    return sample.work.claims(sample.question.violation, sample.question.selection)


def met_claims(sample: Sample, claims: Claims, rows: Floats) -> NDArray[np.bool_]:
    """At which points (T, C) each claim is met (at 0 too), from row values (T, N, R)."""
    alternatives = sample.work.alternatives[claims.alternative].numpy()
    columns = [
        (rows[:, int(i)][:, sorted(set(own.tolist()))] >= 0).all(axis=1)
        for i, own in zip(claims.input, alternatives, strict=True)
    ]
    return np.stack(columns, axis=1) if columns else np.zeros((len(rows), 0), dtype=bool)


def check_clipping(sample: Sample) -> None:
    """Two rounds of self-clipping: wherever a claim is met, its clipped bounds and planes hold."""
    claims, rows, values = claims_of(sample), exact_rows(sample), states(sample)
    if not len(claims):
        return
    met = met_claims(sample, claims, rows)
    pairs = sample.pairs.take(claims.input)
    layers = bound_all_layers(sample.net, sample.geometry, pairs)
    index, own = torch.arange(len(claims)), sample.work.alternatives[claims.alternative]
    for _ in range(2):
        planes = constraint_bounds(sample.scene, layers, index, pairs, own)
        clipped = self_clip(sample.net, layers, sample.geometry, pairs, planes.row(planes.tightest()))
        assert not (clipped.contradicted.numpy() & met.any(axis=0)).any(), "contradicted, and met at a point"
        layers = clipped.layers
        for claim in range(len(claims)):
            there, input_ = met[:, claim], int(claims.input[claim])
            for bounds, z in zip(layers, values, strict=True):
                above(np.broadcast_to(bounds.upper[claim].numpy(), z[there, input_].shape), z[there, input_])
                above(-np.broadcast_to(bounds.lower[claim].numpy(), z[there, input_].shape), -z[there, input_])
        planes = constraint_bounds(sample.scene, layers, index, pairs, own)
        at = planes.value.numpy() + np.einsum("crd,td->tcr", planes.slope.numpy(), sample.offsets)
        truly = np.stack([rows[:, int(i)][:, r.numpy()] for i, r in zip(claims.input, own, strict=True)], axis=1)
        above(np.where(met[..., None], at, np.inf), truly)


@LITTLE
@given(samples())
def test_clipped_bounds_hold_where_the_claim_is_met(sample: Sample) -> None:
    check_clipping(sample)


@pytest.mark.parametrize("rounds", [0, 2])
@LITTLE
@given(samples())
def test_claims_that_fall_are_met_nowhere(rounds: int, sample: Sample) -> None:
    claims = claims_of(sample)
    if not len(claims):
        return
    met = met_claims(sample, claims, exact_rows(sample))
    pairs = sample.pairs.take(claims.input)
    layers = bound_all_layers(sample.net, sample.geometry, pairs)
    verdicts = decide_disjuncts(sample.scene, layers, pairs, claims, rounds)
    fell = (verdicts.row != OPEN).numpy()
    assert (fell == ~verdicts.alive.numpy()).all()
    assert not (fell & met.any(axis=0)).any()
    assert rounds or not (verdicts.row == CONTRADICTED).any()
    check_last(sample, verdicts.last, met, claims)


def check_last(sample: Sample, last: DisjunctBounds, met: NDArray[np.bool_], claims: Claims) -> None:
    """What is handed to the joint step speaks of the right claims, and holds where they are met."""
    assert (last.pairs.input == claims.input[last.at]).all()
    values = states(sample)
    for place, claim in enumerate(last.at.tolist()):
        there, input_ = met[:, claim], int(claims.input[claim])
        for bounds, z in zip(last.layers, values, strict=True):
            above(np.broadcast_to(bounds.upper[place].numpy(), z[there, input_].shape), z[there, input_])
            above(-np.broadcast_to(bounds.lower[place].numpy(), z[there, input_].shape), -z[there, input_])


def check_float32(sample: Sample, seed: int) -> None:
    """Row planes with float32 radii lie above the rows of sampled evaluations of triggers that float32 holds."""
    random = np.random.default_rng(seed)
    sample = replace(sample, problem=digested(replace(sample.problem, arithmetic="float32")))
    within = sample.points.astype(np.float32).astype(np.float64)
    low, high = sample.domains.lower.numpy(), sample.domains.upper.numpy()
    across = within @ sample.domains.directions.numpy().T
    fits = (across >= sample.domains.low.numpy()).all(axis=1) & (across <= sample.domains.high.numpy()).all(axis=1)
    within = within[(within >= low).all(axis=1) & (within <= high).all(axis=1) & fits]
    sample = replace(sample, points=within)
    layers = bound_all_layers(sample.net, sample.geometry, sample.pairs)
    stamp, problem = sample.problem.placements[0].stamp, sample.problem
    inputs = np.concatenate([stamped(stamp, problem.inputs, point) for point in within]) if len(within) else None
    if inputs is None:
        return
    for _ in range(4):
        outputs = evaluate(problem.graph, inputs, random).reshape(len(within), len(problem.inputs), -1)
        rows = outputs.astype(np.float64) @ problem.constraints.coefficients.T + problem.constraints.constants
        check_planes(sample, layers, rows)


@LITTLE
@given(samples(), st.integers(0, 2**32 - 1))
def test_float32_bounds_hold_in_any_order_of_summation(sample: Sample, seed: int) -> None:
    check_float32(sample, seed)


@pytest.mark.parametrize("seed", range(4))
def test_float32_bounds_of_larger_networks_hold(seed: int) -> None:
    random = np.random.default_rng(seed)
    check_float32(sample_of(trained_like(seed), random, 0), seed)


@pytest.mark.soak
@MUCH
@given(samples(), st.integers(0, 2**32 - 1))
def test_a_thousand_networks(sample: Sample, seed: int) -> None:
    for method in ("interval", "crown"):
        check_bounds(sample, method)
    check_clipping(sample)
    check_float32(sample, seed)


def test_the_engine_sees_the_layers_that_are_checked() -> None:
    """The larger networks have unstable neurons to relax and to clip, else the tests above would be empty."""
    sample = sample_of(trained_like(3), np.random.default_rng(3), 2)
    layers = bound_all_layers(sample.net, sample.geometry, sample.pairs)
    assert len(layers) >= 3
    assert all(len(bounds.chosen.flat) for bounds in layers[:-1])
    assert isinstance(sample.net, Net)
