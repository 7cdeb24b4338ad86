"""Every construct of the language against truth that is counted by hand: certified, falsified and counts are right.

Each spec goes the whole pipeline from text and files to the result, with the attack and without it.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor
from pathlib import Path

import pytest

from tests.soundness.language import (
    HEAD,
    Met,
    Truth,
    World,
    count,
    declare,
    exact,
    images,
    leaves,
    net,
    patches,
    reaches,
)
from verifluxa.verdict import Verdict

DOTS = patches(1, 1, range(4))
BARS = patches(1, 2, range(4))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def check_each(world: World, spec: str, truths: list[Truth], decided: bool = True) -> None:
    """A property of single inputs, each with its own truth."""
    for result in world.results(spec):
        assert len(result.per_input) == len(truths)
        for (_, verdict), truth in zip(result.per_input, truths, strict=True):
            assert verdict in truth.verdicts(1)
            if decided and truth.sure == truth.may:
                assert verdict is not Verdict.UNKNOWN


@pytest.mark.parametrize("seed", [1, 2])
def test_output_range(world: World, seed: int) -> None:
    """Only what lies beyond an end violates; touching it is neither refuted nor, for sure, proved."""
    network, inputs = net(seed, 1, hidden=3), images(seed, 4)
    world.model("score", network)
    world.data(inputs)
    values = [[network(trigger(plain))[0] for trigger in DOTS] for plain in map(exact, inputs)]
    low, high = sorted((min(values[0]), max(values[1])))
    spec = (
        HEAD
        + declare("score", "real")
        + f"property p {{ forall x in eval, t in dot assert score(t(x)) in {low}..{high} }}"
    )
    for result in world.results(spec):
        for (_, verdict), row in zip(result.per_input, values, strict=True):
            violated = any(value < low or value > high for value in row)
            assert verdict is not (Verdict.CERTIFIED if violated else Verdict.FALSIFIED)
            # An output that touches an end may lie beyond it in another order of summation.
            if not {low, high} & set(row):
                assert verdict is (Verdict.FALSIFIED if violated else Verdict.CERTIFIED)


def _most(met: list[bool]) -> Truth:
    return Truth(int(any(met)), int(any(met)))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("share", ["exact", "below"])
def test_deviation(world: World, seed: int, share: str) -> None:
    """`abs(f(t(x)) - f(x)) <= delta`; the largest deviation itself is allowed, anything less is violated."""
    network, inputs = net(seed + 10, 2), images(seed, 3)
    world.model("wheel", network)
    world.data(inputs)
    moves = [[abs(network(trigger(plain))[1] - network(plain)[1]) for trigger in DOTS] for plain in map(exact, inputs)]
    most = max(max(row) for row in moves)
    delta = most if share == "exact" else most - Fraction(1, 2)
    spec = HEAD + declare("wheel", 'real("a", "b")')
    spec += (
        f'property p {{ forall x in eval, t in dot assert abs(wheel(t(x))["b"] - wheel(x)["b"]) <= {float(delta)} }}'
    )
    found = list(world.results(spec))
    for result in found:
        for (_, verdict), row in zip(result.per_input, moves, strict=True):
            violated = max(row) > delta
            assert verdict is not (Verdict.CERTIFIED if violated else Verdict.FALSIFIED)
            # What touches its end exactly may stay open: f(x) has a radius of its own.
            if max(row) != delta:
                assert verdict is (Verdict.FALSIFIED if violated else Verdict.CERTIFIED)


@pytest.mark.parametrize("seed", range(2))
def test_linear_inequalities_with_or_and_not(world: World, seed: int) -> None:
    network, inputs = net(seed + 20, 2), images(seed, 3)
    world.model("wheel", network)
    world.data(inputs)
    spec = HEAD + declare("wheel", "real(2)")
    spec += "property p { forall x in eval, t in bar assert 3 * wheel(t(x))[0] - 0.5 * wheel(t(x))[1] <= 21.25 "
    spec += "and not (wheel(t(x))[0] < -20 and wheel(x)[1] >= 0) }"
    truths = []
    for plain in map(exact, inputs):
        clean = network(plain)
        outs = [network(trigger(plain)) for trigger in BARS]
        truths.append(_most([3 * y[0] - y[1] / 2 > Fraction("21.25") or (y[0] < -20 and clean[1] >= 0) for y in outs]))
    for result in world.results(spec):
        for (_, verdict), truth in zip(result.per_input, truths, strict=True):
            assert verdict in truth.verdicts(1)


@pytest.mark.parametrize("seed", range(2))
def test_rate_of_outputs_needs_one_trigger_for_all(world: World, seed: int) -> None:
    network, inputs = net(seed + 30, 1), images(seed, 5)
    world.model("score", network)
    world.data(inputs)
    truth = count(DOTS, inputs, lambda _, after, __: Met((y := network(after)[0]) > 4, y >= 5))
    for need in {1, max(1, truth.may), truth.may + 1, 5} & set(range(1, 6)):
        spec = HEAD + declare("score", "real")
        spec += f"property p {{ forall t in dot assert rate(x in eval : score(t(x)) > 4.5) <= {need - 1}/5 }}"
        for result in world.results(spec):
            assert result.verdict in truth.verdicts(need) - {Verdict.UNKNOWN}
            assert result.found.count <= truth.sure
            assert result.proved.count >= truth.may


@pytest.mark.parametrize("seed", range(2))
def test_binary(world: World, seed: int) -> None:
    """Class 1 above the threshold, class 0 below it; at it the class is neither, which counts against the property."""
    network, inputs = net(seed + 40, 1), images(seed, 4)
    labels = [number % 2 for number in range(4)]
    world.model("sick", network)
    world.data(inputs, labels)
    for threshold in (2, Fraction(5, 2)):
        truths = []
        for label, plain in zip(labels, map(exact, inputs), strict=True):
            outs = [network(trigger(plain))[0] for trigger in DOTS]
            sure = any((y < threshold) if label else (y > threshold) for y in outs)
            may = any((y <= threshold) if label else (y >= threshold) for y in outs)
            truths.append(Truth(int(sure), int(may)))
        spec = HEAD + declare("sick", 'binary("no", "yes")', f"threshold = {float(threshold)}")
        spec += "property p { forall x in eval, t in dot assert class(sick(t(x))) == label(x) }"
        check_each(world, spec, truths)


@pytest.mark.parametrize("seed", range(2))
def test_search_and_bounds_below(world: World, seed: int) -> None:
    """`search ... >= rho` needs ceil(rho N), `> rho` floor(rho N) + 1; found is falsified, absent is certified."""
    network, inputs = net(seed + 50, 3), images(seed, 5)
    labels = [0, 1, 2, 0, 1]
    world.model("digits", network)
    world.data(inputs, labels)
    truth = count(BARS, inputs, lambda _, after, __: reaches(network(after), 1))
    model = declare("digits", "class(3)")
    for hit in {1, truth.sure, truth.sure + 1, 5} & set(range(1, 6)):
        rho = f"{hit}/5"
        for sign, need in ((">=", ceil(Fraction(rho) * 5)), (">", floor(Fraction(rho) * 5) + 1)):
            if need > 5:
                continue
            spec = (
                HEAD
                + model
                + f"property p {{ search exists t in bar : rate(x in eval : class(digits(t(x))) == 1) {sign} {rho} }}"
            )
            for result in world.results(spec):
                assert result.verdict in truth.verdicts(need)
                if truth.sure == truth.may:
                    assert result.verdict is not Verdict.UNKNOWN


def test_limits_by_target(world: World) -> None:
    network, inputs = net(60, 3), images(7, 6)
    labels = [0, 1, 2, 0, 1, 2]
    world.model("digits", network)
    world.data(inputs, labels)
    truths = {}
    for target in (0, 1, 2):
        chosen = [number for number, label in enumerate(labels) if label != target]
        truths[target] = count(DOTS, inputs[chosen], lambda _, after, __, c=target: reaches(network(after), c))
    for tight in (0, 1, 2):
        need = {target: truths[target].may + 1 for target in truths} | {tight: max(1, truths[tight].may)}
        limits = {target: f"{need[target] - 1}/4" for target in truths if need[target] <= 4}
        if len(limits) < 3:
            continue
        spec = (
            HEAD
            + declare("digits", "class(3)")
            + f"""property p {{
          forall t in dot, target in classes(digits)
          let v = eval where label(x) != target
          assert rate(x in v : class(digits(t(x))) == target)
            <= {limits[0]}, {limits[1]} for {{1}}, {limits[2]} for {{2}}
        }}"""
        )
        right = set.intersection(*(truths[target].verdicts(need[target]) for target in truths))
        falsifiable = any(Verdict.FALSIFIED in truths[target].verdicts(need[target]) for target in truths)
        for result in world.results(spec):
            assert (
                result.verdict is (Verdict.FALSIFIED if falsifiable else Verdict.CERTIFIED) or result.verdict in right
            )


def test_allowed_classes(world: World) -> None:
    network, inputs = net(61, 3), images(8, 4)
    world.model("digits", network)
    world.data(inputs, [0, 0, 0, 0])
    truths = []
    for plain in map(exact, inputs):
        met = [leaves_all(network(trigger(plain)), {0, 2}) for trigger in DOTS]
        truths.append(Truth(int(any(one.sure for one in met)), int(any(one.may for one in met))))
    spec = (
        HEAD
        + declare("digits", "class(3)")
        + "property p { forall x in eval, t in dot assert class(digits(t(x))) in {0, 2} }"
    )
    check_each(world, spec, truths)


def leaves_all(outputs: list[Fraction], allowed: set[int]) -> Met:
    """Whether the class is none of these: strictly, or by a tie."""
    others = [reaches(outputs, number) for number in range(len(outputs)) if number not in allowed]
    return Met(any(one.sure for one in others), any(one.may for one in others))


def test_untargeted_counts_ties(world: World) -> None:
    network, inputs = net(62, 2), images(9, 4)
    labels = [0, 1, 0, 1]
    world.model("digits", network)
    world.data(inputs, labels)
    truth = count(DOTS, inputs, lambda number, after, _: leaves(network(after), labels[number]))
    for need in (1, 2, 3, 4):
        limit = f"{need - 1}/4"
        spec = HEAD + declare("digits", "class(2)")
        spec += f"property p {{ forall t in dot assert rate(x in eval : class(digits(t(x))) != label(x)) <= {limit} }}"
        for result in world.results(spec):
            assert result.verdict in truth.verdicts(need)


@pytest.mark.parametrize("seed", range(2))
def test_measure(world: World, seed: int) -> None:
    """The interval holds the true maximum, and closes on it where nothing ties."""
    network, inputs = net(seed + 70, 3), images(seed + 3, 5)
    labels = [0, 1, 2, 0, 1]
    world.model("digits", network)
    world.data(inputs, labels)
    truths = []
    for target in (0, 1):
        chosen = [number for number, label in enumerate(labels) if label != target]
        truth = count(BARS, inputs[chosen], lambda _, after, __, c=target: reaches(network(after), c))
        truths.append((Fraction(truth.sure, len(chosen)), Fraction(truth.may, len(chosen))))
    sure, may = (max(column) for column in zip(*truths, strict=True))
    spec = (
        HEAD
        + declare("digits", "class(3)")
        + """property p {
      let v = eval where label(x) != target
      measure max rate(x in v : class(digits(t(x))) == target) over t in bar, target in {0, 1}
    }"""
    )
    for result in world.results(spec):
        assert result.found.rate <= sure
        assert result.proved.rate >= may
        assert (result.verdict is Verdict.CERTIFIED) == (result.found.rate == result.proved.rate)
        if sure == may:
            assert result.found.rate == result.proved.rate == sure
        if sure:
            assert result.strongest.rate.rate == sure


@pytest.mark.parametrize("gap", [Fraction(0), Fraction(30, 100)])
@pytest.mark.parametrize("seed", range(2))
def test_measure_everywhere(world: World, seed: int, gap: Fraction) -> None:
    """The interval of each place and target holds its own maximum, and is as narrow as was asked where nothing ties."""
    network, inputs = net(seed + 70, 3), images(seed + 3, 5)
    labels = [0, 1, 2, 0, 1]
    world.model("digits", network)
    world.data(inputs, labels)
    spec = (
        HEAD
        + declare("digits", "class(3)")
        + f"""property p {{
      let v = eval where label(x) != target
      measure max rate(x in v : class(digits(t(x))) == target) over t in bar, target in {{0, 1}}
        within {100 * gap} % everywhere
    }}"""
    )
    for result in world.results(spec):
        closed = True
        assert len(result.places) == 8
        for place in result.places:
            at = dict(place.placement)
            target, corner = place.target, 2 * at["row"] + at["column"]
            assert target is not None
            chosen = [number for number, label in enumerate(labels) if label != target]
            triggers = BARS[16 * corner : 16 * (corner + 1)]
            truth = count(triggers, inputs[chosen], lambda _, after, __, c=target: reaches(network(after), c))
            assert place.found.rate <= Fraction(truth.sure, len(chosen))
            assert place.proved.rate >= Fraction(truth.may, len(chosen))
            if truth.sure == truth.may:
                assert place.proved.rate - place.found.rate <= gap
            closed = closed and place.proved.rate - place.found.rate <= gap
        assert (result.verdict is Verdict.CERTIFIED) == closed


@pytest.mark.parametrize(("first", "second"), [(75, 76), (76, 75), (75, 75), (77, 76)])
def test_comparison_of_two_models(world: World, first: int, second: int) -> None:
    """Certified where the true maximum of the new model is not above that of the old, falsified where it is."""
    inputs, labels = images(4, 4), [0, 1, 2, 0]
    world.data(inputs, labels)
    truths = []
    for name, seed in (("new", first), ("old", second)):
        network = net(seed, 3)
        world.model(name, network)
        truths.append(count(DOTS, inputs, lambda n, after, _, f=network: leaves(f(after), labels[n])))
    new, old = truths
    spec = HEAD + declare("new", "class(3)") + declare("old", "class(3)")
    spec += "property p { assert max rate of new <= max rate of old over t in dot }"
    for result in world.results(spec):
        if result.verdict is Verdict.CERTIFIED:
            assert new.may <= old.sure
        if result.verdict is Verdict.FALSIFIED:
            assert new.sure > old.may
        assert result.verdict is not Verdict.UNKNOWN or old.sure < new.may
        assert result.compared.found.count <= old.sure
        assert result.compared.proved.count >= old.may
