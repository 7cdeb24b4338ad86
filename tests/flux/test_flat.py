"""NPZ and safetensors under the names of a flattened state."""

from __future__ import annotations

import json
import struct
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from verifluxa.errors import ModelError
from verifluxa.flux.flat import read_npz, read_safetensors
from verifluxa.flux.load import lift

TEXT = "Chain(Dense(3 => 2, relu), Chain(out = Dense(2 => 2; bias=false)))"
ARRAYS = {
    "layers.1.weight": np.arange(6, dtype="f4").reshape(2, 3),
    "layers.1.bias": np.array([0.5, -0.5], "f4"),
    "layers.2.layers.out.weight": np.array([[1, 2], [3, 4]], "f4"),
}


def _npz(**arrays: Any) -> bytes:
    file = BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _safetensors(header: dict[str, Any], body: bytes) -> bytes:
    head = json.dumps(header).encode()
    return struct.pack("<Q", len(head)) + head + body


def _entry(dtype: str, shape: list[int], start: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def _tensors() -> bytes:
    header: dict[str, Any] = {"__metadata__": {"format": "jl"}}
    body = b""
    for name, array in ARRAYS.items():
        header[name] = _entry("F32", list(array.shape), len(body), len(body) + array.nbytes)
        body += array.tobytes()
    return _safetensors(header, body)


@pytest.mark.parametrize(("suffix", "data"), [("npz", _npz(**ARRAYS)), ("safetensors", _tensors())])
def test_arrays_are_found_by_name(suffix: str, data: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"state.{suffix}"
    path.write_bytes(data)
    lifted = lift(path, TEXT)
    x = np.array([[1.0, -2.0, 3.0]], "f4")
    hidden = np.maximum(x @ ARRAYS["layers.1.weight"].T + ARRAYS["layers.1.bias"], 0)
    np.testing.assert_allclose(lifted.graph.run(x), hidden @ ARRAYS["layers.2.layers.out.weight"].T)
    for wrong in ("Chain(Dense(3 => 2, relu))", "Chain(Dense(3 => 2), Chain(head = Dense(2 => 2; bias=false)))"):
        with pytest.raises(ModelError) as error:
            lift(path, wrong)
        assert error.value.code == "VF2009"


W = bytes(16)
BAD_TENSORS = {
    "empty": b"",
    "length": struct.pack("<Q", 2**60) + b"{}",
    "no JSON": struct.pack("<Q", 2) + b"{]",
    "a list": struct.pack("<Q", 2) + b"[]",
    "deep JSON": struct.pack("<Q", 60_000) + b"[" * 60_000,
    "name twice": struct.pack("<Q", 14) + b'{"a":1,"a":2} ',
    "entry": _safetensors({"a": {"dtype": "F32"}}, W),
    "element type": _safetensors({"a": _entry("I32", [4], 0, 16)}, W),
    "half precision of another kind": _safetensors({"a": _entry("BF16", [8], 0, 16)}, W),
    "shape": _safetensors({"a": _entry("F32", [-4], 0, 16)}, W),
    "sizes": _safetensors({"a": _entry("F32", [2**40, 2**40], 0, 16)}, W),
    "past the end": _safetensors({"a": _entry("F32", [8], 0, 32)}, W),
    "overlap": _safetensors({"a": _entry("F32", [4], 0, 16), "b": _entry("F32", [2], 8, 16)}, W),
    "gap": _safetensors({"a": _entry("F32", [2], 8, 16)}, W),
    "left over": _safetensors({"a": _entry("F32", [2], 0, 8)}, W),
}


@pytest.mark.parametrize("name", BAD_TENSORS)
def test_damaged_safetensors_are_refused(name: str) -> None:
    with pytest.raises(ModelError) as error:
        read_safetensors(BAD_TENSORS[name])
    assert error.value.code in ("VF2002", "VF2003")


def _changed(old: bytes, new: bytes) -> bytes:
    import zipfile

    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        content = BytesIO()
        np.save(content, ARRAYS["layers.1.weight"])
        archive.writestr("a.npy", content.getvalue().replace(old, new))
    return file.getvalue()


BAD_ZIPS = {
    "empty": b"",
    "no zip": b"PK\3\4 nothing",
    "pickled objects": _npz(a=np.array([{"x": 1}], dtype=object)),
    "integers": _npz(a=np.arange(3)),
    "big-endian": _npz(a=np.arange(3, dtype=">f4")),
    "signature": _changed(b"NUMPY", b"NUMPX"),
    "version": _changed(b"NUMPY\x01", b"NUMPY\x09"),
    "header": _changed(b"'descr'", b"'descx'"),
    "code in the header": _changed(b"'fortran_order': False", b"'fortran_order': f(1) "),
    "shape": _changed(b"(2, 3)", b"(2, 9)"),
    "negative shape": _changed(b"(2, 3)", b"(2,-3)"),
}


@pytest.mark.parametrize("name", BAD_ZIPS)
def test_damaged_npz_files_are_refused_and_nothing_is_unpickled(name: str) -> None:
    with pytest.raises(ModelError) as error:
        read_npz(BAD_ZIPS[name])
    assert error.value.code in ("VF2002", "VF2003")


def test_a_zip_bomb_is_refused() -> None:
    import zipfile

    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", bytes(100 << 20))
    with pytest.raises(ModelError) as error:
        read_npz(file.getvalue())
    assert error.value.code == "VF2004"


def test_an_fortran_array_keeps_its_size() -> None:
    (variable,) = read_npz(_npz(a=np.asfortranarray(ARRAYS["layers.1.weight"]))).variables
    value = variable.read()
    assert isinstance(value, np.ndarray)
    np.testing.assert_array_equal(value, ARRAYS["layers.1.weight"])
