"""Boxes cut by strips: the bound of a linear function lies above its values, and close where it is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linprog
from torch import Tensor

from verifluxa.bounds.clip import CLIP_MULTIPLIERS, lagrange
from verifluxa.bounds.crown import LinearBounds
from verifluxa.bounds.domain import Domains, Geometry, geometry_of, rise_and_fall, spread_shared

Floats = NDArray[np.float64]
PLENTY = settings(max_examples=50, deadline=None, derandomize=True)


def domains(box: list[tuple[float, float]], *strips: tuple[list[float], float, float]) -> Domains:
    """A batch of one: ends per coordinate, and strips as (direction, low, high)."""
    lower, upper = (torch.tensor([[ends[k] for ends in box]], dtype=torch.float64) for k in (0, 1))
    directions = torch.tensor([s[0] for s in strips], dtype=torch.float64).reshape(len(strips), len(box))
    low, high = (torch.tensor([[s[k] for s in strips]], dtype=torch.float64).reshape(1, -1) for k in (1, 2))
    return Domains(lower, upper, directions, low, high)


def both(rows: Tensor, shape: Geometry) -> list[tuple[Tensor, Tensor]]:
    """Up and down of rows (r, d) of a batch of one domain, by both ways of bounding."""
    one = torch.zeros(1, dtype=torch.long)
    found = (rise_and_fall(rows[None], one, shape), spread_shared(rows[None], shape))
    return [(up[0], down[0]) for up, down in found]


def points(given: Domains, count: int, random: np.random.Generator) -> Floats:
    """Points of a box that lie in the strips too, shape (T, d), possibly none."""
    low, high = given.lower[0].numpy(), given.upper[0].numpy()
    where = random.random((count, len(low)))
    where[::2] = np.round(where[::2])
    found: Floats = low + where * (high - low)
    across = found @ given.directions.numpy().T
    keep = (across >= given.low[0].numpy()).all(1) & (across <= given.high[0].numpy()).all(1)
    return np.compress(keep, found, axis=0)


@st.composite
def cut_boxes(draw: st.DrawFn) -> tuple[Domains, int]:
    """A box of any widths, zero too, cut by strips around one of its points; and a seed."""
    size, strips = draw(st.integers(1, 6)), draw(st.integers(0, 4))
    seed = draw(st.integers(0, 2**32 - 1))
    random = np.random.default_rng(seed)
    scale = 10.0 ** draw(st.integers(-3, 5))
    middle = random.normal(0, scale, size)
    half = random.random(size) * scale * random.integers(0, 2, size)
    directions = random.normal(0, 1, (strips, size))
    if draw(st.booleans()):
        directions[:, 0] = 0.0
    inside = middle + random.uniform(-1, 1, size) * half
    thin = 10.0 ** draw(st.integers(-9, 0))
    reach = np.abs(directions) @ half * thin
    across = directions @ inside
    box = list(zip((middle - half).tolist(), (middle + half).tolist(), strict=True))
    ends = zip(directions.tolist(), (across - reach).tolist(), (across + reach).tolist(), strict=True)
    return domains(box, *ends), seed


@PLENTY
@given(cut_boxes())
def test_no_point_of_a_domain_exceeds_the_bound(setting: tuple[Domains, int]) -> None:
    given_, seed = setting
    random = np.random.default_rng(seed)
    shape = geometry_of(given_)
    rows = torch.as_tensor(random.normal(0, 1, (4, given_.lower.shape[1])))
    found = points(given_, 400, random)
    for up, down in both(torch.cat([rows, given_.directions, -given_.directions]), shape):
        offsets = torch.as_tensor(found) - shape.center
        values = offsets @ torch.cat([rows, given_.directions, -given_.directions]).T
        slack = 1e-12 * (1 + shape.largest.abs().sum())
        assert (values <= up + slack).all()
        assert (-values <= down + slack).all()
    assert not (len(found) and bool(shape.empty.any()))


@PLENTY
@given(cut_boxes())
def test_the_bound_is_never_below_the_optimum(setting: tuple[Domains, int]) -> None:
    """Against a linear program, whose optimum no sound bound can be below; and never above the plain box."""
    given_, seed = setting
    random = np.random.default_rng(seed)
    shape = geometry_of(given_)
    row = random.normal(0, 1, given_.lower.shape[1])
    best = optimum(given_, row)
    for up, _ in both(torch.as_tensor(row)[None], shape):
        above = float(up[0]) + float(shape.center[0] @ torch.as_tensor(row))
        scale = 1 + float(shape.largest.abs().sum())
        assert best is None or above >= best - 1e-7 * scale
        assert float(up[0]) <= float(shape.half[0] @ torch.as_tensor(np.abs(row))) * (1 + 1e-12)


def optimum(given_: Domains, row: Floats) -> float | None:
    """The largest value of a linear function, or None where the solver finds no point."""
    directions = given_.directions.numpy()
    bounds = list(zip(given_.lower[0].tolist(), given_.upper[0].tolist(), strict=True))
    limits = np.concatenate([given_.high[0].numpy(), -given_.low[0].numpy()])
    solved = linprog(-row, np.concatenate([directions, -directions]), limits, bounds=bounds)
    return -float(solved.fun) if solved.status == 0 else None


@PLENTY
@given(cut_boxes())
def test_a_half_space_leaves_what_its_formula_says(setting: tuple[Domains, int]) -> None:
    """Rows of three claims, one of them without any: m + lambda b + spread(c + lambda a), and no point above it."""
    given_, seed = setting
    random, shape = np.random.default_rng(seed), geometry_of(given_)
    size = given_.lower.shape[1]

    def planes(count: int) -> LinearBounds:
        return LinearBounds(
            torch.as_tensor(random.normal(0, 1, count)), torch.as_tensor(random.normal(0, 1, (count, size)))
        )

    rows, cuts, of = (planes(5), planes(5)), planes(3), torch.tensor([0, 0, 0, 2, 2])
    zero = torch.zeros(3, dtype=torch.long)
    offsets = torch.as_tensor(points(given_, 200, random)) - shape.center
    allowed = cuts.value + offsets @ cuts.slope.T >= 0
    slack = 1e-11 * (1 + shape.largest.abs().sum())
    for row, found in zip(rows, lagrange(*rows, of, zero, cuts, shape), strict=True):
        values = row.value + offsets @ row.slope.T
        assert ((values <= found + slack) | ~allowed[:, of]).all()
        for at, claim in enumerate(of.tolist()):
            reach = float(row.slope[at].abs() @ shape.half[0]), float(cuts.slope[claim].abs() @ shape.half[0])
            shares = torch.tensor(CLIP_MULTIPLIERS).double() * (reach[0] / max(reach[1], 1e-300))
            slopes = row.slope[at] + shares[:, None] * cuts.slope[claim]
            rise = rise_and_fall(slopes[None], zero[:1], shape)[0][0]
            exact = (row.value[at] + shares * cuts.value[claim] + rise).min()
            torch.testing.assert_close(found[at], exact, rtol=1e-6, atol=float(slack))


def test_a_plain_box_is_exact() -> None:
    given_ = domains([(-1.0, 3.0), (2.0, 2.0), (0.0, 255.0)])
    shape = geometry_of(given_)
    rows = torch.tensor([[1.0, -5.0, 0.0], [2.0, 1.0, -1.0]], dtype=torch.float64)
    for up, down in both(rows, shape):
        torch.testing.assert_close(up, torch.tensor([2.0, 4 + 127.5]).double(), rtol=1e-14, atol=0)
        assert (up == down).all()
    assert shape.largest.tolist() == [[3.0, 2.0, 255.0]]
    assert shape.center.tolist() == [[1.0, 2.0, 127.5]]
    assert not shape.empty.any()
    assert (shape.half >= given_.upper - shape.center).all()
    assert (shape.half >= shape.center - given_.lower).all()


@pytest.mark.parametrize(("low", "high"), [(0.1, 0.3), (1e6, 1e6 + 1), (-1e-300, 1e-300), (-7.0, -7.0), (1 / 3, 2 / 3)])
def test_the_half_width_reaches_both_ends(low: float, high: float) -> None:
    shape = geometry_of(domains([(low, high)]))
    center, half = float(shape.center), float(shape.half)
    assert center - half <= low <= high <= center + half


def test_a_strip_along_a_coordinate_is_nearly_exact() -> None:
    shape = geometry_of(domains([(0.0, 10.0), (0.0, 10.0)], ([1.0, 0.0], 2.0, 3.0)))
    row = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    up, down = spread_shared(row[None], shape)
    torch.testing.assert_close(up[0], torch.tensor([-2.0, 5.0]).double(), rtol=0, atol=2e-3)
    torch.testing.assert_close(down[0], torch.tensor([3.0, 5.0]).double(), rtol=0, atol=2e-3)


def test_a_diagonal_strip_cuts_the_corners() -> None:
    """max of x + y over [0, 10]^2 with 4 <= x + y <= 5 is 5, not 20."""
    shape = geometry_of(domains([(0.0, 10.0), (0.0, 10.0)], ([1.0, 1.0], 4.0, 5.0)))
    for up, down in both(torch.tensor([[1.0, 1.0]], dtype=torch.float64), shape):
        assert float(up) + 10 == pytest.approx(5, abs=0.5)
        assert 10 - float(down) == pytest.approx(4, abs=0.5)
    up, down = spread_shared(torch.tensor([[[1.0, 1.0], [1.0, 0.9]]], dtype=torch.float64), shape)
    assert float(up[0, 0]) + 10 == pytest.approx(5, abs=2e-3)
    assert float(up[0, 1]) + 9.5 == pytest.approx(5, abs=0.5)


def test_strips_are_tightened_by_the_box() -> None:
    """A strip that is wider than the box costs nothing, and says nothing of any function."""
    wide = geometry_of(domains([(0.0, 1.0)] * 3, ([1.0, 1.0, 1.0], -50.0, 1000.0)))
    tight = geometry_of(domains([(0.0, 1.0)] * 3, ([1.0, 1.0, 1.0], 0.0, 3.0)))
    assert float(wide.slab_half) == pytest.approx(1.5, abs=1e-6)
    torch.testing.assert_close(wide.slab_half, tight.slab_half, rtol=1e-6, atol=1e-6)
    assert not wide.empty.any()
    plain = geometry_of(domains([(0.0, 1.0)] * 3))
    rows = torch.randn(50, 3, generator=torch.Generator().manual_seed(1)).double()
    for with_strips, without in zip(both(rows, wide), both(rows, plain), strict=True):
        assert torch.equal(torch.stack(with_strips), torch.stack(without))


@pytest.mark.parametrize(
    ("low", "high", "empty"),
    [
        (3.1, 4.0, True),
        (-2.0, -1e-3, True),
        (3.0, 4.0, False),
        (-1.0, 0.0, False),
        (1.5, 1.5, False),
        (3 + 1e-12, 4.0, False),
        (2.0, 1.0, True),
    ],
)
def test_empty_only_with_a_margin(low: float, high: float, empty: bool) -> None:
    """Touching is not empty: a hair's breadth may be the rounding of the sums."""
    shape = geometry_of(domains([(0.0, 1.0)] * 3, ([1.0, 1.0, 1.0], low, high)))
    assert bool(shape.empty) == empty
    assert bool((shape.slab_half >= 0).all())


