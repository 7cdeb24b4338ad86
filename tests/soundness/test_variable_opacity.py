"""`blend a %..b %`: the opacity is a value of the trigger. Proofs against triggers that are tried in exact rationals.

The truth over all opacities lies at or above that over a fine grid of them, which is what is counted here.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.soundness.language import HEAD, Net, Trigger, World, count, declare, exact, images, leaves, net
from verifluxa.lower.stamp import blended
from verifluxa.replay import replay_result
from verifluxa.report.scenes import scene_of_result
from verifluxa.search.replay import stamped_inputs
from verifluxa.spec.check import parse_spec
from verifluxa.spec.digest import property_digest
from verifluxa.spec.triggers.stamp import StampTrigger
from verifluxa.verdict import Verdict
from verifluxa.verify import Request, run

LOW, HIGH = Fraction(1, 4), Fraction(3, 4)
OPACITIES = [LOW + (HIGH - LOW) * step / 16 for step in range(17)]
TRIGGER = "trigger t : tile { replace 1 px x 2 px at (0, 1), (1, 0) with 0..3 level blend 25 %..75 % }\n"
CLAIM = "property p {{ forall t1 in t assert rate(x in eval : class(digits(t1(x))) != label(x)) <= {} % }}"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def _blend(row: int, column: int, opacity: Fraction, values: tuple[Fraction, ...]) -> Trigger:
    def trigger(image: NDArray[np.object_]) -> NDArray[np.object_]:
        result = image.copy()
        for more, value in enumerate(values):
            old = image[0, row, column + more]
            result[0, row, column + more] = old + opacity * (value - old)
        return result

    return trigger


BLENDS = [
    _blend(row, column, opacity, values)
    for row, column in ((0, 1), (1, 0))
    for opacity in OPACITIES
    for values in product(map(Fraction, range(4)), repeat=2)
]


def _classes(network: Net, inputs: NDArray[np.int64]) -> list[int]:
    return [int(np.argmax([float(value) for value in network(exact(image))])) for image in inputs]


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_certified_that_a_tried_trigger_refutes(world: World, seed: int) -> None:
    network, inputs = net(seed, 2, hidden=3), images(seed, 4)
    labels = _classes(network, inputs)
    world.model("digits", network)
    world.data(inputs, labels)
    truth = count(BLENDS, inputs, lambda n, after, _: leaves(network(after), labels[n]))
    for result in world.results(HEAD + TRIGGER + declare("digits", "class(2)") + CLAIM.format(24)):
        if truth.sure:
            assert result.verdict is Verdict.FALSIFIED
            found = result.counterexample
            assert found is not None
            assert isinstance(found.trigger, list)
            opacity, *values = (Fraction(float(value)) for value in found.trigger)  # type: ignore[arg-type]
            assert LOW <= opacity <= HIGH
            place = dict(found.placement)
            trigger = _blend(place["row"], place["column"], opacity, tuple(values))
            for number in found.inputs:
                if found.holds_in == "every order":
                    assert leaves(network(trigger(exact(inputs[number]))), labels[number]).sure
        elif truth.may == 0:
            assert result.verdict is Verdict.CERTIFIED


def test_the_deployed_network_blends_as_written(world: World) -> None:
    network, inputs = net(1, 2, hidden=3), images(1, 3)
    world.model("digits", network)
    world.data(inputs, [0, 1, 0])
    spec = HEAD + TRIGGER + declare("digits", "class(2)") + CLAIM.format(24)
    problem = next(world.results(spec)).problem
    assert problem is not None
    assert problem.domain_of(0).lower.tolist() == [0.25, 0, 0]
    assert problem.domain_of(0).step.tolist() == [0, 1, 1]
    assert problem.graph.run(problem.inputs).tolist() == [_outputs(network, image) for image in inputs.astype(float)]
    planes = stamped_inputs(problem, 1, np.array([0.5, 3.0, 1.0]), np.arange(3))
    wanted = inputs.astype(float)
    wanted[:, 0, 1, 0] += 0.5 * (3 - wanted[:, 0, 1, 0])
    wanted[:, 0, 1, 1] += 0.5 * (1 - wanted[:, 0, 1, 1])
    assert (blended(planes) == wanted).all()
    assert problem.graph.run(planes).tolist() == [_outputs(network, image) for image in wanted]


def _outputs(network: Net, image: NDArray[np.float64]) -> list[float]:
    fractions = np.array([Fraction(value) for value in image.ravel()], dtype=object)
    return [float(value) for value in network(fractions)]


def test_what_was_found_is_replayed_and_drawn(world: World) -> None:
    """A network that answers 1 where one pixel is above a level, in whatever blend."""
    weight = np.array([[0] * 6, [0, 2, 0, 0, 0, 0]])
    world.model("digits", Net(((weight, np.array([3, 0])),)))
    world.data(np.zeros((2, 1, 2, 3), dtype=np.int64), [0, 0])
    path = world.folder / "one.vfx"
    path.write_text(HEAD + TRIGGER + declare("digits", "class(2)") + CLAIM.format(24))
    result = run(Request(str(path)))
    (item,) = result.properties
    assert item.verdict is Verdict.FALSIFIED
    assert item.counterexample is not None
    assert item.counterexample.words[0].startswith("opacity 0.")
    (again,) = replay_result(result.write(world.folder / "out"))
    assert again.reproduced
    scene = scene_of_result(item, item.counterexample)
    assert scene.trigger.shape == (1, 1, 2)
    assert scene.before.shape == scene.after.shape == (2, 1, 2, 3)
    assert scene.after[0, 0, 0, 1] * 2 > 3


@pytest.mark.parametrize(("blend", "digests"), [("25 %..75 %", 1), ("25 %..74 %", 2), ("25 %, 75 %", 2)])
def test_the_range_is_part_of_the_digest(blend: str, digests: int) -> None:
    found = set()
    for written in ("25 %..75 %", blend):
        text = HEAD + TRIGGER.replace("25 %..75 %", written) + declare("digits", "class(2)") + CLAIM.format(24)
        spec = parse_spec(text, "tile.vfx").spec
        found.add(property_digest(spec, spec.properties[0], {"eval": "sha256:0"}))
    assert len(found) == digests


def test_a_range_of_one_opacity_is_that_opacity() -> None:
    text = HEAD + TRIGGER.replace("25 %..75 %", "50 %..50 %") + declare("digits", "class(2)") + CLAIM.format(24)
    trigger = parse_spec(text, "tile.vfx").spec.properties[0].statement.trigger
    assert isinstance(trigger, StampTrigger)
    assert (trigger.opacity, trigger.opacities) == (None, (Fraction(1, 2),))
