"""A strict decoder of PNG files: 8 bits, grey or RGB, with or without an opaque alpha channel.

It inflates no more than the header's size allows, checks every CRC, and needs numpy alone, so that the certificate
checker reads the same pictures with the same code. Format: PNG (ISO/IEC 15948), sections 5, 9, 10.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

MAX_BYTES = 2**24
MAX_SIDE = 16_384
MAX_VALUES = 2**24

Levels = NDArray[np.uint8]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
"""Values of a pixel by colour type: grey, RGB, grey and alpha, RGB and alpha."""


def decode(content: bytes) -> Levels:
    """The levels of a picture, shape (height, width, channels) with 1 or 3 channels.

    Raises:
        ValueError: with what is wrong, when it is damaged, too large, or of a kind that is not read.
    """
    try:
        return _decoded(content)
    except (struct.error, zlib.error) as error:
        raise ValueError(str(error)) from None


def _decoded(content: bytes) -> Levels:
    """Raises ValueError with what is wrong."""
    chunks = _chunks(content)
    kind, header = next(chunks, (b"", b""))
    if kind != b"IHDR":
        raise ValueError("it does not begin with a header")
    width, height, depth, colour, packing, filtering, interlace = struct.unpack(">IIBBBBB", header)
    if depth != 8 or colour not in _CHANNELS or packing or filtering or interlace:
        raise ValueError("it has another depth than 8 bits, a palette, or is interlaced")
    channels = _CHANNELS[colour]
    if not 0 < width <= MAX_SIDE or not 0 < height <= MAX_SIDE or width * height * channels > MAX_VALUES:
        raise ValueError(f"{height} x {width} pixels are none or too many")
    data, ended = bytearray(), False
    for kind, body in chunks:
        if kind == b"IDAT":
            data += body
        elif kind == b"IEND":
            ended = True
            break
        elif not kind[0] & 32:
            raise ValueError("it has a part that must be understood and is not")
    if not ended:
        raise ValueError("it ends too early")
    rows = _inflated(bytes(data), height * (1 + width * channels))
    return _opaque(_unfiltered(rows, height, width, channels))


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    if not content.startswith(_SIGNATURE):
        raise ValueError("it is no PNG file")
    at = len(_SIGNATURE)
    while at < len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        body = content[at + 8 : at + 8 + length]
        (check,) = struct.unpack_from(">I", content, at + 8 + length)
        if zlib.crc32(kind + body) != check:
            raise ValueError("it is damaged: a checksum is wrong")
        yield kind, body
        at += 12 + length


def _inflated(data: bytes, size: int) -> bytes:
    """Exactly `size` bytes, and never more memory than that."""
    stream = zlib.decompressobj()
    found = stream.decompress(data, size)
    if len(found) != size or stream.decompress(stream.unconsumed_tail, 1):
        raise ValueError("it holds another number of pixels than its header says")
    return found


def _unfiltered(rows: bytes, height: int, width: int, channels: int) -> Levels:
    """Undoes the filter of each row (section 9): none, sub, up, average, Paeth."""
    lines = np.frombuffer(rows, np.uint8).reshape(height, 1 + width * channels)
    result = np.zeros((height, width, channels), np.uint8)
    above = np.zeros((width, channels), np.int64)
    for number, line in enumerate(lines):
        if line[0] > 4:
            raise ValueError("it has a filter that does not exist")
        above = _row(int(line[0]), line[1:].reshape(width, channels).astype(np.int64), above)
        result[number] = above
    return result


def _row(filtered: int, raw: NDArray[np.int64], above: NDArray[np.int64]) -> NDArray[np.int64]:
    if filtered == 0:
        return raw
    if filtered == 1:
        return np.asarray(raw.cumsum(axis=0) % 256)
    if filtered == 2:
        return (raw + above) % 256
    row, left, corner = np.empty_like(raw), np.zeros_like(raw[0]), np.zeros_like(raw[0])
    for at, value in enumerate(raw):
        guess = (left + above[at]) // 2 if filtered == 3 else _paeth(left, above[at], corner)
        left, corner = (value + guess) % 256, above[at]
        row[at] = left
    return row


def _paeth(left: NDArray[np.int64], up: NDArray[np.int64], corner: NDArray[np.int64]) -> NDArray[np.int64]:
    estimate = left + up - corner
    a, b, c = (np.abs(estimate - side) for side in (left, up, corner))
    return np.where((a <= b) & (a <= c), left, np.where(b <= c, up, corner))


def _opaque(pixels: Levels) -> Levels:
    if pixels.shape[2] in (1, 3):
        return pixels
    if (pixels[..., -1] != 255).any():
        raise ValueError("it is transparent in places; use `blend` or `mask` for that")
    return pixels[..., :-1]
