"""Chosen slopes and split neurons: any choice is sound at sampled points, and optimising never loses anything."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from hypothesis import given
from torch import Tensor

from tests.bounds.samples import Sample, samples
from tests.bounds.test_bounds_sampled import LITTLE, above, all_rows, exact_rows, states
from verifluxa.bounds.alpha import (
    LEVELS,
    BoundParameters,
    default_parameters,
    least_slope,
    nearest_levels,
    slope_of,
    supports_alpha,
    unstable_neurons,
)
from verifluxa.bounds.crown import LinearBounds
from verifluxa.bounds.linear import LayerBounds, bound_all_layers
from verifluxa.bounds.optimise import BoundTask, OptimisedBounds, optimise_bounds
from verifluxa.search.disjuncts import constraint_bounds, with_signs

Floats = np.ndarray


def task_of(sample: Sample, layers: list[LayerBounds], row: int, signs: list[Tensor] | None = None) -> BoundTask:
    """Every input with one and the same row."""
    count, work = len(sample.pairs.input), sample.work
    return BoundTask.alone(
        sample.net,
        layers,
        sample.geometry,
        sample.pairs,
        work.coefficients[row].expand(count, -1),
        work.row_constants[row].expand(count),
        torch.full((count,), -torch.inf, dtype=torch.float64),
        signs,
    )


def largest_of(task: BoundTask, chosen: BoundParameters) -> Tensor:
    return OptimisedBounds(task, chosen, task.bounds(chosen)).largest


def values_of(plane: LinearBounds, sample: Sample) -> np.ndarray:
    """Values of the planes of all inputs at the points, shape (T, N)."""
    value, slope = plane
    return np.asarray(value.numpy() + sample.offsets @ slope.numpy().T)


def some_slopes(sample: Sample, layers: list[LayerBounds], random: np.random.Generator) -> list[Tensor]:
    """Any slopes that are sound where a choice is allowed."""
    rule = default_parameters(sample.net, layers).alphas
    found = []
    for layer, bounds, own in zip(sample.net.hidden, layers, rule, strict=False):
        least = least_slope(layer)
        any_ = torch.as_tensor(random.choice([0.0, 1.0, 0.3, 0.77], size=tuple(own.shape))).clamp(min=least)
        found.append(torch.where(unstable_neurons(layer, bounds), any_, own))
    return found


@LITTLE
@given(samples())
def test_the_default_rule_gives_the_planes_of_crown(sample: Sample) -> None:
    layers = bound_all_layers(sample.net, sample.geometry, sample.pairs)
    rows = all_rows(sample)
    found = constraint_bounds(sample.scene, layers, torch.arange(len(rows)), sample.pairs, rows)
    for row in range(rows.shape[1]):
        value, slope = task_of(sample, layers, row).bounds(default_parameters(sample.net, layers))
        torch.testing.assert_close(value, found.value[:, row], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(slope, found.slope[:, row], rtol=1e-9, atol=1e-9)


@LITTLE
@given(samples())
def test_any_slopes_and_multipliers_hold_where_the_splits_do(sample: Sample) -> None:
    random = np.random.default_rng(len(sample.points))
    values, rows = states(sample), exact_rows(sample)
    at = int(random.integers(len(sample.points)))
    count = len(sample.pairs.input)
    signs = []
    for z, layer in zip(values, sample.net.hidden, strict=False):
        known = torch.as_tensor(np.where(z[at] >= 0, 1.0, -1.0) * (random.random(z[at].shape) < 0.4))
        signs.append(known if layer.linear is None else torch.where(layer.linear, torch.zeros_like(known), known))
    layers, gone = with_signs(sample.net, sample.geometry, sample.pairs, signs)
    assert not bool(gone.any()), "the point has these signs"
    holds = np.ones((len(sample.points), count), dtype=bool)
    for z, sign in zip(values, signs, strict=False):
        holds &= (z * sign.numpy() >= 0).all(2)
    assert holds[at].all()
    for row in range(rows.shape[2]):
        task = task_of(sample, layers, row, signs)
        betas = [sign * torch.as_tensor(random.exponential(size=tuple(sign.shape))) for sign in signs]
        chosen = replace(
            default_parameters(sample.net, layers), alphas=some_slopes(sample, layers, random), betas=betas
        )
        plane = values_of(task.bounds(chosen), sample)
        above(np.where(holds, plane, np.inf), np.where(holds, rows[..., row], -np.inf))


@LITTLE
@given(samples())
def test_optimising_is_sound_and_loses_nothing(sample: Sample) -> None:
    layers = bound_all_layers(sample.net, sample.geometry, sample.pairs)
    rows = exact_rows(sample)
    for row in range(min(2, rows.shape[2])):
        task = task_of(sample, layers, row)
        found = optimise_bounds(task, 8, 6)
        largest, before = found.largest, largest_of(task, default_parameters(sample.net, layers))
        size = 1 + before.abs() + sum((layer.lower.abs() + layer.upper.abs()).sum(1) for layer in layers)
        assert bool((largest <= before + 0.02 * size).all()), "rounding to a byte costs little"
        plane = values_of(found.bounds, sample)
        above(plane, rows[..., row])
        above(np.broadcast_to(largest.numpy(), plane.shape), plane)


@LITTLE
@given(samples())
def test_starting_from_a_parent_is_no_worse(sample: Sample) -> None:
    layers = bound_all_layers(sample.net, sample.geometry, sample.pairs)
    task = task_of(sample, layers, 0)
    found = optimise_bounds(task, 6, 6)
    largest, again = found.largest, optimise_bounds(task, 2, 6, found.chosen).largest
    assert bool((again <= largest + 1e-9 * (1 + largest.abs())).all())


def test_levels_are_bytes() -> None:
    slopes = torch.tensor([0.0, 0.001, 0.5, 1.0, 1.7, -0.2])
    assert nearest_levels(slopes).tolist() == [0.0, 0.0, 128.0, LEVELS, LEVELS, 0.0]


def test_a_leaky_slope_is_the_least() -> None:
    from tests.soundness.table import table
    from verifluxa.search.workspace import workspace_of

    net = workspace_of(table()["leaky ReLU, at its peak"].problem).net(0)
    layer = next(layer for layer in net.hidden if layer.function == "leakyrelu")
    assert least_slope(layer) > 0
    assert float(slope_of(torch.tensor([0.0]), layer)[0]) == least_slope(layer)
    assert supports_alpha(net)
    assert least_slope(replace(layer, function="relu")) == 0.0
