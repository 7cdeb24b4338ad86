"""Changed bytes of good files: whatever comes out is a graph or a ModelError, in bounded time and memory."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conformance.cases import NEWEST, ROOT
from verifluxa.errors import ModelError
from verifluxa.flux.hdf5 import lookup3
from verifluxa.flux.load import lift

FILES = (
    "hostile/good.jld2",
    "hostile/good.bson",
    "hostile/good_model.bson",
    "hostile/compressed.jld2",
    "layers/skip_chain_plus/model.jld2",
    "layers/batchnorm_chain/model.jld2",
    "layers/batchnorm_chain/state.jld2",
    "layers/batchnorm_chain/model.bson",
    "layers/chain_vector/model.jld2",
    "layers/tied_layers/model.bson",
    "layers/dropout/model.jld2",
    "layers/embedding/state.bson",
    "old/flux-0.12.1_jld2-0.4.3/cnn/model.jld2",
    "jld2-0.6.5/cnn/state_compressed.jld2",
)
INTERESTING = (0, 1, 2, 7, 8, 127, 128, 254, 255)


@dataclass(frozen=True)
class Change:
    """One edit: at a share of the file, what is done there, and with which byte or length."""

    place: float
    kind: str
    value: int


CHANGES = st.lists(
    st.builds(
        Change,
        st.floats(0, 1, exclude_max=True),
        st.sampled_from(["set", "flip", "cut", "double", "swap", "word", "zero"]),
        st.integers(0, 255),
    ),
    min_size=1,
    max_size=4,
)


def changed(data: bytes, edits: list[Change]) -> bytes:
    """The file with some bytes changed."""
    result = bytearray(data)
    for edit in edits:
        at = int(edit.place * len(result))
        if edit.kind == "set":
            result[at : at + 1] = bytes([edit.value])
        elif edit.kind == "flip" and at < len(result):
            result[at] ^= 1 << edit.value % 8
        elif edit.kind == "cut":
            del result[at : at + edit.value % 16]
        elif edit.kind == "double":
            result[at:at] = result[at : at + edit.value % 16]
        elif edit.kind == "swap":
            other = edit.value * len(result) // 256
            length = min(8, len(result) - max(at, other))
            result[at : at + length], result[other : other + length] = (
                result[other : other + length],
                result[at : at + length],
            )
        elif edit.kind == "word":
            result[at : at + 4] = struct.pack("<I", random.Random(edit.value).choice([2**31, 2**32 - 1, 2**16, 5]))
        else:
            result[at : at + 8] = bytes(8)
    return bytes(result)


def sealed(data: bytes) -> bytes:
    """The same with every checksum right again, so that a change gets past them."""
    result = bytearray(data)
    at = result.find(b"OHDR")
    while at >= 0:
        width = 1 << (result[at + 5] & 3) if at + 5 < len(result) else 1
        end = at + 6 + width + int.from_bytes(result[at + 6 : at + 6 + width], "little")
        if end + 4 <= len(result):
            result[end : end + 4] = struct.pack("<I", lookup3(bytes(result[at:end])))
        at = result.find(b"OHDR", at + 4)
    if len(result) >= 560:
        result[540:548] = struct.pack("<Q", len(result))
        result[556:560] = struct.pack("<I", lookup3(bytes(result[512:556])))
    return bytes(result)


def outcome(path: Path, text: Path) -> str:
    """What becomes of a file."""
    try:
        lift(path, text, NEWEST)
    except ModelError as error:
        return error.code if len(str(error)) < 4000 else "a message without end"
    return "lifted"


def _source(name: str) -> tuple[bytes, Path]:
    path = ROOT / name
    text = (
        ROOT / "hostile" / "good_architecture.txt" if name.startswith("hostile") else path.with_name("architecture.txt")
    )
    return path.read_bytes(), text


def _try(name: str, edits: list[Change], seal: bool, folder: Path) -> str:
    data, text = _source(name)
    data = changed(data, edits)
    path = folder / f"changed{Path(name).suffix}"
    path.write_bytes(sealed(data) if seal and name.endswith(".jld2") else data)
    return outcome(path, text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(CHANGES, st.booleans())
def test_a_changed_file_is_lifted_or_refused(name: str, folder: Path, edits: list[Change], seal: bool) -> None:
    assert _try(name, edits, seal, folder).startswith(("VF2", "lifted"))


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_anywhere_is_refused(name: str, tmp_path: Path) -> None:
    data, text = _source(name)
    path = tmp_path / f"cut{Path(name).suffix}"
    for at in range(0, len(data), max(1, len(data) // 40)):
        path.write_bytes(data[:at])
        assert outcome(path, text) in ("VF2002", "VF2003")


@pytest.mark.soak
@pytest.mark.parametrize("name", FILES)
@settings(max_examples=3000, deadline=None)
@given(CHANGES, st.booleans())
def test_thousands_of_changed_files_are_lifted_or_refused(
    name: str, folder: Path, edits: list[Change], seal: bool
) -> None:
    assert _try(name, edits, seal, folder).startswith(("VF2", "lifted"))


@pytest.mark.soak
@pytest.mark.parametrize("name", FILES)
def test_every_byte_of_a_file_changed_is_lifted_or_refused(name: str, tmp_path: Path) -> None:
    data, text = _source(name)
    path = tmp_path / f"byte{Path(name).suffix}"
    for at in range(len(data)):
        # One value a byte, in turn: all of them would take hours, and neighbours are of one kind.
        edited = data[:at] + bytes([INTERESTING[at % len(INTERESTING)]]) + data[at + 1 :]
        path.write_bytes(sealed(edited) if name.endswith(".jld2") else edited)
        assert outcome(path, text).startswith(("VF2", "lifted"))
