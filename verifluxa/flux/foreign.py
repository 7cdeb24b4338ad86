"""What a file is that is no model file of Julia's packages, told by its first bytes, and how to get one from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from verifluxa.errors import ModelError
from verifluxa.flux.hdf5 import SIGNATURE

HEAD_BYTES = 1 << 16
"""So many bytes of a file are looked at, from each end."""
_JLD2, _ZIP = b"HDF5-based Julia Data Format", b"PK\x03\x04"
_SAVE = 'in Julia: `using Flux, JLD2; jldsave("model.jld2"; model_state = Flux.state(model))`'
_TORCH = 'in Python: `torch.onnx.export(model.eval(), example_input, "model.onnx")`, and give the `.onnx` file'
_KERAS = 'in Python: `model.export("model.onnx", format="onnx")`, and give the `.onnx` file'


class _Kind(NamedTuple):
    """A kind of file: how it begins, what it is in words, and the remedy."""

    matches: Callable[[bytes], bool]
    words: str
    remedy: str


def _begins(*starts: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(starts)


def _zip_with(*names: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(_ZIP) and any(name in head for name in names)


_KINDS = (
    _Kind(
        _begins(b"version https://git-lfs"),
        "a pointer of Git LFS, and not the file that it stands for",
        "fetch the file itself: `git lfs install`, then `git lfs pull`",
    ),
    _Kind(
        lambda head: head.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")),
        "a web page: the page about a file was saved, and not the file",
        "download the file itself; most sites call that `raw` or `download`",
    ),
    _Kind(_zip_with(b"data.pkl"), "a PyTorch file", _TORCH),
    _Kind(_zip_with(b"model.weights.h5"), "a Keras file", _KERAS),
    _Kind(_begins(_ZIP), "a zip archive", "unpack it, and give the model file inside"),
    _Kind(_begins(b"\x1f\x8b"), "a file compressed by gzip", "unpack it: `gunzip`, or `tar -xzf` for a `.tar.gz`"),
    _Kind(
        lambda head: head.startswith(SIGNATURE) and (b"keras_version" in head or b"model_weights" in head),
        "a Keras file in HDF5",
        _KERAS,
    ),
    _Kind(
        _begins(SIGNATURE),
        "a plain HDF5 file, which JLD2 did not write",
        f"save the model itself, {_SAVE}",
    ),
    _Kind(_begins(_JLD2), "a JLD2 file under another name", "rename it so that it ends in `.jld2`"),
    _Kind(
        _begins(b"\x93NUMPY"),
        "one NumPy array",
        "store all arrays of the network in one `.npz`, by their names in `Flux.state(model)`",
    ),
    _Kind(
        _begins(*(bytes((0x80, protocol)) for protocol in (2, 3, 4, 5))),
        "a Python pickle, which can run code when it is read",
        _TORCH,
    ),
    _Kind(
        _begins(b"7JL"),
        "a file of Julia's `Serialization`, which can run code when it is read",
        f"load it where you trust it, and save the model {_SAVE}",
    ),
)
_SUFFIXES = {
    **dict.fromkeys((".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle"), _TORCH),
    **dict.fromkeys((".h5", ".hdf5", ".keras", ".pb", ".tflite"), _KERAS),
    **dict.fromkeys((".jls", ".jl", ".mat"), _SAVE),
}


def check_kind(data: memoryview, path: Path) -> None:
    """Refuses a file whose bytes are of another kind than its name says, where that is known.

    Raises:
        ModelError: VF2001, with what the file is and how to get a model file from it; VF2002 for an empty file.
    """
    head = bytes(data[:HEAD_BYTES]) + (bytes(data[-HEAD_BYTES:]) if len(data) > HEAD_BYTES else b"")
    suffix = path.suffix.lower()
    if not len(data):
        raise ModelError("VF2002", "the file is empty", place=str(path), remedy="copy or save it again")
    for kind in () if _is_as_named(head, len(data), suffix) else _KINDS:
        if kind.matches(head):
            raise ModelError(
                "VF2001",
                f"this is {kind.words}",
                place=str(path),
                expected=f"a model in the format that `{suffix}` stands for",
                remedy=kind.remedy,
            )


def _is_as_named(head: bytes, size: int, suffix: str) -> bool:
    """Whether a file begins as its name says: lengths at the start of a file may look like the mark of another kind."""
    match suffix:
        case ".bson":
            return int.from_bytes(head[:4], "little") == size
        case ".safetensors":
            return head[8:9] == b"{"
        case ".npz":
            return head.startswith(_ZIP) and b".npy" in head
    return head.startswith(_JLD2)


def remedy_of(suffix: str) -> str:
    """How to get a model file from one with an extension that is not read."""
    return _SUFFIXES.get(suffix, f"save the model {_SAVE}")
