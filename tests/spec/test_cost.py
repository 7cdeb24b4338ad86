"""Estimates of `explain-spec`: counts times rates, for what is bounded and for what is tried one and all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.spec.sample import FILE, complete, per_input, rate
from verifluxa.spec.check import load_spec, parse_spec
from verifluxa.spec.plain import SHARED, SINGLE, VARIANT, Cost, cost, count, machine_speed
from verifluxa.spec.spec import TokenSpace

ROOT = Path(__file__).parents[2]
COMPARED = """model newer : digit -> class(10) { encode = level / 255 }
property p { assert max rate of newer <= max rate of digits over t in patch }"""


def _cost(fragment: str, speed: float = 1.0) -> Cost | None:
    spec = parse_spec(complete(fragment), FILE).spec
    return cost(spec.properties[0], count(spec, spec.properties[0]), speed)


@pytest.mark.parametrize(
    ("fragment", "work", "rates"),
    [
        (rate(), 676 * 100, SHARED),
        (per_input("class(digits(t(x))) == 3"), 676 * 100, SINGLE),
        (COMPARED, 2 * 676 * 100, SHARED),
    ],
)
def test_work_times_the_rates(fragment: str, work: int, rates: tuple[float, float]) -> None:
    found = _cost(fragment)
    assert found is not None
    assert (found.low, found.high) == pytest.approx([1 + work * rate for rate in rates])


def test_a_faster_machine_takes_less() -> None:
    once, twice = _cost(rate()), _cost(rate(), speed=2.0)
    assert once is not None
    assert twice is not None
    assert twice.high - 1 == pytest.approx((once.high - 1) / 2)


def test_words_are_counted_one_and_all() -> None:
    spec = load_spec(str(ROOT / "examples" / "reviews" / "no_magic_word.vfx")).spec
    found = cost(spec.properties[0], count(spec, spec.properties[0], 200))
    space = spec.spaces[0]
    assert found is not None
    assert isinstance(space, TokenSpace)
    variants = 200 * 32 * (len(space.words) - 2)
    assert (found.low, found.high) == pytest.approx([1 + variants * seconds for seconds in VARIANT])


def test_nothing_is_said_before_the_inputs_are_known() -> None:
    assert _cost("data eval : digit { }") is None


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [(1, 1.2, "1 s"), (2, 9, "2 s to 9 s"), (25, 3_000, "20 s to 50 min"), (7_200, 900_000, "2 h to 10 days")],
)
def test_times_are_said_as_people_say_them(low: float, high: float, shown: str) -> None:
    assert str(Cost(low, high)) == shown


def test_the_machine_has_a_speed() -> None:
    assert 0 < machine_speed() < 1_000
