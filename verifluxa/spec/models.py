"""Models and data sets: `model digits : digit -> class(10) { ... }`, `data eval : digit { ... }`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction

from verifluxa.errors import SpecError
from verifluxa.spec import blocks
from verifluxa.spec.blocks import Known
from verifluxa.spec.encode import encode_of
from verifluxa.spec.numbers import show
from verifluxa.spec.outputs import check_output
from verifluxa.spec.problems import Problems
from verifluxa.spec.space_types import TableSpace, TokenSpace
from verifluxa.spec.spec import DataDecl, EncodeStep, InputSpace, ModelDecl, RealOutput
from verifluxa.spec.syntax import DataSyntax, LabelsStart, ModelSyntax, Setting
from verifluxa.spec.terms import Digest, Text
from verifluxa.spec.units import constant, whole

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