def test_two_strips_that_contradict_each_other_are_empty() -> None:
    strips = (([1.0, 1.0], 0.0, 0.5), ([1.0, 1.0000001], 1.5, 2.0))
    assert bool(geometry_of(domains([(0.0, 1.0), (0.0, 1.0)], *strips)).empty)


def test_domains_of_a_batch_do_not_meddle_with_each_other() -> None:
    single = [
        domains([(0.0, 2.0), (0.0, 1.0)], ([1.0, -1.0], 0.0, 0.5)),
        domains([(5.0, 5.0), (0.0, 1.0)], ([1.0, -1.0], 4.0, 4.25)),
        domains([(0.0, 1.0), (0.0, 1.0)], ([1.0, -1.0], 7.0, 8.0)),
    ]
    joined = Domains(
        torch.cat([d.lower for d in single]),
        torch.cat([d.upper for d in single]),
        single[0].directions,
        torch.cat([d.low for d in single]),
        torch.cat([d.high for d in single]),
    )
    rows = torch.tensor([[1.0, 2.0], [-1.0, 0.5]], dtype=torch.float64)
    batch = geometry_of(joined)
    order = torch.tensor([2, 0, 1, 0])
    ups, downs = rise_and_fall(rows.expand(4, -1, -1), order, batch)
    shared = spread_shared(rows.expand(3, -1, -1), batch)
    assert batch.empty.tolist() == [False, False, True]
    for place, number in enumerate(order.tolist()):
        (up, down), _ = both(rows, geometry_of(single[number]))
        torch.testing.assert_close(ups[place], up)
        torch.testing.assert_close(downs[place], down)
    for number, one in enumerate(single):
        _, (up, down) = both(rows, geometry_of(one))
        torch.testing.assert_close(shared[0][number], up)
        torch.testing.assert_close(shared[1][number], down)


