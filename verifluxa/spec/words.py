"""A property in plain words."""

from __future__ import annotations

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
"""Classes that are listed before `N more`."""

_ONE = "One and the same trigger is on all of them."


def plain_words(spec: Spec, prop: Property) -> str:
    """What a property says, in one or two sentences.

    Args:
        spec: the checked spec that it is part of.
        prop: the property.
    """
    claim = prop.statement
    model = named(spec.models, claim.model)
    chosen = _chosen(spec, claim.selection, model.output)
    family = _family(claim.trigger, named(spec.spaces, claim.trigger.space))
    match claim:
        case RateBound(targets=()):
            what = f"changes the answer of `{claim.model}` away from the label for more than {percent(claim.limit)}"
            return f"No single {family} {what} of {chosen}. {_ONE}"
        case RateBound():
            what = f"sends more than {percent(claim.limit)} of {chosen} to {_targets(claim.targets, model.output)}"
            return f"No single {family} {what}. {_ONE}"
        case PerInput():
            return f"For each of {chosen}: no {family}, even one made for that input, {_flips(claim, model)}."


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
