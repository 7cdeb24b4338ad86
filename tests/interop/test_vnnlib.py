"""VNN-LIB questions: what is read, what is refused and how; answers against plain evaluation."""

from __future__ import annotations

import contextlib
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from verifluxa.cli.main import run
from verifluxa.cli.vnncomp_command import Answer, solve
from verifluxa.errors import DataError
from verifluxa.graph.graph import Graph, chain
from verifluxa.graph.ops import Activation, Affine, Reshape
from verifluxa.interop.onnx_export import onnx_bytes
from verifluxa.interop.vnnlib_problem import ask, inward
from verifluxa.interop.vnnlib_read import MOST_BYTES, Query, read_expressions, read_vnnlib
from verifluxa.verify import Request

ROOT = Path(__file__).parents[2]
NAMES = "".join(f"(declare-const {name} Real)\n" for name in ("X_0", "X_1", "Y_0", "Y_1"))
BOX = "".join(f"(assert (>= X_{i} -1.0))\n(assert (<= X_{i} 1.0))\n" for i in range(2))
NEWER = """(vnnlib-version <2.0>)
(declare-network net (declare-input X float32 [1,2]) (declare-output Y float32 [1, 2]))
(assert (and (>= X[0,0] -1.0) (<= X[0,0] 1.0)))
(assert (>= X [0,1] (- 1.0)))
(assert (<= X[0, 1] 1.0))
"""


def read(text: str) -> Query:
    return read_vnnlib(text.encode(), "q.vnnlib")


def net(weight: list[list[float]], bias: list[float]) -> Graph:
    """Two inputs; relu of x, -x and their sum in front of the outputs."""
    first = np.array([[1, 0], [-1, 0], [0, 1], [0, -1], [1, 1]], dtype=np.float32)
    last = Affine(np.array(weight, dtype=np.float32), np.array(bias, dtype=np.float32))
    return chain((2,), [Affine(first), Activation("relu"), last])


PEAK = net([[1, 1, 1, 1, 0], [0, 0, 0, 0, 1]], [0, 0])
"""y_0 = |x_0| + |x_1|, y_1 = max(0, x_0 + x_1)."""


def answered(text: str, graph: Graph = PEAK, strategy: str = "thorough", arithmetic: str = "float32") -> Answer:
    asked = ask(graph, read(text), arithmetic, "q.vnnlib")
    return solve(asked, Request("", strategy=strategy), None)


def test_a_question_of_each_version_means_the_same() -> None:
    old = read(NAMES + BOX + "(assert (or (and (>= Y_0 Y_1) (<= Y_1 3)) (>= (* 2 Y_0) 1e1)))")
    new = read(NEWER + "(assert (or (and (>= Y[0,0] Y[0,1]) (<= Y[0,1] 3)) (>= (+ Y[0,0] Y[0,0]) 10.0)))")
    assert (old.version, new.version) == (1, 2)
    (first,), (second,) = old.regions, new.regions
    assert (first.lower, first.upper) == (second.lower, second.upper) == ((-1, -1), (1, 1))
    assert [[c.value for c in case] for case in first.alternatives] == [
        [c.value for c in case] for case in second.alternatives
    ]


def test_cases_with_boxes_of_their_own_are_regions_and_empty_boxes_are_none() -> None:
    narrow = "(and (<= X_0 {}) (>= X_0 {}) (>= Y_0 0))"
    text = NAMES + BOX + f"(assert (or {narrow.format(0.5, 0.25)} {narrow.format(-2, -3)} {narrow.format(1, 0.75)}))"
    regions = read(text).regions
    assert [(r.lower[0], r.upper[0]) for r in regions] == [(Fraction(1, 4), Fraction(1, 2)), (Fraction(3, 4), 1)]


@pytest.mark.parametrize(
    ("condition", "word"),
    [
        ("(>= Y_0 2.001)", "unsat"),
        ("(>= Y_0 1.999)", "sat"),
        ("(>= Y_1 (+ Y_0 0.001))", "unsat"),
        ("(<= (+ (* 3 Y_0) (* -2.5 Y_1)) -0.001)", "unsat"),
        ("(<= (+ (* 3 Y_0) (* -2.5 Y_1)) 0.9)", "sat"),
        ("(and (>= Y_0 1.9) (<= Y_1 0.01))", "sat"),
        ("(and (>= Y_0 1.9) (<= Y_1 0.01) (>= Y_1 0.005))", "sat"),
        ("(or (<= Y_0 -0.1) (<= Y_1 -0.1))", "unsat"),
        ("(or (<= Y_0 -0.1) (>= Y_1 1.5))", "sat"),
    ],
)
def test_answers(condition: str, word: str) -> None:
    answer = answered(NAMES + BOX + f"(assert {condition})", strategy="balanced")
    assert answer.word == word
    if word == "sat":
        assert answer.point is not None
        assert np.abs(answer.point).max() <= 1
        assert np.array_equal(answer.point, answer.point.astype(np.float32))


