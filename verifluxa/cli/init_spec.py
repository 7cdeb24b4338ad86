"""A first spec: what is seen of a model and its data, the way to read them with which it is right, and the text."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from verifluxa.errors import DataError, ModelError, UsageError, VerifluxaError
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


LENGTH = 32
"""Words of a text, where it is cut."""
COMPANIONS = {".csv": "scaler.json", ".jsonl": "vocab.txt"}


@dataclass(frozen=True)
class Found:
    """A way to read a model and its data, and on how many of the inputs the model is then right."""

    way: Way
    right: int
    count: int


@dataclass(frozen=True)
class Look:
    """Where everything lies.

    Attributes:
        model, data: the files.
        companion: scaler.json of a table, vocab.txt of texts, or None.
        architecture: the layers, where the user names the file; None: it is looked for.
        version: of Flux, or None.
        folder: that the spec is for.
    """

    model: Path
    data: Path
    companion: Path | None
    architecture: Path | None
    version: str | None
    folder: Path

    @property
    def texts(self) -> list[Path | None]:
        """The architecture files to try."""
        return [self.architecture] if self.architecture else [None, *architectures(self.model)]

    def within(self, path: Path) -> str:
        """A path as the spec writes it.

        Raises:
            UsageError: VF4523 where it does not lie below the spec.
        """
        try:
            return _plain(path).relative_to(_plain(self.folder)).as_posix()
        except ValueError:
            raise cannot(
                "this file does not lie in the folder of the spec, or below",
                str(self.folder),
                path,
                "name a spec in a folder that holds all files, or holds their folders: -o FOLDER/NAME.vfx",
            ) from None


def architectures(model: Path) -> list[Path]:
    """Files beside a model that may hold its layers."""
    return sorted(model.parent.glob("architecture*.txt"))


def beside(model: Path, data: Path) -> Path | None:
    """The file that data of this kind need, where it lies beside the model or the data."""
    name = COMPANIONS.get(data.suffix.lower())
    folders = (model.parent, data.parent)
    return None if name is None else next((f / name for f in folders if (f / name).is_file()), None)


def common_folder(*paths: Path | None) -> Path:
    """The folder in or below which all files lie."""
    return Path(os.path.commonpath([_plain(path).parent for path in paths if path is not None]))


def _plain(path: Path) -> Path:
    """A path from the root on, without `..`, which a spec may not write."""
    return Path(os.path.abspath(path))


def best_way(look: Look) -> Found:
    """Tries all ways to read the model and its inputs.

    Raises:
        VerifluxaError: the error of the first way where none works.
    """
    best: Found | None = None
    first: VerifluxaError | None = None
    for text in look.texts:
        try:
            for found in _ways(look, text):
                # The usual way stands first; many networks are nearly as good on inputs of another scale.
                if best is None or found.right > best.right + found.count // 5:
                    best = found
        except (ModelError, DataError) as error:
            # A file that cannot be read is a reason to end; layers that do not belong to the model are not.
            # That there are no layers without a text is told only where no text fits better.
            if first is None or first.code == "VF2012":
                first = error
    if best is None:
        assert first is not None
        raise first
    return best


def _ways(look: Look, text: Path | None) -> Iterator[Found]:
    from verifluxa.data.npz import read_bytes

    content = read_bytes(str(look.data))
    kind, size = _understood(look, text, content)
    if size < 1:
        raise cannot("there are no inputs in it", "at least one", look.data)
    files = Files(
        look.within(look.model),
        None if text is None else look.within(text),
        look.version,
        look.within(look.data),
        "sha256:" + hashlib.sha256(content).hexdigest(),
    )
    for encode in kind.encodes:
        for labels in kind.labels:
            yield _tried(look.folder, Way(files, kind, encode, labels, size))


def _tried(folder: Path, way: Way) -> Found:
    """How many of its inputs the model of a spec gets right."""
    from verifluxa.inputs import Choice, inputs_of
    from verifluxa.lower.deploy import deploy, predictions
    from verifluxa.spec.check import parse_spec

    inputs = inputs_of(parse_spec(spec_text(way), str(folder / "init.vfx")), Choice())
    loaded, data = inputs.models["network"], inputs.data["eval"]
    graph = deploy(loaded.lifted.graph, loaded.decl, inputs.spec.spaces[0])
    right = predictions(graph, data.inputs, loaded.decl.output) == data.labels
    return Found(way, int(right.sum()), len(right))


def _outputs(look: Look, text: Path | None) -> Callable[[Shape], int]:
    """How many outputs the model has for images of a shape."""
    from verifluxa.flux.load import load_model

    def count(shape: Shape) -> int:
        try:
            graph = load_model(look.model, text, look.version)
        except ModelError:
            graph = load_model(look.model, text, look.version, shape)
        return math.prod(graph.output_shape)

    return count


def _understood(look: Look, text: Path | None, content: bytes) -> tuple[Kind, int]:
    """What the data give to the spec, and how many inputs are taken."""
    from verifluxa.data.load import IMAGE_KEYS, LABEL_KEYS
    from verifluxa.data.npz import Npz, read_bytes

    suffix = look.data.suffix.lower()
    if suffix == ".npz":
        arrays = Npz(content, str(look.data))
        found = [next((key for key in keys if key in arrays.names), None) for keys in (IMAGE_KEYS, LABEL_KEYS)]
        if found[0] is None or found[1] is None:
            raise cannot("there are no images with labels", "arrays x and y", look.data)
        images, labels = arrays.array(found[0]), arrays.array(found[1])
        return of_images(images, labels, _outputs(look, text)), min(TAKE, len(images))
    if suffix not in COMPANIONS:
        raise cannot(f"data ending in `{suffix}` are not understood", ".npz, .csv or .jsonl", look.data)
    if look.companion is None:
        raise cannot(f"these data need a {COMPANIONS[suffix]}", f"--with {COMPANIONS[suffix]}", look.data)
    extra, path = read_bytes(str(look.companion)), look.within(look.companion)
    lines = content.count(b"\n")
    if suffix == ".csv":
        return of_table(content, extra, path), min(TAKE, lines - 1)
    vocabulary = extra.decode("utf-8", "replace").split("\n")
    return of_texts(content, vocabulary, path, LENGTH), min(TAKE, lines)
