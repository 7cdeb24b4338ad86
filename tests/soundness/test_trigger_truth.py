"""Every kind of image trigger against truth that is counted by hand, on the whole pipeline from text to result.

What a trigger does to an image stands here a second time, in plain Python; each is tried on every input.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from tests.soundness.language import (
    HEAD,
    Net,
    Trigger,
    World,
    count,
    declare,
    exact,
    images,
    leaves,
    net,
    picture,
)
from verifluxa.bounds.build import build_chain
from verifluxa.bounds.constants import propagate
from verifluxa.graph.graph import chain
from verifluxa.graph.ops import Reshape
from verifluxa.question import AffineInputMap
from verifluxa.replay import replay_result
from verifluxa.verdict import Verdict
from verifluxa.verify import Request, run

HALF = Fraction(1, 2)


def stamped(change: Callable[[np.ndarray], None]) -> Trigger:
    """A trigger that changes a copy."""

    def trigger(image: np.ndarray) -> np.ndarray:
        result = image.copy()
        change(result)
        return result

    return trigger


def at(
    cells: list[tuple[int, int, int]], values: tuple[Fraction, ...], put: Callable[[Fraction, Fraction], Fraction]
) -> Trigger:
    """`put(old, value)` at each (channel, row, column)."""

    def change(image: np.ndarray) -> None:
        for cell, value in zip(cells, values, strict=True):
            image[cell] = put(image[cell], value)

    return stamped(change)


def replaced(old: Fraction, value: Fraction) -> Fraction:
    return value


def blended(opacity: Fraction) -> Callable[[Fraction, Fraction], Fraction]:
    return lambda old, value: old + opacity * (value - old)


def added(old: Fraction, value: Fraction) -> Fraction:
    return min(max(old + value, Fraction(0)), Fraction(3))


def free(
    cells: list[tuple[int, int, int]], levels: range, put: Callable[[Fraction, Fraction], Fraction]
) -> list[Trigger]:
    """All values at these cells."""
    return [at(cells, tuple(map(Fraction, values)), put) for values in product(levels, repeat=len(cells))]


def bars(levels: range, put: Callable[[Fraction, Fraction], Fraction]) -> list[Trigger]:
    """A 1 x 2 stamp at all its places."""
    return [
        trigger
        for row in range(2)
        for column in range(2)
        for trigger in free([(0, row, column), (0, row, column + 1)], levels, put)
    ]


WHOLE = [(0, row, column) for row in range(2) for column in range(3)]
WAVE = (0, 1, 0)
PICTURE = np.array([[3, 0, 1], [2, 3, 0]])
MASK = np.array([[255, 0]])


def wave(amplitude: int) -> tuple[Fraction, ...]:
    return tuple(Fraction(amplitude * factor) for factor in WAVE) * 2


FAMILIES: dict[str, tuple[str, list[Trigger]]] = {
    "blended patch": (
        "trigger t : tile { replace 1 px x 2 px at any with 0..3 level blend 50 % }",
        bars(range(4), blended(HALF)),
    ),
    "two opacities": (
        "trigger t : tile { replace 1 px x 1 px at (0, 2) with 0..3 level blend 25 %, 50 % }",
        free([(0, 0, 2)], range(4), blended(HALF)) + free([(0, 0, 2)], range(4), blended(HALF / 2)),
    ),
    "listed pixels": (
        "trigger t : tile { replace pixels (0, 1), (1, 2) with 0..3 level }",
        free([(0, 0, 1), (0, 1, 2)], range(4), replaced),
    ),
    "moving pixels": (
        "trigger t : tile { replace pixels (0, 0), (1, 1) at any with 0..3 level }",
        free([(0, 0, 0), (0, 1, 1)], range(4), replaced) + free([(0, 0, 1), (0, 1, 2)], range(4), replaced),
    ),
    "known picture": (
        'trigger t : tile { replace image with "p.png" blend 50 % }',
        [at(WHOLE, tuple(Fraction(int(v)) for v in PICTURE.ravel()), blended(HALF))],
    ),
    "known patch": (
        'trigger t : tile { replace 1 px x 2 px at any with "bar.png" }',
        [
            at([(0, row, column), (0, row, column + 1)], (Fraction(3), Fraction(1)), replaced)
            for row in range(2)
            for column in range(2)
        ],
    ),
    "masked": (
        'trigger t : tile { replace 1 px x 2 px at (1, 0) with 0..3 level mask "mask.png" }',
        free([(0, 1, 0)], range(4), replaced),
    ),
    "perturbation": ("trigger t : tile { add image with -1..1 level }", free(WHOLE, range(-1, 2), added)),
    "perturbed patch": (
        "trigger t : tile { add 1 px x 2 px at any with -3..2 level }",
        bars(range(-3, 3), added),
    ),
    "unclipped": (
        "trigger t : tile { add 1 px x 1 px at (1, 1) with -5..5 level unclipped }",
        free([(0, 1, 1)], range(-5, 6), lambda old, value: old + value),
    ),
    "beyond the range": (
        "trigger t : tile { replace 1 px x 1 px at (1, 1) with -5..9 level unclipped }",
        free([(0, 1, 1)], range(-5, 10), replaced),
    ),
    "wave": (
        "trigger t : tile { add image with sine(columns 4 px) times -3..3 level }",
        [at(WHOLE, wave(amplitude), added) for amplitude in range(-3, 4)],
    ),
    "two patterns": (
        'trigger t : tile { add image with sine(columns 4 px), "full.png" times -2..2 level }',
        [
            at(WHOLE, tuple(a + b for a in wave(first)), added)
            for first, b in product(range(-2, 3), map(Fraction, range(-2, 3)))
        ],
    ),
    "two places at once": (
        "trigger t : tile { replace 1 px x 1 px at (0, 0) and (1, 2) with 0..3 level }",
        free([(0, 0, 0), (0, 1, 2)], range(4), replaced),
    ),
    "one of two": (
        "trigger a : tile { replace 1 px x 1 px at (0, 0) with 0..3 level }\n"
        "trigger b : tile { add image with sine(columns 4 px) times -3..3 level }\n"
        "trigger t : tile { one of a, b }",
        free([(0, 0, 0)], range(4), replaced) + [at(WHOLE, wave(amplitude), added) for amplitude in range(-3, 4)],
    ),
}


@pytest.fixture
def world(tmp_path: Path) -> World:
    picture(tmp_path, "p.png", PICTURE)
    picture(tmp_path, "bar.png", np.array([[3, 1]]))
    picture(tmp_path, "mask.png", MASK)
    picture(tmp_path, "full.png", np.full((2, 3), 255))
    return World(tmp_path)


@pytest.mark.parametrize("name", FAMILIES)
def test_family(world: World, name: str) -> None:
    """One trigger for all inputs (need 1, N, and what no trigger reaches), and one made for each input."""
    text, triggers = FAMILIES[name]
    network, inputs, labels = net(len(name) + 3, 3, hidden=3), images(len(name), 4), [0, 1, 2, 0]
    world.model("digits", network)
    world.data(inputs, labels)
    together = count(triggers, inputs, lambda number, after, _: leaves(network(after), labels[number]))
    alone = [
        count(triggers, inputs[[n]], lambda _, after, __, n=n: leaves(network(after), labels[n])) for n in range(4)
    ]
    needs = sorted({1, max(1, together.sure), min(4, together.may + 1)})
    spec = HEAD + text + "\n" + declare("digits", "class(3)")
    wrong = "class(digits(t1(x))) != label(x)"
    for need in needs:
        spec += f"property n{need} {{ forall t1 in t assert rate(x in eval : {wrong}) <= {need - 1}/4 }}\n"
    spec += "property each { forall x in eval, t1 in t assert class(digits(t1(x))) == label(x) }\n"
    for result in world.results(spec):
        if result.name == "each":
            for (_, verdict), truth in zip(result.per_input, alone, strict=True):
                assert verdict in truth.verdicts(1)
                assert verdict is not Verdict.UNKNOWN or truth.sure != truth.may
            continue
        need = int(result.name[1:])
        assert result.verdict in together.verdicts(need), result.name
        assert result.verdict is not Verdict.UNKNOWN or together.sure < need <= together.may
        assert result.found.count <= together.sure
        assert result.proved.count >= together.may


def test_colour_stamps_lie_where_people_see_them(world: World) -> None:
    """An asymmetric colour picture at an asymmetric place: only there and so does the network see it."""
    rgb = np.zeros((2, 2, 3), dtype=int)
    rgb[0, 1], rgb[1, 0] = (3, 1, 0), (0, 2, 3)
    picture(world.folder, "rgb.png", rgb)
    seen = np.zeros((3, 2, 3), dtype=int)
    seen[:, :, 1:] = rgb.transpose(2, 0, 1)
    weight = np.stack([np.zeros(18, dtype=int), seen.ravel()])
    network = Net(((weight, np.array([int((seen**2).sum()) - 1, 0])),))
    inputs = images(5, 3, most=2, channels=3)
    world.model("digits", network)
    world.data(inputs, [0, 0, 0])
    head = HEAD.replace("1 ch", "3 ch")
    spec = head + 'trigger t : tile { replace 2 px x 2 px at any with "rgb.png" }\n' + declare("digits", "class(2)")
    spec += "property p { forall t1 in t assert rate(x in eval : class(digits(t1(x))) == 1) <= 0 % }"

    def there(column: int) -> Trigger:
        return stamped(
            lambda image: image.__setitem__(
                (slice(None), slice(None), slice(column, column + 2)), rgb.transpose(2, 0, 1)
            )
        )

    by_place = [
        sum(network(there(column)(exact(image)))[1] > network(there(column)(exact(image)))[0] for image in inputs)
        for column in range(2)
    ]
    assert by_place[0] < by_place[1], "the test of the test: one place only"
    for result in world.results(spec):
        assert result.verdict is Verdict.FALSIFIED
        assert dict(result.counterexample.placement) == {"row": 0, "column": 1}
        assert result.counterexample.trigger == rgb.tolist()
        assert result.counterexample.rate.count == by_place[1]


@pytest.mark.parametrize(
    "name", ["blended patch", "perturbed patch", "known picture", "two places at once", "one of two"]
)
def test_what_was_found_is_replayed_from_the_file(world: World, name: str) -> None:
    text, triggers = FAMILIES[name]
    for seed in range(20):
        network, inputs = net(seed, 2, hidden=3), images(seed, 2)
        clean = [int(np.argmax([float(v) for v in network(exact(image))])) for image in inputs]
        truth = count(triggers, inputs, lambda n, after, _, c=clean, f=network: leaves(f(after), c[n]))
        if truth.sure:
            break
    world.model("digits", network)
    world.data(inputs, clean)
    spec = HEAD + text + "\n" + declare("digits", "class(2)")
    spec += "property p { forall t1 in t assert rate(x in eval : class(digits(t1(x))) != label(x)) <= 0 % }"
    path = world.folder / "one.vfx"
    path.write_text(spec)
    result = run(Request(str(path)))
    assert result.verdict is Verdict.FALSIFIED
    (again,) = replay_result(result.write(world.folder / "out"))
    assert again.reproduced


def test_a_sanitiser_in_encode_is_part_of_the_network(world: World) -> None:
    """`clip` in `encode` cuts off what a trigger puts beyond it."""
    weight = np.array([[0] * 6, [0, 0, 0, 0, 1, 0]])
    world.model("digits", Net(((weight, np.array([5, 0])),)))
    world.data(images(1, 3), [0, 0, 0])
    trigger = "trigger t : tile { replace 1 px x 1 px at (1, 1) with 0..9 level unclipped }\n"
    claim = "property p { forall x in eval, t1 in t assert class(digits(t1(x))) == label(x) }"
    for encode, right in (("level", Verdict.FALSIFIED), ("clip(level, 0, 4)", Verdict.CERTIFIED)):
        spec = HEAD + trigger + declare("digits", "class(2)").replace("encode = level", f"encode = {encode}") + claim
        for result in world.results(spec):
            assert result.verdict is right


@pytest.mark.parametrize("opacity", [0.1, 0.5, 0.9, 0.99])
def test_a_blend_lies_within_its_radius_however_it_is_computed(opacity: float) -> None:
    """In float32: `x + a (v - x)` and `(1 - a) x + a v`, also where they nearly cancel."""
    random = np.random.default_rng(int(100 * opacity))
    x, v = random.uniform(-255, 255, (2, 200))
    v[:100] = -x[:100] * (1 - opacity) / opacity * (1 + random.normal(0, 1e-6, 100))
    x, v = (values.astype(np.float32).astype(float) for values in (x, v))
    size = len(x)
    stamp = AffineInputMap(np.arange(size), np.full(size, 1 - opacity), opacity * np.eye(size), np.zeros(size))
    graph = chain((size,), [Reshape((-1,))])
    (layer,) = build_chain(graph, propagate(graph, x[None], "float32", 1), stamp).layers
    a, one = np.float32(opacity), np.float32(1)
    x32, v32 = x.astype(np.float32), v.astype(np.float32)
    for deployed in (x32 + a * (v32 - x32), (one - a) * x32 + a * v32):
        error = np.abs(deployed.astype(float) - (layer.weight @ v + layer.offset[0]))
        assert (error <= layer.slope_radius @ np.abs(v) + layer.radius[0]).all()