def test_a_tie_is_neither_shown_nor_excluded(tmp_path: Path) -> None:
    """The value is reached at the corners alone, and only just."""
    few = tmp_path / "few.toml"
    few.write_text(re.sub("boxes = [0-9]+", "boxes = 100", (ROOT / "solvers" / "balanced.toml").read_text()))
    assert answered(NAMES + BOX + "(assert (>= Y_0 2.0))", strategy=str(few)).word == "unknown"


@pytest.mark.parametrize("seed", range(4))
def test_random_networks_against_a_grid_of_points(seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = net(rng.normal(size=(2, 5)).tolist(), rng.normal(size=2).tolist())
    axis = np.linspace(-1, 1, 81)
    values = graph.run(np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)).astype(np.float64)
    most = float((values[:, 0] - values[:, 1]).max())
    slope = 6 * np.abs(np.array(graph.nodes[-1].op.weight)).sum() / 80  # type: ignore[attr-defined]
    for limit, word in ((most - 1e-3, "sat"), (most + slope, "unsat")):
        assert answered(NAMES + BOX + f"(assert (>= (- Y_0 Y_1) {limit:.6f}))", graph, "balanced").word == word


def test_a_counterexample_lies_inside_exactly() -> None:
    """The ends are no doubles: the box of the problem is wider, the point shown is not."""
    text = NAMES + "(assert (>= X_0 0.1))(assert (<= X_0 0.1))(assert (>= X_1 0.1))(assert (<= X_1 0.3))"
    assert answered(text + "(assert (>= Y_0 0.0))", strategy="balanced").word == "unknown"
    text = NAMES + "(assert (>= X_0 0.1))(assert (<= X_0 0.7))(assert (>= X_1 0.1))(assert (<= X_1 0.3))"
    answer = answered(text + "(assert (>= Y_0 0.999))", strategy="balanced")
    (region,) = read(text + "(assert (>= Y_0 0))").regions
    assert answer.word == "sat"
    assert answer.point is not None
    assert region.contains(answer.point)
    assert region.contains(inward(region, np.array([0.7, 0.1]), "float32"))


def test_a_question_about_another_network_is_another_question() -> None:
    query = read(NAMES + BOX + "(assert (>= Y_0 0.5))")
    graphs = (PEAK, net([[1, 1, 1, 1, 0], [0, 0, 0, 0, 1]], [0, 1]))
    assert len({one.problem.digest for graph in graphs for one in ask(graph, query, "real", "q")}) == 2


def test_real_arithmetic_and_outputs_of_another_shape() -> None:
    graph = chain((2,), [*(node.op for node in PEAK.nodes[1:]), Reshape((1, 2))])
    text = NAMES + BOX + "(assert (>= Y_0 1.5))"
    assert answered(text, graph, "balanced", "real").word == "sat"
    assert answered(text.replace("1.5", "2.1"), graph, "balanced", "real").word == "unsat"


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    (tmp_path / "net.onnx").write_bytes(onnx_bytes(PEAK))
    (tmp_path / "q.vnnlib").write_text(NAMES + BOX + "(assert (>= Y_0 1.5))")
    return str(tmp_path / "net.onnx"), str(tmp_path / "q.vnnlib")


def call(*arguments: str) -> int:
    return run(["verify", *arguments])


