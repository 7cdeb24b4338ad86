"""The 0/1 program of the joint step on hand-made planes: every count against enumeration over all combinations."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.optimize import linprog

from verifluxa.certificate.check.region import Regions
from verifluxa.evidence import Joint
from verifluxa.search.joint import close_jointly, dual_value
from verifluxa.search.program import Box, PlaneTable

BOX = Box(np.ones(2), np.zeros((0, 2)), np.zeros(0), np.zeros(0))
WIDE = 20.0


def half_planes(slopes: np.ndarray, values: np.ndarray) -> PlaneTable:
    """One input with one claim and one plane `value + slope . t >= 0` each, on the square [-1, 1]^2."""
    count = len(values)
    everyone = np.arange(count)
    size = np.abs(slopes).sum(1) - values
    keep = size > 0
    return PlaneTable(
        everyone,
        everyone,
        np.zeros(count, dtype=np.int64),
        everyone[keep],
        np.zeros(int(keep.sum()), dtype=np.int64),
        np.zeros(int(keep.sum()), dtype=bool),
        values[keep],
        slopes[keep],
        size[keep] * (1 + 1e-9),
    )


def most_together(slopes: np.ndarray, values: np.ndarray) -> int:
    """The largest number of half-planes that share a point of the square."""
    for size in range(len(values), 0, -1):
        for chosen in itertools.combinations(range(len(values)), size):
            rows = list(chosen)
            found = linprog(np.zeros(2), A_ub=-slopes[rows], b_ub=values[rows], bounds=[(-1, 1)] * 2)
            if found.status == 0:
                return size
    return 0


def star(copies: int) -> tuple[np.ndarray, np.ndarray]:
    """Three half-planes, 120 degrees apart, of which no two meet in the square; each several times."""
    angles = np.arange(3) * 2 * np.pi / 3
    slopes = np.stack([np.cos(angles), np.sin(angles)], 1)
    return np.repeat(slopes, copies, axis=0), np.full(3 * copies, -0.9)


def check_leaves(planes: PlaneTable, joint: Joint, need: int, fixed: np.ndarray) -> int:
    """Recomputes the dual at every leaf; returns the number of leaves."""
    if joint.branch_on >= 0:
        total = 0
        for choice, child in enumerate(joint.children):
            below = fixed.copy()
            assert below[joint.branch_on] < 0
            below[joint.branch_on] = choice
            total += check_leaves(planes, child, need, below)
        return total
    weights = np.zeros(len(planes.value))
    for item in joint.weights:
        weights[list(planes.claim).index(item.input)] = item.weight
    value, _ = dual_value(planes, BOX, weights, np.array(joint.beta), fixed)
    assert value < need
    return 1


@pytest.mark.parametrize("copies", [2, 3, 5])
def test_what_cannot_be_together_is_closed_through_infeasible_cases(copies: int) -> None:
    slopes, values = star(copies)
    planes, need = half_planes(slopes, values), copies + 1
    relaxed, solved, _ = close_jointly(planes, BOX, need, -np.inf)
    assert relaxed is None
    assert solved is not None
    assert solved.value > need, "the linear program alone does not do it"
    closing, _, _ = close_jointly(planes, BOX, need, WIDE)
    assert closing is not None
    assert check_leaves(planes, closing, need, np.full(len(values), -1)) > 1


def test_what_can_be_together_is_not_closed_and_shown() -> None:
    slopes, values = star(3)
    planes = half_planes(slopes, values)
    closing, _, point = close_jointly(planes, BOX, 3, WIDE)
    assert closing is None
    assert point is not None
    assert ((values + slopes @ point) >= -1e-6).sum() >= 3


@pytest.mark.parametrize("seed", range(25))
def test_random_half_planes(seed: int) -> None:
    random = np.random.default_rng(seed)
    slopes, values = random.normal(size=(6, 2)), random.normal(size=6) - 0.8
    most = most_together(slopes, values)
    planes = half_planes(slopes, values)
    for need in range(1, 7):
        closing, _, _ = close_jointly(planes, BOX, need, WIDE)
        assert closing is None or need > most
        if closing is not None:
            check_leaves(planes, closing, need, np.full(6, -1))
        assert closing is not None or need <= most, "the program is exact over its planes"


def box_and_strips(seed: int) -> Box:
    """A square in 3 dimensions and four strips, each of which meets the box."""
    random = np.random.default_rng(seed)
    directions, half = random.normal(size=(4, 3)), random.uniform(0.5, 2, 3)
    reach = np.abs(directions) @ half
    return Box(half, directions, random.uniform(0.05, 0.3, 4), random.uniform(-0.7, 0.7, 4) * reach)


def meets(box: Box) -> bool:
    low, high = box.slab_shift - box.slab_half, box.slab_shift + box.slab_half
    rows, ends = np.concatenate([box.directions, -box.directions]), np.concatenate([high, -low])
    found = linprog(np.zeros(3), A_ub=rows, b_ub=ends, bounds=list(zip(-box.half, box.half, strict=True)))
    return bool(found.status == 0)


def met_everywhere() -> PlaneTable:
    """Three inputs that violate wherever there is a point."""
    everyone, none = np.arange(3), np.zeros(3, dtype=np.int64)
    flat = np.zeros((3, 3))
    return PlaneTable(everyone, everyone, none, everyone, none, none > 0, none + 2.0, flat, none + 1e-3)


def test_a_domain_without_points_is_closed_by_its_strips_alone() -> None:
    """Here planes that every point meets: nothing but the strips can close it."""
    planes, none, seen = met_everywhere(), np.zeros(3), set()
    for seed in range(60):
        box = box_and_strips(seed)
        closing, solved, _ = close_jointly(planes, box, 2, WIDE)
        seen.add(meets(box))
        assert (closing is None) == (solved is not None) == meets(box)
        if closing is not None:
            assert not closing.weights
            value, _ = dual_value(planes, box, none, np.array(closing.beta), np.full(3, -1))
            assert value < 2
    assert seen == {True, False}


def test_the_checker_comes_to_the_same_of_a_domain_without_points() -> None:
    """It tightens strips in its own way, so the closings must have something to spare."""
    planes, closed = met_everywhere(), 0
    for seed in range(60):
        box = box_and_strips(seed)
        closing, _, _ = close_jointly(planes, box, 2, WIDE)
        if closing is not None:
            low, high = box.slab_shift - box.slab_half, box.slab_shift + box.slab_half
            region = Regions(-box.half[None], box.half[None], box.directions, low[None], high[None]).tightened()
            parts = region.dual(np.zeros((1, 1, 3)), np.zeros(1, dtype=np.int64), np.array([[closing.beta]]))
            most = float(sum(parts)[0, 0])
            assert region.is_empty or 3 + most < 2
            closed += 1
    assert closed > 20
