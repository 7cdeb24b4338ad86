"""The second bounds engine against the native one, operation by operation, and both against samples."""

from __future__ import annotations

import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from verifluxa.bounds import lirpa
from verifluxa.bounds.build import build_chain
from verifluxa.bounds.constants import propagate
from verifluxa.bounds.domain import Domains, geometry_of, rise_and_fall
from verifluxa.bounds.linear import Subproblems, bound_all_layers, output_bounds
from verifluxa.bounds.net import load_net
from verifluxa.errors import UnsupportedError, UsageError
from verifluxa.graph.graph import Graph, build, chain
from verifluxa.graph.ops import (
    Activation,
    Add,
    Affine,
    Concat,
    Conv,
    Divide,
    Input,
    MaxPool,
    MeanPool,
    Op,
    Reshape,
    Scale,
    Shift,
    Transpose,
)
from verifluxa.question import AffineInputMap

Floats = NDArray[np.float64]


def _installed() -> bool:
    try:
        return bool(version("auto-LiRPA"))
    except PackageNotFoundError:
        return False


needs_lirpa = pytest.mark.skipif(not _installed(), reason="auto-LiRPA is not installed; `make .venv` does it")

SHAPE = (2, 4, 4)
RANDOM = np.random.default_rng(7)
INPUTS = 6
RELU = Activation("relu")
POOL = MaxPool((2, 2), (2, 2), (0, 0), (0, 0))


def dense(inputs: int, outputs: int) -> Affine:
    return Affine(RANDOM.standard_normal((outputs, inputs)) / inputs**0.5, RANDOM.standard_normal(outputs) / 4)


