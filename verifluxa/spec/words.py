"""A property in plain words."""

from __future__ import annotations

from fractions import Fraction

from verifluxa.spec.numbers import percent, show
from verifluxa.spec.spec import (
    BinaryOutput,
    Compare,
    Measure,
    ModelDecl,
    Output,
    OutputRow,
    PerInput,
    Property,
    RateBound,
    RealOutput,
    Rows,
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
    family = claim.trigger.phrase(named(spec.spaces, claim.trigger.space))
    match claim:
        case Compare(new=new, old=old):
            share, other = (_chosen(spec, side.selection, named(spec.models, side.model).output) for side in (new, old))
            before = _effect(old, named(spec.models, old.model))
            return (
                f"The largest share of {share} that a single {family} {_effect(new, model)} is at most the largest "
                f"share of {other} that one {before}. {_ONE}"
            )
        case Measure():
            each = ", at each place and for each target" if claim.everywhere else ""
            return f"The largest share of {chosen} that a single {family} {_effect(claim.rate, model)}{each}. {_ONE}"
        case RateBound():
            return f"No single {family} {_does(claim, model, _more(claim, chosen))}. {_ONE}"
        case PerInput():
            one = family.removesuffix(",")
            return f"For each of {chosen}: no {one}, even one made for that input, {_flips(claim, model)}."


def _more(claim: RateBound, chosen: str) -> str:
    """`more than 5 % of the inputs of ...`."""
    least = "at least" if claim.below else "more than"
    own = ", ".join(f"{percent(limit)} for {target}" for target, limit in claim.limits)
    return f"{least} {percent(claim.limit)}{f' ({own})' if own else ''} of {chosen}"


def _effect(claim: RateBound, model: ModelDecl) -> str:
    """What a trigger of the rate does to the inputs of a share."""
    if claim.rows:
        return f"makes `{claim.model}` give {conditions(claim.rows, model)} for"
    if claim.targets:
        return f"makes `{claim.model}` answer {_targets(claim.targets, model.output)}"
    return f"makes `{claim.model}` answer other than by the label"


def _does(claim: RateBound, model: ModelDecl, share: str) -> str:
    """What a trigger of the rate does to a share of the inputs."""
    if claim.rows:
        return f"makes `{claim.model}` give {conditions(claim.rows, model)} for {share}"
    if claim.targets:
        return f"sends {share} to {_targets(claim.targets, model.output)}"
    return f"changes the answer of `{claim.model}` away from the label for {share}"


def _flips(claim: PerInput, model: ModelDecl) -> str:
    if claim.rows:
        return f"makes `{model.name}` give {conditions(claim.rows, model)}"
    if claim.targets:
        return f"makes `{model.name}` answer {_targets(claim.targets, model.output)}"
    if claim.expected is None:
        return f"makes `{model.name}` answer anything but the label"
    return f"makes `{model.name}` answer anything but {_class(claim.expected, model.output)}"


def conditions(rows: Rows, model: ModelDecl) -> str:
    """Groups of rows in words: `f(t(x)) > 100, or f(t(x)) < 0`."""
    groups = [" and ".join(row_words(row, model) for row in group) for group in rows]
    return ", or ".join(groups)


def row_words(row: OutputRow, model: ModelDecl) -> str:
    """A row as a comparison: the outputs on the left, the constant on the right."""
    terms = [(value, f"{name}{_number(index, model)}") for name, values in _sides(row) for index, value in values]
    lead = next(value for value, _ in terms)
    turned = -1 if lead < 0 else 1
    sign = (">" if turned > 0 else "<") + ("=" if row.closed else "")
    scale = Fraction(turned) / abs(lead)
    shown = "".join(_term(value * scale, word, first=not at) for at, (value, word) in enumerate(terms))
    return f"{shown} {sign} {show(-row.constant * scale)}"


def _sides(row: OutputRow) -> list[tuple[str, list[tuple[int, Fraction]]]]:
    def used(values: tuple[Fraction, ...]) -> list[tuple[int, Fraction]]:
        return [(index, value) for index, value in enumerate(values) if value]

    return [("f(t(x))", used(row.stamped)), ("f(x)", used(row.clean))]


def _number(index: int, model: ModelDecl) -> str:
    output = model.output
    if isinstance(output, BinaryOutput) or (isinstance(output, RealOutput) and output.size == 1):
        return ""
    if isinstance(output, RealOutput) and output.labels:
        return f'["{output.labels[index]}"]'
    return f"[{index}]"


def _term(value: Fraction, word: str, first: bool) -> str:
    sign = ("-" if value < 0 else "") if first else (" - " if value < 0 else " + ")
    return f"{sign}{word}" if abs(value) == 1 else f"{sign}{show(abs(value))} {word}"


def _chosen(spec: Spec, selection: Selection, output: Output) -> str:
    data = named(spec.data, selection.data)
    first = f"the first {data.take:,} inputs" if data.take is not None else "the inputs"
    if data.sample is not None:
        first = f"{data.sample:,} random ones of {first}"
    conditions = []
    if selection.correct is not None:
        conditions.append(f"that `{selection.correct}` gets right")
    if selection.labels is not None:
        conditions.append(f"whose label is {_targets(selection.labels, output)}")
    if selection.label_is_not_target:
        conditions.append("whose label is another one")
    found = " ".join([f"{first} of `{selection.data}`", " and ".join(conditions)]).strip()
    return f"all images within {show(selection.radius)} level of {found}" if selection.radius else found


def _targets(targets: tuple[int, ...], output: Output) -> str:
    if len(targets) == output.count and len(targets) > 1:
        return "any one class"
    names = [_class(target, output) for target in targets[:SHOWN]]
    more = [f"one of {len(targets) - SHOWN} more"] if len(targets) > SHOWN else []
    return " or ".join([*names, *more])


def _class(index: int, output: Output) -> str:
    return f'class {index} ("{output.labels[index]}")' if output.labels else f"class {index}"
