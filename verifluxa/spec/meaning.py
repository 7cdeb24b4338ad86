"""What an expression of a property stands for: an input, a model's answer, its class, a label, a constant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

from verifluxa.errors import Span, SpecError
from verifluxa.spec.names import FUNCTIONS, Table, article, did_you_mean, same_space
from verifluxa.spec.numbers import constant
from verifluxa.spec.problems import FollowUpError
from verifluxa.spec.spec import DataDecl, InputSpace, ModelDecl, Output, RealOutput, Trigger
from verifluxa.spec.terms import Arithmetic, Call, Expression, Minus, Name, Number, Reference, Text


@dataclass(frozen=True)
class Declarations:
    """What the file declares; None stands for a declaration that is wrong itself."""

    table: Table
    spaces: Mapping[str, InputSpace | None]
    models: Mapping[str, ModelDecl | None]
    data: Mapping[str, DataDecl | None]
    triggers: Mapping[str, Trigger | None]
    params: Mapping[str, Fraction | None]

    def models_named(self, name: str) -> ModelDecl:
        """A model that is known to be declared.

        Raises:
            FollowUpError: its declaration is wrong.
        """
        model = self.models.get(name)
        if model is None:
            raise FollowUpError
        return model

    def space(self, name: str) -> InputSpace:
        """An input space that is known to be declared.

        Raises:
            FollowUpError: its declaration is wrong.
        """
        space = self.spaces.get(name)
        if space is None:
            raise FollowUpError
        return space


@dataclass(frozen=True)
class InputVariable:
    """A variable for one input of a space."""

    space: str


@dataclass(frozen=True)
class TriggerVariable:
    """A variable for one trigger of a family."""

    trigger: Trigger


@dataclass(frozen=True)
class TargetVariable:
    """A variable for a target class; the classes are looked at once the model is known."""


Variable = InputVariable | TriggerVariable | TargetVariable


@dataclass(frozen=True)
class Scope:
    """The declarations and the variables that are bound where an expression stands."""

    declarations: Declarations
    variables: Mapping[str, Variable] = field(default_factory=dict)

    def bind(self, variables: Mapping[str, Variable]) -> Scope:
        """The scope with further variables."""
        return replace(self, variables={**self.variables, **variables})


@dataclass(frozen=True)
class Image:
    """An input: `x`, or `t(x)`."""

    variable: str
    space: str
    trigger: str | None = None


@dataclass(frozen=True)
class Answer:
    """What a model returns: `digits(t(x))`."""

    model: ModelDecl
    image: Image


@dataclass(frozen=True)
class ClassOf:
    """The class of an answer."""

    model: ModelDecl
    image: Image


@dataclass(frozen=True)
class LabelOf:
    """The label of an input."""

    image: Image


@dataclass(frozen=True)
class Target:
    """The target variable."""

    name: str


@dataclass(frozen=True)
class Constant:
    """A number, or the name of a class."""

    value: Fraction | str
    span: Span = field(compare=False)


@dataclass(frozen=True)
class Correct:
    """`correct(model, x)`: the model's class of the untouched input is its label."""

    model: ModelDecl
    image: Image


Meaning = Image | Answer | ClassOf | LabelOf | Target | Constant | Correct

_WORDS: Mapping[type, str] = {
    Image: "an input",
    Answer: "the answer of a model",
    ClassOf: "a class",
    LabelOf: "a label",
    Target: "a target class",
    Constant: "a constant",
    Correct: "a condition",
}


def meaning(expression: Expression, scope: Scope) -> Meaning:
    """What an expression stands for.

    Raises:
        SpecError: VF1020 and VF1022 for names, VF1027 for an unknown function, VF1063 when something of
            another type is needed, VF1066 when input spaces differ, VF1068 for the number of arguments,
            VF1014 for what is not supported yet.
        FollowUpError: it names something that is wrong itself.
    """
    match expression:
        case Reference():
            return _reference(expression, scope)
        case Call():
            return _call(expression, scope)
        case Text(value=value):
            return Constant(value, expression.span)
        case Number() | Minus() | Arithmetic():
            return Constant(constant(expression, scope.declarations.params, "a value"), expression.span)
    raise SpecError(
        "VF1063",
        "this cannot stand here",
        place=expression.span,
        expected="an input, a class, a label or a constant",
    )


def no_classes(model: str, place: Span) -> SpecError:
    """VF1078: the outputs of a model are numbers."""
    return SpecError(
        "VF1078",
        f"the outputs of `{model}` are numbers, not classes",
        place=place,
        expected="a claim about outputs, such as `net(t(x)) in 0..1` or `abs(net(t(x)) - net(x)) <= 2`",
        remedy="a classifier is declared with `-> class(10)` or `-> binary { threshold = 0.5 }`",
    )


def describe(value: Meaning) -> str:
    """The type of a meaning, in words."""
    return _WORDS[type(value)]


def class_index(value: Constant, output: Output, model: str) -> int:
    """The class that a constant names.

    Raises:
        SpecError: VF1064 when there is no such number, VF1073 when there is no such name, VF1078 when the model's
            outputs are no classes.
    """
    if isinstance(output, RealOutput):
        raise no_classes(model, value.span)
    if isinstance(value.value, str):
        if value.value in output.labels:
            return output.labels.index(value.value)
        known = ", ".join(f'"{label}"' for label in output.labels[:8])
        raise SpecError(
            "VF1073",
            f'the model `{model}` has no class "{value.value}"',
            place=value.span,
            expected=known or f"a class number, 0..{output.count - 1}: the model declares no names",
            remedy=did_you_mean(value.value, output.labels),
        )
    if value.value.denominator != 1 or not 0 <= value.value < output.count:
        raise SpecError(
            "VF1064",
            "this is not one of the classes",
            place=value.span,
            expected=f"a class of `{model}`: 0..{output.count - 1}",
            remedy="classes are counted from 0, also where a label file starts at 1",
        )
    return int(value.value)


