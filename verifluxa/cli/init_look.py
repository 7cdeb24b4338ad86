"""What can be seen of a model and its data: kinds of inputs, and the way to read them with which it is right."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from verifluxa.cli.init_spec import TAKE, Files, Kind, Way, cannot, of_images, of_table, of_texts, spec_text
from verifluxa.errors import DataError, ModelError, VerifluxaError
from verifluxa.graph.ops import Shape

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
