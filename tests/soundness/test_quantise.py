"""`round` and `quantise` in `encode`: the steps are part of the network, and proofs hold on both sides of a jump."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.soundness.language import HEAD, Net, World, count, declare, exact, images, leaves, net, patches
from verifluxa.bounds.functions import relax
from verifluxa.bounds.jump import round_value
from verifluxa.verdict import Verdict

CLAIM = "property p {{ forall t in {} assert rate(x in eval : class(digits(t(x))) != label(x)) <= {} % }}"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def _quantised(image: NDArray[np.object_], step: int) -> NDArray[np.object_]:
    """Half to even, as `round` of fractions is in Python."""
    return np.array([Fraction(round(value / step) * step) for value in image.ravel()], dtype=object)


def _declare(encode: str) -> str:
    return declare("digits", "class(2)").replace("encode = level", f"encode = {encode}")


def _setting(world: World, seed: int, step: int) -> tuple[Net, NDArray[np.int64], list[int]]:
    network, inputs = net(seed, 2, hidden=3), images(seed, 4)
    labels = [int(np.argmax([float(v) for v in network(_quantised(exact(image), step))])) for image in inputs]
    world.model("digits", network)
    world.data(inputs, labels)
    return network, inputs, labels


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("encode", "step"), [("quantise(level, 2)", 2), ("round(level / 3) * 3", 3)])
def test_every_verdict_is_the_truth(world: World, seed: int, encode: str, step: int) -> None:
    network, inputs, labels = _setting(world, seed, step)
    triggers = patches(1, 2, range(4))
    truth = count(triggers, inputs, lambda n, after, _: leaves(network(_quantised(after, step)), labels[n]))
    for result in world.results(HEAD + _declare(encode) + CLAIM.format("bar", 24)):
        assert result.verdict in truth.verdicts(1)
        if truth.sure == truth.may:
            assert result.verdict is not Verdict.UNKNOWN


@pytest.mark.parametrize("seed", range(5))
def test_between_whole_levels_a_jump_goes_either_way(world: World, seed: int) -> None:
    """A value may be anything: those beside each jump, and the ends, reach all that can be reached."""
    network, inputs, labels = _setting(world, seed, 2)
    near = [Fraction(0), Fraction(99, 100), Fraction(101, 100), Fraction(3)]
    trigger = "trigger any : tile { replace 1 px x 1 px at (0, 1), (1, 2) with 0..3 level continuous }\n"
    triggers = [_put(row, column, value) for row, column in ((0, 1), (1, 2)) for value in near]
    truth = count(triggers, inputs, lambda n, after, _: leaves(network(_quantised(after, 2)), labels[n]))
    for result in world.results(HEAD + trigger + _declare("quantise(level, 2)") + CLAIM.format("any", 24)):
        assert result.verdict in truth.verdicts(1)


def _put(row: int, column: int, value: Fraction):  # type: ignore[no-untyped-def]
    def trigger(image: NDArray[np.object_]) -> NDArray[np.object_]:
        result = image.copy()
        result[0, row, column] = value
        return result

    return trigger


def test_rounding_has_the_tightest_of_its_lines() -> None:
    lower, upper = (torch.tensor(ends, dtype=torch.float64) for ends in ([0.6, 0.4, 0.1, -3.2], [1.4, 0.6, 3.4, 3.2]))
    lines = relax("round", lower, upper, ())
    middle = (lower + upper) / 2
    above = lines.upper_slope * middle + lines.upper_intercept
    below = lines.lower_slope * middle + lines.lower_intercept
    assert above.tolist() == pytest.approx([1, 1, 2.25, 0.5])
    assert below.tolist() == pytest.approx([1, 0, 1.25, -0.5])
    assert lines.upper_slope.tolist()[0] == lines.lower_slope.tolist()[0] == 0


def test_the_straight_through_value_is_exactly_the_rounded_one() -> None:
    values = torch.from_numpy(np.random.default_rng(0).normal(0, 1, 10_000) * 10.0 ** np.arange(10_000) ** 0.25)
    halves = torch.arange(-10, 10) + 0.5
    for z in (values, halves.double(), torch.tensor([0.0, -0.0, 1e-300, 2.0**53 + 2, 0.5 - 2.0**-54]).double()):
        assert (round_value(z, ()) == z.round()).all()
