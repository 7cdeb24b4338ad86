"""Who is chosen: `forall x in clean, t in patch at corners, target in classes(digits)` and `let`.

What a `forall` binds outside `rate(...)` is chosen once for all inputs that the rate counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from verifluxa.errors import Span, SpecError
from verifluxa.spec.conditions import Chosen, conditions
from verifluxa.spec.meaning import (
    Constant,
    Declarations,
    InputVariable,
    Scope,
    TargetVariable,
    TriggerVariable,
    Variable,
    class_index,
    describe,
    meaning,
)
from verifluxa.spec.names import did_you_mean, fresh
from verifluxa.spec.numbers import measured
from verifluxa.spec.problems import Problems, unsupported
from verifluxa.spec.spec import ImageSpace, ModelDecl, Trigger
from verifluxa.spec.syntax import Let
from verifluxa.spec.terms import Anywhere, Around, Binder, Call, Members, Name, Places, Reference, Selection, TriggerAt

INPUT = "x"
"""What `where` calls the input that it speaks of."""


@dataclass(frozen=True)
class Targets:
    """The classes a target variable ranges over: all of a model, or those that are listed."""

    model: ModelDecl | None
    members: tuple[Constant, ...]
    span: Span


@dataclass(frozen=True)
class Bound:
    """What the statements of a property have bound so far."""

    scope: Scope
    selections: Mapping[str, Chosen] = field(default_factory=dict)
    inputs: Mapping[str, Chosen] = field(default_factory=dict)
    targets: Mapping[str, Targets] = field(default_factory=dict)
    places: Mapping[str, Span] = field(default_factory=dict)

    @property
    def declarations(self) -> Declarations:
        """The declarations of the file."""
        return self.scope.declarations


def bind_let(statement: Let, bound: Bound) -> Bound:
    """With the selection that a `let` names.

    Raises:
        SpecError: VF1021 or VF1028 for its name, and whatever its selection raises.
    """
    bound = _introduce(statement.name, bound)
    chosen = chosen_inputs(statement.selection, bound, INPUT)
    return replace(bound, selections={**bound.selections, statement.name.text: chosen})


def bind_forall(binders: tuple[Binder, ...], bound: Bound, problems: Problems) -> Bound:
    """With the variables of a `forall`, `over` or `exists`; inputs last, as their `where` may speak of the target.

    Raises:
        SpecError: VF1021 or VF1028 for a name, VF1014 for a second trigger or target, and whatever the sources raise.
    """
    late: list[Binder] = []
    for binder in binders:
        bound = _introduce(binder.name, bound)
        match binder.source:
            case TriggerAt(name=name, places=places):
                bound = _bind_trigger(binder, name, places, bound, problems)
            case Selection(name=name, condition=None) if name.text in bound.declarations.triggers:
                bound = _bind_trigger(binder, name, None, bound, problems)
            case Members() | Call():
                bound = _bind_target(binder, binder.source, bound)
            case _:
                late.append(binder)
    for binder in late:
        bound = bind_input(binder, bound)
    return bound


def bind_input(binder: Binder, bound: Bound) -> Bound:
    """With a variable for the inputs of a selection.

    Raises:
        SpecError: VF1063 when it is no selection of inputs, VF1014 for a second one, and whatever the selection raises.
    """
    if bound.inputs:
        raise unsupported("a second input variable in one property", binder.span)
    if not isinstance(binder.source, Selection | Around):
        raise SpecError(
            "VF1063",
            f"`{binder.name.text}` must stand for an input",
            place=binder.source.span,
            expected="a data set, or `data where condition`",
        )
    chosen = chosen_inputs(binder.source, bound, binder.name.text)
    scope = bound.scope.bind({binder.name.text: InputVariable(chosen.data.space)})
    return replace(bound, scope=scope, inputs={**bound.inputs, binder.name.text: chosen})


def introduce_input(binder: Binder, bound: Bound) -> Bound:
    """The same for the variable of a `rate`, whose name must be new as well."""
    return bind_input(binder, _introduce(binder.name, bound))


def chosen_inputs(source: Selection | Around, bound: Bound, variable: str) -> Chosen:
    """The inputs of `data where condition`; a `let` name may stand for the data.

    Raises:
        SpecError: VF1044 or VF1083 for the radius of `around`, VF1020 or VF1022 for the name, and whatever the
            condition raises.
    """
    if isinstance(source, Around):
        return _around(source, bound, variable)
    name = source.name
    known = bound.selections.get(name.text)
    if known is None:
        data = bound.declarations.table.find(name, "data set", bound.declarations.data, bound.selections)
        known = Chosen(data, (), source.span)
    if source.condition is None:
        return replace(known, span=source.span)
    inputs = {word: InputVariable(known.data.space) for word in (INPUT, variable)}
    scope = Scope(bound.declarations, {**_without_inputs(bound.scope), **inputs})
    found = (*known.conditions, *conditions(source.condition, scope))
    return replace(known, conditions=found, span=source.span)


def _around(source: Around, bound: Bound, variable: str) -> Chosen:
    """The inputs of a selection, each with all images around it."""
    chosen = chosen_inputs(_plain(source), bound, variable)
    if not isinstance(bound.declarations.space(chosen.data.space), ImageSpace):
        raise SpecError("VF1083", "`around` is for images, where a distance is a number of levels", place=source.span)
    radius = measured(source.radius, "level", "the distance of `around`")
    if radius <= 0 or chosen.radius:
        raise SpecError(
            "VF1044",
            "the distance must be above 0, and given once",
            place=source.radius.span,
            expected="`around eval within 2 level`",
        )
    return replace(chosen, radius=radius)


def _plain(source: Around) -> Selection:
    return Selection(source.name, None, span=source.span)


def target_classes(targets: Targets, model: ModelDecl) -> tuple[int, ...]:
    """The classes as numbers of the property's model, each once.

    Raises:
        SpecError: VF1064 or VF1073 for unknown classes, VF1066 when `classes(...)` names a model with other ones,
            VF1060 when there are none.
    """
    if targets.model is not None:
        if targets.model.output != model.output:
            raise SpecError(
                "VF1066",
                f"the targets are classes of `{targets.model.name}`, the property speaks of `{model.name}`",
                place=targets.span,
                expected=f"`classes({model.name})`",
            )
        return tuple(range(model.output.count))
    if not targets.members:
        raise SpecError(
            "VF1060",
            "the list of targets is empty, so there is nothing to prove",
            place=targets.span,
            expected="at least one class, or `classes(model)`",
        )
    return tuple(sorted({class_index(member, model.output, model.name) for member in targets.members}))


def _introduce(name: Name, bound: Bound) -> Bound:
    fresh(name, {**bound.declarations.table.places, **bound.places})
    return replace(bound, places={**bound.places, name.text: name.span})


def _bind_trigger(binder: Binder, name: Name, places: Places | None, bound: Bound, problems: Problems) -> Bound:
    if any(isinstance(variable, TriggerVariable) for variable in bound.scope.variables.values()):
        raise unsupported("a second trigger in one property", binder.span)
    trigger: Trigger = bound.declarations.table.find(name, "trigger", bound.declarations.triggers)
    if places is not None and not isinstance(places, Anywhere):
        trigger = trigger.narrowed(places, bound.declarations.space(trigger.space), problems)
    return replace(bound, scope=bound.scope.bind({binder.name.text: TriggerVariable(trigger)}))


def _bind_target(binder: Binder, source: Members | Call, bound: Bound) -> Bound:
    if bound.targets:
        raise unsupported("a second target in one property", binder.span)
    targets = target_members(source, bound) if isinstance(source, Members) else _all_classes(source, bound)
    scope = bound.scope.bind({binder.name.text: TargetVariable()})
    return replace(bound, scope=scope, targets={binder.name.text: targets})


def target_members(source: Members, bound: Bound) -> Targets:
    """The classes that a list names.

    Raises:
        SpecError: VF1063 when something else is listed.
    """
    found = [(item, meaning(item, bound.scope)) for item in source.items]
    for item, value in found:
        if not isinstance(value, Constant):
            raise SpecError(
                "VF1063", f"{describe(value)} in a list of targets", place=item.span, expected="class numbers or names"
            )
    return Targets(None, tuple(value for _, value in found if isinstance(value, Constant)), source.span)


def _all_classes(source: Call, bound: Bound) -> Targets:
    if source.name.text != "classes":
        raise SpecError(
            "VF1027",
            f"nothing can be chosen from `{source.name.text}(...)`",
            place=source.name.span,
            expected="`classes(model)`, `{3, 7}`, a trigger or a data set",
            remedy=did_you_mean(source.name.text, ("classes",)),
        )
    if len(source.arguments) != 1 or not isinstance(source.arguments[0], Reference):
        raise SpecError(
            "VF1068", "`classes` takes the name of a model", place=source.span, expected="`classes(digits)`"
        )
    named = source.arguments[0]
    model = bound.declarations.table.find(Name(named.name, span=named.span), "model", bound.declarations.models)
    return Targets(model, (), source.span)


def _without_inputs(scope: Scope) -> dict[str, Variable]:
    return {name: value for name, value in scope.variables.items() if not isinstance(value, InputVariable)}
