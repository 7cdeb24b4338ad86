"""Trigger pictures: read as Pillow writes them, refused where they are damaged, odd or bombs."""

from __future__ import annotations

import io
import re
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from verifluxa.errors import Span, SpecError
from verifluxa.spec.paths import MAX_BYTES, read_png

HERE = Span("s.vfx", 1, 1, 1, 2)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def header(width: int, height: int, depth: int = 8, colour: int = 0, interlace: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))


def file(*chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


END = chunk(b"IEND", b"")
PIXELS = chunk(b"IDAT", zlib.compress(b"\x00\x01\x02\x00\x03\x04"))


def read(content: bytes, folder: Path) -> np.ndarray:
    (folder / "p.png").write_bytes(content)
    return read_png(folder / "p.png", HERE)


def refused(content: bytes, folder: Path) -> str:
    with pytest.raises(SpecError) as caught:
        read(content, folder)
    assert caught.value.code == "VF1046"
    return caught.value.message


@pytest.mark.parametrize("mode", ["L", "RGB", "LA", "RGBA"])
@pytest.mark.parametrize("optimize", [True, False])
def test_what_pillow_writes(tmp_path: Path, mode: str, optimize: bool) -> None:
    channels = {"L": 1, "RGB": 3, "LA": 2, "RGBA": 4}[mode]
    levels = np.random.default_rng(channels).integers(0, 256, (7, 5, channels)).astype(np.uint8)
    if mode in ("LA", "RGBA"):
        levels[..., -1] = 255
    buffer = io.BytesIO()
    Image.fromarray(levels[..., 0] if channels == 1 else levels, mode).save(buffer, "PNG", optimize=optimize)
    colours = levels if channels in (1, 3) else levels[..., :-1]
    np.testing.assert_array_equal(read(buffer.getvalue(), tmp_path), colours)


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 4), min_size=4, max_size=4))
def test_every_filter(tmp_path_factory: pytest.TempPathFactory, seed: int, filters: list[int]) -> None:
    """Filtered by hand as the standard says, and read back."""
    levels = np.random.default_rng(seed).integers(0, 256, (4, 3))
    rows = b""
    for number, kind in enumerate(filters):
        above = levels[number - 1] if number else np.zeros(3, int)
        rows += bytes([kind])
        for at in range(3):
            left, up = (levels[number, at - 1] if at else 0), above[at]
            corner = above[at - 1] if at else 0
            nearest = min((left, up, corner), key=lambda side, a=left, b=up, c=corner: abs(a + b - c - side))
            rows += bytes([(levels[number, at] - (0, left, up, (left + up) // 2, nearest)[kind]) % 256])
    content = file(header(3, 4), chunk(b"IDAT", zlib.compress(rows)), END)
    np.testing.assert_array_equal(read(content, tmp_path_factory.mktemp("png"))[..., 0], levels)


def test_a_plain_file_is_read(tmp_path: Path) -> None:
    assert read(file(header(2, 2), PIXELS, END), tmp_path)[..., 0].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no PNG"),
        (b"GIF89a", "no PNG"),
        (file(), "damaged|unpack|stop|begin|requires"),
        (file(PIXELS, END), "begin with a header"),
        (file(header(2, 2, depth=16), PIXELS, END), "depth"),
        (file(header(2, 2, colour=3), PIXELS, END), "palette"),
        (file(header(2, 2, interlace=1), PIXELS, END), "interlaced"),
        (file(header(0, 2), PIXELS, END), "none or too many"),
        (file(header(60_000, 60_000), PIXELS, END), "none or too many"),
        (file(header(16_000, 16_000), PIXELS, END), "none or too many"),
        (file(header(3, 2), PIXELS, END), "another number of pixels"),
        (file(header(1, 2), PIXELS, END), "another number of pixels"),
        (file(header(2, 2), PIXELS), "ends too early"),
        (file(header(2, 2), chunk(b"ABCD", b""), PIXELS, END), "must be understood"),
        (file(header(2, 2), PIXELS[:-1] + b"\x00", END), "checksum"),
        (file(header(2, 2), chunk(b"IDAT", zlib.compress(b"\x05\x01\x02\x00\x03\x04")), END), "filter"),
        (file(header(2, 2), chunk(b"IDAT", b"no zlib"), END), ""),
        (file(header(2, 2))[:-6], ""),
    ],
    ids=range(18),
)
def test_what_is_refused(tmp_path: Path, content: bytes, reason: str) -> None:
    assert re.search(reason, refused(content, tmp_path))


def test_a_bomb_is_not_inflated(tmp_path: Path) -> None:
    """A megabyte of zeros where six bytes are expected: no more than those are ever in memory."""
    bomb = chunk(b"IDAT", zlib.compress(bytes(2**24), 9))
    assert "another number" in refused(file(header(2, 2), bomb, END), tmp_path)
    assert "larger" in refused(bytes(MAX_BYTES + 1), tmp_path)


def test_transparent_pictures_are_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGBA", (2, 2), (1, 2, 3, 4)).save(buffer, "PNG")
    assert "transparent" in refused(buffer.getvalue(), tmp_path)


def test_a_folder_or_nothing_is_no_picture(tmp_path: Path) -> None:
    for name in (tmp_path, tmp_path / "none.png"):
        with pytest.raises(SpecError):
            read_png(name, HERE)


@given(st.binary(max_size=200), st.integers(0, 70))
def test_damage_is_an_error_and_never_a_crash(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, start: int
) -> None:
    content = file(header(2, 2), PIXELS, END)
    broken = content[:start] + noise + content[start + len(noise) :]
    with suppress(SpecError):
        assert read(broken, tmp_path_factory.mktemp("png")).size <= 2**24
