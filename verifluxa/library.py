"""Finds the shipped files by name: property files, strategies, clusters. Never looks in the cwd.

An installed wheel carries the shelves in `verifluxa/_library/`; in a source checkout they stand at
the top, where people find and edit them.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path

from verifluxa.errors import UsageError
from verifluxa.files import open_file

MOST_BYTES = 1_000_000
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_PACKAGE = Path(__file__).resolve().parent


class Shelf(StrEnum):
    """A folder of shipped files; the value is the folder's name."""

    SPECS = "specs"
    PROBES = "specs/probes"
    SOLVERS = "solvers"
    CLUSTER = "cluster"

    @property
    def suffix(self) -> str:
        """The ending of the files on this shelf."""
        return ".vfx" if self is Shelf.SPECS else ".toml"

    @property
    def thing(self) -> str:
        """What people call one file of this shelf."""
        things = {"specs": "property file", "specs/probes": "library of probes", "solvers": "strategy"}
        return things.get(self.value, "cluster")


@dataclass(frozen=True)
class Shelved:
    """One file, read once.

    Attributes:
        name: the name by which it was found: `balanced`; for a path, the file's stem.
        path: where it was read.
        text: its content.
        sha256: `sha256:` and hex digits of its bytes.
    """

    name: str
    path: Path
    text: str
    sha256: str


def names(shelf: Shelf) -> tuple[str, ...]:
    """The names on a shelf, sorted."""
    return tuple(sorted(path.stem for path in _folder(shelf).glob("*" + shelf.suffix)))


def find(shelf: Shelf, name: str) -> Shelved:
    """Reads a shipped file by its name.

    Args:
        shelf: where to look.
        name: the file's name without its ending: letters, digits, `_` and `-`.

    Raises:
        UsageError: VF4001 when there is no such file, VF4002 when the name is not a plain name.
    """
    if not _PLAIN_NAME.fullmatch(name):
        raise UsageError(
            "VF4002",
            f"{name!r} is not the name of a {shelf.thing}",
            expected="letters, digits, `_` and `-`; or the path of a file that ends in " + shelf.suffix,
        )
    known = names(shelf)
    if name not in known:
        close = get_close_matches(name, known, n=1)
        raise UsageError(
            "VF4001",
            f"there is no {shelf.thing} called `{name}`",
            expected="one of " + ", ".join(known),
            remedy=f"did you mean `{close[0]}`?" if close else None,
        )
    return _read(name, _folder(shelf) / (name + shelf.suffix))


def read_path(path: str | Path) -> Shelved:
    """Reads a user's own file, at most 1 MB of UTF-8 text.

    Raises:
        UsageError: VF4003 when the file is missing, unreadable, too large or not UTF-8.
    """
    place = Path(path)
    return _read(place.stem, place)


def is_path(name: str, shelf: Shelf) -> bool:
    """Whether what a user gave for a shelf is meant as a path of their own file, not as a name.

    >>> is_path("./mine.toml", Shelf.SOLVERS), is_path("balanced", Shelf.SOLVERS)
    (True, False)
    """
    return name.endswith(shelf.suffix)


def resolve(shelf: Shelf, name: str) -> Shelved:
    """What a user gave for a shelf: the path of a file where it ends like one, otherwise a name.

    Raises:
        UsageError: VF4001, VF4002 or VF4003; see `find` and `read_path`.
    """
    return read_path(name) if is_path(name, shelf) else find(shelf, name)


def _folder(shelf: Shelf) -> Path:
    installed = _PACKAGE / "_library" / shelf.value
    return installed if installed.is_dir() else _PACKAGE.parent / shelf.value


def _read(name: str, path: Path) -> Shelved:
    try:
        with open_file(path) as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        # ValueError: a null byte in the path.
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError("VF4003", f"cannot read the file: {reason}", place=str(path)) from error
    if len(data) > MOST_BYTES:
        raise UsageError("VF4003", "the file is too large", place=str(path), expected=f"at most {MOST_BYTES} bytes")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError("VF4003", "the file is not UTF-8 text", place=str(path)) from error
    return Shelved(name, path, text, "sha256:" + hashlib.sha256(data).hexdigest())