def test_the_command_prints_what_vnn_comp_asks_for(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    onnx, vnnlib = files
    code = call("--onnx", onnx, "--vnnlib", vnnlib, "--format", "vnncomp", "--strategy", "balanced")
    word, *lines = capsys.readouterr().out.splitlines()
    assert (code, word) == (1, "sat")
    assert lines[0].startswith("((X_0 ")
    assert lines[-1].startswith("(Y_1 ")
    assert lines[-1].endswith("))")
    x, y = ([float(line.strip("()").split()[1]) for line in part] for part in (lines[:2], lines[2:]))
    runtime = pytest.importorskip("onnxruntime")
    session = runtime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    assert np.allclose(session.run(None, {"input": np.float32([x])})[0], [y], rtol=1e-6)


def test_exit_codes(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    onnx, vnnlib = files
    question = Path(vnnlib)
    question.write_text(NAMES + BOX + "(assert (>= Y_0 2.5))")
    assert call("--onnx", onnx, "--vnnlib", vnnlib) == 0
    assert capsys.readouterr().out == "unsat\n"
    assert call("--onnx", onnx, "--vnnlib", vnnlib, "--budget", "0.000001s") == 3
    assert capsys.readouterr().out == "timeout\n"
    assert call("--onnx", onnx, "--vnnlib", vnnlib, "--strategy", "attack-only") == 3
    assert capsys.readouterr().out == "unknown\n"
    question.write_text("(assert")
    assert call("--onnx", onnx, "--vnnlib", vnnlib) == 4
    assert call("--onnx", onnx, "--vnnlib", "missing.vnnlib") == 4
    assert call("--onnx", "missing.onnx", "--vnnlib", vnnlib) == 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "there is neither a spec nor an instance"),
        (("--onnx", "a"), "an instance needs both --onnx and --vnnlib"),
        (("--format", "vnncomp"), "neither a spec nor an instance"),
        (("spec.vfx", "--format", "vnncomp"), "--format vnncomp is for an instance"),
        (("spec.vfx", "--onnx", "a", "--vnnlib", "b"), "a spec and an instance are given together"),
        (("--onnx", "a", "--vnnlib", "b", "--format", "json"), "this option belongs to a spec"),
        (("--onnx", "a", "--vnnlib", "b", "--property", "p"), "this option belongs to a spec"),
    ],
)
def test_options_that_do_not_fit(arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*arguments) == 2
    error = capsys.readouterr().err
    assert "VF4520" in error
    assert words in error