def test_nan_in_a_row_gives_no_bound() -> None:
    for given_ in (domains([(0.0, 1.0)] * 2), domains([(0.0, 1.0)] * 2, ([1.0, 1.0], 0.2, 0.4))):
        for up, down in both(torch.tensor([[np.nan, 1.0]], dtype=torch.float64), geometry_of(given_)):
            assert torch.isnan(up).all()
            assert torch.isnan(down).all()


def test_directions_that_repeat_or_vanish_are_harmless() -> None:
    """Nothing rests on their independence: the same strip twice, and one without a direction."""
    once = domains([(0.0, 10.0)] * 2, ([1.0, 1.0], 4.0, 5.0))
    again = domains([(0.0, 10.0)] * 2, ([1.0, 1.0], 4.0, 5.0), ([1.0, 1.0], 4.0, 5.0), ([0.0, 0.0], -1.0, 1.0))
    row = torch.tensor([[1.0, 1.0]], dtype=torch.float64)
    for (first, _), (second, _) in zip(both(row, geometry_of(once)), both(row, geometry_of(again)), strict=True):
        assert torch.isfinite(second).all()
        assert float(second) == pytest.approx(float(first), abs=0.2)


@pytest.mark.parametrize("strips", [(), (([1.0, 2.0], -1.0, 1.0),)])
@pytest.mark.parametrize("turned", [False, True])
def test_rows_that_may_be_written_over_spread_as_far(strips: tuple, turned: bool) -> None:
    shape = geometry_of(domains([(-1.0, 2.0), (0.0, 0.5)], *strips))
    rows = torch.tensor([[[1.0, -2.0], [-3.0, 0.5], [0.0, -1.0]]], dtype=torch.float64)
    rows = rows.transpose(1, 2).contiguous().transpose(1, 2) if turned else rows
    one, kept = torch.zeros(1, dtype=torch.long), rows.clone()
    wanted = rise_and_fall(rows, one, shape)
    assert torch.equal(rows, kept), "they stay as they are unless they may be written over"
    for found, own in zip(rise_and_fall(rows, one, shape, spare=True), wanted, strict=True):
        assert torch.equal(found, own)
