"""Specs of texts, tables and series with words changed, cut and exchanged: an error of ours or a sound spec, always."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from verifluxa.errors import VerifluxaError
from verifluxa.spec.check import parse_spec
from verifluxa.spec.plain import explain_property

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "texts-and-tables.md").read_text(encoding="utf-8")
SYNONYMS = 'trigger swapped : review { replace words by synonyms "synonyms.txt" }\n'
BLOCKS = [block for block in re.findall(r"```vfx\n(.*?)```", PAGE, re.S) if block.startswith("input")]
SCALER = re.findall(r"```json\n(.*?)```", PAGE, re.S)[0]
REST = [
    'model net : review -> class("a", "b")\n'
    'data d : review { file = "r.jsonl" sample = 4 seed = 1 balance = classes }\n'
    + SYNONYMS
    + "property q { forall x in d, t in swapped assert class(net(t(x))) == label(x) }\n"
    + "property p { forall x in d, t in word assert class(net(t(x))) == label(x) }",
    "property p { forall x in applicants, t in combination assert class(credit(t(x))) == label(x) }",
    'model net : wave -> class(2) { encode = (level + [1, 2, 3]) / 4 }\ndata d : wave { file = "w.npz" }\n'
    "property p { forall x in d, t in burst assert class(net(t(x))) == label(x) }",
]
WORD = re.compile(r'"[^"\n]*"|[A-Za-z_][A-Za-z_0-9]*|[0-9]+|\.\.|==|->|\S')
ODD = [
    "-1",
    "0",
    "99999999999999999999",
    "1e9",
    "0.5",
    '"\u202e"',
    '""',
    "any",
    "{",
    "}",
    "of",
    "..",
    "in",
    "PAD",
    '"a"',
]


def changed(text: str, rng: np.random.Generator) -> str:
    words = WORD.findall(re.sub(r"#.*", "", text))
    for _ in range(int(rng.integers(0, 4))):
        at, other = (int(value) for value in rng.integers(0, len(words), 2))
        match int(rng.integers(0, 5)):
            case 0:
                del words[at]
            case 1:
                words.insert(at, words[other])
            case 2:
                words[at], words[other] = words[other], words[at]
            case 3:
                words[at] = ODD[int(rng.integers(0, len(ODD)))]
            case _:
                words[at] = words[other]
    return "spec 1\n" + " ".join(words)


def tried(folder: Path, seeds: range) -> int:
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\nfine\nfilm\n")
    (folder / "synonyms.txt").write_text("fine film\n")
    (folder / "scaler.json").write_text(SCALER)
    sound = 0
    for seed in seeds:
        rng = np.random.default_rng(seed)
        number = seed % len(REST)
        text = changed(BLOCKS[number] + REST[number], rng)
        try:
            spec = parse_spec(text, str(folder / "a.vfx")).spec
        except VerifluxaError:
            continue
        sound += 1
        for item in spec.properties:
            assert str(explain_property(spec, item))
    return sound


def test_changed_specs(tmp_path: Path) -> None:
    assert tried(tmp_path, range(240)) > 5


@pytest.mark.soak
def test_many_changed_specs(tmp_path: Path) -> None:
    assert tried(tmp_path, range(240, 20_000)) > 500


@pytest.mark.parametrize("name", ["../vocab.txt", "/etc/passwd", "a\\b", "", "~/x", "C:/x"])
def test_vocabularies_stay_beside_the_spec(tmp_path: Path, name: str) -> None:
    text = f'spec 1\ninput review : tokens(3, vocab = "{name}")\n'.replace("\\", "\\\\")
    with pytest.raises(VerifluxaError) as found:
        parse_spec(text, str(tmp_path / "a.vfx"))
    errors = getattr(found.value, "errors", [found.value])
    assert "VF1051" in {error.code for error in errors}


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "VF1081"),
        (b"one\n", "VF1081"),
        (b"a\n\nb\n", "VF1081"),
        (b"a\nb\na\n", "VF1081"),
        (b"\xff\xfe", "VF1081"),
        ("a\nb\u200bc\n".encode(), "VF1081"),
        ("a\nb\u202ec\n".encode(), "VF1081"),
        (b"a\nb\x1b[2J\n", "VF1081"),
        (b"a\n" + b"x" * 300 + b"\n", "VF1081"),
    ],
)
def test_vocabularies_that_are_refused(tmp_path: Path, content: bytes, code: str) -> None:
    (tmp_path / "vocab.txt").write_bytes(content)
    check_vocabulary(tmp_path, "vocab.txt", code)


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b'{"model": {"vocab": 5}}', b'{"model": {"vocab": {"a": 0, "b": 2}}}', b"[" * 10**5],
)
def test_tokenizers_that_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tokenizer.json").write_bytes(content)
    check_vocabulary(tmp_path, "tokenizer.json", "VF1081")


def check_vocabulary(folder: Path, name: str, code: str) -> None:
    text = f'spec 1\ninput review : tokens(3, vocab = "{name}")\n'
    with pytest.raises(VerifluxaError) as found:
        parse_spec(text, str(folder / "a.vfx"))
    errors = getattr(found.value, "errors", [found.value])
    assert code in {error.code for error in errors}
