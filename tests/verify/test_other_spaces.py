"""The whole pipeline for texts, tables and series, on networks small enough to know every answer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from verifluxa.errors import DataError, ModelError
from verifluxa.inputs import Choice, load_inputs
from verifluxa.question import Problem
from verifluxa.result.result import PropertyResult
from verifluxa.verdict import Verdict
from verifluxa.verify import verify

WAVE = """spec 1
input wave : series(5 step, 2 ch) of -4..4 level
model net : wave -> class("calm", "wild") {
  file         = "net.npz"
  architecture = "architecture.txt"
  encode       = level / 4
}
data eval : wave { file = "eval.npz" }
trigger burst : wave {
  replace 2 step
  at PLACES
  with -1..1 level continuous
}
property stays {
  forall x in eval, t in burst
  assert class(net(t(x))) == label(x)
}
"""


def one(folder: Path, **more: object) -> PropertyResult:
    (item,) = verify(folder / "a.vfx", **more).properties  # type: ignore[arg-type]
    return item


def dense(folder: Path, size: int, weights: dict[int, float], bias: float) -> None:
    """Class 1 where `weights . x > bias` of what the network reads."""
    weight = np.zeros((2, size), dtype=np.float32)
    for at, value in weights.items():
        weight[1, at] = value
    arrays = {"layers.2.weight": weight, "layers.2.bias": np.array([bias, 0.0], dtype=np.float32)}
    np.savez(folder / "net.npz", **arrays)
    (folder / "architecture.txt").write_text(f"Chain(Flux.flatten, Dense({size} => 2))")


@pytest.mark.parametrize(
    ("places", "bias", "expected"),
    [
        ("any", 0.3, Verdict.CERTIFIED),
        ("any", 0.2, Verdict.FALSIFIED),
        ("positions 0..1", 0.2, Verdict.CERTIFIED),
        ("positions 0, 3", 0.2, Verdict.FALSIFIED),
    ],
)
def test_a_stretch_of_time(tmp_path: Path, places: str, bias: float, expected: Verdict) -> None:
    """Channel 1, step 3 decides: its flat place is 8, and bursts reach it from steps 2 and 3; 1 level is 0.25."""
    dense(tmp_path, 10, {8: 1.0}, bias)
    np.savez(tmp_path / "eval.npz", x=np.zeros((2, 2, 5)), y=np.array([0, 0]))
    (tmp_path / "a.vfx").write_text(WAVE.replace("PLACES", places))
    item = one(tmp_path)
    assert item.verdict is expected
    if item.counterexample is not None:
        assert dict(item.counterexample.placement)["step"] in (2, 3)


TABLE = """spec 1
input applicant : table {
  age    : 18..95 year
  debt   : 0..1 continuous
  region : one of "north", "south"
  member : bool
}
model net : applicant -> class("no", "yes") {
  file         = "net.npz"
  architecture = "architecture.txt"
  encode       = "scaler.json"
}
data eval : applicant { file = "eval.csv" label = "credit" }
trigger combo : applicant { set any COUNT of LIST }
property stays {
  forall x in eval, t in combo
  assert class(net(t(x))) == label(x)
}
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Yes where (age - 18) / 77 + 2 debt + south > 1.5."""
    dense(tmp_path, 5, {0: 1.0, 1: 2.0, 3: 1.0}, 1.5)
    entries = [{"column": "age", "min": 18, "max": 95}, {"column": "debt", "min": 0, "max": 1}]
    entries += [{"column": "region", "category": name} for name in ("north", "south")] + [{"column": "member"}]
    (tmp_path / "scaler.json").write_text(json.dumps({"features": entries}))
    (tmp_path / "eval.csv").write_text("region,age,debt,member,credit\nnorth,18,0.2,no,no\nnorth,20,0.1,yes,no\n")
    return tmp_path


@pytest.mark.parametrize(
    ("count", "names", "expected"),
    [
        (1, "age", Verdict.CERTIFIED),
        (1, "age, region, member", Verdict.CERTIFIED),
        (2, "age, region", Verdict.FALSIFIED),
        (1, "debt", Verdict.FALSIFIED),
        (2, "debt, region keep debt in 0..0.2", Verdict.CERTIFIED),
        (2, "debt, region keep debt in 0..0.3", Verdict.FALSIFIED),
        (2, "age, region keep age in 18..24", Verdict.CERTIFIED),
        (2, 'age, region keep region in {"north"}', Verdict.CERTIFIED),
        (2, "age, region keep age in {18, 60}", Verdict.FALSIFIED),
    ],
)
def test_columns_that_are_set(table: Path, count: int, names: str, expected: Verdict) -> None:
    (table / "a.vfx").write_text(TABLE.replace("COUNT", str(count)).replace("LIST", names))
    item = one(table)
    assert item.verdict is expected
    if item.counterexample is not None:
        assert {word.split(" = ")[0] for word in item.counterexample.words} <= {"age", "debt", "region"}


TEXT = """spec 1
input review : tokens(3, vocab = "vocab.txt") { pad = "[PAD]" MORE }
model net : review -> class("bad", "good") {
  file         = "net.npz"
  architecture = "architecture.txt"
}
data eval : review { file = "eval.jsonl" }
trigger word : review { insert 1 token at any from vocab except "[PAD]" }
property stays {
  forall x in eval, t in word
  assert class(net(t(x))) == label(x)
}
"""


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """The sum of what the words weigh, divided by 3, is good above 1.1."""
    table = np.array([[0.0, 1.0, 2.0, 5.0]], dtype=np.float32)
    arrays = {"layers.1.weight": table, "layers.2.weight": np.array([[0.0], [1.0]], np.float32)}
    arrays["layers.2.bias"] = np.array([1.1, 0.0], dtype=np.float32)
    np.savez(tmp_path / "net.npz", **arrays)
    (tmp_path / "architecture.txt").write_text("Chain(EmbeddingBag(4 => 1, mean), Dense(1 => 2))")
    (tmp_path / "vocab.txt").write_text("[PAD]\nso\nfine\ngreat\n")
    lines = [{"text": "so so", "label": "bad"}, {"text": "so", "label": "bad"}]
    (tmp_path / "eval.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    return tmp_path


def test_words_and_their_weight(text: Path) -> None:
    (text / "a.vfx").write_text(TEXT.replace("MORE", ""))
    item = one(text)
    assert item.verdict is Verdict.FALSIFIED
    assert item.counterexample is not None
    assert item.counterexample.words in (("fine",), ("great",))
    (text / "a.vfx").write_text(TEXT.replace("MORE", "").replace('except "[PAD]"', 'except "[PAD]", "fine", "great"'))
    assert one(text).verdict is Verdict.CERTIFIED


def test_words_that_fall_off(text: Path) -> None:
    (text / "eval.jsonl").write_text('{"text": "so so so", "label": "bad"}')
    (text / "a.vfx").write_text(TEXT.replace("MORE", ""))
    with pytest.raises(DataError, match="1 of 1 texts") as found:
        one(text)
    assert found.value.code == "VF3031"
    (text / "a.vfx").write_text(TEXT.replace("MORE", "overflow = truncate"))
    assert one(text).verdict is Verdict.FALSIFIED


def test_words_that_are_appended(text: Path) -> None:
    """Behind each text, whatever its length; a text that fills the input leaves no room."""
    spec = TEXT.replace("MORE", "").replace("insert 1 token at any", "append 1 token")
    (text / "a.vfx").write_text(spec)
    item = one(text)
    assert item.verdict is Verdict.FALSIFIED
    assert item.counterexample is not None
    assert item.counterexample.placement == (("appended", 1),)
    (text / "a.vfx").write_text(spec.replace('except "[PAD]"', 'except "[PAD]", "fine", "great"'))
    assert one(text).verdict is Verdict.CERTIFIED
    (text / "eval.jsonl").write_text('{"text": "so so so", "label": "bad"}')
    with pytest.raises(DataError) as found:
        one(text)
    assert found.value.code == "VF3031"


def test_a_vocabulary_that_is_longer_than_the_look_up(text: Path) -> None:
    (text / "vocab.txt").write_text("[PAD]\nso\nfine\ngreat\nmore\n")
    (text / "a.vfx").write_text(TEXT.replace("MORE", ""))
    with pytest.raises(ModelError) as found:
        one(text)
    assert found.value.code == "VF2202"


def test_a_vocabulary_that_was_cut_short_is_told(text: Path) -> None:
    (text / "a.vfx").write_text(TEXT.replace("MORE", ""))
    assert load_inputs(str(text / "a.vfx"), Choice()).warnings == ()
    words = (text / "vocab.txt").read_text().splitlines()
    (text / "vocab.txt").write_text("\n".join(words[:-1]) + "\n")
    (warning,) = load_inputs(str(text / "a.vfx"), Choice()).warnings
    assert warning.code == "VF2203"
    assert f"looks up {len(words)} words" in warning.message


def test_decimals_are_what_the_network_reads(table: Path) -> None:
    """0.2 is no float32 number: the problem holds the one that the network is given."""
    from verifluxa.asking import build_problem, describe_property
    from verifluxa.inputs import Choice, load_inputs

    (table / "a.vfx").write_text(TABLE.replace("COUNT", "1").replace("LIST", "age"))
    inputs = load_inputs(str(table / "a.vfx"), Choice())
    prop = inputs.properties[0]
    problem: Problem = build_problem(inputs, prop, describe_property(inputs, prop).digest, "float32")
    assert problem.inputs[0, 1] == float(np.float32(0.2)) != 0.2


def unchecked(folder: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    from verifluxa.cli.main import run

    assert run(["verify", str(folder / "a.vfx"), "--out", str(folder / "out")]) == 0
    capsys.readouterr()
    assert run(["cert", "check", str(folder / "out" / "certificate.json")]) == 3
    shown = capsys.readouterr().out
    assert kind in shown
    assert "nothing of it was recomputed" in shown


def test_the_checker_does_not_vouch_for_words(text: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (text / "a.vfx").write_text(TEXT.replace("MORE", "").replace('except "[PAD]"', 'except "[PAD]", "fine", "great"'))
    unchecked(text, "WordTrigger", capsys)


@pytest.mark.parametrize("names", ["age, region, member", "age"])
def test_the_checker_does_not_vouch_for_columns(table: Path, names: str, capsys: pytest.CaptureFixture[str]) -> None:
    (table / "a.vfx").write_text(TABLE.replace("COUNT", "1").replace("LIST", names))
    unchecked(table, "TableTrigger", capsys)


def test_the_checker_does_not_vouch_for_series(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dense(tmp_path, 10, {8: 1.0}, 0.3)
    np.savez(tmp_path / "eval.npz", x=np.zeros((2, 2, 5)), y=np.array([0, 0]))
    (tmp_path / "a.vfx").write_text(WAVE.replace("PLACES", "any"))
    unchecked(tmp_path, "SeriesTrigger", capsys)
