"""Hostile NPZ files: pickles, bombs, lies about sizes, damage. Always a DataError, and no memory taken before."""

from __future__ import annotations

import io
import random
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.samples import SPACE, archive, declared, images, labels, npy, npz, raw_npy
from verifluxa.data.load import load_dataset
from verifluxa.data.npz import MAX_HEADER, MAX_MEMBERS, Npz
from verifluxa.errors import DataError


def code(path: Path) -> str:
    with pytest.raises(DataError) as raised:
        load_dataset(declared(), SPACE, path)
    return raised.value.code


def code_of_member(folder: Path, content: bytes) -> str:
    """The code when this is the array of images."""
    return code(archive(folder, {"x.npy": content, "y.npy": npy(labels())}))


def test_arrays_of_objects_are_refused(tmp_path: Path) -> None:
    pickled = np.array([images()[0], "text"], dtype=object)
    assert code(npz(tmp_path, x=pickled, y=labels())) == "VF3005"
    assert code(npz(tmp_path, x=images(), y=np.array([{}], dtype=object))) == "VF3005"


@pytest.mark.parametrize(
    "array",
    [
        np.array(["a", "b"]),
        np.array([1j, 2j]),
        np.array(["2020-01-01"], dtype="datetime64[D]"),
        np.array([(1, 2)], dtype=[("a", "i4"), ("b", "i4")]),
        np.array([True, False]),
        np.array([b"ab"]),
        np.zeros(2, dtype=np.longdouble),
    ],
    ids=["text", "complex", "date", "record", "bool", "bytes", "longdouble"],
)
def test_other_types_are_refused(tmp_path: Path, array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> None:
    assert code(npz(tmp_path, x=array, y=labels())) == "VF3005"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "VF3004"),
        (b"not an array at all", "VF3004"),
        (b"\x93NUMPY\x09\x00\x10\x00", "VF3004"),
        (raw_npy(shape="(3,)"), "VF3006"),
        (raw_npy(shape="(1,)"), "VF3006"),
        (raw_npy(shape="(4_0,)"), "VF3004"),
        (raw_npy(shape="(-2,)"), "VF3004"),
        (raw_npy(shape="2"), "VF3004"),
        (raw_npy(shape="(" + "9" * 300 + ",)"), "VF3004"),
        (raw_npy(shape="(99999999999999999999,)"), "VF3006"),
        (raw_npy(shape="(65536, 65536)"), "VF3006"),
        (raw_npy(shape="(" + "1, " * 9 + ")"), "VF3006"),
        (raw_npy(order="maybe"), "VF3004"),
        (raw_npy(descr="'|O'"), "VF3005"),
        (raw_npy(descr="'<f3'"), "VF3005"),
        (raw_npy(descr="'<u' + '1'"), "VF3005"),
        (raw_npy(descr="__import__('os').system('true')"), "VF3005"),
        (raw_npy(descr="'|u1'" + " " * (MAX_HEADER + 1)), "VF3006"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff", "VF3006"),
        (b"\x93NUMPY\x01\x00\xff", "VF3005"),
    ],
)
def test_headers(tmp_path: Path, content: bytes, expected: str) -> None:
    assert code_of_member(tmp_path, content) == expected


@pytest.mark.parametrize("shape", ["(10,)", "(1000000000,)"])
def test_a_bomb_takes_no_memory(tmp_path: Path, shape: str) -> None:
    bomb = raw_npy(shape=shape, body=b"\0" * (30_000_000 if shape == "(10,)" else 10))
    path = archive(tmp_path, {"x.npy": bomb, "y.npy": npy(labels())})
    del bomb
    assert path.stat().st_size < 100_000
    tracemalloc.start()
    try:
        assert code(path) == "VF3006"
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_members_that_are_not_asked_for_are_not_unpacked(tmp_path: Path) -> None:
    bad = b"\x80\x04cos\nsystem\n"
    path = archive(tmp_path, {"x.npy": npy(images()), "y.npy": npy(labels()), "z.npy": bad, "readme.txt": b"hello"})
    assert len(load_dataset(declared(), SPACE, path).labels) == 5
    assert Npz(path.read_bytes(), "f").names == ("x", "y", "z")


def test_too_many_members(tmp_path: Path) -> None:
    members = {f"a{index}.npy": b"" for index in range(MAX_MEMBERS + 1)}
    assert code(archive(tmp_path, members)) == "VF3006"


def test_two_arrays_of_one_name(tmp_path: Path) -> None:
    path = tmp_path / "twice.npz"
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("x.npy", npy(images()))
        with pytest.warns(UserWarning, match="Duplicate"):
            target.writestr("x.npy", npy(images()))
    assert code(path) == "VF3004"


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_ways_of_packing_are_refused(tmp_path: Path, compression: int) -> None:
    assert code(archive(tmp_path, {"x.npy": npy(images())}, compression)) == "VF3004"


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path, {"x.npy": npy(images())})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    assert code(path) == "VF3004"


def test_files_that_are_no_archive(tmp_path: Path) -> None:
    path = tmp_path / "f.npz"
    for content in (b"", b"PK\x05\x06", npy(images()), b"\0" * 1000, b"PK\x05\x06" + b"\xff" * 18):
        path.write_bytes(content)
        assert code(path) in ("VF3004", "VF3006")


def test_an_end_record_of_64_bits_is_refused(tmp_path: Path) -> None:
    content = npz(tmp_path, x=images(), y=labels()).read_bytes()
    end = content.rindex(b"PK\x05\x06")
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1)
    path = tmp_path / "long.npz"
    path.write_bytes(content[:end] + locator + content[end:])
    assert code(path) == "VF3006"


def test_truncated_files(tmp_path: Path) -> None:
    content = npz(tmp_path, x=images(), y=labels()).read_bytes()
    path = tmp_path / "short.npz"
    for length in range(0, len(content), 37):
        path.write_bytes(content[:length])
        assert code(path) == "VF3004"


def damaged_anywhere(content: bytes, source: random.Random) -> None:
    changed = bytearray(content)
    for _ in range(source.randint(1, 4)):
        changed[source.randrange(len(changed))] = source.randrange(256)
    try:
        arrays = Npz(bytes(changed), "f")
        for name in arrays.names:
            assert arrays.array(name).dtype.kind in "uif"
    except DataError as error:
        assert error.code in {"VF3004", "VF3005", "VF3006"}  # noqa: PT017 (one of many cases)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.integers(min_value=0, max_value=2**32))
def test_damage(seed: int) -> None:
    source = random.Random(seed)
    for compressed in (False, True):
        damaged_anywhere(packed(compressed), source)


@pytest.mark.soak
def test_damage_for_long() -> None:
    source = random.Random(1)
    content = [packed(False), packed(True)]
    for number in range(20_000):
        damaged_anywhere(content[number % 2], source)


def packed(compressed: bool) -> bytes:
    stream = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(stream, x=images(), y=labels())
    return stream.getvalue()
