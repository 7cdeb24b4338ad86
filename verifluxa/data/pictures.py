"""PNG pictures in a ZIP file: a folder for each class, `0/a.png` or `Sandal/a.png`. Bounded before anything is read."""

from __future__ import annotations

import re
from io import BytesIO
from typing import TYPE_CHECKING
from zipfile import BadZipFile, ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray

from verifluxa.data.dataset import class_numbers, shown
from verifluxa.data.texts import Rows, too_few
from verifluxa.errors import DataError
from verifluxa.png import MAX_BYTES, Levels, decode

if TYPE_CHECKING:
    from verifluxa.spec.spec import DataDecl, ImageSpace

MAX_MEMBERS = 50_000
MAX_ALL = 2**30
"""Bytes of all pictures, unpacked."""
_HIDDEN = re.compile(r"(^|/)(\.[^./]|__MACOSX/)")


def read_pictures(content: bytes, decl: DataDecl, space: ImageSpace, path: str) -> Rows:
    """Levels as (N, channels, height, width) and labels, in the order of the names, cut by `take`.

    Raises:
        DataError: VF3032 when it is no sound ZIP file of PNG pictures, VF3010 for a picture of another size, VF3017 for
            a folder that is no class.
    """
    try:
        with ZipFile(BytesIO(content)) as archive:
            members = _members(archive, path)
            taken = members[: decl.take]
            if not taken or (decl.take or 0) > len(members):
                raise too_few(len(members), decl, path)
            pictures = [_picture(archive, member, space, path) for member in taken]
    except (BadZipFile, NotImplementedError, EOFError, OSError, RuntimeError) as error:
        raise _wrong(str(error) or "it cannot be read", path) from None
    inputs = np.stack(pictures).astype(np.float64)
    if not decl.labelled:
        return inputs, np.zeros(len(inputs), dtype=np.int64)
    return inputs, class_numbers([member.filename.rstrip("/").split("/")[-2] for member in taken], decl, path)


def _members(archive: ZipFile, path: str) -> list[ZipInfo]:
    """The pictures, sorted by name; anything else is refused rather than left out in silence."""
    found = [member for member in archive.infolist() if not member.is_dir() and not _HIDDEN.search(member.filename)]
    if len(found) > MAX_MEMBERS or sum(member.file_size for member in found) > MAX_ALL:
        raise _wrong(f"it holds {len(found):,} files, or more than {MAX_ALL:,} bytes", path)
    for member in found:
        name = member.filename
        if not name.lower().endswith(".png") or "/" not in name.strip("/"):
            raise _wrong(f"{shown(name)} is no PNG file in the folder of a class", path)
        if member.file_size > MAX_BYTES:
            raise _wrong(f"{shown(name)} is larger than {MAX_BYTES:,} bytes", path)
    names = [member.filename for member in found]
    if len(set(names)) < len(names):
        raise _wrong("two of its files have one name", path)
    return sorted(found, key=lambda member: member.filename)


def _picture(archive: ZipFile, member: ZipInfo, space: ImageSpace, path: str) -> Levels:
    with archive.open(member) as stream:
        # What the directory says of the size is not trusted: no more than that is unpacked.
        content = stream.read(member.file_size + 1)
    try:
        levels = decode(content)
    except ValueError as error:
        raise _wrong(f"{shown(member.filename)}: {error}", path) from None
    if levels.shape != (space.height, space.width, space.channels):
        raise DataError(
            "VF3010",
            f"{shown(member.filename)} has {' x '.join(map(str, levels.shape))} (height, width, channels)",
            place=path,
            expected=f"{space.height} x {space.width} x {space.channels}, the shape of `{space.name}`",
        )
    if levels.min() < space.low or levels.max() > space.high:
        raise DataError(
            "VF3013",
            f"{shown(member.filename)} has levels {levels.min()}..{levels.max()}",
            place=path,
            expected=f"levels {space.low}..{space.high}, as `{space.name}` says",
        )
    return np.moveaxis(levels, 2, 0)


def _wrong(reason: str, path: str) -> DataError:
    return DataError(
        "VF3032",
        f"this is no ZIP file of pictures: {reason}",
        place=path,
        expected="PNG files (8 bits, grey or RGB), each in the folder of its class: `0/a.png`, `Sandal/b.png`",
        remedy="`cd pictures && zip -r ../pictures.zip .` packs a folder",
    )


def as_seen(image: NDArray[np.floating], low: float, high: float) -> NDArray[np.uint8]:
    """An image as a picture shows it, shape (height, width, 3): grey for one channel, colours for three.

    Args:
        image: shape (channels, height, width); of other numbers of channels the mean is shown.
        low, high: the levels that are black and white.
    """
    scaled = np.clip((image - low) / max(high - low, 1e-12), 0.0, 1.0)
    if len(scaled) not in (1, 3):
        scaled = scaled.mean(axis=0, keepdims=True)
    colours = np.repeat(scaled, 3, axis=0) if len(scaled) == 1 else scaled
    return np.asarray(np.rint(colours * 255.0), dtype=np.uint8).transpose(1, 2, 0)
