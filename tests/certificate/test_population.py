"""The population bound against closed forms, tables and exact rational tails."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

from verifluxa.certificate.population import STEPS, clopper_pearson_upper, population_bound
from verifluxa.errors import UsageError

DELTA = Fraction(1, 20)


@pytest.mark.parametrize("total", [1, 2, 10, 97, 198, 1000, 10_000])
def test_no_failures_closed_form(total: int) -> None:
    expected = 1 - 0.05 ** (1 / total)
    bound = float(clopper_pearson_upper(0, total, DELTA))
    assert expected <= bound <= expected + 1.1e-6


@pytest.mark.parametrize("total", [1, 2, 10, 97])
def test_all_but_one_closed_form(total: int) -> None:
    """`P(X <= n - 1) = 1 - p^n`, so the bound is `(1 - delta)^(1 / n)`."""
    expected = 0.95 ** (1 / total)
    assert expected <= float(clopper_pearson_upper(total - 1, total, DELTA)) <= expected + 1.1e-6


@pytest.mark.parametrize(
    ("failures", "total", "delta", "expected"),
    [  # published one-sided and two-sided (delta = 1/40) exact limits
        (1, 10, Fraction(1, 20), 0.3942),
        (5, 10, Fraction(1, 40), 0.8129),
        (0, 20, Fraction(1, 20), 0.1391),
        (3, 100, Fraction(1, 40), 0.0852),
        (10, 100, Fraction(1, 40), 0.1762),
        (50, 100, Fraction(1, 40), 0.6017),
    ],
)
def test_tables(failures: int, total: int, delta: Fraction, expected: float) -> None:
    assert float(clopper_pearson_upper(failures, total, delta)) == pytest.approx(expected, abs=6e-5)


def tail(failures: int, total: int, p: Fraction) -> Fraction:
    return sum((math.comb(total, k) * p**k * (1 - p) ** (total - k) for k in range(failures + 1)), start=Fraction(0))


@pytest.mark.parametrize(("failures", "total"), [(0, 7), (1, 7), (3, 20), (19, 20), (2, 60)])
def test_least_step_whose_exact_tail_is_small_enough(failures: int, total: int) -> None:
    bound = clopper_pearson_upper(failures, total, DELTA)
    assert tail(failures, total, bound) <= DELTA
    assert tail(failures, total, bound - Fraction(1, STEPS)) > DELTA


def test_all_failed() -> None:
    assert clopper_pearson_upper(4, 4, DELTA) == 1


def test_delta_is_divided_among_properties() -> None:
    assert population_bound(2, 50, properties=3).bound == clopper_pearson_upper(2, 50, DELTA / 3)


def test_union_bound_over_a_patch_family() -> None:
    """5 % of 10,000 for 256^9 triggers at 676 places for 10 targets gives 7.8 % (the figure in the semantics)."""
    bound = population_bound(500, 10_000, family=256**9 * 676 * 10)
    assert 0.077 < float(bound.bound) <= 0.078


def test_decimal_is_exact() -> None:
    bound = population_bound(3, 100)
    assert Fraction(bound.decimal) == bound.bound


@pytest.mark.parametrize(
    "arguments",
    [(1, 0), (-1, 5), (6, 5), (0, 10**6 + 1), (0, 5, Fraction(1)), (0, 5, Fraction(0)), (0, 5, Fraction(1, 2), 0)],
)
def test_meaningless_counts(arguments: tuple[int, ...]) -> None:
    with pytest.raises(UsageError) as caught:
        population_bound(*arguments)  # type: ignore[arg-type]
    assert caught.value.code == "VF4901"
