"""The text of a spec file: bounded, UTF-8, and free of characters that hide or reorder what is shown."""

from __future__ import annotations

import codecs
import re
import unicodedata
from pathlib import Path

from verifluxa.errors import Span, SpecError
from verifluxa.files import NotAFileError, open_file

MAX_BYTES = 1_000_000
"""A spec is written by people; a thousand times this example is still no megabyte."""

MOST_NAMES = 5
"""Specs that are named where a folder was given."""

_UNUSUAL = re.compile(r"[^\n\t -~]")


def read_bytes(path: str) -> bytes:
    """The bytes of a spec file.

    Raises:
        SpecError: VF1001 when there is no such regular file or it cannot be read; VF1002 when it is too large.
    """
    try:
        with open_file(path) as stream:
            content = stream.read(MAX_BYTES + 1)
    except NotAFileError:
        raise _no_file(path) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SpecError(
            "VF1001",
            f"the spec cannot be read: {reason}",
            place=path,
            remedy="check the path; `verifluxa init MODEL` writes a first spec",
        ) from None
    if len(content) > MAX_BYTES:
        raise SpecError(
            "VF1002",
            f"the spec is larger than {MAX_BYTES:,} bytes",
            place=path,
            remedy="data and models stay in their own files; a spec only names them",
        )
    return content


def _no_file(path: str) -> SpecError:
    specs = ", ".join(sorted(found.name for found in Path(path).glob("*.vfx"))[:MOST_NAMES])
    return SpecError(
        "VF1001",
        "this is not a file",
        place=path,
        expected="a text file, usually `.vfx`",
        remedy=f"give one of its specs: {specs}" if specs else None,
    )


def _no_text(path: str) -> SpecError:
    return SpecError(
        "VF1003",
        "this is no text, and so no spec",
        place=path,
        expected="a text file, usually `.vfx`",
        remedy="for a model, `verifluxa init MODEL --data DATA` writes a first spec",
    )


def decode(content: bytes, path: str) -> str:
    """The text of a spec file.

    Raises:
        SpecError: VF1003 when the bytes are not UTF-8.
    """
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        if b"\0" in content and not content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise _no_text(path) from None
        before = content[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8")) + 1
        raise SpecError(
            "VF1003",
            f"the spec is not UTF-8 text (byte 0x{content[error.start]:02x})",
            place=Span(path, line, column, line, column + 1),
            expected="UTF-8",
            remedy="save the file as UTF-8",
        ) from None


def clean(text: str, path: str) -> str:
    r"""The text with `\n` line ends and without a byte order mark; positions stay what an editor shows.

    Raises:
        SpecError: VF1002 when it is too long; VF1005 at the first hidden or control character.
    """
    if len(text) > MAX_BYTES:
        raise SpecError("VF1002", f"the spec is larger than {MAX_BYTES:,} characters", place=path)
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    for match in _UNUSUAL.finditer(text):
        if hidden(match.group()):
            raise _hidden(text, match.start(), path)
    return text


def hidden(character: str) -> bool:
    """Whether a character controls, hides or reorders text (Trojan Source, CVE-2021-42574), or is half a pair."""
    return character not in "\n\t" and unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def _hidden(text: str, index: int, path: str) -> SpecError:
    line = text.count("\n", 0, index) + 1
    column = index - (text.rfind("\n", 0, index) + 1) + 1
    character = text[index]
    title = unicodedata.name(character, "a control character").lower()
    return SpecError(
        "VF1005",
        f"a hidden character stands here: U+{ord(character):04X} ({title})",
        place=Span(path, line, column, line, column + 1),
        expected="characters that are shown as they are read",
        remedy="delete it; what is shown must be what is checked",
    )
