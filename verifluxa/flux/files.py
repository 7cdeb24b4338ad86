"""Files from disk, with their size bounded, to contents and texts."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from pathlib import Path
from typing import Self

import numpy as np

from verifluxa.errors import ModelError
from verifluxa.files import NotAFileError, descriptor
from verifluxa.flux.foreign import check_kind, remedy_of
from verifluxa.flux.limits import FILE_BYTES, TEXT_BYTES
from verifluxa.flux.values import Contents

Seen = Callable[[memoryview], None]
_PART = 4 << 20
"""Bytes that are read at once: enough that a thread that hashes them keeps up."""
_SUFFIXES = (".jld2", ".bson", ".npz", ".safetensors")


class Digest:
    """The sha256 of a file, computed on a thread of its own while the file is read and understood.

    Hashing a part and reading the next one both let go of the interpreter's lock.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._thread = ThreadPoolExecutor(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)

    def add(self, part: memoryview) -> None:
        """The next part of the file."""
        self._thread.submit(self._hash.update, part)

    def result(self) -> str:
        """Hexadecimal digits, once all parts are through."""
        return self._thread.submit(self._hash.hexdigest).result()


def read_model_file(path: Path, seen: Seen | None = None) -> tuple[memoryview, Contents]:
    """The bytes of a model file and what they hold, by the file's extension.

    Args:
        path: of the file.
        seen: is given each part of the file as soon as it is read.

    Raises:
        ModelError: VF2001 when the file cannot be read, has another extension or is of another kind, and what the
            readers raise.
    """
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        raise ModelError(
            "VF2001",
            f"`{path.name}` is not a model file that can be read",
            place=str(path),
            expected="a file that ends in " + ", ".join((*_SUFFIXES, ".onnx")),
            remedy=remedy_of(suffix),
        )
    data = read_bytes(path, FILE_BYTES, seen)
    check_kind(data, path)
    return data, _contents(data, suffix)


def _contents(data: memoryview, suffix: str) -> Contents:
    if suffix == ".jld2":
        from verifluxa.flux.jld2 import read_jld2

        return read_jld2(data)
    if suffix == ".bson":
        from verifluxa.flux.bson import read_bson

        return read_bson(data)
    from verifluxa.flux.flat import read_npz, read_safetensors

    return read_npz(data) if suffix == ".npz" else read_safetensors(data)


def read_bytes(path: Path, most: int, seen: Seen | None = None) -> memoryview:
    """A file's bytes; `seen` is given each part as soon as it is read.

    Raises:
        ModelError: VF2001 when it cannot be read, VF2004 when it is too large.
    """
    try:
        with open(descriptor(path), "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if size > most:
                raise ModelError("VF2004", f"the file has {size} bytes", place=str(path), expected=f"at most {most}")
            # Room that is not first filled with zeros: half the time for a large file.
            data = np.empty(size, np.uint8).data
            found = _read_into(file, data, seen)
            complete = found == size and not file.read(1)
    except NotAFileError:
        raise ModelError("VF2001", f"`{path.name}` is not a file", place=str(path)) from None
    except OSError as error:
        raise ModelError(
            "VF2001",
            f"the file cannot be read: {error.strerror or error}",
            place=str(path),
            remedy="check the path and its permissions",
        ) from None
    if not complete:
        raise ModelError("VF2001", "the file changed while it was read", place=str(path), remedy="try again")
    return data


def _read_into(file: FileIO, data: memoryview, seen: Seen | None) -> int:
    found = 0
    while found < len(data) and (count := file.readinto(data[found : found + _PART])):
        if seen is not None:
            seen(data[found : found + count])
        found += count
    return found


def read_text_file(path: Path) -> str:
    """An architecture text from a file.

    Raises:
        ModelError: VF2001 when it cannot be read, VF2004 when it is too long, VF2007 when it is not UTF-8.
    """
    data = read_bytes(path, TEXT_BYTES)
    try:
        return bytes(data).decode("utf-8")
    except UnicodeDecodeError as error:
        raise ModelError(
            "VF2007",
            f"byte {error.start} of the architecture is not valid UTF-8",
            place=str(path),
            remedy="save the text as UTF-8",
        ) from None
