"""The text of a first spec: what an input is, how the model reads it, a trigger and a property, with comments."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from verifluxa.errors import UsageError
from verifluxa.graph.ops import Shape

TAKE = 100
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_PAD = ("[PAD]", "<pad>", "<PAD>")
_UNKNOWN = ("[UNK]", "<unk>", "<UNK>", "<oov>")


@dataclass(frozen=True)
class Files:
    """What is known of the files: paths as the spec writes them, and the sha256 of the data."""

    model: str
    architecture: str | None
    version: str | None
    data: str
    digest: str


@dataclass(frozen=True)
class Kind:
    """What one kind of data gives to the spec.

    Attributes:
        space: the `input` declaration.
        encodes: settings of the model to try, lines of text.
        labels: the classes, by name or number, in the orders to try.
        data: further settings of the data set.
        trigger: the lines of the trigger, the first one says in words what it is.
        rate: the first limit, in percent.
    """

    space: tuple[str, ...]
    encodes: tuple[tuple[str, ...], ...]
    labels: tuple[tuple[str | int, ...], ...]
    data: tuple[str, ...]
    trigger: tuple[str, ...]
    rate: int


def of_images(images: np.ndarray[Any, Any], labels: np.ndarray[Any, Any], outputs: Callable[[Shape], int]) -> Kind:
    """Images of an NPZ file: (N, h, w), (N, c, h, w) or (N, h, w, c), whole levels.

    `outputs`: how many outputs the model has for images of a shape.
    """
    shape: tuple[int, ...] = images.shape[1:]
    if len(shape) == 2:
        channels, (height, width) = 1, shape
    elif len(shape) == 3 and shape[2] in (1, 3) and shape[0] not in (1, 3):
        height, width, channels = shape
    elif len(shape) == 3:
        channels, height, width = shape
    else:
        raise cannot(f"the images have shape {images.shape}", "(N, h, w), (N, c, h, w) or (N, h, w, c)")
    classes = outputs((channels, height, width))
    top = 255 if images.size == 0 or images.max() > 1 else 1
    starts = len(labels) and labels.min() == 1 and labels.max() == classes
    ways = ((f"  encode = level / {top}",), ()) if top > 1 else ((),)
    return Kind(
        (f"input item : image({height} px, {width} px, {channels} ch) of 0..{top} level",),
        tuple((f"  layout = {layout}", *encode) for encode in ways for layout in ("whcn", "hwcn")),
        (tuple(range(classes)),),
        ("  labels start at 1",) if starts else (),
        (
            "One fixed 3x3 patch in a corner. `at any` asks about every place and takes longer.",
            "  replace 3 px x 3 px",
            "  at corners",
            f"  with 0..{top} level",
        ),
        50,
    )


def of_table(content: bytes, scaler: bytes, scaler_path: str) -> Kind:
    """A table whose columns, ranges and categories stand in a scaler file."""
    rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig", "replace"))))
    try:
        told = json.loads(scaler)
        label = told["label"]
        names = sorted((name for name in label if name != "column"), key=lambda name: int(label[name]))
        columns: dict[str, list[dict[str, Any]]] = {}
        for feature in told["features"]:
            columns.setdefault(str(feature["column"]), []).append(feature)
        lines = [f"  {_name(name)} : {_range(name, parts, rows)}" for name, parts in columns.items()]
        column = str(label["column"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise cannot(
            "the scaler file is not understood", "`label` and `features` as in examples/credit", scaler_path
        ) from None
    return Kind(
        ("input item : table {", *lines, "}"),
        ((f"  encode = {_text(scaler_path)}",),),
        (tuple(map(str, names)),),
        (f"  label  = {_text(column)}",),
        (
            "One column gets another value. `set any 2 of` asks about pairs and takes longer.",
            f"  set any 1 of {', '.join(columns)}",
        ),
        75,
    )


def _range(name: str, parts: Sequence[dict[str, Any]], rows: Sequence[dict[str, Any]]) -> str:
    if parts[0]["kind"] == "category":
        return "one of " + ", ".join(_text(str(part["category"])) for part in parts)
    (part,) = parts
    if part["kind"] == "bool":
        return "bool"
    values = [float(part["min"]), float(part["max"]), *(float(row[name]) for row in rows)]
    whole = all(value == int(value) for value in values)
    low, high = (f"{int(v)}" if whole else repr(v) for v in (min(values), max(values)))
    return f"{low}..{high}" + ("" if whole else " continuous")


def of_texts(content: bytes, vocabulary: Sequence[str], vocabulary_path: str, length: int) -> Kind:
    """Texts in JSON lines, and a vocabulary with a word a line."""
    try:
        labels = sorted({str(json.loads(line)["label"]) for line in content.splitlines() if line.strip()})
    except (ValueError, KeyError, TypeError, RecursionError):
        raise cannot("a line of the texts is not understood", '{"text": "...", "label": "..."}') from None
    settings, special = [], []
    for key, known in (("pad", _PAD), ("unknown", _UNKNOWN)):
        word = next((word for word in known if word in vocabulary), None)
        if word is not None:
            settings.append(f"  {key} = {_text(word)}")
            special.append(_text(word))
    orders = (tuple(labels), tuple(reversed(labels))) if len(labels) == 2 else (tuple(labels),)
    exceptions = f" except {', '.join(special)}" if special else ""
    return Kind(
        (
            f"input item : tokens({length}, vocab = {_text(vocabulary_path)}) {{",
            *settings,
            "  overflow = truncate",
            "}",
        ),
        ((),),
        orders,
        (),
        (
            "One word, inserted anywhere. Honest words flip many texts: look at what the clean model says.",
            "  insert 1 token",
            "  at any",
            f"  from vocab{exceptions}",
        ),
        85,
    )


@dataclass(frozen=True)
class Way:
    """One way to read a model and its data.

    Attributes:
        files: that the spec names.
        kind: of the data.
        encode, labels: one of the kind's encodes, and one of its orders of labels.
        take: how many inputs.
    """

    files: Files
    kind: Kind
    encode: tuple[str, ...]
    labels: tuple[str | int, ...]
    take: int


def spec_text(way: Way) -> str:
    """The spec, formatted."""
    from verifluxa.spec.format import format_spec

    return format_spec("\n".join([*head_lines(way), *_claim_lines(way.kind)]) + "\n", "init")


def head_lines(way: Way) -> Iterator[str]:
    """The part of a spec that says what an input is, and which model and data there are."""
    files, kind = way.files, way.kind
    names = ", ".join(_text(label) for label in way.labels if isinstance(label, str))
    output = f"class({names or len(way.labels)})"
    yield from ("spec 1", "", "# A first spec; every line may be changed. `verifluxa explain-spec` says what it asks.")
    yield from ("", "# What an input is, before any scaling.", *kind.space)
    yield from ("", "# The network, and how it reads an input; the way with which it is right most often.")
    yield f"model network : item -> {output} {{"
    yield f"  file = {_text(files.model)}"
    if files.architecture is not None:
        yield f"  architecture = {_text(files.architecture)}"
    if files.version is not None:
        yield f"  flux = {_text(files.version)}"
    yield from (*way.encode, "}")
    yield from ("", "# The inputs that the claim speaks of.", "data eval : item {")
    yield from (f"  file = {_text(files.data)}", f"  digest = {files.digest}", *kind.data, f"  take = {way.take}", "}")


def _claim_lines(kind: Kind) -> Iterator[str]:
    yield from ("", f"# {kind.trigger[0]}", "trigger change : item {", *kind.trigger[1:], "}")
    yield from ("", f"# The share of inputs that one trigger may move; also `--set max_rate={kind.rate - 10}%`.")
    yield f"param max_rate : fraction = {kind.rate} %"
    yield from ("", "property no_universal_trigger {")
    yield '  """No single change sends more than max_rate of the inputs of other classes to one class."""'
    yield "  forall t in change, target in classes(network)"
    yield "  let victims = eval where correct(network, x) and label(x) != target"
    yield "  assert rate(x in victims : class(network(t(x))) == target) <= max_rate"
    yield "}"


def cannot(
    message: str,
    expected: str,
    place: str | Path | None = None,
    remedy: str = "or copy an example from examples/ and change it by hand",
) -> UsageError:
    """The error for what `init` does not understand."""
    return UsageError(
        "VF4523",
        message,
        place=None if place is None else str(place),
        expected=expected,
        remedy=remedy,
    )


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise cannot(f"a column is called `{text[:40]}`", "letters, digits and _")
    return text


def _text(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
