"""Lines along chosen slopes enclose their function for any slope, and optimising them pays."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.bounds.samples import Sample, sample_of
from tests.bounds.test_alpha_beta import largest_of, task_of, values_of
from tests.certificate.scenes import Shape, scene
from verifluxa.bounds.alpha import LEVELS, default_parameters, parametrised_relaxation, sampled_row
from verifluxa.bounds.functions import FUNCTIONS, Parameters
from verifluxa.bounds.linear import bound_all_layers, evaluate_net
from verifluxa.bounds.optimise import BoundTask, SinglePrecision, optimise_bounds, smooth_layers, steepest
from verifluxa.bounds.smooth import SMOOTH
from verifluxa.certificate.check.functions import function_of
from verifluxa.graph import ops

CASES: list[tuple[str, Parameters]] = [
    *((name, ()) for name in (*SMOOTH, "tanh", "sigmoid", "tanh_fast", "sigmoid_fast")),
    *(("clip", ends) for ends in ((-1.0, 1.0), (0.0, 6.0), (-0.5, 2.0), (3.0, 3.5))),
    *(("elu", (0.3,)), ("celu", (2.0,)), ("softshrink", (0.1,)), ("two slopes", (-0.4,)), ("two slopes", (1.7,))),
]
LEARNED = ("hardtanh", "relu6", "tanh", "sigmoid", "gelu", "swish", "softplus", "elu", "selu", "hardswish")
ENDS = st.one_of(st.floats(-8, 8), st.floats(-1e-3, 1e-3), st.floats(-300, 300), st.sampled_from([-1.0, 0.0, 3.0, 6.0]))
INTERVALS = st.lists(st.tuples(ENDS, ENDS, st.integers(1, LEVELS), st.booleans()), min_size=1, max_size=30)


def check_lines(name: str, parameters: Parameters, lower: Tensor, upper: Tensor, levels: Tensor) -> None:
    row = sampled_row(name, parameters)
    assert row is not None
    lines = parametrised_relaxation(row, lower, upper, levels)
    z = lower + torch.linspace(0, 1, 1001, dtype=torch.float64)[:, None] * (upper - lower)
    z = torch.minimum(torch.maximum(z, lower), upper)
    value, slack = FUNCTIONS[name].value(z, parameters), 1e-13 * (1 + z.abs())
    assert bool((lines.lower_slope * z + lines.lower_intercept <= value + slack).all())
    assert bool((lines.upper_slope * z + lines.upper_intercept >= value - slack).all())
    assert torch.equal(lines.lower_slope, lines.upper_slope)


@pytest.mark.parametrize(("name", "parameters"), CASES)
@settings(max_examples=12, deadline=None, derandomize=True)
@given(INTERVALS)
def test_any_slope_encloses_the_function(
    name: str, parameters: Parameters, drawn: list[tuple[float, float, int, bool]]
) -> None:
    ends = torch.tensor([sorted(pair[:2]) for pair in drawn], dtype=torch.float64)
    lower, upper = ends.T
    upper = torch.where(torch.tensor([point for *_, point in drawn]), lower, upper)
    check_lines(name, parameters, lower, upper, torch.tensor([level for *_, level, _ in drawn]).double())


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_lines_touch_nearly(name: str, parameters: Parameters) -> None:
    """The intercepts are the best ones but for what a segment of the sample may hide."""
    row, random = sampled_row(name, parameters), np.random.default_rng(3)
    assert row is not None
    lower = torch.as_tensor(random.normal(size=60) * 2)
    upper = lower + torch.as_tensor(random.exponential(size=60))
    lines = parametrised_relaxation(row, lower, upper, torch.as_tensor(random.integers(1, LEVELS + 1, 60)).double())
    z = lower + torch.linspace(0, 1, 4001, dtype=torch.float64)[:, None] * (upper - lower)
    rest = FUNCTIONS[name].value(z, parameters) - lines.upper_slope * z
    # A kink may lie between two points of this grid.
    room = row.curvature * ((upper - lower) / 32) ** 2 / 8 + 1e-6 + row.steepness * (upper - lower) / 2000
    assert bool((lines.upper_intercept - rest.amax(0) <= room).all())
    assert bool((rest.amin(0) - lines.lower_intercept <= room).all())


@pytest.mark.parametrize("name", ["tanh", "clip", "gelu"])
def test_a_missing_end_gives_no_numbers(name: str) -> None:
    row = sampled_row(name, (-1.0, 1.0) if name == "clip" else ())
    assert row is not None
    lower, upper = torch.tensor([-torch.inf, 0.0, torch.nan]).double(), torch.tensor([1.0, torch.inf, 1.0]).double()
    for part in parametrised_relaxation(row, lower, upper, torch.full((3,), 9.0).double()):
        assert not bool(torch.isfinite(part).any())


@pytest.mark.parametrize("name", ["relu", "leakyrelu", "trelu", "round"])
def test_functions_with_rules_of_their_own_have_none(name: str) -> None:
    assert sampled_row(name, (0.1,)) is None


@pytest.mark.parametrize("name", sorted({*SMOOTH, "tanh", "sigmoid", "hardtanh", "relu6"}))
def test_the_checker_has_the_same_lines(name: str) -> None:
    theirs = function_of(ops.Activation(name))
    row = sampled_row(*{"hardtanh": ("clip", (-1.0, 1.0)), "relu6": ("clip", (0.0, 6.0))}.get(name, (name, ())))
    if theirs is None:
        return
    assert theirs.along is not None
    assert row is not None
    random = np.random.default_rng(7)
    lower = random.normal(size=500) * 3
    upper, levels = lower + random.exponential(size=500) * 3, random.integers(1, LEVELS + 1, 500)
    ours = parametrised_relaxation(
        row, torch.as_tensor(lower), torch.as_tensor(upper), torch.as_tensor(levels).double()
    )
    # The constants of the two are not all the same: they bound |f''| a little differently.
    near = {"rtol": 1e-9, "atol": 0.02}
    found = theirs.along(lower, upper, (levels - 1) / (LEVELS - 1))
    for mine, other in zip(ours, (found.low_slope, found.low, found.high_slope, found.high), strict=True):
        np.testing.assert_allclose(mine.numpy(), other, **near)
    # Slopes are quotients of small differences: lines are compared within their interval.
    middle = (lower + upper) / 2
    slope, low, _, high = (part.numpy() for part in ours)
    below, over = slope * middle + low, slope * middle + high
    assert (found.low_slope * middle + found.low >= below - 1e-13).all(), "a proof must not be refused"
    assert (found.high_slope * middle + found.high <= over + 1e-13).all()


def of_scene(activation: str, seed: int) -> Sample:
    """A network with 12 and 8 neurons and a random box of its trigger."""
    problem = scene(seed, Shape(activation=activation, scale=0.8), "real").problem
    return sample_of(problem, np.random.default_rng(seed), 0)


def tasks(activation: str) -> list[tuple[Sample, BoundTask]]:
    """Two rows of two networks."""
    found = []
    for seed in (1, 2):
        sample = of_scene(activation, seed)
        layers = bound_all_layers(sample.net, sample.geometry, sample.pairs)
        found += [(sample, task_of(sample, layers, row)) for row in range(2)]
    return found


@pytest.mark.parametrize("activation", LEARNED)
def test_optimised_slopes_are_never_looser_and_pay(activation: str) -> None:
    before, after = [], []
    for sample, task in tasks(activation):
        plain = largest_of(task, default_parameters(sample.net, task.own_layers))
        found = optimise_bounds(task, 15, 6)
        largest = found.largest
        torch.testing.assert_close(largest_of(task, found.chosen), largest)
        assert bool((largest <= plain).all())
        before.append(plain)
        after.append(largest)
    plain, largest = torch.cat(before), torch.cat(after)
    assert float((plain - largest).mean()) > 0.005 * float(plain.abs().mean())
    assert float((largest < plain - 1e-9).double().mean()) > 0.2


@pytest.mark.parametrize("activation", LEARNED)
def test_planes_of_any_levels_hold(activation: str) -> None:
    random = np.random.default_rng(5)
    for sample, task in tasks(activation)[::2]:
        each = sample.pairs.input.repeat(len(sample.points))
        points = torch.as_tensor(sample.points).repeat_interleave(len(sample.pairs.input), 0)
        outputs = evaluate_net(sample.net, points, each).view(len(sample.points), -1, task.rows.shape[1])
        rows = ((outputs * task.rows).sum(-1) + task.constants).numpy()
        chosen = default_parameters(sample.net, task.layers)
        for _ in range(3):
            for bent in smooth_layers(task):
                levels = torch.as_tensor(random.integers(0, LEVELS + 1, tuple(bent.free.shape))).double()
                chosen.levels[bent.number] = torch.where(bent.free, levels, 0.0)
            assert (values_of(task.bounds(chosen), sample) >= rows - 1e-9).all()


def test_gradients_are_those_of_the_value() -> None:
    """By central differences, where no line jumps to another sampled point."""
    _, task = tasks("tanh")[0]
    bents = smooth_layers(task)
    claims, alphas = (
        SinglePrecision(task, bents),
        [part.float() for part in default_parameters(task.net, task.own_layers).alphas],
    )
    along = [bent.slopes.least + 0.6 * bent.slopes.more for bent in bents]

    def value(parts: list[Tensor]) -> Tensor:
        found = claims.evaluate(alphas, None, parts).bounds
        return found.value[:, 0] + steepest(found.slope[:, 0], task.pairs.domain, task.geometry)[0]

    at = claims.evaluate(alphas, None, along)
    where = steepest(at.bounds.slope[:, 0], task.pairs.domain, task.geometry)[1]
    gradients = claims.gradients(at, where)[2]
    close, size = [], 2e-3
    for number, (bent, gradient) in enumerate(zip(bents, gradients, strict=True)):
        for neuron in range(gradient.shape[1]):
            moved = [[part.clone() for part in along] for _ in range(2)]
            for parts, sign in zip(moved, (1, -1), strict=True):
                parts[number][:, neuron] += sign * size * bent.free[:, neuron]
            slope = (value(moved[0]) - value(moved[1])) / (2 * size)
            close.append((slope - gradient[:, neuron]).abs() < 0.02 + 0.1 * gradient[:, neuron].abs())
    assert float(torch.cat(close).double().mean()) > 0.9
