"""Files from disk, with their size bounded, to contents and texts."""

from __future__ import annotations

import os
from io import FileIO
from pathlib import Path

import numpy as np

from verifluxa.errors import ModelError
from verifluxa.flux.contents import Contents
from verifluxa.flux.limits import FILE_BYTES, TEXT_BYTES

_SUFFIXES = (".jld2", ".bson", ".npz", ".safetensors")


def read_model_file(path: Path) -> tuple[memoryview, Contents]:
    """The bytes of a model file and what they hold, by the file's extension.

    Raises:
        ModelError: VF2001 when the file cannot be read or has another extension, and what the readers raise.
    """
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        raise ModelError(
            "VF2001",
            f"`{path.name}` is not a model file that can be read",
            place=str(path),
            expected="a file that ends in " + ", ".join((*_SUFFIXES, ".onnx")),
            remedy="save the model with JLD2 or BSON from Julia",
        )
    data = read_bytes(path, FILE_BYTES)
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


def read_bytes(path: Path, most: int) -> memoryview:
    """A file's bytes.

    Raises:
        ModelError: VF2001 when it cannot be read, VF2004 when it is too large.
    """
    try:
        if not path.is_file():
            path.stat()
            raise ModelError("VF2001", f"`{path.name}` is not a file", place=str(path))
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            if size > most:
                raise ModelError("VF2004", f"the file has {size} bytes", place=str(path), expected=f"at most {most}")
            # Room that is not first filled with zeros: half the time for a large file.
            data = np.empty(size, np.uint8).data
            found = _read_into(file, data)
            complete = found == size and not file.read(1)
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


def _read_into(file: FileIO, data: memoryview) -> int:
    found = 0
    while found < len(data) and (count := file.readinto(data[found:])):
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
