"""Texts, tables and series from files: what is read, and what is refused with which code."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from verifluxa.data.dataset import select, shown
from verifluxa.data.load import load_dataset
from verifluxa.errors import DataError, Span, VerifluxaError
from verifluxa.spec.spec import (
    DataDecl,
    Feature,
    ImageSpace,
    InputSpace,
    Selection,
    SeriesSpace,
    TableSpace,
    TokenSpace,
)
from verifluxa.spec.tokens import read_vocabulary

WORDS = ("[PAD]", "[UNK]", "fine", "film", "don't", "été")
TEXT = TokenSpace("review", 4, WORDS, "vocab.txt", "sha256:0", pad=0, unknown=1)
TABLE = TableSpace(
    "applicant",
    (
        Feature("age", Fraction(18), Fraction(95), 1, "year"),
        Feature("debt", Fraction(0), Fraction(1), None),
        Feature("region", Fraction(0), Fraction(1), 1, items=("north", "south, far")),
        Feature("member", Fraction(0), Fraction(1), 1, boolean=True),
    ),
)
WAVE = SeriesSpace("wave", 3, 2, Fraction(-1), Fraction(1), None)
HEADER = "age,debt,region,member,label\n"


def declared(**more: object) -> DataDecl:
    base = {"file": None, "digest": None, "take": None, "labels_start_at": 0, "classes": 2, "names": ("bad", "good")}
    return DataDecl(name="d", space="s", span=Span("s.vfx", 1, 1, 1, 2), **{**base, **more})  # type: ignore[arg-type]


def code(content: bytes | str, space: InputSpace, path: Path, **more: object) -> str | None:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    try:
        load_dataset(declared(**more), space, path)
    except VerifluxaError as error:
        return error.code
    return None


def line(text: str = "Fine film", label: object = "good") -> str:
    return json.dumps({"text": text, "label": label}) + "\n"


def test_texts_are_numbers_of_words(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(line("A FINE, fine film?") + "\n" + line("Don't!", 0) + line("Été", "bad"), encoding="utf-8")
    data = load_dataset(declared(), TEXT, path)
    assert data.inputs.tolist() == [[1, 2, 2, 3], [4, 0, 0, 0], [5, 0, 0, 0]]
    assert data.labels.tolist() == [1, 0, 0]
    assert load_dataset(declared(take=2), TEXT, path).labels.tolist() == [1, 0]


def test_texts_may_come_as_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"tokens": [2, 3], "mood": "good"}')
    assert load_dataset(declared(label="mood"), TEXT, path).inputs.tolist() == [[2, 3, 0, 0]]
    np.savez(tmp_path / "a.npz", x=np.array([[2, 3, 0, 0]], np.int32), y=np.array([1], np.uint8))
    data = load_dataset(declared(), TEXT, tmp_path / "a.npz")
    assert (data.inputs.tolist(), data.labels.tolist()) == ([[2, 3, 0, 0]], [1])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "VF3014"),
        ("{}", "VF3026"),
        ("[1]", "VF3026"),
        ("{" * 10_000, "VF3026"),
        ("[" * 100_000, "VF3026"),
        ('{"text": 5, "label": 1}', "VF3026"),
        ('{"text": "fine"}', "VF3026"),
        ('{"text": "fine", "label": true}', "VF3026"),
        ('{"tokens": [1.5], "label": 1}', "VF3026"),
        ('{"tokens": [6], "label": 1}', "VF3028"),
        ('{"tokens": [-1], "label": 1}', "VF3028"),
        ('{"tokens": [99999999999999999999999999], "label": 1}', "VF3028"),
        (line("fine fine fine fine fine"), "VF3027"),
        (line(label="goood"), "VF3017"),
        (line(label=2), "VF3017"),
        (line(label="٣"), "VF3017"),
        (b'\xff\xfe{"text"', "VF3026"),
        (line("x" * 2**20), "VF3026"),
    ],
)  # fmt: skip
def test_texts_that_are_refused(tmp_path: Path, content: bytes | str, expected: str) -> None:
    assert code(content, TEXT, tmp_path / "a.jsonl") == expected


def test_what_a_text_needs_of_its_space(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    bare = TokenSpace("review", 4, WORDS, "vocab.txt", "sha256:0")
    assert code(line("unheard"), bare, path) == "VF3028"
    assert code(line("fine"), bare, path) == "VF3027"
    cutting = TokenSpace("review", 1, WORDS, "vocab.txt", "sha256:0", truncate=True)
    assert code(line("fine film"), cutting, path) is None
    assert code(line(), TEXT, path, take=2) == "VF3018"


def test_a_tokenizer_needs_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    space = TokenSpace("review", 4, WORDS, "tokenizer.json", "sha256:0", pad=0, tokenizer=True)
    assert code(line(), space, tmp_path / "a.jsonl") == "VF7010"


def test_a_tokenizer_splits_as_it_was_trained(tmp_path: Path) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[PAD]": 0, "[UNK]": 1, "Fine": 2}, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    made.enable_truncation(1)
    made.save(str(tmp_path / "tokenizer.json"))
    place = Span(str(tmp_path / "s.vfx"), 1, 1, 1, 2)
    vocabulary = read_vocabulary(tmp_path / "tokenizer.json", place)
    assert vocabulary.words == ("[PAD]", "[UNK]", "Fine")
    space = TokenSpace("r", 4, vocabulary.words, "tokenizer.json", vocabulary.sha256, pad=0, tokenizer=True)
    path = tmp_path / "a.jsonl"
    path.write_text(line("Fine fine Fine"))
    decl = replace(declared(), span=place)
    assert load_dataset(decl, space, path).inputs.tolist() == [[2, 1, 2, 0]]
    with pytest.raises(DataError):
        load_dataset(decl, replace(space, vocab_sha256="sha256:1"), path)


def test_a_sample_is_drawn_by_its_seed(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(line("fine " * (n % 4), "good" if n % 3 else "bad") for n in range(30)))
    chosen = load_dataset(declared(sample=8, seed=1), TEXT, path)
    assert chosen.sampled is not None
    assert np.flatnonzero(chosen.sampled).tolist() == [2, 9, 16, 18, 19, 21, 27, 28], "the same everywhere"
    other = load_dataset(declared(sample=8, seed=2), TEXT, path)
    assert (other.sampled != chosen.sampled).any()
    even = load_dataset(declared(sample=10, balanced=True), TEXT, path)
    assert even.sampled is not None
    assert np.bincount(even.labels[even.sampled]).tolist() == [5, 5]
    positions, _, excluded = select(chosen, Selection("d"), None)
    assert positions.tolist() == np.flatnonzero(chosen.sampled).tolist()
    assert {reason for _, reason in excluded} == {"not in the sample"}
    assert len(excluded) == 22
    for wrong in ({"sample": 31}, {"sample": 9, "balanced": True}, {"sample": 22, "balanced": True}):
        assert code(path.read_bytes(), TEXT, tmp_path / "b.jsonl", **wrong) == "VF3030"


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"x": np.zeros((2, 5), int), "y": np.zeros(2, int)}, "VF3010"),
        ({"x": np.full((2, 4), 6), "y": np.zeros(2, int)}, "VF3028"),
        ({"x": np.full((2, 4), 0.5), "y": np.zeros(2, int)}, "VF3028"),
        ({"x": np.full((2, 4), np.nan), "y": np.zeros(2, int)}, "VF3028"),
        ({"x": np.zeros((2, 4), int), "y": np.zeros(3, int)}, "VF3015"),
        ({"x": np.zeros((2, 4), int), "y": np.full(2, 2)}, "VF3017"),
        ({"x": np.zeros((2, 4), int), "y": np.full(2, np.nan)}, "VF3015"),
        ({"x": np.zeros((2, 4), int)}, "VF3007"),
        ({"x": np.zeros((2, 4), int), "tokens": np.zeros((2, 4), int), "y": np.zeros(2, int)}, "VF3008"),
        ({"x": np.zeros((0, 4), int), "y": np.zeros(0, int)}, "VF3014"),
    ],
)  # fmt: skip
def test_numbers_of_words_that_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray], expected: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    assert code((tmp_path / "a.npz").read_bytes(), TEXT, tmp_path / "b.npz") == expected


def test_a_table_by_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('note,label,member,region,debt,age\n"=1+1",good,yes,"south, far",2.5e-1,41\n\nx,0,no,north,1,18\n')
    data = load_dataset(declared(), TABLE, path)
    assert data.inputs.tolist() == [[41, 0.25, 0, 1, 1], [18, 1, 1, 0, 0]]
    assert data.labels.tolist() == [1, 0]
    assert load_dataset(declared(labelled=False), TABLE, path).labels.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "VF3021"),
        (HEADER, "VF3014"),
        ("Age,debt,region,member,label\n", "VF3021"),
        ("age,age,debt,region,member,label\n", "VF3021"),
        ("age,debt,region,member\n", "VF3021"),
        (HEADER + "41,0,north,yes\n", "VF3022"),
        (HEADER + "41,0,north,yes,good,1\n", "VF3022"),
        (HEADER + '41,0,"north,yes,good\n', "VF3020"),
        (HEADER + '41,0,"no"rth,yes,good\n', "VF3020"),
        (HEADER + "41,0,north,yes,good\0\n", "VF3020"),
        (b"age\xff", "VF3020"),
        (HEADER + "41,0," + "n" * 5000 + ",yes,good\n", "VF3020"),
        (HEADER + "41,0,norht,yes,good\n", "VF3023"),
        (HEADER + "=2+39,0,north,yes,good\n", "VF3023"),
        (HEADER + '"@SUM(1)",0,north,yes,good\n', "VF3023"),
        (HEADER + "41.5,0,north,yes,good\n", "VF3023"),
        (HEADER + "96,0,north,yes,good\n", "VF3023"),
        (HEADER + "4_1,0,north,yes,good\n", "VF3023"),
        (HEADER + "٤١,0,north,yes,good\n", "VF3023"),
        (HEADER + "nan,0,north,yes,good\n", "VF3023"),
        (HEADER + "41,inf,north,yes,good\n", "VF3023"),
        (HEADER + "41,1e400,north,yes,good\n", "VF3023"),
        (HEADER + "41,,north,yes,good\n", "VF3023"),
        (HEADER + "41,0,north,maybe,good\n", "VF3023"),
        (HEADER + "41,0,north,yes,goood\n", "VF3017"),
    ],
)  # fmt: skip
def test_tables_that_are_refused(tmp_path: Path, content: bytes | str, expected: str) -> None:
    assert code(content, TABLE, tmp_path / "a.csv") == expected


def test_messages_suggest_and_hide_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(HEADER + "41,0,norht,yes,good\n")
    with pytest.raises(DataError) as found:
        load_dataset(declared(), TABLE, path)
    assert found.value.remedy == 'did you mean "north"?'
    path.write_text(HEADER + "41,0,a\x1b[2J\u202eb,yes,good\n", encoding="utf-8")
    with pytest.raises(DataError) as found:
        load_dataset(declared(), TABLE, path)
    assert "\x1b" not in str(found.value)
    assert "\u202e" not in str(found.value)
    assert len(shown("x" * 1000)) < 60


def test_series_have_channels_and_steps(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    x = np.linspace(-1, 1, 12).reshape(2, 2, 3)
    np.savez(path, x=x, y=np.array([0, 1]))
    data = load_dataset(declared(), WAVE, path)
    np.testing.assert_array_equal(data.inputs, x)
    single = SeriesSpace("wave", 6, 1, Fraction(-1), Fraction(1), None)
    np.savez(path, x=x.reshape(2, 6), y=np.array([0, 1]))
    assert load_dataset(declared(), single, path).inputs.shape == (2, 1, 6)
    np.savez(path, x=x * 1.5, y=np.array([0, 1]))
    assert code(path.read_bytes(), WAVE, tmp_path / "b.npz") == "VF3013"
    np.savez(path, x=np.full((2, 2, 3), np.nan), y=np.array([0, 1]))
    assert code(path.read_bytes(), WAVE, tmp_path / "b.npz") == "VF3013"
    np.savez(path, x=x.transpose(0, 2, 1), y=np.array([0, 1]))
    assert code(path.read_bytes(), WAVE, tmp_path / "b.npz") == "VF3010"


@pytest.mark.parametrize("seed", range(30))
def test_broken_bytes_are_errors_with_a_code(tmp_path: Path, seed: int) -> None:
    """Bytes changed, cut and repeated: a data set or an error of ours, never anything else."""
    rng = np.random.default_rng(seed)
    good = {"a.csv": (HEADER + "41,0.5,north,yes,good\n" * 3, TABLE), "a.jsonl": (line() * 3, TEXT)}
    for name, (text, space) in good.items():
        content = bytearray(text.encode())
        for _ in range(int(rng.integers(1, 6))):
            at = int(rng.integers(0, len(content)))
            content[at : at + int(rng.integers(0, 3))] = rng.integers(
                0, 256, int(rng.integers(0, 4)), np.uint8
            ).tobytes()
        found = code(bytes(content), space, tmp_path / name)
        assert found is None or found.startswith("VF30")


def zipped(path: Path, files: dict[str, bytes]) -> bytes:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path.read_bytes()


def png(levels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(levels).save(stream, "PNG")
    return stream.getvalue()


GREY = ImageSpace("tile", 2, 3, 1, 0, 255)


def test_pictures_in_the_folders_of_their_classes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 256, (3, 2, 3), np.uint8)
    files = {"good/b.png": png(levels[2]), "0/a.png": png(levels[0]), "0/c.PNG": png(levels[1]), "0/.x": b"", "0/": b""}
    zipped(tmp_path / "a.zip", files)
    data = load_dataset(declared(), GREY, tmp_path / "a.zip")
    np.testing.assert_array_equal(data.inputs[:, 0], levels)
    assert data.labels.tolist() == [0, 0, 1]
    assert load_dataset(declared(take=2), GREY, tmp_path / "a.zip").labels.tolist() == [0, 0]
    colour = rng.integers(0, 256, (2, 3, 3), np.uint8)
    zipped(tmp_path / "b.zip", {"1/a.png": png(colour)})
    found = load_dataset(declared(), ImageSpace("tile", 2, 3, 3, 0, 255), tmp_path / "b.zip").inputs
    np.testing.assert_array_equal(found[0], colour.transpose(2, 0, 1))


def bomb() -> bytes:
    """A picture that says it is huge, and unpacks to zeros without end."""
    import struct
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 16_000, 16_000, 8, 0, 0, 0, 0)
    body = zlib.compress(bytes(10**7))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, "VF3014"),
        ({"a.png": png(np.zeros((2, 3), np.uint8))}, "VF3032"),
        ({"0/notes.txt": b"x"}, "VF3032"),
        ({"0/a.png": b"no picture"}, "VF3032"),
        ({"0/a.png": bomb()}, "VF3032"),
        ({"0/a.png": png(np.zeros((2, 3), np.uint8))[:-9]}, "VF3032"),
        ({"0/a.png": png(np.zeros((3, 2), np.uint8))}, "VF3010"),
        ({"9/a.png": png(np.zeros((2, 3), np.uint8))}, "VF3017"),
        ({"../9/a.png": png(np.zeros((2, 3), np.uint8))}, "VF3017"),
        ({"0/a.png": png(np.full((2, 3), 200, np.uint8))}, None),
    ],
)  # fmt: skip
def test_pictures_that_are_refused(tmp_path: Path, files: dict[str, bytes], expected: str | None) -> None:
    content = zipped(tmp_path / "a.zip", files)
    assert code(content, GREY, tmp_path / "b.zip") == expected


def test_a_broken_zip_file_is_refused(tmp_path: Path) -> None:
    content = zipped(tmp_path / "a.zip", {"0/a.png": png(np.zeros((2, 3), np.uint8))})
    assert code(content[:-30], GREY, tmp_path / "b.zip") == "VF3032"
    assert code(b"PK", GREY, tmp_path / "b.zip") == "VF3032"
    narrow = ImageSpace("tile", 2, 3, 1, 0, 100)
    bright = zipped(tmp_path / "a.zip", {"0/a.png": png(np.full((2, 3), 200, np.uint8))})
    assert code(bright, narrow, tmp_path / "b.zip") == "VF3013"