MALFORMED = {
    "not closed": (NAMES + "(assert (<= X_0 1.0)", "q.vnnlib:5:1: error[VF3401]: this bracket is never closed"),
    "closed twice": ("(assert))", "q.vnnlib:1:9: error[VF3401]: a closing bracket has no opening one"),
    "alone": ("assert", "q.vnnlib:1:1: error[VF3401]: `assert` stands alone"),
    "not ASCII": (";é\n", "q.vnnlib:1:1: error[VF3401]: byte 1 is not ASCII"),
    "quote": ('(a "b)', 'q.vnnlib:1:4: error[VF3401]: `"` is not understood here'),
    "nothing": ("; nothing", "q.vnnlib:1:1: error[VF3401]: no input is declared"),
    "gap": (NAMES + "(declare-const X_3 Real)", "q.vnnlib:1:1: error[VF3401]: X_2 is not declared, but X_3 is"),
    "twice": (NAMES * 2, "q.vnnlib:5:1: error[VF3401]: `X_0` is declared twice"),
    "integer": ("(declare-const X_0 Int)", "q.vnnlib:1:1: error[VF3401]: this declares no input X_i or output Y_j"),
    "set-logic": ("(set-logic QF_LRA)", "q.vnnlib:1:1: error[VF3401]: `set-logic` is not understood here"),
    "unknown variable": (
        NAMES + "(assert (<= X_7 1.0))",
        "q.vnnlib:5:13: error[VF3401]: `X_7` is neither a number nor a declared variable",
    ),
    "infinite": (NAMES + "(assert (<= X_0 inf))", "q.vnnlib:5:17: error[VF3401]: `inf` is neither a number nor a decl"),
    "three sides": (NAMES + "(assert (<= X_0 1 2))", "q.vnnlib:5:9: error[VF3401]: `<=` compares two values"),
    "two conditions": (NAMES + "(assert (<= X_0 1) (<= X_0 2))", "q.vnnlib:5:1: error[VF3401]: `assert` takes one"),
    "empty or": (NAMES + "(assert (or))", "q.vnnlib:5:9: error[VF3401]: `or` of nothing"),
    "word": (NAMES + "(assert true)", "q.vnnlib:5:9: error[VF3401]: `true` is no condition"),
    "outside the shape": (NEWER + "(assert (<= X[0,2] 1.0))", "`X[0,2]` lies outside its shape [1, 2]"),
    "rank": (NEWER + "(assert (<= X[0] 1.0))", "`X[0]` lies outside its shape [1, 2]"),
    "indices of nothing": ("([0])", "q.vnnlib:1:2: error[VF3401]: indices stand behind no name"),
    "no upper bound": (
        NAMES + "(assert (>= X_0 0.0))(assert (>= Y_0 0.0))",
        "q.vnnlib:1:1: error[VF3402]: input 0 has no upper bound",
    ),
    "bounds in one case": (
        NAMES + BOX[:44] + "(assert (or (and (<= X_1 1) (>= X_1 0) (>= Y_0 0)) (>= Y_1 0)))",
        "q.vnnlib:1:1: error[VF3402]: input 1 has no lower bound",
    ),
    "product": (NAMES + BOX + "(assert (<= (* Y_0 Y_1) 0.0))", "error[VF3403]: two variables are multiplied"),
    "division": (NAMES + BOX + "(assert (<= (/ Y_0 2) 0.0))", "error[VF3403]: `/` is no operation that is read"),
    "not": (NAMES + BOX + "(assert (not (<= Y_0 0.0)))", "error[VF3403]: `not` is no condition that is read"),
    "mixed": (NAMES + BOX + "(assert (<= Y_0 X_0))", "error[VF3403]: this condition joins inputs with other variables"),
    "joined": (NAMES + BOX + "(assert (<= X_1 X_0))", "error[VF3403]: this condition joins inputs with other"),
    "numbers": (NAMES + BOX + "(assert (<= 1 2))", "error[VF3403]: this condition compares numbers alone"),
    "strict": (NAMES + BOX + "(assert (< X_0 1))", "error[VF3403]: this bound of an input is strict"),
    "no output": (NAMES + BOX, "error[VF3403]: a case says nothing about the outputs"),
    "second network": (NEWER + NEWER.splitlines()[1], "error[VF3403]: there is a second network"),
    "deep": ("(" * 100, "q.vnnlib:1:65: error[VF3404]: brackets are nested too deep"),
    "huge number": (NAMES + "(assert (<= X_0 1e99))", "q.vnnlib:5:17: error[VF3404]: `1e99` is too large a number"),
    "long number": (NAMES + f"(assert (<= X_0 {'1' * 5000}))", "error[VF3404]: a word has 5,000 characters"),
    "grown number": (
        NAMES + f"(assert (<= X_0 (* {'1e-999 ' * 40})))",
        "error[VF3404]: a product has too many digits",
    ),
    "huge bound": (
        NAMES + "(assert (<= (* 1e-300 X_0) 1e30))(assert (>= Y_0 0))",
        "VF3404]: the bound of input 0",
    ),
    "cases": (NAMES + BOX + "(assert (or (<= Y_0 0) (>= Y_0 1)))" * 13, "error[VF3404]: the conditions have too many"),
    "inputs": (
        "(vnnlib-version <2.0>)(declare-network n (declare-input X Real [99,99]) (declare-output Y Real [1]))",
        "error[VF3404]: there are 9,801 inputs",
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_refused(name: str) -> None:
    text, message = MALFORMED[name]
    with pytest.raises(DataError) as caught:
        read(text)
    assert message in str(caught.value)


def test_limits_of_size() -> None:
    with pytest.raises(DataError, match="too many words"):
        read_expressions(NAMES.encode(), "q", most_words=10)
    with pytest.raises(DataError, match="the file has"):
        read(NAMES + " " * MOST_BYTES)


@pytest.mark.parametrize("part", range(4))
def test_broken_files_are_refused_and_nothing_else_happens(part: int) -> None:
    """Bytes cut out, doubled and changed: a question, or an error that a user can read."""
    rng = np.random.default_rng(part)
    whole = (NAMES + BOX + "(assert (or (and (>= Y_0 Y_1) (<= (* 2 Y_1) 3)) (>= Y_0 1e1)))").encode()
    for _ in range(150):
        start, end = sorted(rng.integers(0, len(whole), 2))
        changed = bytearray(whole[:start] + whole[end:] if rng.random() < 0.5 else whole[:end] + whole[start:])
        for at in rng.integers(0, max(1, len(changed)), 3):
            if changed:
                changed[at] = rng.choice(list(b'()[]0.eX_Y \n-+*;"\xff'))
        with contextlib.suppress(DataError):
            read_vnnlib(bytes(changed), "q.vnnlib")


def test_a_question_about_another_network_and_factors_that_no_double_holds() -> None:
    with pytest.raises(DataError, match=r"the question has 2 inputs, the network has 3"):
        ask(chain((3,), [Affine(np.ones((2, 3), np.float32))]), read(NAMES + BOX + "(assert (>= Y_0 0))"), "real", "q")
    for factor in ("0.12345678901234567890123", "1e-300", "1e29"):
        with pytest.raises(DataError, match="VF3403"):
            ask(PEAK, read(NAMES + BOX + f"(assert (>= (* {factor} Y_0) 0))"), "real", "q")
    (asked,) = ask(PEAK, read(NAMES + BOX + "(assert (>= (* 0.1 Y_0) 0.3))"), "real", "q")
    assert asked.problem.constraints.coefficients.tolist() == [[1.0, 0.0]]
    assert asked.problem.constraints.constants.tolist() == [-3.0]
