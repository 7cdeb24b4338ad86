"""`verifluxa explain-spec`: a property in plain words, and how much there is to prove, before any work is done."""

from __future__ import annotations

from dataclasses import dataclass

from verifluxa.spec.mathematics import formula
from verifluxa.spec.spec import DataDecl, PerInput, Property, Spec, claims_of, named
from verifluxa.spec.words import plain_words


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
