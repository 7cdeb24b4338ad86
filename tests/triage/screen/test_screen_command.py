"""`verifluxa screen` as people call it: files, words, JSON, pictures, models, what is refused."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.triage.screen.planting import digits, patch, plant
from verifluxa.cli.main import run
from verifluxa.triage.screen.examples import read_examples

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "digits"


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory) -> str:
    images, labels, _ = plant(*digits(), patch, 40)
    path = tmp_path_factory.mktemp("data") / "train.npz"
    np.savez_compressed(path, train_x=images[:, 0].astype(np.uint8), train_y=labels.astype(np.uint8))
    return str(path)


def test_words_name_the_reason_and_what_clean_does_not_mean(poisoned, here, capsys) -> None:
    assert run(["screen", poisoned]) == 1
    out = capsys.readouterr().out
    assert "800 images, 10 classes: 40 suspect" in out
    assert "images of 7" in out
    assert "does not mean" in out


def test_json_and_pictures_are_written(poisoned, here, capsys) -> None:
    assert run(["screen", poisoned, "--out", "found", "--format", "json", "--max", "60"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "verifluxa/screen/1"
    assert (document["suspect"], len(document["ranked"])) == (40, 60)
    assert document["ranked"][0]["label"] == "7"
    assert json.loads(Path("found/screen.json").read_text()) == document
    with Image.open("found/suspects.png") as sheet:
        assert sheet.size == (1040, 1184)


def test_a_model_that_was_trained_on_the_data_adds_its_looks(poisoned, here, capsys) -> None:
    model = ["--model", str(EXAMPLE / "clean.jld2"), "--architecture", str(EXAMPLE / "architecture.txt")]
    assert run(["screen", poisoned, *model]) == 1
    assert "the model gives the label of " in capsys.readouterr().out


def test_a_clean_file_is_exit_code_0(here, capsys) -> None:
    images, labels = digits(2)
    np.savez_compressed("clean.npz", x=images.astype(np.uint8), y=labels)
    assert run(["screen", "clean.npz"]) == 0
    assert "none is suspect" in capsys.readouterr().out


def lines(*entries: dict) -> bytes:
    return "\n".join(json.dumps(entry) for entry in entries).encode()


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.txt", b"x", "VF8060"),
        ("a.jsonl", b"{", "VF8060"),
        ("a.jsonl", lines({"label": "a"}), "VF8060"),
        ("a.jsonl", lines({"text": "a"}), "VF8061"),
        ("a.jsonl", lines(*[{"text": "a", "label": "good"}] * 30), "VF8062"),
        ("a.jsonl", lines(*[{"text": "a", "label": str(k % 2)} for k in range(6)]), "VF8063"),
        ("a.csv", b"age,label\n" + b"1,a\n" * 30, "VF8062"),
        ("a.csv", b"age,income\n1,2\n", "VF8061"),
        ("a.zip", b"PK", "VF8060"),
        ("a.npz", b"PK", "VF3004"),
    ],
)
def test_what_cannot_be_screened_is_refused(here, capsys, name, content, code) -> None:
    Path(name).write_bytes(content)
    assert run(["screen", name]) == 4
    assert f"error[{code}]" in capsys.readouterr().err


def test_arrays_without_labels_are_refused(here, capsys) -> None:
    np.savez("a.npz", x=np.zeros((30, 4, 4), np.uint8))
    assert run(["screen", "a.npz"]) == 4
    np.savez("b.npz", z=np.zeros(3))
    assert run(["screen", "b.npz"]) == 4
    err = capsys.readouterr().err
    assert "error[VF8061]" in err
    assert "error[VF8060]" in err


def test_the_labels_of_arrays_may_be_named(here, capsys) -> None:
    images, labels = digits(2)
    np.savez_compressed("named.npz", x=images.astype(np.uint8), y=labels % 2, kind=labels, words=np.array(["a"]))
    assert len(read_examples("named.npz").names) == 2
    assert len(read_examples("named.npz", "kind").names) == 10
    for wrong, said in (("kinds", 'has no "kinds" beside it; there are the arrays'), ("x", "labels of shape")):
        assert run(["screen", "named.npz", "--label", wrong]) == 4
        err = capsys.readouterr().err
        assert "error[VF8061]" in err
        assert said in err


def test_pictures_have_the_class_of_their_folder_alone(here, capsys) -> None:
    Path("a.zip").write_bytes(b"PK")
    assert run(["screen", "a.zip", "--label", "kind"]) == 2
    assert "error[VF8065]" in capsys.readouterr().err


def test_a_model_of_other_inputs_or_of_none_is_refused(here, capsys) -> None:
    np.savez("a.npz", x=np.arange(480).reshape(30, 4, 4).astype(np.uint8), y=np.arange(30) % 2)
    architecture = ["--architecture", str(EXAMPLE / "architecture.txt")]
    assert run(["screen", "a.npz", "--model", str(EXAMPLE / "clean.jld2"), *architecture]) == 4
    assert "error[VF" in capsys.readouterr().err
    assert run(["screen", "a.npz", "--model", "gone.jld2"]) == 4
    assert "error[VF2001]" in capsys.readouterr().err


def test_pictures_tables_and_token_numbers_are_read(here) -> None:
    chance = np.random.default_rng(0)
    with zipfile.ZipFile("p.zip", "w") as archive:
        for k in range(24):
            buffer = io.BytesIO()
            Image.fromarray(chance.integers(0, 256, (5, 6), dtype=np.uint8)).save(buffer, format="PNG")
            archive.writestr(f"{'cat' if k % 2 else 'dog'}/{k:02}.png", buffer.getvalue())
    pictures = read_examples("p.zip")
    assert (pictures.kind, pictures.names) == ("images", ("cat", "dog"))
    assert pictures.images is not None
    assert pictures.images.shape == (24, 1, 5, 6)
    np.savez("t.npz", x=chance.integers(0, 9, (24, 5)), y=np.arange(24) % 3 + 1)
    tokens = read_examples("t.npz")
    assert (tokens.kind, tokens.names, len(tokens.cells[0])) == ("texts", ("1", "2", "3"), 5)
    np.savez("f.npz", x=chance.random((24, 5)), y=np.arange(24) % 3)
    assert read_examples("f.npz").kind == "table"
    np.savez("c.npz", x=np.zeros((24, 8, 9, 3), np.uint8), y=np.arange(24) % 3)
    colour = read_examples("c.npz").images
    assert colour is not None
    assert colour.shape == (24, 3, 8, 9)
