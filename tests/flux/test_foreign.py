"""Files of other kinds under the names of model files: each is named, with a remedy; no model file is taken for one."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from verifluxa.errors import ModelError
from verifluxa.flux.files import read_model_file
from verifluxa.flux.foreign import check_kind

HDF5 = b"\x89HDF\r\n\x1a\n" + bytes(600)


def zipped(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, b"0")
    return file.getvalue()


def numpy_file() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


FILES = {
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4\n", "git lfs pull"),
    "web page": (b"\n<!DOCTYPE html><html></html>", "download the file itself"),
    "PyTorch": (zipped("archive/data.pkl", "archive/data/0"), "torch.onnx.export"),
    "Keras": (zipped("metadata.json", "config.json", "model.weights.h5"), "model.export"),
    "zip archive": (zipped("readme.txt"), "unpack it"),
    "gzip": (gzip.compress(b"model"), "gunzip"),
    "Keras file in HDF5": (HDF5 + b"keras_version", "model.export"),
    "plain HDF5": (HDF5, "jldsave"),
    "NumPy array": (numpy_file(), ".npz"),
    "pickle": (pickle.dumps({"weight": 1}), "torch.onnx.export"),
    "Serialization": (b"7JL\x1a\x00", "jldsave"),
}


@pytest.mark.parametrize("suffix", [".jld2", ".bson", ".npz", ".safetensors"])
@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_kind_is_named(tmp_path: Path, name: str, suffix: str) -> None:
    data, remedy = FILES[name]
    path = tmp_path / f"model{suffix}"
    path.write_bytes(data)
    with pytest.raises(ModelError) as error:
        read_model_file(path)
    assert error.value.code == "VF2001"
    assert name in error.value.message
    assert remedy in (error.value.remedy or "")
    assert error.value.place == str(path)


@pytest.mark.parametrize(
    ("suffix", "remedy"),
    [(".pt", "torch.onnx.export"), (".PTH", "torch.onnx.export"), (".h5", "model.export"), (".jls", "jldsave")],
)
def test_a_name_that_is_not_read_says_how_to_get_one_that_is(suffix: str, remedy: str) -> None:
    with pytest.raises(ModelError) as error:
        read_model_file(Path(f"model{suffix}"))
    assert remedy in (error.value.remedy or "")


@pytest.mark.parametrize("mark", [b"\x1f\x8b\x08\x00", b"PK\x03\x04", b"\x80\x02\x00\x00", b"7JL\x00"])
def test_lengths_that_look_like_the_mark_of_another_kind_do_no_harm(mark: bytes) -> None:
    (size,) = struct.unpack("<I", mark)
    if size < 1 << 20:  # a BSON file begins with its own length
        check_kind(memoryview(mark + bytes(size - 4)), Path("model.bson"))
    check_kind(memoryview(mark + bytes(4) + b'{"a":0}'), Path("model.safetensors"))


def test_an_archive_of_arrays_may_have_any_names() -> None:
    check_kind(memoryview(zipped("data.pkl.npy", "model.weights.h5.npy")), Path("model.npz"))


def test_an_empty_file_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "model.jld2"
    path.write_bytes(b"")
    with pytest.raises(ModelError, match="empty") as error:
        read_model_file(path)
    assert error.value.code == "VF2002"
