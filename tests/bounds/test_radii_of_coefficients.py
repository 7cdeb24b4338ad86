"""What is added to coefficients brings its radius, and few unstable neurons count as all of them do."""

from __future__ import annotations

import torch

from verifluxa.bounds.crown import RelaxedLayer, _reach, backward


def _layer(weight: torch.Tensor, gap: torch.Tensor, offset: float, radius: float) -> RelaxedLayer:
    zero = torch.zeros_like(gap)
    return RelaxedLayer(weight, zero, zero, gap, zero, torch.full_like(gap, offset), torch.full_like(gap, radius))


def test_a_multiplier_counts_offset_and_radius_of_its_pre_activation() -> None:
    """`beta z`, z within the radius of `tau + offset`, behind a relu that is 0: nothing else is left."""
    layer = _layer(torch.eye(1).double(), torch.zeros(1, 1).double(), 0.5, 0.25)
    for beta in (2.0, -2.0):
        value, slope = backward(
            [layer], torch.ones(1, 1, 1).double(), torch.zeros(1, 1).double(), [torch.tensor([[beta]]).double()]
        )
        assert float(value) == beta * 0.5 + abs(beta) * 0.25
        assert float(slope) == beta


def test_few_unstable_neurons_reach_as_far_as_by_the_definition() -> None:
    random = torch.Generator().manual_seed(0)
    weight, rows = (torch.randn(size, generator=random, dtype=torch.float64) for size in ((8, 3), (2, 5, 8)))
    gap = torch.zeros(2, 8).double()
    gap[0, 1], gap[0, 6], gap[1, 3] = 0.5, 1.0, 0.75
    expected = (rows.abs() * gap[:, None] / 2) @ weight
    torch.testing.assert_close(_reach(rows, _layer(weight, gap, 0.0, 0.0)), expected)
