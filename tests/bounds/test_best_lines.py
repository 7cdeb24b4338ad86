"""Lines waste nearly the least area: at the middle of an interval they touch the hull of the function, or nearly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from verifluxa.bounds.functions import FUNCTIONS, Parameters, relax
from verifluxa.bounds.smooth import SMOOTH

Floats = NDArray[np.float64]
CASES: list[tuple[str, Parameters, float]] = [
    ("relu", (), 1e-6),
    ("leakyrelu", (0.1,), 1e-6),
    ("clip", (-1.0, 1.0), 1e-6),
    ("sigmoid", (), 1e-6),
    ("tanh", (), 1e-5),
    ("trelu", (1.0,), 1e-6),
    *((name, (), 0.002 + row.curvature / 20) for name, row in SMOOTH.items()),
]
"""Function, parameters, and how far a line may be from the hull at the middle."""


def hull(points: Floats, values: Floats, at: float) -> float:
    """The upper hull of a sampled function at a point."""
    kept: list[tuple[float, float]] = []
    for x, y in zip(points, values, strict=True):
        while len(kept) > 1 and (kept[-1][1] - kept[-2][1]) * (x - kept[-2][0]) <= (y - kept[-2][1]) * (
            kept[-1][0] - kept[-2][0]
        ):
            kept.pop()
        kept.append((x, y))
    corners = np.array(kept)
    return float(np.interp(at, corners[:, 0], corners[:, 1]))


@pytest.mark.parametrize(("name", "parameters", "waste"), CASES, ids=[case[0] for case in CASES])
def test_no_line_is_much_closer_at_the_middle(name: str, parameters: Parameters, waste: float) -> None:
    random = np.random.default_rng(0)
    for _ in range(15):
        lower = random.normal() * 4
        upper = lower + 10 ** random.uniform(-1.5, 1.2)
        # A jump needs both its sides.
        corners = [1.0, np.nextafter(1.0, 2.0)] if name == "trelu" else [0.0, 1.0, -1.0]
        z = np.append(np.linspace(lower, upper, 1001), corners)
        z = np.unique(z.clip(lower, upper))
        value = FUNCTIONS[name].value(torch.as_tensor(z), parameters).numpy()
        ends = (torch.tensor([end], dtype=torch.float64) for end in (lower, upper))
        lines = [float(part) for part in relax(name, *ends, parameters)]
        middle = (lower + upper) / 2
        above, below = lines[2] * middle + lines[3], lines[0] * middle + lines[1]
        # The ramps between two lines that are as good as each other lie a little higher.
        near = waste + 2e-4 * (upper - lower)
        assert above - hull(z, value, middle) <= near
        assert -hull(z, -value, middle) - below <= near


def test_the_tangent_of_an_s_shape_is_at_the_middle_where_it_may() -> None:
    lines = relax("tanh", torch.tensor([-1.0]).double(), torch.tensor([9.0]).double(), ())
    assert float(lines.upper_slope) == pytest.approx(1 - np.tanh(4) ** 2)
    lines = relax("tanh", torch.tensor([-3.0]).double(), torch.tensor([3.0]).double(), ())
    touching = float(lines.upper_slope) * -3 + float(lines.upper_intercept)
    assert touching == pytest.approx(np.tanh(-3)), "the middle is too early: the line through the lower end"
