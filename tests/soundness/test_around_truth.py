"""Inputs that move within a ball, in the range of the space, against every move: certified only where none changes.

Each spec goes the whole pipeline from text and files to the result, with the attack and without it.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest

from tests.soundness.language import HEAD, Net, World, declare, exact, images, net
from verifluxa.verdict import Verdict


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize("trigger", ["dot", "faint"])
@pytest.mark.parametrize("seed", range(2))
def test_around_each_input(world: World, seed: int, trigger: str) -> None:
    """Certified only where no image within one level is changed by any trigger; a blend weakens the move as well."""
    network, inputs = net(seed + 80, 2, hidden=3), images(seed + 1, 3)
    outputs = [network(exact(image)) for image in inputs]
    labels = [int(one[1] > one[0]) for one in outputs]
    world.model("digits", network)
    world.data(inputs, labels)
    opacity = 1.0 if trigger == "dot" else 0.5
    faint = "trigger faint : tile { replace 1 px x 1 px at any with 0..3 level blend 50 % }\n"
    spec = HEAD + faint + declare("digits", "class(2)")
    claim = "assert class(digits(t(x))) == label(x)"
    spec += f"property p {{ forall x in around eval within 1 level, t in {trigger} {claim} }}"
    moves = np.array(list(product((-1, 0, 1), repeat=6)))
    for result in world.results(spec):
        for (_, verdict), image, label in zip(result.per_input, inputs, labels, strict=True):
            near = (image.ravel() + moves).astype(float)
            # A patch leaves a legal image; what moves as an error of the input may leave the range.
            near = near.clip(0, 3) if trigger == "dot" else near
            stamped = []
            for pixel, level in product(range(6), range(4)):
                one = near.copy()
                one[:, pixel] += opacity * (level - one[:, pixel])
                stamped.append(one)
            worst = _margins(network, np.concatenate(stamped), label).min()
            assert verdict is not Verdict.CERTIFIED or worst > 0
            plain = np.concatenate(stamped)[(moves == 0).all(1).nonzero()[0][0] :: len(moves)]
            if _margins(network, plain, label).min() < 0:
                assert verdict is not Verdict.CERTIFIED
            assert verdict is not Verdict.FALSIFIED or worst < 0


def test_around_is_certified_where_it_should_be(world: World) -> None:
    """A network that sums the image with a wide margin: no move within a level matters."""
    weight = np.array([[0] * 6, [1] * 6])
    world.model("digits", Net(((weight, np.array([30, 0])),)))
    world.data(images(1, 3), [0, 0, 0])
    spec = HEAD + declare("digits", "class(2)")
    claim = "property p {{ forall x in around eval within {} level, t in dot assert class(digits(t(x))) == label(x) }}"
    for radius, right in ((1, Verdict.CERTIFIED), (7, Verdict.CERTIFIED)):
        for result in world.results(spec + claim.format(radius)):
            assert result.verdict is right


@pytest.mark.parametrize("radius", ["2", "2.5", "3"])
def test_a_counterexample_lies_in_the_ball_and_in_the_range(world: World, radius: str) -> None:
    """Only where nearly every pixel of a dark image moves up by three levels does the sum reach the limit."""
    weight = np.array([[0] * 6, [1] * 6])
    world.model("digits", Net(((weight, np.array([17, 0])),)))
    world.data(np.zeros((2, 1, 2, 3), dtype=np.int64), [0, 0])
    spec = HEAD + declare("digits", "class(2)")
    spec += f"property p {{ forall x in around eval within {radius} level, t in dot "
    spec += "assert class(digits(t(x))) == label(x) }"
    for result in world.results(spec):
        assert result.verdict is (Verdict.FALSIFIED if radius == "3" else Verdict.CERTIFIED)
        if result.counterexample is not None:
            levels = np.array(result.counterexample.trigger, dtype=float)
            assert levels.shape == (2, 3)
            assert ((levels >= 0) & (levels <= 3) & (levels == levels.round())).all()
            assert levels.sum() == 18


def _margins(network: Net, points: np.ndarray, label: int) -> np.ndarray:
    state = points
    for number, (weight, bias) in enumerate(network.layers):
        state = state @ weight.T + bias
        state = np.maximum(state, 0) if number + 1 < len(network.layers) else state
    return state[:, label] - state[:, 1 - label]
