"""`verifluxa explain-spec`: a property in plain words, and how much there is to prove, before any work is done."""

from __future__ import annotations

from dataclasses import dataclass

from verifluxa.spec.numbers import percent, show
from verifluxa.spec.spec import (
    ClassOutput,
    ImageSpace,
    ModelDecl,
    PatchTrigger,
    PerInput,
    Property,
    RateBound,
    Selection,
    Spec,
    named,
)

SHOWN = 10
"""Classes and places that are listed before `and N more`."""


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
        return "\n".join([*lines, *(f"    {title:<15} {value}" for title, value in rows)])


def explain_property(spec: Spec, prop: Property, inputs: int | None = None) -> Explanation:
    """A property in plain words, with its counts.

    Args:
        spec: the checked spec that it is part of.
        prop: the property.
        inputs: how many inputs the data holds after `take` and, where that is known, after `where`.
    """
    counts = count(spec, prop, inputs)
    return Explanation(prop.name, prop.doc, " ".join(_words(spec, prop)), counts)


def count(spec: Spec, prop: Property, inputs: int | None = None) -> Counts:
    """The size of a property; one question per place and target, or per place and input."""
    claim = prop.statement
    known = inputs if inputs is not None else named(spec.data, claim.selection.data).take
    channels = named(spec.spaces, claim.trigger.space).channels
    places = len(claim.trigger.places)
    if isinstance(claim, RateBound):
        questions: int | None = places * max(1, len(claim.targets))
    else:
        questions = None if known is None else places * known
    dimensions = claim.trigger.height * claim.trigger.width * channels
    chosen = claim.selection
    exact = inputs is not None or (chosen.correct is None and chosen.labels is None and not chosen.label_is_not_target)
    return Counts(known, exact, places, dimensions, len(claim.targets), questions, isinstance(claim, RateBound))


def _words(spec: Spec, prop: Property) -> list[str]:
    claim = prop.statement
    model = named(spec.models, claim.model)
    chosen = _chosen(spec, claim.selection, model.output)
    family = _family(claim.trigger, named(spec.spaces, claim.trigger.space))
    match claim:
        case RateBound(targets=()):
            what = f"changes the answer of `{claim.model}` away from the label for more than {percent(claim.limit)}"
            return [f"No single {family} {what} of {chosen}.", "One and the same trigger is on all of them."]
        case RateBound():
            what = f"sends more than {percent(claim.limit)} of {chosen} to {_targets(claim.targets, model.output)}"
            return [f"No single {family} {what}.", "One and the same trigger is on all of them."]
        case PerInput():
            return [f"For each of {chosen}: no {family}, even one made for that input, {_flips(claim, model)}."]


def _flips(claim: PerInput, model: ModelDecl) -> str:
    if claim.targets:
        return f"makes `{model.name}` answer {_targets(claim.targets, model.output)}"
    if claim.expected is None:
        return f"makes `{model.name}` answer anything but the label"
    return f"makes `{model.name}` answer anything but {_class(claim.expected, model.output)}"


def _family(trigger: PatchTrigger, space: ImageSpace) -> str:
    grid = "any level" if trigger.step is None else "whole levels"
    size = f"{trigger.height} x {trigger.width} px patch"
    if trigger.low == trigger.high:
        levels = f"of level {show(trigger.low)}"
    else:
        levels = f"of {grid} {show(trigger.low)}..{show(trigger.high)}"
    return f"{size} {levels} at {_where(trigger, space)}"


def _where(trigger: PatchTrigger, space: ImageSpace) -> str:
    everywhere = (space.height - trigger.height + 1) * (space.width - trigger.width + 1)
    if len(trigger.places) == 1:
        return f"place {trigger.places[0]}"
    if len(trigger.places) == everywhere:
        return f"any of all {everywhere:,} places"
    return f"any of {len(trigger.places):,} places"


def _chosen(spec: Spec, selection: Selection, output: ClassOutput) -> str:
    data = named(spec.data, selection.data)
    first = f"the first {data.take:,} inputs" if data.take is not None else "the inputs"
    conditions = []
    if selection.correct is not None:
        conditions.append(f"that `{selection.correct}` gets right")
    if selection.labels is not None:
        conditions.append(f"whose label is {_targets(selection.labels, output)}")
    if selection.label_is_not_target:
        conditions.append("whose label is another one")
    return " ".join([f"{first} of `{selection.data}`", " and ".join(conditions)]).strip()


def _targets(targets: tuple[int, ...], output: ClassOutput) -> str:
    if len(targets) == output.count and len(targets) > 1:
        return "any one class"
    names = [_class(target, output) for target in targets[:SHOWN]]
    more = [f"one of {len(targets) - SHOWN} more"] if len(targets) > SHOWN else []
    return " or ".join([*names, *more])


def _class(index: int, output: ClassOutput) -> str:
    return f'class {index} ("{output.labels[index]}")' if output.labels else f"class {index}"


def _count(value: int | None, exact: bool = True) -> str:
    if value is None:
        return "known once the data is read"
    return f"{value:,}" if exact else f"at most {value:,}"
