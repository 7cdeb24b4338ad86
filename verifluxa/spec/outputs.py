"""What a model returns: `class(10)`, `binary { threshold = 0.5 }`, `real`, `real("steer", "speed")`."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from verifluxa.errors import SpecError
from verifluxa.spec import blocks
from verifluxa.spec.names import did_you_mean
from verifluxa.spec.problems import Problems
from verifluxa.spec.spec import BinaryOutput, ClassOutput, Output, RealOutput
from verifluxa.spec.syntax import LabelsStart, ModelSyntax, Setting
from verifluxa.spec.terms import Digest, Number, Text
from verifluxa.spec.units import constant, unitless, whole

MAX_OUTPUTS = 65_536
KINDS = ("class", "binary", "real")

_CLASSES = '`class(10)`, or names such as `class("negative", "positive")`'
_REAL = '`real`, `real(2)`, or names such as `real("steer", "speed")`'
_BINARY = '`binary`, or the names of class 0 and class 1 such as `binary("no", "yes")`'

Entries = Mapping[str, Setting | LabelsStart]


def check_output(syntax: ModelSyntax, entries: Entries, problems: Problems) -> Output:
    """The output of a model.

    Raises:
        SpecError: VF1026 for an unknown kind, VF1053, VF1032 or VF1038 for its classes, names or numbers. VF1045
            for a threshold that is missing, and VF1023 for one that has no use, are reported to `problems`.
    """
    kind = syntax.output
    if kind.text not in KINDS:
        raise SpecError(
            "VF1026",
            f"there is no kind of output called `{kind.text}`",
            place=kind.span,
            expected=f"{_CLASSES}; `binary`; `real`",
            remedy=did_you_mean(kind.text, KINDS),
        )
    if kind.text == "binary":
        return _binary(syntax, entries, problems)
    if "threshold" in entries:
        problems.errors.append(_no_threshold(kind.text, entries["threshold"]))
    return _real(syntax) if kind.text == "real" else _classes(syntax)


def _classes(syntax: ModelSyntax) -> ClassOutput:
    arguments = syntax.arguments
    if len(arguments) == 1 and isinstance(arguments[0], Number):
        return ClassOutput(_count(arguments[0], "the number of classes", 2))
    labels = _names(syntax)
    if labels is None or len(labels) < 2:
        raise _wrong(syntax, "classes are a number, or at least two different names", _CLASSES)
    return ClassOutput(len(labels), labels)


def _binary(syntax: ModelSyntax, entries: Entries, problems: Problems) -> BinaryOutput:
    labels = _names(syntax)
    if labels is None or len(labels) not in (0, 2):
        raise _wrong(syntax, "a binary output has two classes", _BINARY)
    if "threshold" not in entries:
        raise SpecError(
            "VF1045",
            f"the model `{syntax.name.text}` has no `threshold`",
            place=syntax.output.span,
            expected="`{ threshold = 0.5 }`: above it the class is 1, below it 0",
            remedy="for a network that ends in a sigmoid it is usually 0.5, for one that returns a logit 0",
        )
    return BinaryOutput(problems.attempt(lambda: _threshold(entries["threshold"])) or Fraction(0), labels)


def _threshold(setting: Setting | LabelsStart) -> Fraction:
    if not isinstance(setting, Setting) or isinstance(setting.value, Digest | Text):
        raise blocks.wrong_value(setting, "a number, such as `0.5`")
    return constant(setting.value, {}, "`threshold`")


def _real(syntax: ModelSyntax) -> RealOutput:
    arguments = syntax.arguments
    if not arguments:
        return RealOutput(1)
    if len(arguments) == 1 and isinstance(arguments[0], Number):
        return RealOutput(_count(arguments[0], "the number of outputs", 1))
    labels = _names(syntax)
    if not labels:
        raise _wrong(syntax, "outputs are a number, or different names", _REAL)
    return RealOutput(len(labels), labels)


def _count(number: Number, what: str, least: int) -> int:
    return whole(unitless(number, what), number.span, what, least, MAX_OUTPUTS)


def _names(syntax: ModelSyntax) -> tuple[str, ...] | None:
    """The arguments as different texts; None when they are something else."""
    labels = tuple(argument.value for argument in syntax.arguments if isinstance(argument, Text))
    return labels if len(labels) == len(syntax.arguments) and len(set(labels)) == len(labels) else None


def _wrong(syntax: ModelSyntax, message: str, expected: str) -> SpecError:
    place = syntax.arguments[0].span if syntax.arguments else syntax.output.span
    return SpecError("VF1053", message, place=place, expected=expected)


def _no_threshold(kind: str, setting: Setting | LabelsStart) -> SpecError:
    return SpecError(
        "VF1023",
        f"a model with the output `{kind}` has no threshold",
        place=setting.key.span if isinstance(setting, Setting) else setting.span,
        expected="no `threshold`, or the output `binary`",
    )
