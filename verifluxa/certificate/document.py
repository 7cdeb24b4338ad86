"""Strict JSON for documents that an enemy may have written, and the one canonical form that we sign.

`json.loads` keeps the last of two equal keys, reads NaN, and takes numbers of any length: two readers of
one signed document could then see two claims. Everything of that kind is refused here.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Union

from verifluxa import documents
from verifluxa.documents import LARGEST_INTEGER, shown
from verifluxa.errors import CertificateError
from verifluxa.files import open_file

Json = Union[None, bool, int, float, str, "list[Json]", "dict[str, Json]"]

EXTENSION_PREFIX = "x_"
"""Fields that begin so are other people's additions and are ignored; every other unknown field is refused."""

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


@dataclass(frozen=True)
class Limits:
    """How large a document may be.

    Attributes:
        size: bytes.
        depth: nested arrays and objects.
    """

    size: int = 8 * 2**20
    depth: int = 32


DEFAULT_LIMITS = Limits()


class Fields(documents.Fields):
    """One JSON object of a certificate, an envelope or a line of evidence.

    Attributes:
        extensions: places of other people's additions, in this object and those inside that were closed.
    """

    extension = EXTENSION_PREFIX

    def __init__(self, value: object, place: str, extensions: list[str] | None = None) -> None:
        self.extensions: list[str] = [] if extensions is None else extensions
        super().__init__(value, place)

    @classmethod
    def error(cls, place: str, problem: str, expected: str | None) -> CertificateError:
        """VF5005."""
        return CertificateError(
            "VF5005",
            problem,
            place=place,
            expected=expected,
            remedy="make the document anew with verifluxa; if it came from elsewhere, do not trust it",
        )

    def unknown(self, key: str) -> CertificateError:
        """VF5006."""
        return CertificateError(
            "VF5006",
            f"the field {key[:60]!r} is unknown, and it might change what the document claims",
            place=self.place,
            expected=f"only known fields, or extensions that begin with {EXTENSION_PREFIX}",
            remedy="read it with the version of verifluxa that wrote it",
        )

    def fail(self, key: str, expected: str, value: object) -> NoReturn:
        """Refuses a field's value (VF5005), or that there is none."""
        if key not in self._value:
            raise self.missing(key, expected)
        raise wrong(f"{self.place}.{key}", expected, value)

    def inner(self, value: object, key: str, number: int | None = None) -> Fields:
        """The reader of an object in a field, or of one of several."""
        return Fields(value, f"{self.place}.{key}" + ("" if number is None else f"[{number}]"), self.extensions)

    def close(self) -> None:
        """Refuses fields that nobody asked for, and notes extensions."""
        super().close()
        self.extensions += [f"{self.place}.{key}" for key in sorted(self._value.keys() - self._asked)]


def wrong(place: str, expected: str, value: object) -> CertificateError:
    """The error for a value of the wrong type or form (VF5005)."""
    return Fields.error(place, f"a value has the wrong type or form: {shown(value)}", expected)


def read_json(data: bytes, place: str, limits: Limits = DEFAULT_LIMITS) -> Json:
    """Reads one JSON document strictly.

    Args:
        data: the bytes, UTF-8 without a byte order mark.
        place: what the document is called in messages.
        limits: largest size and depth.

    Raises:
        CertificateError: VF5001 not JSON or not UTF-8, VF5002 a key twice, VF5003 too large or too
            deep, VF5004 a number that not every reader reads alike.
    """
    if len(data) > limits.size:
        raise _too_much(place, f"has {len(data)} bytes", f"at most {limits.size} bytes")
    _check_depth(data, place, limits.depth)
    try:
        value: Json = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=lambda pairs: _unique(pairs, place),
            parse_constant=lambda text: _number(text, place),
            parse_int=lambda text: _integer(text, place),
            parse_float=lambda text: _float(text, place),
        )
        if b"\\u" in data:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeError as error:
        raise _not_json(place, "holds bytes or escapes that are no Unicode text") from error
    except json.JSONDecodeError as error:
        raise _not_json(f"{place}, line {error.lineno}", f"is not JSON: {error.msg}") from error
    return value


def canonical_json(value: object) -> bytes:
    """The one canonical form: keys sorted by code point, no white space, UTF-8, no floats.

    Raises:
        ValueError: for a float or an integer past 2^53 (numbers that matter are strings), or a key that
            is not a string: a mistake of the caller.
    """
    _check_plain(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8")


def read_bytes(path: Path, limit: int = DEFAULT_LIMITS.size) -> bytes:
    """Reads a small file whole.

    Raises:
        CertificateError: VF5007 when it cannot be read, VF5003 when it is larger than `limit`.
    """
    try:
        with open_file(path) as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise unreadable(path, error) from error
    if len(data) > limit:
        raise _too_much(str(path), "is too large", f"at most {limit} bytes")
    return data


def unreadable(path: Path, error: OSError) -> CertificateError:
    """VF5007."""
    return CertificateError(
        "VF5007",
        f"the file cannot be read: {error.strerror or error}",
        place=str(path),
        remedy="give the path of an existing file that you may read",
    )


def _check_depth(data: bytes, place: str, limit: int) -> None:
    """Peels the innermost brackets `limit` times, which is fast; only if some are left is depth counted."""
    brackets = _STRING.sub(b"", data).translate(None, _NOT_BRACKETS)
    left = brackets
    for _ in range(limit):
        if not left:
            return
        left = left.replace(b"[]", b"").replace(b"{}", b"")
    depth = 0
    for byte in brackets if left else b"":
        depth += 1 if byte in b"[{" else -1
        if depth > limit:
            raise _too_much(place, f"is nested more than {limit} deep", f"a depth of at most {limit}")


def _unique(pairs: list[tuple[str, Json]], place: str) -> dict[str, Json]:
    result = dict(pairs)
    if len(result) == len(pairs):
        return result
    last = {key: index for index, (key, _) in enumerate(pairs)}
    twice = next(key for index, (key, _) in enumerate(pairs) if last[key] != index)
    raise CertificateError(
        "VF5002",
        f"the key {twice[:60]!r} stands twice in one object",
        place=place,
        expected="each key once",
        remedy="do not trust this document; make it anew with verifluxa",
    )


def _integer(text: str, place: str) -> int:
    value = int(text) if len(text) <= 17 else math.inf
    return int(value) if abs(value) <= LARGEST_INTEGER else _number(text, place)


def _float(text: str, place: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _number(text, place)


def _number(text: str, place: str) -> NoReturn:
    raise CertificateError(
        "VF5004",
        f"the number {text[:40]} is not one that every reader reads alike",
        place=place,
        expected="finite numbers, integers of at most 2^53; larger and exact ones as strings",
        remedy="write it as a string, or make the document anew with verifluxa",
    )


def _not_json(place: str, what: str) -> CertificateError:
    return CertificateError(
        "VF5001",
        f"the document {what}",
        place=place,
        expected="one JSON document in UTF-8",
        remedy="check that this is the right file and that it was copied whole",
    )


def _too_much(place: str, what: str, expected: str) -> CertificateError:
    return CertificateError(
        "VF5003",
        f"the document {what}",
        place=place,
        expected=expected,
        remedy="check that this is the right file; no document that verifluxa writes is like this",
    )


def _check_plain(value: object) -> None:
    if isinstance(value, float) or (type(value) is int and abs(value) > LARGEST_INTEGER):
        raise ValueError(f"{value!r} belongs in a string: readers may round it")
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise ValueError("a key is not a string")
        for item in value.values():
            _check_plain(item)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for item in value:
            _check_plain(item)
