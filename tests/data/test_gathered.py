"""Folders of pictures, NPY arrays: read like the archive that they would be, bounded, and only what lies inside."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.data.samples import COLOUR, SPACE, declared, images, labels
from verifluxa.data import gathered
from verifluxa.data.gathered import MAX_DEPTH, gather
from verifluxa.data.load import load_dataset
from verifluxa.data.npz import MAX_FILE
from verifluxa.errors import DataError
from verifluxa.inputs import data_digest
from verifluxa.spec.check import load_spec

NAMES = ("a", "b", "c")


def save(path: Path, levels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(levels).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of grey pictures, with a hidden file beside them."""
    root = tmp_path / "pictures"
    for number, image in enumerate(images(4)):
        save(root / str(number % 2) / f"{number}.png", image[0])
    (root / ".DS_Store").write_text("x")
    return root


def refused(path: Path, code: str, labels: str | None = None) -> str:
    with pytest.raises(DataError) as caught:
        load_dataset(declared(), SPACE, path, labels)
    assert caught.value.code == code
    return str(caught.value)


def test_pictures_in_folders_come_by_name_with_the_folder_as_label(folder: Path) -> None:
    found = load_dataset(declared(), SPACE, folder)
    assert found.inputs.tolist() == images(4)[[0, 2, 1, 3]].tolist()
    assert found.labels.tolist() == [0, 0, 1, 1]
    assert load_dataset(declared(take=3), SPACE, folder).labels.tolist() == [0, 0, 1]


def test_the_names_of_folders_are_classes(tmp_path: Path) -> None:
    for name, image in zip(NAMES, images(3, COLOUR), strict=True):
        save(tmp_path / "p" / name / "1.png", np.moveaxis(image, 0, 2))
    found = load_dataset(replace(declared(classes=3), names=NAMES), COLOUR, tmp_path / "p")
    assert found.labels.tolist() == [0, 1, 2]
    assert found.inputs.tolist() == images(3, COLOUR).tolist()


def test_the_digest_is_that_of_the_listing(folder: Path) -> None:
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n"
        for path in sorted(folder.rglob("*.png"))
    ]
    wanted = "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest()
    assert gather(str(folder)).sha256 == wanted
    assert load_dataset(declared(digest=wanted), SPACE, folder).sha256 == wanted
    save(folder / "0" / "0.png", images(5)[4, 0])
    assert "VF3003" in refused_digest(folder, wanted)


def refused_digest(folder: Path, digest: str) -> str:
    with pytest.raises(DataError) as caught:
        load_dataset(declared(digest=digest), SPACE, folder)
    return caught.value.code


def test_a_folder_may_hold_arrays(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", images())
    np.save(tmp_path / "y.npy", labels())
    found = load_dataset(declared(), SPACE, tmp_path)
    assert found.inputs.tolist() == images().tolist()
    assert found.labels.tolist() == labels().tolist()


def test_an_array_has_its_labels_beside_it(tmp_path: Path) -> None:
    np.save(tmp_path / "inputs.npy", images())
    np.save(tmp_path / "classes.npy", labels())
    found = load_dataset(declared(), SPACE, tmp_path / "inputs.npy", str(tmp_path / "classes.npy"))
    assert found.inputs.tolist() == images().tolist()
    assert found.labels.tolist() == labels().tolist()
    assert "y" in refused(tmp_path / "inputs.npy", "VF3007")
    without = load_dataset(replace(declared(), labelled=False), SPACE, tmp_path / "inputs.npy")
    assert without.labels.tolist() == [0] * 5
    other = load_dataset(declared(), SPACE, tmp_path / "inputs.npy", str(tmp_path / "classes.npy")).sha256
    np.save(tmp_path / "classes.npy", labels()[::-1])
    assert gather(str(tmp_path / "inputs.npy"), str(tmp_path / "classes.npy")).sha256 != other


def test_the_digest_of_a_spec_is_that_of_the_data(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", images())
    np.save(tmp_path / "y.npy", labels())
    text = """spec 1
    input digit : image(3 px, 4 px, 1 ch) of 0..255 level
    model m : digit -> class(10) { encode = level / 255 }
    data eval : digit { file = "x.npy" labels = "y.npy" }
    trigger patch : digit { replace 1 px x 1 px at any with 0..255 level }
    property p { forall x in eval, t in patch assert class(m(t(x))) == label(x) }
    """
    (tmp_path / "a.vfx").write_text(text)
    spec = load_spec(str(tmp_path / "a.vfx")).spec
    wanted = gather(str(tmp_path / "x.npy"), str(tmp_path / "y.npy")).sha256
    assert data_digest(spec, spec.data[0], {}) == wanted


def test_labels_belong_to_arrays_alone(folder: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=images(), y=labels())
    assert "labels" in refused(tmp_path / "a.npz", "VF3035", "y.npy")
    assert "labels" in refused(folder, "VF3035", "y.npy")


def test_links_stay_inside(folder: Path, tmp_path: Path) -> None:
    os.symlink("../0/0.png", folder / "1" / "same.png")
    assert len(load_dataset(declared(), SPACE, folder).labels) == 5
    save(tmp_path / "outside.png", images()[4, 0])
    os.symlink(tmp_path / "outside.png", folder / "1" / "out.png")
    assert "leads out of it" in refused(folder, "VF3034")
    (folder / "1" / "out.png").unlink()
    os.symlink(tmp_path, folder / "2")
    assert "'2'" in refused(folder, "VF3034").replace('"', "'")


@pytest.mark.parametrize("name", ["nowhere.png", "loop.png"])
def test_links_that_lead_nowhere(folder: Path, name: str) -> None:
    os.symlink(name if name == "loop.png" else "missing", folder / "0" / name)
    assert "leads nowhere" in refused(folder, "VF3034")


def test_other_files_are_named(folder: Path) -> None:
    (folder / "0" / "notes.txt").write_text("x")
    assert "notes.txt" in refused(folder, "VF3034")


def test_pipes_are_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "0" / "pipe.png")
    assert "no plain file" in refused(folder, "VF3034")


def test_hidden_characters_in_names(folder: Path) -> None:
    save(folder / "0" / "a\u202eb.png", images()[0, 0])
    message = refused(folder, "VF3034")
    assert "hidden characters" in message
    assert "\u202e" not in message


def test_folders_have_bounds(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathered, "MAX_MEMBERS", 3)
    assert "more than 3 files" in refused(folder, "VF3034")
    monkeypatch.undo()
    deep = folder.joinpath("0", *"0" * MAX_DEPTH)
    deep.mkdir(parents=True)
    assert "deep" in refused(folder, "VF3034")
    shutil.rmtree(folder / "0" / "0")
    large = folder / "0" / "large.png"
    large.touch()
    os.truncate(large, MAX_FILE + 1)  # nothing of it is written, and nothing must be read
    assert f"more than {MAX_FILE:,} bytes" in refused(folder, "VF3034")


def test_an_empty_folder_is_no_data(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    assert refused(tmp_path / "none", "VF3014")


def test_a_picture_without_a_class_is_refused(folder: Path) -> None:
    buffer = BytesIO()
    Image.fromarray(images()[0, 0]).save(buffer, "PNG")
    (folder / "loose.png").write_bytes(buffer.getvalue())
    assert "loose.png" in refused(folder, "VF3032")
