"""`verifluxa explain-spec`: a property in plain words, how much there is to prove, and what it costs, before any work.

Costs are known rates times counts: an estimate, and said to be one. The rates are those of the examples in
`docs/benchmarks.md`: networks of some 50,000 weights on the machine that is named there. Nothing is enumerated, so a
million questions are estimated as fast as one. What has to branch, and larger networks, take longer than any rate says.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from verifluxa.spec.spec import DataDecl, PerInput, Property, Spec, claims_of, named
from verifluxa.spec.words import formula, plain_words


@dataclass(frozen=True)
class Counts:
    """The size of a property.

    Attributes:
        inputs: how many inputs there are; None while neither `take` nor the data says.
        exact: whether that is the number after `where`; else it is a limit from above.
        places: placements of the trigger.
        dimensions: free values of the trigger at one place (pixels times channels).
        targets: target classes; 0 when the property has none.
        questions: what has to be decided; None where that depends on `inputs` and they are not known.
        asked_together: whether a question speaks of all inputs at once.
    """

    inputs: int | None
    exact: bool
    places: int
    dimensions: int
    targets: int
    questions: int | None
    asked_together: bool


@dataclass(frozen=True)
class Explanation:
    """A property for people."""

    name: str
    doc: str | None
    words: str
    formula: tuple[str, ...]
    counts: Counts

    def __str__(self) -> str:
        counts = self.counts
        rows = [
            ("inputs", _count(counts.inputs, counts.exact)),
            ("places", _count(counts.places)),
            ("trigger values", _count(counts.dimensions)),
            ("targets", _count(counts.targets) if counts.targets else "any other class"),
            ("questions", _count(counts.questions, counts.exact or counts.asked_together)),
        ]
        lines = [f"property {self.name}", *(f"  {line}" for line in (self.doc or "").splitlines()), f"  {self.words}"]
        lines += [f"    {line}" for line in self.formula]
        return "\n".join([*lines, *(f"    {title:<15} {value}" for title, value in rows)])


def explain_property(spec: Spec, prop: Property, inputs: int | None = None) -> Explanation:
    """A property in plain words, with its counts.

    Args:
        spec: the checked spec that it is part of.
        prop: the property.
        inputs: how many inputs the data holds after `take` and, where that is known, after `where`.
    """
    counts = count(spec, prop, inputs)
    return Explanation(prop.name, prop.doc, plain_words(spec, prop), formula(spec, prop), counts)


def count(spec: Spec, prop: Property, inputs: int | None = None) -> Counts:
    """The size of a property; one question per place and target, or per place and input."""
    claim = prop.statement
    rate = claims_of(claim)[0]
    known = inputs if inputs is not None else _most(named(spec.data, claim.selection.data))
    places = claim.trigger.placements
    together = not isinstance(rate, PerInput)
    if together:
        questions: int | None = places * max(1, len(rate.targets))
    else:
        questions = None if known is None else places * known
    dimensions = claim.trigger.dimensions(named(spec.spaces, claim.trigger.space))
    chosen = claim.selection
    exact = inputs is not None or (chosen.correct is None and chosen.labels is None and not chosen.label_is_not_target)
    return Counts(known, exact, places, dimensions, len(rate.targets), questions, together)


def _most(data: DataDecl) -> int | None:
    return data.take if data.sample is None else data.sample


def _count(value: int | None, exact: bool = True) -> str:
    if value is None:
        return "known once the data is read"
    return f"{value:,}" if exact else f"at most {value:,}"


# Cost

START = 1.0
"""Seconds until the work begins."""
SHARED = (0.4e-3, 1.3e-3)
"""Seconds for a place and an input, where a question speaks of all inputs together: bounds decide; a few boxes each."""
SINGLE = (2e-3, 10e-3)
"""Seconds for a question about one input."""
VARIANT = (0.5e-6, 3e-6)
"""Seconds for a word at a place of a text: where the order of words does not matter; behind a convolution."""
REFERENCE = 0.002
"""Seconds of `machine_seconds` where the rates were taken."""
SIZE = 192


@dataclass(frozen=True)
class Cost:
    """Seconds in one process, from the quick end to the slow one of what is usual."""

    low: float
    high: float

    def __str__(self) -> str:
        return (
            f"{_shown(self.low)} to {_shown(self.high)}" if _shown(self.low) != _shown(self.high) else _shown(self.low)
        )


def cost(prop: Property, counts: Counts, speed: float = 1.0) -> Cost | None:
    """The estimate for a property; None while the number of inputs is not known.

    Args:
        prop: the property.
        counts: of `spec.plain.count`.
        speed: of the machine, as a factor on that of the reference.
    """
    if counts.inputs is None:
        return None
    tried = [member.variants() for member in prop.statement.trigger.families()]
    if all(tried):
        work, rates = counts.inputs * sum(tried), VARIANT
    else:
        work = counts.places * counts.inputs
        rates = SINGLE if isinstance(claims_of(prop.statement)[0], PerInput) else SHARED
    sides = len(claims_of(prop.statement))
    return Cost(*(START + sides * work * rate / speed for rate in rates))


def total(costs: Sequence[Cost | None]) -> Cost | None:
    """The estimate for properties together; None while that of one of them is not known."""
    known = [one for one in costs if one is not None]
    if len(known) < len(costs):
        return None
    shared = START * (len(known) - 1)  # one start for all of them
    return Cost(sum(one.low for one in known) - shared, sum(one.high for one in known) - shared)


def machine_speed() -> float:
    """How fast this machine is beside the reference, by a few products of matrices: a hundredth of a second."""
    import numpy as np

    matrix = np.full((SIZE, SIZE), 1.0 / SIZE)
    best = math.inf
    for _ in range(3):
        started = time.process_time()
        for _ in range(8):
            matrix = matrix @ matrix
        best = min(best, time.process_time() - started)
    return REFERENCE / max(best, 1e-4)


def _shown(seconds: float) -> str:
    """A time in the unit that people would say it in, to about one digit.

    >>> [_shown(s) for s in (1.2, 47.0, 400.0, 90000.0)]
    ['1 s', '50 s', '7 min', '1 day']
    """
    for unit, size in (("day", 86_400.0), ("h", 3_600.0), ("min", 60.0), ("s", 1.0)):
        if seconds >= size or unit == "s":
            count = seconds / size
            rounded = round(count, -1) if count >= 20 else round(count)
            return f"{max(1, rounded):,.0f} {unit}{'s' if unit == 'day' and rounded > 1 else ''}"
    raise AssertionError("seconds are the last unit")
