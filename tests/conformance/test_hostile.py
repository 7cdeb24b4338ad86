"""Every hostile file is refused with a code, every control is accepted; nothing is run, written or looked up."""

from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from tests.conformance.cases import ROOT, index
from verifluxa.errors import ModelError
from verifluxa.flux.hdf5 import lookup3
from verifluxa.flux.load import lift

HOSTILE = index("hostile")
TRICKS = index("hostile_hdf5")
TEXTS = {
    "compressed.jld2": "Chain(Dense(64 => 64, relu), Dense(64 => 3))",
    "plain_arrays.jld2": "Dense(5 => 4, relu)",
    "handmade_good.bson": "Dense(5 => 4, relu)",
    "no_layers.jld2": "Chain()",
    "no_layers.bson": "Chain()",
}
CODES = frozenset(f"VF20{number:02d}" for number in range(1, 17))


def _files(name: str) -> tuple[Path, Path | str]:
    folder = ROOT / "hostile"
    if name.endswith(".txt"):
        # The texts contradict the good files.
        return folder / ("good.jld2" if name == "other_architecture.txt" else "good_model.bson"), folder / name
    return folder / name, TEXTS.get(name, folder / "good_architecture.txt")


@pytest.fixture(autouse=True)
def _no_marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_and_a_control_accepted(name: str, tmp_path: Path) -> None:
    file, text = _files(name)
    wanted = HOSTILE[name]["expect"]
    if wanted == "accept":
        lift(file, text)
    elif wanted == "reject":
        with pytest.raises(ModelError) as error:
            lift(file, text)
        assert error.value.code in CODES
        assert len(str(error.value)) < 2000
    else:
        with suppress(ModelError):
            lift(file, text)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", TRICKS)
def test_hdf5_that_jld2_does_not_write_is_refused(name: str) -> None:
    with pytest.raises(ModelError) as error:
        lift(ROOT / "hostile_hdf5" / name, "Dense(5 => 4)")
    # Without the banner of JLD2 it is a plain HDF5 file, and called that.
    assert error.value.code == ("VF2001" if name == "no_header.jld2" else "VF2003")


def _as_version_two(data: bytes) -> bytes:
    """The same file under a superblock that JLD2 writes, so that what lies behind it is looked at."""
    end = struct.pack("<Q", len(data))
    head = data[512:520] + b"\x02\x08\x08\x00" + data[524:540] + end + data[548:556]
    return data[:512] + head + struct.pack("<I", lookup3(head)) + data[560:]


@pytest.mark.parametrize("name", [name for name in TRICKS if name not in ("no_header.jld2", "old_superblock.jld2")])
def test_hdf5_tricks_are_refused_behind_a_good_superblock_too(name: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(_as_version_two((ROOT / "hostile_hdf5" / name).read_bytes()))
    with pytest.raises(ModelError) as error:
        lift(file, "Dense(5 => 4)")
    assert error.value.code in ("VF2002", "VF2003")


@pytest.mark.parametrize("name", ["good.jld2", "good.bson", "good_model.bson", "groups.jld2"])
def test_the_good_files_give_the_outputs_of_flux(name: str) -> None:
    file, text = _files(name)
    with np.load(ROOT / "hostile" / "good_expect.npz") as arrays:
        x, y = arrays["x_julia"].transpose(), arrays["y_julia"].transpose()
    np.testing.assert_allclose(lift(file, text).graph.run(x), y, atol=1e-6)
