"""What a per-input result says about inputs that were not tested: the exact Clopper-Pearson upper bound.

Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial",
Biometrika 26 (1934): if `m` of `n` independent draws fail, then with confidence `1 - delta` at most a share
`p` of the population fails, where `p` solves `P(Binomial(n, p) <= m) = delta`.

For one trigger on all inputs (a universal rate) the same holds for each trigger of a finite family, and a
union bound over the family (`delta / |T|` for each) makes it hold for all of them together.
"""

from __future__ import annotations

import decimal
from dataclasses import dataclass
from fractions import Fraction

from verifluxa.certificate.numbers import rounded_decimal
from verifluxa.errors import UsageError

STEPS = 10**6
"""Bounds are multiples of one millionth, rounded up."""
LARGEST_SAMPLE = 10**6

ASSUMPTIONS = (
    "Holds if the inputs were drawn independently from the population that the claim is about, were used "
    "neither for training nor for choosing the model, and the trigger family was fixed before they were seen. "
    "Excluded inputs and inputs without a certificate count as failures. The error probability is divided "
    "equally among the properties reported together, and for universal rates among the triggers of the family."
)

_UP = decimal.Context(prec=50, rounding=decimal.ROUND_CEILING, Emin=decimal.MIN_EMIN, Emax=decimal.MAX_EMAX)


@dataclass(frozen=True)
class PopulationBound:
    """At most `bound` of the population can be flipped.

    Attributes:
        failures: inputs that were not certified, the excluded ones among them (m).
        total: all inputs that were drawn (n).
        confidence: of all the properties reported together.
        properties: how many share the error probability.
        family: 1 for per-input results (any trigger, chosen for the input); for a universal rate the
            number of triggers, places and targets of the family (one trigger, the same for all inputs).
        bound: a multiple of one millionth, rounded up.
    """

    failures: int
    total: int
    confidence: Fraction
    properties: int
    family: int
    bound: Fraction

    @property
    def decimal(self) -> str:
        """The bound as a decimal, exact."""
        return rounded_decimal(self.bound, up=True)


def population_bound(
    failures: int, total: int, confidence: Fraction = Fraction(19, 20), properties: int = 1, family: int = 1
) -> PopulationBound:
    """Bounds the share of the population that fails.

    Args:
        failures: inputs without a certificate, excluded ones among them; for a universal rate the most
            that any one trigger was proved to flip, plus the excluded ones.
        total: all inputs that were drawn.
        confidence: of all properties together; `1 - confidence` is divided among them.
        properties: how many are reported together.
        family: size of the finite trigger family for a universal rate, 1 for per-input results.

    Raises:
        UsageError: VF4901 for counts or a confidence that mean nothing.
    """
    if not 0 <= failures <= total or not 1 <= total <= LARGEST_SAMPLE:
        raise _meaningless(
            f"{failures} failures among {total} inputs", f"0 <= failures <= total, 1..{LARGEST_SAMPLE} inputs"
        )
    if not 0 < confidence < 1 or properties < 1 or family < 1:
        raise _meaningless(
            f"confidence {confidence} for {properties} properties", "a confidence strictly between 0 and 1"
        )
    bound = clopper_pearson_upper(failures, total, (1 - confidence) / (properties * family))
    return PopulationBound(failures, total, confidence, properties, family, bound)


def clopper_pearson_upper(failures: int, total: int, delta: Fraction) -> Fraction:
    """The least multiple `p` of one millionth with `P(Binomial(total, p) <= failures) <= delta`.

    The tail is summed with every operation rounded up, so the result is never below the exact bound.
    """
    if failures == total:
        return Fraction(1)
    limit = decimal.Context(prec=50, rounding=decimal.ROUND_FLOOR).divide(
        decimal.Decimal(delta.numerator), decimal.Decimal(delta.denominator)
    )
    low, high = 0, STEPS
    while high - low > 1:
        middle = (low + high) // 2
        if _tail_upper(failures, total, middle) <= limit:
            high = middle
        else:
            low = middle
    return Fraction(high, STEPS)


def _tail_upper(failures: int, total: int, step: int) -> decimal.Decimal:
    """Upper bound of `P(Binomial(total, step / STEPS) <= failures)`: all terms positive, all rounded up."""
    success, failure = decimal.Decimal(STEPS - step), decimal.Decimal(step)
    odds = _UP.divide(failure, success)
    term = _power(_UP.divide(success, decimal.Decimal(STEPS)), total)
    tail = term
    for count in range(1, failures + 1):
        ratio = _UP.divide(decimal.Decimal(total - count + 1), decimal.Decimal(count))
        term = _UP.multiply(term, _UP.multiply(ratio, odds))
        tail = _UP.add(tail, term)
    return tail


def _power(base: decimal.Decimal, exponent: int) -> decimal.Decimal:
    """`base ** exponent` by squaring, every product rounded up (`Context.power` ignores the direction)."""
    result = decimal.Decimal(1)
    for bit in bin(exponent)[2:]:
        result = _UP.multiply(result, result)
        if bit == "1":
            result = _UP.multiply(result, base)
    return result


def _meaningless(found: str, expected: str) -> UsageError:
    return UsageError(
        "VF4901",
        f"no population bound can be given for {found}",
        expected=expected,
        remedy="check the number of inputs and the confidence that you ask for",
    )