def conv(inputs: int, outputs: int, **settings: Any) -> Conv:
    two = {"stride": (1, 1), "pad_low": (0, 0), "pad_high": (0, 0), "dilation": (1, 1), "groups": 1} | settings
    weight = RANDOM.standard_normal((outputs, inputs // two["groups"], 2, 2)) / 2
    return Conv(weight, RANDOM.standard_normal(outputs) / 4, *two.values())


def wide(inputs: int, outputs: int) -> Conv:
    """3x3 with padding: as many places as before."""
    weight = RANDOM.standard_normal((outputs, inputs, 3, 3)) / (3 * inputs**0.5)
    return Conv(weight, RANDOM.standard_normal(outputs) / 4, (1, 1), (1, 1), (1, 1), (1, 1), 1)


def ending(*ops: Op, size: int) -> Graph:
    """A network on `SHAPE`: some operations, then a relu layer of 8 and three outputs."""
    return chain(SHAPE, [*ops, Reshape((-1,)), dense(size, 8), RELU, dense(8, 3)], "float64")


@cache
def trained() -> Graph:
    """Learns for a moment in which row of three the brightest pixel is."""
    torch.manual_seed(0)
    front = (nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
    net = nn.Sequential(*front, nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3)).double()
    images = torch.randn(400, *SHAPE, dtype=torch.float64)
    optimizer = torch.optim.Adam(net.parameters(), 0.02)
    for _ in range(60):
        optimizer.zero_grad()
        torch.autograd.backward(nn.functional.cross_entropy(net(images), images[:, 0, :3].amax(2).argmax(1)))
        optimizer.step()
    weights = [part.detach().numpy() for part in net.parameters()]
    ones = (1, 1)
    first, rest = Conv(*weights[:2], ones, ones, ones, ones, 1), [Affine(*weights[2:4]), RELU, Affine(*weights[4:])]
    return chain(SHAPE, [first, RELU, POOL, Reshape((-1,)), *rest], "float64")


def branches(join: Op, size: int) -> Graph:
    nodes: list[tuple[Op, tuple[int, ...]]] = [(Input(SHAPE), ()), (Reshape((-1,)), (0,))]
    nodes += [(dense(32, 6), (1,)), (RELU, (2,)), (dense(32, 6), (1,)), (RELU, (4,)), (join, (3, 5))]
    nodes += [(dense(size, 5), (6,)), (RELU, (7,)), (dense(5, 3), (8,))]
    return build(nodes, "float64")


NETWORKS: dict[str, Graph] = {
    "relu": ending(size=32),
    "two relus": ending(Reshape((-1,)), dense(32, 12), RELU, size=12),
    "leakyrelu": ending(Reshape((-1,)), dense(32, 9), Activation("leakyrelu", 0.1), size=9),
    "sigmoid": ending(Reshape((-1,)), dense(32, 9), Activation("sigmoid"), size=9),
    "tanh": ending(Reshape((-1,)), dense(32, 9), Activation("tanh"), size=9),
    "conv": ending(conv(2, 3, stride=(2, 2), pad_low=(1, 1), pad_high=(1, 1)), RELU, size=27),
    "conv, groups": ending(conv(2, 4, groups=2), RELU, size=36),
    "max pool of 9": ending(conv(2, 2, pad_low=(0, 0)), RELU, MaxPool((3, 3), (3, 3), (0, 0), (0, 0)), size=2),
    "meanpool": ending(
        conv(2, 3, stride=(2, 2), pad_low=(1, 1), pad_high=(1, 1)),
        RELU,
        MeanPool((3, 3), (3, 3), (0, 0), (0, 0)),
        size=3,
    ),
    "shift, scale, divide": ending(
        Shift(RANDOM.standard_normal((2, 1, 1))), Scale(RANDOM.standard_normal(SHAPE)), Divide(np.array(2.0)), size=32
    ),
    "transpose": ending(Transpose((2, 0, 1)), Reshape((4, 8)), Transpose((1, 0)), size=32),
    "max pool behind relu": ending(wide(2, 4), RELU, POOL, size=16),
    "max pool before relu": ending(wide(2, 4), POOL, RELU, size=16),
    "max pool of pixels": ending(POOL, size=8),
    "max pool of 16": ending(wide(2, 4), RELU, MaxPool((4, 4), (4, 4), (0, 0), (0, 0)), size=4),
    "max pool between convolutions": ending(wide(2, 4), RELU, POOL, conv(4, 6), RELU, size=6),
    "max pool behind convolutions": ending(wide(2, 4), RELU, wide(4, 4), RELU, POOL, size=16),
    "sum of branches": branches(Add(), 6),
    "branches end to end": branches(Concat(0), 12),
}
TRAINED = "max pool, trained"
NAMES = (*NETWORKS, TRAINED)


def network(name: str) -> Graph:
    return trained() if name == TRAINED else NETWORKS[name]


STAMP = AffineInputMap(np.array([5, 6, 20]), np.zeros(3), np.eye(3), np.zeros(3))
ROWS = np.array([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [0.0, 1.0, -1.0], [0.0, 0.0, 1.0], [0.3, -0.2, 0.5]])
HALVES = (0.1, 1.0)


def asked(graph: Graph, half: float) -> lirpa.LirpaTask:
    """Random pictures, a box of this half-width around a random trigger each."""
    random = np.random.default_rng(int(1000 * half))
    center = random.standard_normal((INPUTS, 3))
    flat = random.standard_normal((INPUTS, 32))
    rows = np.repeat(ROWS[None], INPUTS, 0)
    return lirpa.LirpaTask(graph, len(graph.nodes) - 1, STAMP, flat, center - half, center + half, rows)


def native(of: lirpa.LirpaTask, method: str) -> Floats:
    constants = propagate(of.graph, of.inputs.reshape(-1, *SHAPE), "real", of.readout)
    net = load_net(build_chain(of.graph, constants, of.stamp))
    lower, upper = torch.tensor(of.lower), torch.tensor(of.upper)
    none = lower.new_zeros(INPUTS, 0)
    shape = geometry_of(Domains(lower, upper, lower.new_zeros(0, 3), none, none))
    pairs = Subproblems(torch.arange(INPUTS), torch.arange(INPUTS))
    layers = bound_all_layers(net, shape, pairs, method)
    table = torch.tensor(of.rows).flatten(0, 1)
    rows = torch.arange(len(table)).view(of.rows.shape[:2])
    zero = table.new_zeros(len(table))
    value, slope = output_bounds(net, layers, shape, pairs.domain, pairs, rows, table, zero)
    return np.asarray(value + rise_and_fall(slope, pairs.domain, shape)[0])


def sampled(of: lirpa.LirpaTask) -> Floats:
    """The largest values that the rows take at random triggers and at corners, shape (B, r)."""
    random = np.random.default_rng(3)
    best = np.full(of.rows.shape[:2], -np.inf)
    for number in range(200):
        share = random.random(of.lower.shape)
        share = share.round() if number % 2 else share
        tau = of.lower + share * (of.upper - of.lower)
        outputs = of.graph.run(of.stamp.applied(of.inputs, tau).reshape(-1, *SHAPE))
        best = np.maximum(best, np.einsum("bro,bo->br", of.rows, outputs))
    return best


@needs_lirpa
@pytest.mark.parametrize("name", NAMES)
def test_both_engines_hold_and_the_native_one_is_at_least_as_tight(name: str) -> None:
    """Which of two lower lines of a relu serves a row better no rule knows, so rows are compared together."""
    ours, theirs = [], []
    pooled = name.startswith("max pool")
    for half in (*HALVES, 3.0) if pooled else HALVES:
        of = asked(network(name), half)
        most = sampled(of)
        ours.append(native(of, "crown"))
        theirs.append(lirpa.lirpa_upper_bounds(of, "crown"))
        assert (ours[-1] >= most - 1e-9).all()
        assert (theirs[-1] >= most - 1e-9).all()
    own, other = np.stack(ours), np.stack(theirs)
    # Planes of maxima never lie above auto-LiRPA's on the same ends: there each width's mean is compared, strictly.
    means = zip(own.mean((1, 2)), other.mean((1, 2)), strict=True) if pooled else [(own.mean(), other.mean())]
    share = 1e-9 if pooled else 1e-2
    assert all(ours <= theirs + share * np.abs(other).mean() for ours, theirs in means)
    assert (own <= other + 1e-6 * (1 + np.abs(other))).mean() >= 0.75


@needs_lirpa
@pytest.mark.parametrize("name", NAMES)
def test_intervals_hold_and_the_native_ones_are_at_least_as_tight(name: str) -> None:
    of = asked(network(name), 0.3)
    theirs = lirpa.lirpa_upper_bounds(of, "interval")
    assert (theirs >= sampled(of) - 1e-9).all()
    assert native(of, "interval").mean() <= theirs.mean()


@needs_lirpa
def test_slopes_may_be_optimised() -> None:
    of = asked(NETWORKS["two relus"], 1.0)
    better = lirpa.lirpa_upper_bounds(of, "alpha")
    assert (better >= sampled(of) - 1e-9).all()
    assert better.mean() <= lirpa.lirpa_upper_bounds(of, "crown").mean()


@needs_lirpa
def test_python_and_torch_are_left_as_they_were() -> None:
    """Its import asks Python for a deeper recursion, among other things."""
    deepest = sys.getrecursionlimit()
    lirpa.lirpa_upper_bounds(asked(NETWORKS["relu"], 0.3), "interval")
    assert torch.get_default_dtype() is torch.float32
    assert torch.is_grad_enabled()
    assert sys.getrecursionlimit() == deepest < 100_000


@pytest.mark.parametrize(
    "op",
    [
        Activation("gelu"),
        MaxPool((2, 2), (1, 1), (0, 0), (0, 0)),
        MeanPool((2, 2), (2, 2), (1, 0), (0, 0)),
        Conv(np.ones((1, 2, 2, 2)), None, (1, 1), (1, 0), (0, 0), (1, 1), 1),
    ],
    ids=lambda op: op.kind,
)
def test_what_it_does_not_bound_is_named(op: Op) -> None:
    with pytest.raises(UnsupportedError, match="auto-LiRPA has no bounds for") as caught:
        lirpa.step_of(op, SHAPE)
    assert caught.value.code == "VF7003"


def test_without_the_package_it_says_how_to_get_it() -> None:
    with pytest.raises(UsageError, match="not installed") as caught:
        lirpa.lirpa_package("no-such-package")
    assert caught.value.code == "VF4012"
