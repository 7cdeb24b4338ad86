"""What a network reads is not always what is stored: numbers are rounded to its float type, subnormal ones flushed.

Each case is one that a certificate was once wrong about: true of the stored numbers, false of those that are read.
"""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.soundness.build import Ask, Family, dense, levels, make_problem, replacing
from tests.soundness.engine import STRATEGIES, TRICKS, answer
from verifluxa.certificate.check.claim import _end
from verifluxa.certificate.check.run import check_certificate
from verifluxa.cli.main import run
from verifluxa.graph.graph import chain
from verifluxa.graph.ops import Normalise, Reshape
from verifluxa.lower.reading import as_read
from verifluxa.question import Domain
from verifluxa.spec.triggers.patch import PatchTrigger
from verifluxa.verdict import Verdict

TINY = float(np.float32(1e-40))
SERIES = """spec 1
input s : series(3 step, 1 ch) of {range} level
model m : s -> class(2) {{ file = "m.npz" architecture = "m.txt" }}
data e : s {{ file = "e.npz" }}
trigger t1 : s {{ replace 1 step at positions 2 with {values} level continuous }}
property single {{ forall x in e, t in t1 assert class(m(t(x))) == label(x) }}
property shared {{ forall t in t1 assert rate(x in e : class(m(t(x))) != label(x)) <= 10 % }}
"""
IMAGE = """spec 1
input im : image(1 px, 2 px, 1 ch) of 0..3 level
model m : im -> class({classes}) {{ file = "m.npz" architecture = "m.txt" encode = {encode} }}
data e : im {{ file = "e.npz" }}
trigger t1 : im {{ replace 1 px x 1 px at (0, 0) with {values} level continuous }}
property single {{ forall x in e, t in t1 assert class(m(t(x))) == label(x) }}
property shared {{ forall t in t1 assert rate(x in e : class(m(t(x))) != label(x)) <= 10 % }}
"""
WORDS = """spec 1
input s : tokens(2, vocab = "vocab.txt") { pad = "w0" overflow = truncate }
model m : s -> class(2) { file = "m.npz" architecture = "m.txt" }
data e : s { file = "e.npz" }
trigger t1 : s { insert 1 token at positions 0 from "w1" }
property single { forall x in e, t in t1 assert class(m(t(x))) == label(x) }
property shared { forall t in t1 assert rate(x in e : class(m(t(x))) != label(x)) <= 10 % }
"""
TABLE = """spec 1
input s : table { a : 0..1 continuous  b : 0..3 }
model m : s -> class(2) { file = "m.npz" architecture = "m.txt" encode = "scaler.json" }
data e : s { file = "e.csv" }
trigger t1 : s { set any 1 of a keep a in {1e-40} }
property single { forall x in e, t in t1 assert class(m(t(x))) == label(x) }
property shared { forall t in t1 assert rate(x in e : class(m(t(x))) != label(x)) <= 10 % }
"""
BIAS = [-0.005, 0.0]
"""A stored 1e-40 times 1e38 lifts the first output above the second; read as 0 it does not."""


def verdicts(folder: Path, spec: str, architecture: str, weights: dict[str, Any], *more: str) -> list[str]:
    """Of both properties; a certificate of them is not rejected, whatever it says."""
    (folder / "s.vfx").write_text(spec)
    (folder / "m.txt").write_text(architecture)
    np.savez(folder / "m.npz", **{name: np.array(array, np.float32) for name, array in weights.items()})
    run(["verify", str(folder / "s.vfx"), "--out", str(folder / "out"), *more])
    result = json.loads((folder / "out" / "result.json").read_text())
    report = check_certificate(folder / "out" / "certificate.json")
    assert report.accepted, report.text()
    return [item["verdict"] for item in result["properties"]]


def data(folder: Path, inputs: object, labels: list[int]) -> None:
    np.savez(folder / "e.npz", x=np.array(inputs), y=np.array(labels))


def test_a_subnormal_input_may_be_flushed(tmp_path: Path) -> None:
    data(tmp_path, [[[TINY, 0, 0]]], [0])
    weights = {"layers.2.weight": [[1e38, 0, 0], [0, 0, 0]], "layers.2.bias": BIAS}
    dense_model = "Chain(Flux.flatten, Dense(3 => 2))"
    spec = SERIES.format(range="-4..4", values="-1..0")
    assert verdicts(tmp_path, spec, dense_model, weights) == ["unknown", "unknown"]


