"""`verifluxa init`: looks at a model and its data, and writes a first spec that runs."""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from verifluxa.errors import DataError, ModelError, VerifluxaError

if TYPE_CHECKING:
    from verifluxa.cli.init_spec import Kind
    from verifluxa.graph.ops import Shape

Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A .jld2, .bson, .safetensors, .npz or .onnx file.")]
Option = typer.Option
LENGTH = 32
"""Words of a text, where it is cut."""


def init(  # noqa: PLR0913, PLR0917 - typer reads the options from the signature
    model: Model,
    data: Annotated[Path | None, Option(metavar="FILE", help="Inputs: .npz images, .csv table, .jsonl texts.")] = None,
    architecture: Annotated[Path | None, Option(metavar="FILE", help="The layers as Flux prints them.")] = None,
    companion: Annotated[
        Path | None, Option("--with", metavar="FILE", help="scaler.json of a table, vocab.txt of texts.")
    ] = None,
    flux_version: Annotated[str | None, Option(metavar="V", help="Of the Flux that the model runs under.")] = None,
    out: Annotated[Path | None, Option("-o", "--out", metavar="FILE", help="The spec; beside the files.")] = None,
) -> int:
    """Writes a commented spec for a model and its data, which `verify` takes without an edit.

    Ways to read an input are tried on the data; the one with which the model is right most often is written.
    What is not given is looked for beside the files: architecture*.txt, scaler.json, vocab.txt.
    """
    from verifluxa.cli.init_spec import cannot
    from verifluxa.cli.output import print_words
    from verifluxa.result.write import write_whole

    if data is None:
        raise cannot("a claim speaks of inputs, and there are none", "--data FILE: .npz, .csv or .jsonl")
    beside = companion or _beside(model, data)
    texts: list[Path | None] = (
        [architecture] if architecture else [None, *sorted(model.parent.glob("architecture*.txt"))]
    )
    used = [path.absolute() for path in (model, data, beside, *texts) if path is not None]
    folder = out.absolute().parent if out else Path(os.path.commonpath([path.parent for path in used]))
    target = out or folder / f"{model.stem}.vfx"
    if target.exists():
        raise cannot("the spec is already there", "a new file; name one with -o", target)
    found = _best(_Look(model, data, beside, flux_version, folder), texts)
    write_whole(target, found.text.encode())
    print_words([f"{target}: the model is right on {found.right} of {found.count} inputs", *_doubt(found)])
    return 0


@dataclass(frozen=True)
class _Found:
    text: str
    right: int
    count: int


@dataclass(frozen=True)
class _Look:
    """Where everything lies, and the folder that the spec is for."""

    model: Path
    data: Path
    companion: Path | None
    version: str | None
    folder: Path

    def within(self, path: Path) -> str:
        """A path as the spec writes it.

        Raises:
            UsageError: VF4523 where it does not lie below the spec.
        """
        from verifluxa.cli.init_spec import cannot

        try:
            return path.absolute().relative_to(self.folder).as_posix()
        except ValueError:
            raise cannot("this file does not lie in the folder of the spec, or below", str(self.folder), path) from None


def _beside(model: Path, data: Path) -> Path | None:
    name = {".csv": "scaler.json", ".jsonl": "vocab.txt"}.get(data.suffix.lower())
    folders = (model.parent, data.parent)
    return None if name is None else next((f / name for f in folders if (f / name).is_file()), None)


def _best(look: _Look, texts: list[Path | None]) -> _Found:
    """Tries all ways to read the model and its inputs.

    Raises:
        VerifluxaError: the error of the first way where none works.
    """
    best: _Found | None = None
    first: VerifluxaError | None = None
    for text in texts:
        try:
            for found in _ways(look, text):
                # The usual way stands first; many networks are nearly as good on inputs of another scale.
                if best is None or found.right > best.right + found.count // 5:
                    best = found
        except (ModelError, DataError) as error:
            # A file that cannot be read is a reason to end; layers that do not belong to the model are not.
            first = first or error
    if best is None:
        assert first is not None
        raise first
    return best


def _ways(look: _Look, text: Path | None) -> Iterator[_Found]:
    from verifluxa.cli.init_spec import Files, spec_text
    from verifluxa.data.npz import read_bytes

    content = read_bytes(str(look.data))
    kind, size = _understood(look, text, content)
    files = Files(
        look.within(look.model),
        None if text is None else look.within(text),
        look.version,
        look.within(look.data),
        "sha256:" + hashlib.sha256(content).hexdigest(),
    )
    for encode in kind.encodes:
        for labels in kind.labels:
            yield _tried(look.folder, spec_text(files, kind, (encode, labels), size))


def _tried(folder: Path, spec: str) -> _Found:
    """How many of its inputs the model of a spec gets right."""
    from verifluxa.inputs import Choice, load_inputs
    from verifluxa.lower.deploy import deploy, predictions

    with tempfile.NamedTemporaryFile("w", suffix=".vfx", prefix=".init.", dir=folder, encoding="utf-8") as file:
        file.write(spec)
        file.flush()
        inputs = load_inputs(file.name, Choice())
    loaded, data = inputs.models["network"], inputs.data["eval"]
    graph = deploy(loaded.lifted.graph, loaded.decl, inputs.spec.spaces[0])
    right = predictions(graph, data.inputs, loaded.decl.output) == data.labels
    return _Found(spec, int(right.sum()), len(right))


def _doubt(found: _Found) -> list[str]:
    if 2 * found.right > found.count:
        return []
    return [
        "that is few: look at `encode`, `layout` and the order of the classes; only inputs that it gets right count"
    ]


def _outputs(look: _Look, text: Path | None) -> Callable[[Shape], int]:
    """How many outputs the model has for images of a shape."""
    from verifluxa.flux.load import load_model

    def count(shape: Shape) -> int:
        try:
            graph = load_model(look.model, text, look.version)
        except ModelError:
            graph = load_model(look.model, text, look.version, shape)
        return math.prod(graph.output_shape)

    return count


def _understood(look: _Look, text: Path | None, content: bytes) -> tuple[Kind, int]:
    """What the data give to the spec, and how many inputs are taken."""
    from verifluxa.cli.init_spec import TAKE, cannot, of_images, of_table, of_texts
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
    if suffix not in (".csv", ".jsonl"):
        raise cannot(f"data ending in `{suffix}` are not understood", ".npz, .csv or .jsonl", look.data)
    name = "scaler.json" if suffix == ".csv" else "vocab.txt"
    if look.companion is None:
        raise cannot(f"these data need a {name}", f"--with {name}", look.data)
    extra, path = read_bytes(str(look.companion)), look.within(look.companion)
    lines = content.count(b"\n")
    if suffix == ".csv":
        return of_table(content, extra, path), min(TAKE, lines - 1)
    vocabulary = extra.decode("utf-8", "replace").split("\n")
    return of_texts(content, vocabulary, path, LENGTH), min(TAKE, lines)
