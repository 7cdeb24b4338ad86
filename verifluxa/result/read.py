"""Reads a result document back. The file may come from anywhere: sizes are bounded, every field is checked."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from verifluxa.errors import DataError
from verifluxa.result.document import SCHEMA

MOST_BYTES = 256 * 2**20
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


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
    """A property as written."""

    name: str
    digest: str
    counterexample: StoredCounterexample | None


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
        """A file of the result: as written, which is relative to where the run was started, else beside the result."""
        beside = self.source.parent / path
        return beside if not Path(path).exists() and beside.exists() else Path(path)


def read_result(path: Path) -> StoredResult:
    """Reads `result.json`.

    Raises:
        DataError: VF3901 when it cannot be read or is no result document.
    """
    top = _Object(_json(path), str(path), "")
    if top.text("schema") != SCHEMA:
        top.refuse("schema", SCHEMA)
    params = top.object("params")
    return StoredResult(
        source=path,
        spec=_spec(top.object("spec")),
        params=tuple((name, params.text(name)) for name in params.values),
        models=tuple(_model(item) for item in top.objects("models")),
        data=tuple(_file(item) for item in top.objects("data")),
        arithmetic=top.text("arithmetic"),
        properties=tuple(_property(item) for item in top.objects("properties")),
    )


def _spec(item: _Object) -> StoredFile:
    return StoredFile("spec", item.text("path"), item.digest("sha256"))


def _file(item: _Object) -> StoredFile:
    return StoredFile(item.text("name"), item.text("path"), item.digest("sha256"))


def _model(item: _Object) -> StoredModel:
    architecture = None
    if item.has("architecture"):
        inner = item.object("architecture")
        architecture = StoredFile(item.text("name"), inner.text("path"), inner.digest("sha256"))
    return StoredModel(_file(item), architecture, item.digest("graph_sha256"))


def _property(item: _Object) -> StoredProperty:
    found = _counterexample(item.object("counterexample")) if item.has("counterexample") else None
    return StoredProperty(item.text("name"), item.digest("digest"), found)


def _counterexample(item: _Object) -> StoredCounterexample:
    placement = item.object("placement")
    return StoredCounterexample(
        placement=tuple((name, placement.integer(name)) for name in placement.values),
        target=item.integer("target") if item.has("target") else None,
        trigger=item.items("trigger"),
        inputs=tuple(item.integers("inputs")),
    )


def _json(path: Path) -> object:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise _unreadable(path, "it is not a file")
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise _unreadable(path, "it is too large")
        return json.loads(data)
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


@dataclass(frozen=True)
class _Object:
    """A JSON object whose fields are checked as they are read; `at` says where it stands."""

    value: object
    path: str
    at: str

    @property
    def values(self) -> Mapping[str, object]:
        if not isinstance(self.value, dict):
            self.refuse("", "an object")
        return self.value

    def has(self, key: str) -> bool:
        return self.values.get(key) is not None

    def text(self, key: str) -> str:
        value = self.values.get(key)
        if not isinstance(value, str):
            self.refuse(key, "a text")
        return value

    def digest(self, key: str) -> str:
        value = self.text(key)
        if not DIGEST.fullmatch(value):
            self.refuse(key, "sha256: and 64 hex digits")
        return value

    def integer(self, key: str) -> int:
        value = self.values.get(key)
        if not isinstance(value, int) or isinstance(value, bool):
            self.refuse(key, "a whole number")
        return value

    def items(self, key: str) -> list[object]:
        value = self.values.get(key)
        if not isinstance(value, list):
            self.refuse(key, "a list")
        return value

    def integers(self, key: str) -> list[int]:
        return [item if type(item) is int else self.refuse(key, "whole numbers") for item in self.items(key)]

    def object(self, key: str) -> _Object:
        return _Object(self.values.get(key), self.path, f"{self.at}{key}.")

    def objects(self, key: str) -> list[_Object]:
        return [_Object(item, self.path, f"{self.at}{key}[{n}].") for n, item in enumerate(self.items(key))]

    def refuse(self, key: str, expected: str) -> NoReturn:
        raise DataError(
            "VF3901",
            f"this is no result document: `{(self.at + key).rstrip('.') or 'the whole'}` is missing or of another kind",
            place=self.path,
            expected=expected,
            remedy="give the result.json that `verifluxa verify --out DIR` wrote",
        )