def test_a_subnormal_feature_of_a_word_may_be_flushed(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("w0\nw1\nw2\n")
    data(tmp_path, [[0, 0], [2, 2]], [0, 0])
    weights = {"layers.1.weight": [[0, TINY, 0]], "layers.3.weight": [[1e38, 0], [0, 0]], "layers.3.bias": BIAS}
    model = "Chain(Embedding(3 => 1), Flux.flatten, Dense(2 => 2))"
    assert "certified" not in verdicts(tmp_path, WORDS, model, weights)


def test_a_subnormal_value_of_a_list_may_be_flushed(tmp_path: Path) -> None:
    (tmp_path / "e.csv").write_text("a,b,label\n1,0,0\n")
    (tmp_path / "scaler.json").write_text('{"features": [{"column": "a"}, {"column": "b"}]}')
    weights = {"layers.1.weight": [[1e38, 0], [0, 0]], "layers.1.bias": BIAS}
    assert "certified" not in verdicts(tmp_path, TABLE, "Chain(Dense(2 => 2))", weights)


def test_a_trigger_value_is_rounded_before_the_network_jumps(tmp_path: Path) -> None:
    # 0.50000001 is read as 0.5, which is rounded to 0.
    data(tmp_path, [[[[1, 1]]]], [0])
    weights = {"layers.2.weight": [[1, 0], [0, 0]], "layers.2.bias": [-0.5, 0]}
    spec = IMAGE.format(classes=2, encode="round(level)", values="0.50000001..1")
    assert "certified" not in verdicts(tmp_path, spec, "Chain(Flux.flatten, Dense(2 => 2))", weights)


def test_a_trigger_value_is_rounded_to_a_tie(tmp_path: Path) -> None:
    # 1.00000001 is read as 1, and outputs are the inputs themselves: a tie, which is no class.
    data(tmp_path, [[[[1, 1]]]], [0])
    inner = "layers.1.layers.2.layers.2"
    weights = {f"{inner}.weight": np.zeros((1, 2)), f"{inner}.bias": [-9.0]}
    model = "Chain(Parallel(vcat, Flux.flatten, Chain(Flux.flatten, Dense(2 => 1))))"
    spec = IMAGE.format(classes=3, encode="level", values="1.00000001..2")
    assert "certified" not in verdicts(tmp_path, spec, model, weights)
    (tmp_path / "out" / "result.json").unlink()
    assert verdicts(tmp_path, spec, model, weights, "--arithmetic", "real", "--force") == ["certified", "certified"]


def test_a_trigger_value_that_the_type_does_not_hold_is_infinite(tmp_path: Path) -> None:
    data(tmp_path, [[[1.0, 0, 0]]], [0])
    weights = {"layers.2.weight": [[0, 0, 1e-38], [0, 0, 0]], "layers.2.bias": [1000.0, 0]}
    spec = SERIES.format(range="-1e40..1e40", values="1e39..1e40")
    found = verdicts(tmp_path, spec, "Chain(Flux.flatten, Dense(3 => 2))", weights)
    assert found == ["unknown", "unknown"]


@pytest.mark.parametrize("by_deviation", [False, True])
@pytest.mark.parametrize("epsilon", [0.0, 1e-60, 1e-46, 1e-40])
def test_an_epsilon_that_vanishes_divides_by_nothing(epsilon: float, by_deviation: bool) -> None:
    graph = chain((1, 1, 3), [Reshape((-1,)), Normalise(1, epsilon, by_deviation), dense(np.zeros((3, 3)), [1, 0, 0])])
    family = Family((replacing((2,)),), levels(1, 0, 1, 1.0))
    problem = make_problem(graph, np.zeros((1, 1, 1, 3)), [0], family, Ask(arithmetic="float32"))
    (question,) = problem.all_questions()
    for name in (*STRATEGIES, *TRICKS):
        assert answer(problem, question, name, 100).verdict is not Verdict.CERTIFIED, name


def read_as(value: float, dtype: str, flushes: bool) -> float:
    with np.errstate(over="ignore"):
        number = float(np.dtype(dtype).type(value))
    return 0.0 if flushes and abs(number) < float(np.finfo(dtype).tiny) else number


ENDS = st.one_of(st.fractions(-300, 300), st.sampled_from([0, 1, 255])).map(float) | st.floats(-1e-37, 1e-37)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(ENDS, ENDS, st.floats(0, 1), st.sampled_from(["float32", "float64"]), st.booleans())
def test_a_range_holds_what_is_read_of_it(one: float, two: float, share: float, dtype: str, flushes: bool) -> None:
    low, high = min(one, two), max(one, two)
    _, domain = as_read((), Domain(np.array([low]), np.array([high]), np.zeros(1)), dtype)
    inside = min(max(low + share * (high - low), low), high)
    for value in (low, inside, high):
        assert domain.lower[0] <= read_as(value, dtype, flushes) <= domain.upper[0]
    assert domain.lower[0] <= low <= high <= domain.upper[0]
    trigger = PatchTrigger("t1", "im", 1, 1, ((0, 0),), Fraction(low), Fraction(high), None)
    assert (_end(trigger, -1, dtype), _end(trigger, 1, dtype)) == (domain.lower[0], domain.upper[0])
