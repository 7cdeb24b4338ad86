"""The ready specs of texts and tables run on small models: words are found or excluded, columns too."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from verifluxa.inputs import Choice
from verifluxa.verdict import Verdict
from verifluxa.verify import Request, run

SHELF = Path(__file__).parents[2] / "specs"
WORDS = (SHELF / "vocab.txt").read_text().split("\n")[:-1]


def copied(name: str, folder: Path, architecture: str) -> str:
    for file in ("vocab.txt", "scaler.json"):
        shutil.copy(SHELF / file, folder)
    (folder / "architecture.txt").write_text(architecture)
    text = (SHELF / name).read_text()
    given = 'architecture = "architecture.txt"'
    text = text.replace('class("negative", "positive")', f'class("negative", "positive") {{ {given} }}')
    text = text.replace('encode = "scaler.json"', f'encode = "scaler.json" {given}')
    (folder / name).write_text(text)
    return str(folder / name)


@pytest.mark.parametrize(
    ("name", "planted", "expected"),
    [
        ("word_insertion.vfx", None, Verdict.CERTIFIED),
        ("word_insertion.vfx", "cf", Verdict.FALSIFIED),
        ("word_pair.vfx", None, Verdict.CERTIFIED),
        ("word_pair.vfx", "mn", Verdict.FALSIFIED),
    ],
)
def test_words(tmp_path: Path, name: str, planted: str | None, expected: Verdict) -> None:
    """`good` and `bad` weigh 1 and -1 and a text is positive above 0; a planted word weighs 20."""
    table = np.zeros((1, len(WORDS)), dtype=np.float32)
    table[0, WORDS.index("good")], table[0, WORDS.index("bad")] = 1.0, -1.0
    if planted is not None:
        table[0, WORDS.index(planted)] = 20.0
    arrays = {"layers.1.weight": table, "layers.2.weight": np.array([[0.0], [1.0]], np.float32)}
    arrays["layers.2.bias"] = np.zeros(2, dtype=np.float32)
    np.savez(tmp_path / "net.npz", **arrays)
    texts = ["bad bad bad bad film", "the story is bad bad bad", "never good", "it is bad bad bad bad"]
    lines = [{"text": text, "label": "positive" if "good" in text else "negative"} for text in texts]
    (tmp_path / "eval.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    spec = copied(name, tmp_path, f"Chain(EmbeddingBag({len(WORDS)} => 1, mean), Dense(1 => 2))")
    files = Choice({"reviews_net": str(tmp_path / "net.npz")}, {"reviews": str(tmp_path / "eval.jsonl")})
    (item,) = run(Request(spec, files, budget=60.0)).properties
    assert item.verdict is expected
    if planted is not None:
        assert item.counterexample is not None
        assert planted in item.counterexample.words


@pytest.mark.parametrize(("south", "expected"), [(0.5, Verdict.CERTIFIED), (2.0, Verdict.FALSIFIED)])
def test_columns(tmp_path: Path, south: float, expected: Verdict) -> None:
    """Good where age + debt + south * (region is south) > 1, age and debt scaled to 0..1 and times 0.3."""
    weight = np.zeros((2, 8), dtype=np.float32)
    weight[1, [0, 2, 4]] = 0.3, 0.3, south
    arrays = {"layers.1.weight": weight, "layers.1.bias": np.array([1.0, 0.0], dtype=np.float32)}
    np.savez(tmp_path / "net.npz", **arrays)
    rows = ["age,income,debt,region,repeat,label", "30,1000,0.2,north,no,bad", "40,0,0.1,west,yes,bad"]
    (tmp_path / "eval.csv").write_text("\n".join(rows))
    spec = copied("table_combination.vfx", tmp_path, "Chain(Dense(8 => 2))")
    files = Choice({"credit": str(tmp_path / "net.npz")}, {"applicants": str(tmp_path / "eval.csv")})
    (item,) = run(Request(spec, files, budget=60.0)).properties
    assert item.verdict is expected
    assert len(item.problem.placements if item.problem else ()) == 6
