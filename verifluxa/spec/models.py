"""Models and data sets: `model digits : digit -> class(10) { ... }`, `data eval : digit { ... }`; outputs and `encode`.

`encode = (level / 255 - 0.1307) / 0.3081` is arithmetic from pixel levels to what the network sees, step by step. The
steps are part of the verified network, in this order and in its float type. That is why a constant is one number and no
formula: `2 / 255` would be rounded in a way that the spec cannot see.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction

from verifluxa.errors import Span, SpecError
from verifluxa.spec import blocks
from verifluxa.spec.blocks import Known
from verifluxa.spec.names import did_you_mean
from verifluxa.spec.numbers import constant, show, unitless, whole
from verifluxa.spec.problems import Problems, unsupported
from verifluxa.spec.spaces import read_scaler
from verifluxa.spec.spec import (
    BinaryOutput,
    ClassOutput,
    DataDecl,
    EncodeStep,
    ImageSpace,
    InputSpace,
    ModelDecl,
    Output,
    RealOutput,
    SeriesSpace,
    TableSpace,
    TokenSpace,
)
from verifluxa.spec.syntax import DataSyntax, LabelsStart, ModelSyntax, Setting, walk
from verifluxa.spec.terms import Arithmetic, Call, Digest, Expression, ListOf, Minus, Name, Number, Reference, Text

LAYOUTS = ("whcn", "hwcn")
MAX_TAKE = 10**9

MODEL = Known("model", ("file", "architecture", "flux", "layout", "encode", "threshold"))
DATA = Known(
    "data set", ("file", "digest", "take", "label", "labels", "sample", "seed", "balance", blocks.LABELS_START)
)


def check_model(syntax: ModelSyntax, space: InputSpace, problems: Problems) -> ModelDecl:
    """The declaration of a model.

    Raises:
        SpecError: VF1026, VF1053, VF1014, VF1032 or VF1038 for its output. Wrong settings are reported to
            `problems`: VF1023 to VF1025, VF1047, VF1048, VF1050, VF1051, VF1056.
    """
    entries = blocks.settings(syntax.block, MODEL, problems)
    output = check_output(syntax, entries, problems)
    layout = (
        problems.attempt(lambda: blocks.word(entries["layout"], LAYOUTS, "VF1050")) if "layout" in entries else None
    )
    return ModelDecl(
        name=syntax.name.text,
        space=space.name,
        output=output,
        file=_path(entries, "file", problems),
        architecture=_path(entries, "architecture", problems),
        layout=layout or LAYOUTS[0],
        encode=_encode(syntax, entries, space, problems),
        span=syntax.span,
        flux=problems.attempt(lambda: blocks.version(entries["flux"])) if "flux" in entries else None,
    )


def check_data(
    syntax: DataSyntax, models: Iterable[ModelDecl | None], params: Mapping[str, Fraction | None], problems: Problems
) -> DataDecl:
    """The declaration of a data set. Wrong settings are reported: VF1023 to VF1025, VF1051, VF1052, VF1054, VF1055."""
    outputs = [model.output for model in models if model is not None and model.space == syntax.space.text]
    counts = [output.count for output in outputs if not isinstance(output, RealOutput)]
    entries = blocks.settings(syntax.block, DATA, problems)
    take = entries.get("take")
    digest = entries.get("digest")
    first = entries.get(blocks.LABELS_START)
    label, sample, seed = (entries.get(key) for key in ("label", "sample", "seed"))
    balance = entries.get("balance")
    return DataDecl(
        name=syntax.name.text,
        space=syntax.space.text,
        file=_path(entries, "file", problems),
        digest=None if digest is None else problems.attempt(lambda: blocks.digest(digest)),
        take=None if take is None else problems.attempt(lambda: _take(take, params)),
        labels_start_at=(first is not None and problems.attempt(lambda: _labels_start(first))) or 0,
        span=syntax.span,
        classes=max(counts, default=None),
        labelled=bool(counts) or not outputs,
        label=(problems.attempt(lambda: _label(label)) if label is not None else None) or "label",
        sample=None if sample is None else problems.attempt(lambda: _take(sample, params)),
        seed=(problems.attempt(lambda: _seed(seed, params)) if seed is not None else None) or 0,
        balanced=balance is not None
        and problems.attempt(lambda: blocks.word(balance, ("classes",), "VF1025")) == "classes",
        labels=_path(entries, "labels", problems),
        names=next((output.labels for output in outputs if output.labels and not isinstance(output, RealOutput)), ()),
    )


def _path(entries: Mapping[str, Setting | LabelsStart], key: str, problems: Problems) -> str | None:
    return problems.attempt(lambda: blocks.path(entries[key])) if key in entries else None


def _encode(
    syntax: ModelSyntax, entries: Mapping[str, Setting | LabelsStart], space: InputSpace, problems: Problems
) -> tuple[EncodeStep, ...]:
    if "encode" in entries:
        return problems.attempt(lambda: encode_of(entries["encode"], space)) or ()
    if isinstance(space, TokenSpace):
        return ()
    if isinstance(space, TableSpace):
        problems.warn(
            "VF1102",
            f"the model `{syntax.name.text}` has no `encode`: it sees the columns as they are",
            syntax.name.span,
            'write `encode = "scaler.json"`, the file with the range of each column',
        )
        return ()
    levels = f"{show(Fraction(space.low))}..{show(Fraction(space.high))}"
    problems.warn(
        "VF1102",
        f"the model `{syntax.name.text}` has no `encode`: it sees the levels {levels} as they are",
        syntax.name.span,
        "write `encode = level / 255` or whatever the model was trained on; `encode = level` if that is meant",
    )
    return ()


def _label(setting: Setting | LabelsStart) -> str:
    value = setting.value if isinstance(setting, Setting) else None
    if not isinstance(value, Text) or not value.value.strip():
        raise blocks.wrong_value(setting, 'the column with the labels in quotes, such as `"credit"`')
    return value.value


def _take(setting: Setting | LabelsStart, params: Mapping[str, Fraction | None]) -> int:
    if not isinstance(setting, Setting) or isinstance(setting.value, Digest):
        raise blocks.wrong_value(setting, "how many inputs count, from the front of the file, such as `100`")
    value = constant(setting.value, params, "`take`")
    if value == 0:
        raise SpecError(
            "VF1055",
            "`take = 0` leaves no input, and a property of no inputs says nothing",
            place=setting.value.span,
            expected="at least 1; without `take` the whole file counts",
        )
    return whole(value, setting.value.span, "`take`", 1, MAX_TAKE)


def _seed(setting: Setting | LabelsStart, params: Mapping[str, Fraction | None]) -> int:
    if not isinstance(setting, Setting) or isinstance(setting.value, Digest):
        raise blocks.wrong_value(setting, "a whole number, such as `1`")
    return whole(constant(setting.value, params, "`seed`"), setting.value.span, "`seed`", 0, MAX_TAKE)


def _labels_start(entry: Setting | LabelsStart) -> int:
    if not isinstance(entry, LabelsStart):
        raise blocks.wrong_value(entry, "`labels start at 1`")
    if entry.first.value not in (0, 1):
        raise SpecError(
            "VF1054",
            f"labels cannot start at {entry.first.text}",
            place=entry.first.span,
            expected="`labels start at 0`, or `labels start at 1` as Julia counts",
        )
    return int(entry.first.value)


MAX_OUTPUTS = 65_536
# Outputs: `class(10)`, `binary { threshold = 0.5 }`, `real`, `real("steer", "speed")`

OUTPUTS = ("class", "binary", "real")

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
    if kind.text not in OUTPUTS:
        raise SpecError(
            "VF1026",
            f"there is no kind of output called `{kind.text}`",
            place=kind.span,
            expected=f"{_CLASSES}; `binary`; `real`",
            remedy=did_you_mean(kind.text, OUTPUTS),
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


# Encode

LARGEST = Fraction(10) ** 30
"""Constants stay well inside float32, and so do their inverses."""

ROUND = EncodeStep("round", ())
ENCODE_FUNCTIONS = {("clip", 2), ("round", 0), ("quantise", 1)}
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
        case Call(name=Name(text=name), arguments=(inner, *rest)) if (name, len(rest)) in ENCODE_FUNCTIONS:
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
