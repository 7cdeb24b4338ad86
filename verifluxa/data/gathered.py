"""Data that is no single archive: a folder of PNG pictures, NPY arrays. Read as the ZIP file that they would be.

A folder is hostile like any file: its files are counted and bounded before they are read, and links that lead out of it
are refused. Its digest is the sha256 of its listing, `HEX  NAME` a line as `sha256sum` prints it, sorted by name.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile, ZipInfo

import numpy as np

from verifluxa.data.dataset import Arrays, shown
from verifluxa.data.npz import MAX_FILE, read_bytes
from verifluxa.data.pictures import MAX_MEMBERS
from verifluxa.errors import DataError
from verifluxa.files import NotAFileError, descriptor

ARRAY, PICTURE = ".npy", ".png"
FORMATS = (".npz", ARRAY, ".zip", ".csv", ".jsonl", ".json")
MAX_DEPTH = 8
"""Folders within folders."""


@dataclass(frozen=True)
class Gathered:
    """What a data set is read from.

    Attributes:
        content: the bytes of its file, or of the ZIP file that stands for a folder or for arrays.
        sha256: `sha256:` and hex digits: of the file's bytes, or of the listing.
        pictures: whether it holds pictures rather than arrays or text.
        arrays: whether it holds arrays.
    """

    content: bytes = field(repr=False)
    sha256: str
    pictures: bool
    arrays: bool


def gather(path: str, labels: str | None = None) -> Gathered:
    """Reads a file or a folder.

    Args:
        path: an NPZ, NPY, CSV, JSONL or ZIP file, or a folder.
        labels: an NPY file with the labels, beside an NPY file with the inputs.

    Raises:
        DataError: VF3001 or VF3002 for files, VF3034 for folders, VF3035 for labels of what is no NPY file, VF3036
            for another format.
    """
    name = path.lower()
    folder = Path(path).is_dir()
    if labels is not None and (folder or not name.endswith(ARRAY)):
        raise DataError(
            "VF3035",
            "`labels` names a file of labels, and these inputs are no NPY file",
            place=path,
            expected='`file = "x.npy" labels = "y.npy"`',
            remedy="other files hold their labels themselves: take the setting out",
        )
    if folder:
        members = _files(Path(path))
        return _packed(members, any(member.lower().endswith(ARRAY) for member in members))
    content = read_bytes(path)
    if not name.endswith(FORMATS):
        raise DataError(
            "VF3036",
            f"data of the format {shown(Path(path).suffix)} is not read"
            if Path(path).suffix
            else "the data has no format",
            place=path,
            expected="a file that ends in " + ", ".join(f"`{ending}`" for ending in FORMATS) + ", or a folder",
            remedy="write the data as one of these; NumPy, Julia's NPZ.jl and spreadsheets do",
        )
    if name.endswith(ARRAY):
        return _packed({"x.npy": content} | ({} if labels is None else {"y.npy": read_bytes(labels)}), arrays=True)
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    return Gathered(content, digest, name.endswith(".zip"), name.endswith(".npz"))


def gather_arrays(arrays: Arrays) -> Gathered:
    """Arrays of a program, as the NPY files that they would be."""
    members = {}
    for name, array in zip(("x.npy", "y.npy"), arrays, strict=False):
        buffer = BytesIO()
        np.save(buffer, array, allow_pickle=False)
        members[name] = buffer.getvalue()
    return _packed(members, arrays=True)


def _packed(members: Mapping[str, bytes], arrays: bool) -> Gathered:
    listing = "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in sorted(members.items()))
    buffer = BytesIO()
    with ZipFile(buffer, "w", ZIP_STORED) as archive:
        for name, content in sorted(members.items()):
            archive.writestr(ZipInfo(name), content)
    digest = "sha256:" + hashlib.sha256(listing.encode("utf-8")).hexdigest()
    return Gathered(buffer.getvalue(), digest, not arrays, arrays)


def _files(root: Path) -> dict[str, bytes]:
    """The files below a folder by their names in it; hidden ones are left out."""
    found: dict[str, bytes] = {}
    left = MAX_FILE
    for name, path in _walk(root, root.resolve(), "", MAX_DEPTH):
        if len(found) == MAX_MEMBERS:
            raise _refused(root, f"it holds more than {MAX_MEMBERS:,} files")
        if not name.lower().endswith((ARRAY, PICTURE)):
            raise _refused(root, f"{shown(name)} is neither a PNG picture nor an NPY array")
        content = _read(root, path, left)
        left -= len(content)
        found[name] = content
    return found


def _walk(root: Path, home: Path, under: str, depth: int) -> Iterator[tuple[str, Path]]:
    """Names and places of all files, links resolved."""
    if depth == 0:
        raise _refused(root, f"its folders are more than {MAX_DEPTH} deep")
    try:
        entries = sorted(os.scandir(home / under), key=lambda entry: entry.name)
    except OSError as error:
        raise _refused(root, error.strerror or str(error)) from None
    for entry in entries:
        name = f"{under}/{entry.name}" if under else entry.name
        if not entry.name.isprintable():
            raise _refused(root, f"the name {shown(name)} has hidden characters")
        if entry.name.startswith("."):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(root, home, name, depth - 1)
        else:
            yield name, _inside(root, home, name)


def _inside(root: Path, home: Path, name: str) -> Path:
    """Where a file is, links resolved; it stays below the folder."""
    try:
        place = (home / name).resolve(strict=True)
    except (OSError, RuntimeError):
        raise _refused(root, f"{shown(name)} is a link that leads nowhere") from None
    if not place.is_relative_to(home):
        raise _refused(root, f"{shown(name)} is a link that leads out of it")
    return place


def _read(root: Path, path: Path, most: int) -> bytes:
    """A plain file of at most so many bytes."""
    try:
        with open(descriptor(path, follow=False), "rb") as stream:
            status = os.fstat(stream.fileno())
            if status.st_size > most:
                raise _refused(root, f"its files have more than {MAX_FILE:,} bytes")
            return stream.read(status.st_size)
    except NotAFileError:
        raise _refused(root, f"{shown(path.name)} is no plain file") from None
    except OSError as error:
        raise _refused(root, f"{shown(path.name)}: {error.strerror or error}") from None


def _refused(root: Path, reason: str) -> DataError:
    return DataError(
        "VF3034",
        f"this folder cannot be used: {reason}",
        place=str(root),
        expected="PNG files, each in the folder of its class, or `x.npy` and `y.npy`",
        remedy=f"at most {MAX_MEMBERS:,} files and {MAX_FILE:,} bytes, links only within the folder",
    )
