"""Small data files and the declarations that they are loaded by."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from verifluxa.errors import Span
from verifluxa.spec.spec import DataDecl, ImageSpace

Array = NDArray[np.generic]

SPACE = ImageSpace("digit", 3, 4, 1, 0, 255)
COLOUR = ImageSpace("photo", 3, 4, 3, 0, 255)


def declared(take: int | None = None, digest: str | None = None, start: int = 0, classes: int | None = 10) -> DataDecl:
    """A data set's declaration."""
    return DataDecl("eval", "digit", None, digest, take, start, Span("s.vfx", 1, 1, 1, 2), classes)


def images(count: int = 5, space: ImageSpace = SPACE) -> NDArray[np.uint8]:
    """Different images, channels first."""
    shape = (count, space.channels, space.height, space.width)
    return (np.arange(np.prod(shape)) % 256).astype(np.uint8).reshape(shape)


def labels(count: int = 5) -> NDArray[np.int64]:
    """Labels 0, 1, 2, ..."""
    return np.arange(count)


def npz(folder: Path, **arrays: object) -> Path:
    """A file as `numpy.savez` writes it."""
    path = folder / "data.npz"
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def raw_npy(descr: str = "'|u1'", shape: str = "(2,)", order: str = "False", body: bytes = b"\0\0") -> bytes:
    """An NPY member with a header of our own."""
    header = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode("latin-1")
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + body


def archive(folder: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    """A ZIP with these members."""
    path = folder / "raw.npz"
    with zipfile.ZipFile(path, "w", compression) as target:
        for name, content in members.items():
            target.writestr(name, content)
    return path


def npy(array: Array) -> bytes:
    """The array as an NPY member."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()
