"""The files of a model as they are: measured, or copied and measured in one pass. Plain files only."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from verifluxa.certificate.document import canonical_json
from verifluxa.errors import GateError, VerifluxaError
from verifluxa.files import open_inside
from verifluxa.flux.limits import FILE_BYTES

MOST_FILES = 1000
DEEPEST = 16
"""Folders within folders; the paths of a deeper one may be too long to open."""
MOST_ENTRIES = 10_000
PIECE = 2**20


@dataclass(frozen=True)
class Measured:
    """What a model's folder holds.

    Attributes:
        digests: `sha256:...` of each file, by its path from the folder with `/`.
        problems: what is there and is no plain file of the folder.
    """

    digests: Mapping[str, str]
    problems: tuple[VerifluxaError, ...] = ()

    @property
    def digest(self) -> str:
        """One digest of all names and digests."""
        return files_digest(self.digests)


@dataclass
class _Walk:
    """One pass over a folder; `into` gets the very bytes that were digested."""

    folder: Path
    into: Path | None
    digests: dict[str, str] = field(default_factory=dict)
    problems: list[VerifluxaError] = field(default_factory=list)
    entries: int = 0


def files_digest(digests: Mapping[str, str]) -> str:
    """One digest of a set of files: of the canonical JSON of names and digests."""
    return "sha256:" + hashlib.sha256(canonical_json(dict(digests))).hexdigest()


def measure(folder: Path) -> Measured:
    """Digests every file below a folder. A symlink, a pipe or anything unreadable is a problem, never followed."""
    return _walk(folder, None)


def take(folder: Path, into: Path) -> Measured:
    """Copies a folder and digests the bytes that were copied, so that what was checked is what is used later.

    Args:
        folder: the model's files; nobody need be trusted not to change them meanwhile.
        into: a new folder that only this process writes to.
    """
    into.mkdir(parents=True)
    return _walk(folder, into)


def _walk(folder: Path, into: Path | None) -> Measured:
    walk = _Walk(folder, into)
    try:
        if stat.S_ISDIR(os.lstat(folder).st_mode):
            _folder(walk, "")
        else:
            walk.problems.append(no_plain_file(str(folder), "no folder, or a link to one"))
    except OSError as error:
        walk.problems.append(no_plain_file(str(folder), error.strerror or str(error)))
    return Measured(walk.digests, tuple(walk.problems))


def _folder(walk: _Walk, prefix: str) -> None:
    with os.scandir(walk.folder / prefix) as entries:
        for entry in sorted(entries, key=lambda item: item.name):
            walk.entries += 1
            if walk.entries > MOST_ENTRIES or len(walk.digests) + len(walk.problems) >= MOST_FILES:
                walk.problems.append(no_plain_file(str(walk.folder), f"more than {MOST_FILES} files"))
                return
            name = f"{prefix}{entry.name}"
            if not entry.name.isprintable():
                walk.problems.append(no_plain_file(repr(name), "a name that is no printable text"))
            elif entry.is_dir(follow_symlinks=False) and prefix.count("/") >= DEEPEST:
                walk.problems.append(no_plain_file(str(walk.folder / name), f"folders more than {DEEPEST} deep"))
            elif entry.is_dir(follow_symlinks=False):
                if walk.into is not None:
                    (walk.into / name).mkdir()
                _folder(walk, name + "/")
            elif entry.is_file(follow_symlinks=False):
                _file(walk, name)
            else:
                what = "a symlink, which may lead out of the folder" if entry.is_symlink() else "no plain file"
                walk.problems.append(no_plain_file(str(walk.folder / name), what))


def _file(walk: _Walk, name: str) -> None:
    """Digests one file through one descriptor that follows no link, whatever became of it since the folder was read."""
    digest, left = hashlib.sha256(), FILE_BYTES
    try:
        with ExitStack() as stack:
            source = stack.enter_context(open_inside(walk.folder, name))
            large = os.fstat(source.fileno()).st_size > left
            target = None if large or walk.into is None else stack.enter_context((walk.into / name).open("xb"))
            while not large and (piece := source.read(PIECE)):
                # It may grow while it is read.
                left -= len(piece)
                large = left < 0
                digest.update(piece)
                if target is not None:
                    target.write(piece)
        if large:
            walk.problems.append(no_plain_file(str(walk.folder / name), f"a file of more than {FILE_BYTES} bytes"))
            return
    except OSError as error:
        walk.problems.append(no_plain_file(str(walk.folder / name), error.strerror or str(error)))
        return
    walk.digests[name] = "sha256:" + digest.hexdigest()


def no_plain_file(place: str, what: str) -> GateError:
    """The error for what is no plain file (VF6013)."""
    return GateError(
        "VF6013",
        f"the model's folder holds something that cannot be checked: {what}",
        place=place,
        expected="plain, readable files only",
        remedy="give a folder with the model's own files and nothing else",
    )