def _reference(expression: Reference, scope: Scope) -> Meaning:
    name = expression.name
    variable = scope.variables.get(name)
    match variable:
        case InputVariable(space=space):
            return Image(name, space)
        case TargetVariable():
            return Target(name)
        case TriggerVariable():
            raise _not(expression, f"the trigger `{name}`", "applied to an input", f"write `{name}(x)`")
    if name in scope.declarations.params:
        return Constant(constant(expression, scope.declarations.params, "a value"), expression.span)
    if name in scope.declarations.table.kinds:
        kind = scope.declarations.table.kinds[name]
        raise SpecError(
            "VF1022", f"`{name}` is {article(kind)}, not a value", place=expression.span, expected=_in_scope(scope)
        )
    raise SpecError(
        "VF1020",
        f"there is no variable or param called `{name}`",
        place=expression.span,
        expected=_in_scope(scope),
        remedy=did_you_mean(name, [*scope.variables, *scope.declarations.params])
        or "bind it with `forall`, `let` or `param`",
    )


def _call(expression: Call, scope: Scope) -> Meaning:
    name = expression.name.text
    variable = scope.variables.get(name)
    if isinstance(variable, TriggerVariable):
        return _stamped(expression, variable.trigger, scope)
    if name in scope.declarations.models:
        model = scope.declarations.table.find(expression.name, "model", scope.declarations.models)
        image = _image(_only(expression), scope, f"the model `{name}`")
        same_space(model.space, image.space, f"the model `{name}`", expression.span)
        return Answer(model, image)
    match name:
        case "class":
            answer = meaning(_only(expression), scope)
            if not isinstance(answer, Answer):
                raise _not(_only(expression), describe(answer), "the answer of a model", "write `class(model(t(x)))`")
            if isinstance(answer.model.output, RealOutput):
                raise no_classes(answer.model.name, expression.span)
            return ClassOf(answer.model, answer.image)
        case "label":
            return LabelOf(_plain(_only(expression), scope, "`label`"))
        case "correct":
            return _correct(expression, scope)
    raise _no_function(expression, scope)


def _no_function(expression: Call, scope: Scope) -> SpecError:
    name = expression.name.text
    kind = scope.declarations.table.kinds.get(name)
    if kind == "trigger":
        return SpecError(
            "VF1022",
            f"`{name}` is a family of triggers, not one trigger",
            place=expression.name.span,
            expected=f"a variable bound to it: `forall t in {name}`",
            remedy="then write `t(x)`",
        )
    known = [*FUNCTIONS[:3], *scope.declarations.models]
    known += [name for name, value in scope.variables.items() if isinstance(value, TriggerVariable)]
    return SpecError(
        "VF1027",
        f"`{name}` is {article(kind)} and cannot be applied" if kind else f"there is no function called `{name}`",
        place=expression.name.span,
        expected=", ".join(f"`{word}`" for word in known),
        remedy=did_you_mean(name, known),
    )


def _stamped(expression: Call, trigger: Trigger, scope: Scope) -> Image:
    name = expression.name.text
    image = _plain(_only(expression), scope, f"the trigger `{name}`")
    same_space(trigger.space, image.space, f"the trigger `{name}`", expression.span)
    return replace(image, trigger=name)


def _correct(expression: Call, scope: Scope) -> Correct:
    if len(expression.arguments) != 2:
        raise _arguments(expression, "correct(model, x)")
    named, inner = expression.arguments
    if not isinstance(named, Reference):
        raise _not(named, "this", "the name of a model", "write `correct(digits, x)`")
    model = scope.declarations.table.find(Name(named.name, span=named.span), "model", scope.declarations.models)
    image = _plain(inner, scope, "`correct`")
    same_space(model.space, image.space, f"the model `{model.name}`", expression.span)
    return Correct(model, image)


def _only(expression: Call) -> Expression:
    if len(expression.arguments) != 1:
        raise _arguments(expression, f"{expression.name.text}(...) with one argument")
    return expression.arguments[0]


def _arguments(expression: Call, expected: str) -> SpecError:
    count = len(expression.arguments)
    return SpecError(
        "VF1068",
        f"`{expression.name.text}` has {count} argument{'s' * (count != 1)} here",
        place=expression.span,
        expected=f"`{expected}`",
    )


def _image(expression: Expression, scope: Scope, taker: str) -> Image:
    value = meaning(expression, scope)
    if not isinstance(value, Image):
        raise _not(expression, describe(value), f"an input for {taker}", "write `x`, or `t(x)` with the trigger on it")
    return value


def _plain(expression: Expression, scope: Scope, taker: str) -> Image:
    image = _image(expression, scope, taker)
    if image.trigger is not None:
        raise _not(expression, "an input with a trigger on it", f"the input itself for {taker}", "write `x`")
    return image


def _not(expression: Expression, what: str, needed: str, remedy: str) -> SpecError:
    return SpecError("VF1063", f"{what} stands here", place=expression.span, expected=needed, remedy=remedy)


def _in_scope(scope: Scope) -> str | None:
    names = [*scope.variables, *scope.declarations.params]
    return ", ".join(f"`{name}`" for name in names[:8]) or None
