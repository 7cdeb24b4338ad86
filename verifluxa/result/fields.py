"""A JSON document whose fields are checked as they are read. It may come from anywhere: its size is bounded."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NoReturn, TypeGuard

from verifluxa.errors import DataError
from verifluxa.files import NotAFileError, open_file
from verifluxa.result.document import SCHEMA

MOST_BYTES = 256 * 2**20
MOST_NUMBER = 2**53
MOST_DIGITS = 64
MOST_PATH = 4096
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
FRACTION = re.compile(r"-?[0-9]{1,30}(/0*[1-9][0-9]{0,29})?")


def open_document(path: Path) -> Fields:
    """Reads `result.json`; only its schema is looked at.

    Raises:
        DataError: VF3901 when it cannot be read or is no result document.
    """
    top = Fields(_json(path), str(path), "")
    if top.text("schema") != SCHEMA:
        top.refuse("schema", SCHEMA)
    return top


@dataclass(frozen=True)
class Fields:
    """A JSON object whose fields are checked as they are read; `at` says where it stands."""

    value: object
    path: str
    at: str

    @property
    def values(self) -> Mapping[str, object]:
        """All of its fields."""
        if not isinstance(self.value, dict):
            self.refuse("", "an object")
        return self.value

    def has(self, key: str) -> bool:
        """Whether the key is there and not null."""
        return self.values.get(key) is not None

    def text(self, key: str) -> str:
        """A text."""
        value = self.values.get(key)
        if not isinstance(value, str):
            self.refuse(key, "a text")
        return value

    def file_path(self, key: str) -> str:
        """A path that the system can be asked for."""
        value = self.text(key)
        try:
            fits = len(os.fsencode(value)) <= MOST_PATH and "\0" not in value
        except UnicodeEncodeError:
            fits = False
        return value if fits else self.refuse(key, "a path")

    def digest(self, key: str) -> str:
        """`sha256:` and 64 hex digits."""
        value = self.text(key)
        if not DIGEST.fullmatch(value):
            self.refuse(key, "sha256: and 64 hex digits")
        return value

    def integer(self, key: str) -> int:
        """A whole number that a float holds exactly."""
        value = self.values.get(key)
        return value if _whole(value) else self.refuse(key, "a whole number")

    def count(self, key: str) -> int:
        """A whole number that is not negative."""
        value = self.integer(key)
        return value if value >= 0 else self.refuse(key, "0 or more")

    def number(self, key: str) -> float:
        """A finite number."""
        value = self.values.get(key)
        if isinstance(value, float) and abs(value) <= MOST_NUMBER:
            return value
        return float(self.integer(key))

    def decimal(self, key: str) -> float:
        """A finite number that is written as text."""
        try:
            value = float(self.text(key)[:MOST_DIGITS])
        except ValueError:
            self.refuse(key, "a number as text")
        return value if math.isfinite(value) else self.refuse(key, "a finite number as text")

    def fraction(self, key: str) -> Fraction:
        """An exact fraction that is written as text: `1/20`."""
        value = self.text(key)
        return Fraction(value) if FRACTION.fullmatch(value) else self.refuse(key, "an exact fraction as text: 1/20")

    def items(self, key: str) -> list[object]:
        """A list."""
        value = self.values.get(key)
        if not isinstance(value, list):
            self.refuse(key, "a list")
        return value

    def integers(self, key: str) -> list[int]:
        """A list of whole numbers."""
        return [item if _whole(item) else self.refuse(key, "whole numbers") for item in self.items(key)]

    def object(self, key: str) -> Fields:
        """An object."""
        return Fields(self.values.get(key), self.path, f"{self.at}{key}.")

    def objects(self, key: str) -> list[Fields]:
        """A list of objects."""
        return [Fields(item, self.path, f"{self.at}{key}[{n}].") for n, item in enumerate(self.items(key))]

    def refuse(self, key: str, expected: str) -> NoReturn:
        """Raises DataError VF3901: the field is not what was expected."""
        raise DataError(
            "VF3901",
            f"this is no result document: `{(self.at + key).rstrip('.') or 'the whole'}` is missing or of another kind",
            place=self.path,
            expected=expected,
            remedy="give the result.json that `verifluxa verify --out DIR` wrote",
        )


def _whole(value: object) -> TypeGuard[int]:
    return type(value) is int and abs(value) <= MOST_NUMBER


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
