"""`encode = (level / 255 - 0.1307) / 0.3081`: arithmetic from pixel levels to what the network sees, step by step.

The steps are part of the verified network, in this order and in its float type. That is why a constant is
one number and no formula: `2 / 255` would be rounded in a way that the spec cannot see.
"""

from __future__ import annotations

from fractions import Fraction

from verifluxa.errors import Span, SpecError
from verifluxa.spec.problems import unsupported
from verifluxa.spec.space_types import SeriesSpace, TableSpace
from verifluxa.spec.spec import EncodeStep, ImageSpace, InputSpace
from verifluxa.spec.syntax import LabelsStart, Setting, walk
from verifluxa.spec.tables import read_scaler
from verifluxa.spec.terms import Arithmetic, Call, Expression, ListOf, Minus, Name, Number, Reference, Text
from verifluxa.spec.units import unitless

LARGEST = Fraction(10) ** 30
"""Constants stay well inside float32, and so do their inverses."""

ROUND = EncodeStep("round", ())
FUNCTIONS = {("clip", 2), ("round", 0), ("quantise", 1)}
"""Functions of `encode`, and how many constants stand behind the value."""

_KINDS = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide"}


Measured = ImageSpace | SeriesSpace
"""Spaces whose values are levels, the same in all of a channel."""


def encode_of(setting: Setting | LabelsStart, space: InputSpace) -> tuple[EncodeStep, ...]:
    """The steps of any space: arithmetic on levels, or the file that scales the columns of a table.

    Raises:
        SpecError: VF1093 where the space is not encoded that way; what `check_encode` and `read_scaler` say.
    """
    value = setting.value if isinstance(setting, Setting) else None
    if isinstance(space, TableSpace) and isinstance(value, Text):
        return read_scaler(value, space)
    if isinstance(space, ImageSpace | SeriesSpace):
        return check_encode(setting, space)
    table = isinstance(space, TableSpace)
    raise SpecError(
        "VF1093",
        f"`{space.name}` is {'a table' if table else 'a text'}, and not encoded by arithmetic",
        place=setting.span,
        expected='`encode = "scaler.json"`, with the range of each column' if table else "no `encode` at all",
        remedy=None if table else "a text is looked up: the network's first layer is its Embedding",
    )


def check_encode(setting: Setting | LabelsStart, space: Measured) -> tuple[EncodeStep, ...]:
    """The steps, first to last; none for `encode = level`.

    Raises:
        SpecError: VF1047 when it is not a chain of `+ - * /` on `level`, VF1048 when a list does not have one
            number per channel, VF1037 when it divides or multiplies by zero, VF1032 for a negative step, VF1038 for
            constants out of reach of float32, VF1014 for a file.
    """
    value = setting.value if isinstance(setting, Setting) else None
    if isinstance(value, Text):
        raise unsupported("an `encode` from a file", value.span)
    if isinstance(value, Arithmetic | Minus | Reference | Call):
        return _steps(value, space)
    raise _no_chain(setting.span if value is None else value.span)


def _steps(expression: Expression, space: Measured) -> tuple[EncodeStep, ...]:
    match expression:
        case Reference(name="level"):
            return ()
        case Minus(operand=operand):
            return (*_steps(operand, space), EncodeStep("multiply", (Fraction(-1),)))
        case Call(name=Name(text=name), arguments=(inner, *rest)) if (name, len(rest)) in FUNCTIONS:
            return (*_steps(inner, space), *_called(name, rest))
        case Arithmetic(left=left, right=right, operator=operator):
            if _has_level(left) and not _has_level(right):
                return (*_steps(left, space), _step(_KINDS[operator], right, space))
            if _has_level(right) and not _has_level(left) and operator != "/":
                # c - level is computed as (-level) + c, which rounds the same: negation is exact.
                negated = (EncodeStep("multiply", (Fraction(-1),)),) if operator == "-" else ()
                kind = "multiply" if operator == "*" else "add"
                return (*_steps(right, space), *negated, _step(kind, left, space))
    raise _no_chain(expression.span)


def _called(name: str, rest: list[Expression]) -> tuple[EncodeStep, ...]:
    """What a function does behind its first argument."""
    if name == "clip":
        return (EncodeStep("clip", _ends(*rest)),)
    if name == "round":
        return (ROUND,)
    step = (_width(*rest),)
    return EncodeStep("divide", step), ROUND, EncodeStep("multiply", step)


def _width(size: Expression) -> Fraction:
    """How far apart the values of `quantise` lie."""
    value = _constant(size)
    _usable("divide", value, size)
    if value < 0:
        raise SpecError("VF1032", "values cannot lie less than 0 apart", place=size.span, expected="`16`, or `0.5`")
    return value


def _ends(low: Expression, high: Expression) -> tuple[Fraction, Fraction]:
    ends = _constant(low), _constant(high)
    for item, value in zip((low, high), ends, strict=True):
        _usable("clip", value, item)
    if ends[0] > ends[1]:
        raise SpecError(
            "VF1033", "the ends of the clip are upside down", place=low.span, expected="the lower end first"
        )
    return ends


def _step(kind: str, expression: Expression, space: Measured) -> EncodeStep:
    items = expression.items if isinstance(expression, ListOf) else (expression,)
    if isinstance(expression, ListOf) and len(items) != space.channels:
        raise SpecError(
            "VF1048",
            f"a list of {len(items)} numbers for {space.channels} channel{'s' * (space.channels > 1)}",
            place=expression.span,
            expected=f"one number per channel ({space.channels}), or a single number for all",
        )
    values = tuple(_constant(item) for item in items)
    for item, value in zip(items, values, strict=True):
        _usable(kind, value, item)
    return EncodeStep(kind, values)


def _usable(kind: str, value: Fraction, item: Expression) -> None:
    if value == 0 and kind in ("divide", "multiply"):
        raise SpecError("VF1037", f"`encode` must not {kind} by zero", place=item.span)
    if value != 0 and not 1 / LARGEST <= abs(value) <= LARGEST:
        raise SpecError(
            "VF1038", "this constant is out of reach of float32", place=item.span, expected="between 1e-30 and 1e30"
        )


def _constant(expression: Expression) -> Fraction:
    match expression:
        case Number():
            return unitless(expression, "a constant of `encode`")
        case Minus(operand=Number() as number):
            return -unitless(number, "a constant of `encode`")
    raise SpecError(
        "VF1047",
        "a constant of `encode` is one number",
        place=expression.span,
        expected="a number, or a list of one per channel such as `[0.485, 0.456, 0.406]`",
        remedy="write out the value; a formula would be rounded in a way that the spec cannot see",
    )


def _has_level(expression: Expression) -> bool:
    return any(isinstance(node, Reference) and node.name == "level" for node, _ in walk(expression))


def _no_chain(place: Span) -> SpecError:
    return SpecError(
        "VF1047",
        "`encode` is one chain of arithmetic on `level`",
        place=place,
        expected="`level / 255`, `(level / 255 - 0.1307) / 0.3081`, `clip(level, 0, 255)`, `quantise(level, 16)`",
        remedy="`level` stands in it exactly once, and never below a division line",
    )
