"""Reads a result document back. It may come from anywhere: sizes are bounded, every field is checked as it is read."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from verifluxa import documents
from verifluxa.documents import LARGEST_INTEGER, SHA256, Form
from verifluxa.errors import DataError
from verifluxa.files import NotAFileError, open_file
from verifluxa.result.document import SCHEMA


@dataclass(frozen=True)
class StoredFile:
    """A file that the result names: its path as the user gave it, and the digest of its bytes."""

    name: str
    path: str
    sha256: str


@dataclass(frozen=True)
class StoredModel:
    """A model: its weights, the architecture file where there is one, the digest of the lifted graph."""

    file: StoredFile
    architecture: StoredFile | None
    graph_sha256: str

    @property
    def files(self) -> tuple[StoredFile, ...]:
        """All files that define the model."""
        return (self.file,) if self.architecture is None else (self.file, self.architecture)


@dataclass(frozen=True)
class StoredCounterexample:
    """A counterexample as written: the grid of the trigger is not looked into here."""

    placement: tuple[tuple[str, int], ...]
    target: int | None
    trigger: object
    inputs: tuple[int, ...]


@dataclass(frozen=True)
class StoredProperty:
    """A property as written; `strongest` is the trigger that a measurement shows."""

    name: str
    digest: str
    counterexample: StoredCounterexample | None
    strongest: StoredCounterexample | None = None

    @property
    def shown(self) -> StoredCounterexample | None:
        """The trigger that the result shows, if any."""
        return self.counterexample or self.strongest


@dataclass(frozen=True)
class StoredResult:
    """What replay needs of a result document."""

    source: Path
    spec: StoredFile
    params: tuple[tuple[str, str], ...]
    models: tuple[StoredModel, ...]
    data: tuple[StoredFile, ...]
    arithmetic: str
    properties: tuple[StoredProperty, ...]

    def locate(self, path: str) -> Path:
        """A file of the result: as written, which is relative to where the run was started.

        Where nothing is there, it is looked for from the folders that the result lies in, the nearest first: the run
        was mostly started in one of them. Whether what is found is the right file, its digest tells.
        """
        folders = (*self.source.parents, *self.source.absolute().parents)
        places = (Path(path), *(folder / path for folder in folders))
        return next((place for place in places if _is_there(place)), Path(path))


def _is_there(path: Path) -> bool:
    """Whether a path leads somewhere; one that the system does not take does not."""
    try:
        return path.exists()
    except OSError:
        return False


def read_result(path: Path) -> StoredResult:
    """Reads `result.json`.

    Raises:
        DataError: VF3901 when it cannot be read or is no result document.
    """
    return stored_result(path, open_document(path))


def stored_result(path: Path, top: Fields) -> StoredResult:
    """The same from a document that is open.

    Raises:
        DataError: VF3901.
    """
    params = top.child("params")
    return StoredResult(
        source=path,
        spec=_spec(top.child("spec")),
        params=tuple((name, params.text(name)) for name in params.names()),
        models=tuple(_model(item) for item in top.objects("models")),
        data=tuple(_file(item) for item in top.objects("data")),
        arithmetic=top.text("arithmetic"),
        properties=tuple(_property(item) for item in top.objects("properties")),
    )


def _spec(item: Fields) -> StoredFile:
    return StoredFile("spec", item.file_path("path"), item.text("sha256", SHA256))


def _file(item: Fields) -> StoredFile:
    return StoredFile(item.text("name"), item.file_path("path"), item.text("sha256", SHA256))


def _model(item: Fields) -> StoredModel:
    architecture = None
    if item.has("architecture"):
        inner = item.child("architecture")
        architecture = StoredFile(item.text("name"), inner.file_path("path"), inner.text("sha256", SHA256))
    return StoredModel(_file(item), architecture, item.text("graph_sha256", SHA256))


def _property(item: Fields) -> StoredProperty:
    return StoredProperty(
        item.text("name"), item.text("digest", SHA256), _trigger(item, "counterexample"), _trigger(item, "strongest")
    )


def _trigger(entry: Fields, key: str) -> StoredCounterexample | None:
    if not entry.has(key):
        return None
    item = entry.child(key)
    placement = item.child("placement")
    return StoredCounterexample(
        placement=tuple((name, placement.integer(name, -LARGEST_INTEGER)) for name in placement.names()),
        target=item.integer("target", -LARGEST_INTEGER) if item.has("target") else None,
        trigger=item.items("trigger"),
        inputs=item.integers("inputs"),
    )


MOST_BYTES = 256 * 2**20
MOST_DIGITS = 64
MOST_PATH = 4096
FRACTION = Form("an exact fraction as text: 1/20", r"-?[0-9]{1,30}(/0*[1-9][0-9]{0,29})?")


def open_document(path: Path) -> Fields:
    """Reads `result.json`; only its schema is looked at.

    Raises:
        DataError: VF3901 when it cannot be read or is no result document.
    """
    top = Fields(_json(path), str(path))
    top.choice("schema", SCHEMA)
    return top


class Fields(documents.Fields):
    """An object of a result document; fields that nobody asks for are left alone."""

    form = Form("text", r"[\s\S]*")
    longest = MOST_BYTES
    most = MOST_BYTES

    @classmethod
    def error(cls, place: str, problem: str, expected: str | None) -> DataError:
        """VF3901."""
        return DataError(
            "VF3901",
            f"this is no result document: {problem}",
            place=place,
            expected=expected,
            remedy="give the result.json that `verifluxa verify --out DIR` wrote",
        )

    def file_path(self, key: str) -> str:
        """A path that the system can be asked for."""
        value = self.text(key)
        try:
            fits = len(os.fsencode(value)) <= MOST_PATH and "\0" not in value
        except UnicodeEncodeError:
            fits = False
        return value if fits else self.refuse(key, "a path")

    def decimal(self, key: str) -> float:
        """A finite number that is written as text."""
        try:
            value = float(self.text(key)[:MOST_DIGITS])
        except ValueError:
            self.refuse(key, "a number as text")
        return value if math.isfinite(value) else self.refuse(key, "a finite number as text")

    def exact(self, key: str) -> Fraction:
        """An exact fraction that is written as text, not reduced, and of either sign: `-2/40`."""
        return Fraction(self.text(key, FRACTION))


def _json(path: Path) -> object:
    try:
        with open_file(path) as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise _unreadable(path, "it is too large")
        return json.loads(data)
    except NotAFileError as error:
        raise _unreadable(path, "it is not a file") from error
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    except RecursionError as error:
        raise _unreadable(path, "it is nested too deeply") from error
    except ValueError as error:
        raise _unreadable(path, f"it is not JSON ({error})") from error


def _unreadable(path: Path, reason: str) -> DataError:
    return DataError(
        "VF3901",
        f"this result cannot be read: {reason}",
        place=str(path),
        expected=f"a result document, schema {SCHEMA}",
        remedy="give the result.json that `verifluxa verify --out DIR` wrote",
    )
