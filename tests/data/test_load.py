"""Data files against their declarations: axes, levels, labels, digests."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from tests.data.samples import COLOUR, SPACE, Array, declared, images, labels, npz
from verifluxa.data.load import load_dataset
from verifluxa.data.npz import MAX_FILE
from verifluxa.errors import DataError
from verifluxa.spec.spec import DataDecl, ImageSpace


def code(decl: DataDecl, space: ImageSpace, path: Path | str) -> str:
    """The code of the error that loading raises."""
    with pytest.raises(DataError) as raised:
        load_dataset(decl, space, path)
    assert raised.value.place is not None
    return raised.value.code


def test_grey_images(tmp_path: Path) -> None:
    path = npz(tmp_path, x=images(), y=labels(), label_names=np.array(["a", "b"]))
    data = load_dataset(declared(), SPACE, path)
    assert (data.name, data.path) == ("eval", str(path))
    assert data.sha256 == "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
    assert data.inputs.dtype == np.float64
    assert data.inputs.shape == (5, 1, 3, 4)
    assert (data.inputs == images()).all()
    assert data.labels.dtype == np.int64
    assert data.labels.tolist() == [0, 1, 2, 3, 4]


def test_rows_and_columns_are_not_exchanged(tmp_path: Path) -> None:
    picture = np.zeros((1, 3, 4), dtype=np.uint8)
    picture[0, 2, 1] = 200
    data = load_dataset(declared(), SPACE, npz(tmp_path, x=picture, y=labels(1)))
    assert np.argwhere(data.inputs).tolist() == [[0, 0, 2, 1]]


@pytest.mark.parametrize("keys", [("x", "y"), ("images", "labels"), ("test_x", "test_y"), ("x", "labels")])
def test_names_of_arrays(tmp_path: Path, keys: tuple[str, str]) -> None:
    path = npz(tmp_path, **{keys[0]: images(), keys[1]: labels(), "train_x": np.zeros(3), "train_y": np.zeros(3)})
    assert len(load_dataset(declared(), SPACE, path).labels) == 5


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int64", "uint64", "float16", "float32", "float64", ">i4", ">f8"])
def test_types_of_numbers(tmp_path: Path, dtype: str) -> None:
    space = ImageSpace("digit", 3, 4, 1, -10, 255)
    small = np.clip(images().astype(np.int64), 0, 100)
    data = load_dataset(declared(), space, npz(tmp_path, x=small.astype(dtype), y=labels().astype(dtype)))
    assert (data.inputs == small).all()
    assert data.labels.tolist() == [0, 1, 2, 3, 4]


def test_fortran_order_as_julia_writes_it(tmp_path: Path) -> None:
    path = npz(tmp_path, x=np.asfortranarray(images()), y=labels())
    data = load_dataset(declared(), SPACE, path)
    assert (data.inputs == images()).all()
    assert data.inputs.flags["C_CONTIGUOUS"]


@pytest.mark.parametrize("last", [False, True])
def test_colour_images_with_channels_first_and_last(tmp_path: Path, last: bool) -> None:
    first = images(space=COLOUR)
    stored = np.moveaxis(first, 1, 3) if last else first
    data = load_dataset(declared(), COLOUR, npz(tmp_path, x=stored, y=labels()))
    assert (data.inputs == first).all()


def test_grey_images_with_a_last_axis_of_one(tmp_path: Path) -> None:
    data = load_dataset(declared(), SPACE, npz(tmp_path, x=images()[:, 0, :, :, None], y=labels()))
    assert (data.inputs == images()).all()


def test_axes_that_can_be_read_in_two_ways_are_refused(tmp_path: Path) -> None:
    space = ImageSpace("tiny", 3, 3, 3, 0, 255)
    assert code(declared(), space, npz(tmp_path, x=images(space=space), y=labels())) == "VF3011"
    one = ImageSpace("one", 1, 1, 1, 0, 255)
    assert load_dataset(declared(), one, npz(tmp_path, x=images(space=one), y=labels())).inputs.shape == (5, 1, 1, 1)


@pytest.mark.parametrize(
    "shape", [(5, 4, 3), (5, 12), (60,), (), (5, 3, 4, 3), (5, 1, 4, 3), (5, 1, 1, 3, 4), (3, 4), (5, 2, 3, 4)]
)
def test_images_of_another_size(tmp_path: Path, shape: tuple[int, ...]) -> None:
    assert code(declared(), SPACE, npz(tmp_path, x=np.zeros(shape, dtype=np.uint8), y=labels())) == "VF3010"


def test_colour_images_need_their_channels(tmp_path: Path) -> None:
    assert code(declared(), COLOUR, npz(tmp_path, x=images(), y=labels())) == "VF3010"
    assert code(declared(), COLOUR, npz(tmp_path, x=images()[:, 0], y=labels())) == "VF3010"
    two = ImageSpace("two", 3, 4, 2, 0, 255)
    assert code(declared(), two, npz(tmp_path, x=np.moveaxis(images(space=two), 1, 3), y=labels())) == "VF3010"


def test_take_cuts_from_the_front(tmp_path: Path) -> None:
    path = npz(tmp_path, x=images(), y=labels())
    data = load_dataset(declared(take=2), SPACE, path)
    assert (data.inputs == images()[:2]).all()
    assert data.labels.tolist() == [0, 1]
    assert load_dataset(declared(take=5), SPACE, path).labels.shape == (5,)
    assert code(declared(take=6), SPACE, path) == "VF3018"


def test_what_take_leaves_out_is_not_looked_at(tmp_path: Path) -> None:
    pixels = images().astype(np.float64)
    pixels[4] = np.nan
    classes = np.array([0, 1, 2, 3, 99])
    path = npz(tmp_path, x=pixels, y=classes)
    assert load_dataset(declared(take=4), SPACE, path).labels.tolist() == [0, 1, 2, 3]
    assert code(declared(), SPACE, path) == "VF3012"


def test_labels_that_start_at_one(tmp_path: Path) -> None:
    path = npz(tmp_path, x=images(), y=labels() + 1)
    assert load_dataset(declared(start=1, classes=5), SPACE, path).labels.tolist() == [0, 1, 2, 3, 4]
    assert code(declared(start=0, classes=5), SPACE, path) == "VF3017"
    assert code(declared(start=1), SPACE, npz(tmp_path, x=images(), y=labels())) == "VF3017"


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (np.array([0, 1, 2, 3, 10]), "VF3017"),
        (np.array([0, 1, -1, 3, 4]), "VF3017"),
        (np.array([0, 1, 2, 3, 4.5]), "VF3016"),
        (np.array([0, 1, np.nan, 3, 4]), "VF3016"),
        (np.array([0, 1, np.inf, 3, 4]), "VF3016"),
        (np.arange(4), "VF3015"),
        (np.eye(5), "VF3015"),
        (np.array(3), "VF3015"),
    ],
)
def test_wrong_labels(tmp_path: Path, wrong: Array, expected: str) -> None:
    assert code(declared(), SPACE, npz(tmp_path, x=images(), y=wrong)) == expected


def test_without_a_model_every_class_is_possible(tmp_path: Path) -> None:
    path = npz(tmp_path, x=images(), y=labels() + 1000)
    assert load_dataset(declared(classes=None), SPACE, path).labels.tolist() == [1000, 1001, 1002, 1003, 1004]


@pytest.mark.parametrize(
    ("value", "expected", "remedy"),
    [
        (0.5, "VF3012", "store the levels as they were"),
        (np.nan, "VF3012", "store the levels"),
        (np.inf, "VF3012", "store the levels"),
        (256.0, "VF3013", ""),
        (-1.0, "VF3013", ""),
    ],
)
def test_wrong_levels(tmp_path: Path, value: float, expected: str, remedy: str) -> None:
    pixels = images().astype(np.float64)
    pixels[3, 0, 2, 1] = value
    with pytest.raises(DataError) as raised:
        load_dataset(declared(), SPACE, npz(tmp_path, x=pixels, y=labels()))
    assert raised.value.code == expected
    assert "image 3" in raised.value.message
    assert "(0, 2, 1)" in raised.value.message
    assert remedy in (raised.value.remedy or "")


def test_scaled_images_are_recognised(tmp_path: Path) -> None:
    with pytest.raises(DataError) as raised:
        load_dataset(declared(), SPACE, npz(tmp_path, x=images() / 255, y=labels()))
    assert raised.value.code == "VF3012"
    assert "scaled to 0..1" in (raised.value.remedy or "")
    assert code(declared(), SPACE, npz(tmp_path, x=np.full((5, 3, 4), np.nan), y=labels())) == "VF3012"


def test_an_empty_file_of_images(tmp_path: Path) -> None:
    assert code(declared(), SPACE, npz(tmp_path, x=images()[:0], y=labels(0))) == "VF3014"


def test_a_pinned_file(tmp_path: Path) -> None:
    path = npz(tmp_path, x=images(), y=labels())
    sha256 = "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
    assert load_dataset(declared(digest=sha256), SPACE, path).sha256 == sha256
    assert code(declared(digest="sha256:" + "0" * 64), SPACE, path) == "VF3003"


def test_missing_and_doubled_arrays(tmp_path: Path) -> None:
    assert code(declared(), SPACE, npz(tmp_path, pictures=images(), y=labels())) == "VF3007"
    assert code(declared(), SPACE, npz(tmp_path, x=images())) == "VF3007"
    assert code(declared(), SPACE, npz(tmp_path, x=images(), images=images(), y=labels())) == "VF3008"
    assert code(declared(), SPACE, npz(tmp_path, x=images(), y=labels(), test_y=labels())) == "VF3008"


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert code(declared(), SPACE, tmp_path / "none.npz") == "VF3001"
    assert code(declared(), SPACE, tmp_path) == "VF3014", "a folder without pictures"
    assert code(declared(), SPACE, "a\0b") == "VF3001"


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = npz(tmp_path, x=images(), y=labels())
    os.truncate(path, MAX_FILE + 1)  # what is behind the end takes no room
    assert code(declared(), SPACE, path) == "VF3002"


def test_inputs_that_do_not_fit_into_memory_are_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = npz(tmp_path, x=images(), y=labels())
    monkeypatch.setattr("verifluxa.data.load.MAX_LOADED", 5 * 12 * 8 - 1)
    assert code(declared(), SPACE, path) == "VF3006"
    assert len(load_dataset(declared(take=4), SPACE, path).labels) == 4
