"""Finds the shipped files by name: property files, strategies, clusters. Never looks in the cwd.

An installed wheel carries the folders in `verifluxa/_library/`; in a source checkout they stand at
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
PACKAGE = Path(__file__).resolve().parent


class Library(StrEnum):
    """A folder of shipped files; the value is the folder's name."""

    SPECS = "specs"
    PROBES = "specs/probes"
    SOLVERS = "solvers"
    CLUSTER = "cluster"

    @property
    def suffix(self) -> str:
        """The ending of its files."""
        return ".vfx" if self is Library.SPECS else ".toml"

    @property
    def thing(self) -> str:
        """What people call one of its files."""
        things = {"specs": "property file", "specs/probes": "library of probes", "solvers": "strategy"}
        return things.get(self.value, "cluster")


@dataclass(frozen=True)
class Resource:
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


def names(library: Library, package: Path = PACKAGE) -> tuple[str, ...]:
    """The names in a library, sorted."""
    return tuple(sorted(path.stem for path in _folder(library, package).glob("*" + library.suffix)))


def find(library: Library, name: str, package: Path = PACKAGE) -> Resource:
    """Reads a shipped file by its name.

    Args:
        library: where to look.
        name: the file's name without its ending: letters, digits, `_` and `-`.
        package: the folder of this program.

    Raises:
        UsageError: VF4001 when there is no such file, VF4002 when the name is not a plain name.
    """
    if not _PLAIN_NAME.fullmatch(name):
        raise UsageError(
            "VF4002",
            f"{name!r} is not the name of a {library.thing}",
            expected="letters, digits, `_` and `-`; or the path of a file that ends in " + library.suffix,
        )
    known = names(library, package)
    if name not in known:
        close = get_close_matches(name, known, n=1)
        raise UsageError(
            "VF4001",
            f"there is no {library.thing} called `{name}`",
            expected="one of " + ", ".join(known),
            remedy=f"did you mean `{close[0]}`?" if close else None,
        )
    return _read(name, _folder(library, package) / (name + library.suffix))


def read_path(path: str | Path) -> Resource:
    """Reads a user's own file, at most 1 MB of UTF-8 text.

    Raises:
        UsageError: VF4003 when the file is missing, unreadable, too large or not UTF-8.
    """
    place = Path(path)
    return _read(place.stem, place)


def is_path(name: str, library: Library) -> bool:
    """Whether what a user gave is meant as a path of their own file, not as a name.

    >>> is_path("./mine.toml", Library.SOLVERS), is_path("balanced", Library.SOLVERS)
    (True, False)
    """
    return name.endswith(library.suffix)


def resolve(library: Library, name: str) -> Resource:
    """What a user gave: the path of a file where it ends like one, otherwise a name.

    Raises:
        UsageError: VF4001, VF4002 or VF4003; see `find` and `read_path`.
    """
    return read_path(name) if is_path(name, library) else find(library, name)


def _folder(library: Library, package: Path) -> Path:
    installed = package / "_library" / library.value
    return installed if installed.is_dir() else package.parent / library.value


def _read(name: str, path: Path) -> Resource:
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
    return Resource(name, path, text, "sha256:" + hashlib.sha256(data).hexdigest())
