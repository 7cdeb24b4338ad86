"""A JSON document whose fields are checked as they are read. It may come from anywhere: its size is bounded."""

from __future__ import annotations

import json
import math
import os
from fractions import Fraction
from pathlib import Path

from verifluxa import documents
from verifluxa.documents import Form
from verifluxa.errors import DataError
from verifluxa.files import NotAFileError, open_file
from verifluxa.result.document import SCHEMA

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
