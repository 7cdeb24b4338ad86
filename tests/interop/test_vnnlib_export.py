"""Exported questions: the network of tau, what the files say, and the way there and back against enumeration."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.search.small import random_problem, row_values
from tests.soundness.build import Ask
from verifluxa.cli.main import run
from verifluxa.cli.vnncomp_command import Answer, solve
from verifluxa.errors import UsageError
from verifluxa.graph.graph import build
from verifluxa.graph.ops import Add, Divide, Scale, Shift, Softmax
from verifluxa.interop.onnx_import import import_onnx
from verifluxa.interop.vnnlib_export import (
    Single,
    carried,
    check_sayable,
    count_singles,
    onnx_of,
    question_text,
    singles,
    triggered,
)
from verifluxa.interop.vnnlib_problem import ask
from verifluxa.interop.vnnlib_read import read_vnnlib
from verifluxa.question import Domain, Listed, OutputConstraints, Problem, Question, SlabConstraints
from verifluxa.search.replay import stamped_inputs
from verifluxa.verify import Request

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "examples" / "digits"
ASKS = {"targeted": Ask(targets=(1,)), "untargeted": Ask(), "per input": Ask(per_input=True)}


def back(problem: Problem, single: Single, version: int, strategy: str = "balanced") -> Answer:
    """Exports a question, reads it and answers it."""
    graph = import_onnx(onnx_of(triggered(problem, single))).graph
    query = read_vnnlib(question_text(problem, single, version).encode(), "q.vnnlib")
    return solve(ask(graph, query, graph.dtype, "q.vnnlib"), Request("", strategy=strategy), None)


def violates(problem: Problem, single: Single, trigger: np.ndarray, strict: bool) -> bool:
    """What the problem itself says of one trigger, in float64: whole weights make that exact on halves."""
    alone = replace(problem, selections=(np.array([single.input]),))
    values = row_values(alone, Question(single.placement, single.violation, 0, 1), trigger)[0]
    cases = problem.violations[single.violation].by_label[int(problem.labels[single.input])]
    met = values > 0 if strict else values >= 0
    return any(met[list(rows)].all() for rows in cases)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", ASKS)
def test_there_and_back_against_enumeration(kind: str, seed: int, tmp_path: Path) -> None:
    few = tmp_path / "few.toml"
    few.write_text(re.sub("boxes = [0-9]+", "boxes = 300", (ROOT / "solvers" / "balanced.toml").read_text()))
    problem = random_problem(seed, ASKS[kind])
    axis = np.arange(0, 6.5, 0.5)
    points = [np.array(point) for point in itertools.product(axis, axis)]
    words = []
    for number, single in enumerate(singles(problem, 5)):
        answer = back(problem, single, 1 + number % 2, str(few))
        loose, strict = (any(violates(problem, single, p, strict) for p in points) for strict in (False, True))
        assert not (answer.word == "unsat" and loose)
        assert answer.word == "sat" or not strict
        if answer.point is not None:
            assert violates(problem, single, answer.point, strict=True)
            assert ((answer.point >= 0) & (answer.point <= 6)).all()
        words.append(answer.word)
    assert words.count("unknown") <= 1


def test_both_answers_occur() -> None:
    problems = [random_problem(0, ASKS[kind]) for kind in ("targeted", "untargeted")]
    assert {back(problem, next(singles(problem, 1)), 1).word for problem in problems} == {"sat", "unsat"}


@pytest.mark.parametrize("kind", ["plain", "blend", "moved", "softmax", "encode", "read twice"])
def test_the_network_of_tau_is_the_stamp_and_the_network(kind: str) -> None:
    problem = random_problem(3, Ask())
    stamp = problem.placements[0].stamp
    if kind == "blend":
        stamp = replace(stamp, keep=stamp.keep + 0.75, gain=stamp.gain * 0.25, offset=stamp.offset + 0.5)
    if kind == "moved":
        stamp = replace(stamp, keep=np.ones(2), gain=stamp.gain[:, :1] * 2, source=np.array([0, 2]))
    problem = replace(problem, placements=(replace(problem.placements[0], stamp=stamp),))
    if kind in ("encode", "read twice"):
        nodes, values = problem.graph.nodes, np.float32([1, 2, 4, 5, 8]).reshape(1, 1, 5)
        front = [Shift(values), Divide(values[..., ::-1].copy()), Scale(np.float32(3.0).reshape(())), Shift(-values)]
        steps = [(nodes[0].op, ()), *((op, (number,)) for number, op in enumerate(front))]
        if kind == "read twice":
            steps.append((Add(), (2, 4)))
        moved = len(steps) - 1
        steps += [(node.op, tuple(source + moved for source in node.inputs)) for node in nodes[1:]]
        problem = replace(problem, graph=build(steps, "float32"))
    readout = problem
    if kind == "softmax":
        steps = [(node.op, node.inputs) for node in problem.graph.nodes]
        whole = build([*steps, (Softmax(0), (len(steps) - 1,))], problem.graph.dtype)
        readout = replace(problem, graph=whole, readout=len(steps) - 1)
    graph = import_onnx(onnx_of(triggered(readout, Single(0, 0, 2)))).graph
    triggers = np.random.default_rng(0).integers(0, 7, (5, stamp.gain.shape[1])).astype(float)
    own = np.concatenate([problem.graph.run(stamped_inputs(problem, 0, t, np.array([2]))) for t in triggers])
    assert np.allclose(graph.run(triggers), own, rtol=1e-6, atol=1e-5)


def test_onnxruntime_reads_it() -> None:
    runtime = pytest.importorskip("onnxruntime")
    problem = random_problem(1, Ask())
    graph = triggered(problem, Single(1, 0, 0))
    session = runtime.InferenceSession(onnx_of(graph), providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape == [1, 2]
    tau = np.float32([[2, 5]])
    assert np.allclose(session.run(None, {"input": tau})[0], graph.run(tau), rtol=1e-6)


def test_what_the_files_say() -> None:
    problem = random_problem(0, ASKS["targeted"])
    assert count_singles(problem) == 8
    single = next(singles(problem, 1))
    old, new = (question_text(problem, single, version).splitlines() for version in (1, 2))
    assert old[0] == "; small: input 0, row 0, column 0, target 1".replace("small", problem.name)
    assert old[1].startswith("; sat need not be a trigger: the trigger has steps")
    assert old[2:7] == [f"(declare-const {name} Real)" for name in ("X_0", "X_1", "Y_0", "Y_1", "Y_2")]
    assert old[-4:] == ["(assert (<= X_1 6.0))", "(assert (or", "    (and (>= Y_1 Y_0) (>= Y_1 Y_2))", "))"]
    assert new[2:4] == ["(vnnlib-version <2.0>)", "(declare-network triggered"]
    assert new[-4:] == [
        "(assert (<= X[0,1] 6.0))",
        "(assert (or",
        "    (and (>= Y[0,1] Y[0,0]) (>= Y[0,1] Y[0,2]))",
        "))",
    ]


def test_rows_of_every_form_are_read_back_as_they_are() -> None:
    problem = random_problem(0, ASKS["targeted"])
    coefficients = np.array([[1.0, 0, 0], [0, -1, 0], [0.1, 1, -2e-7], [1, 0, -1]])
    constants = np.array([0.1, -3.0, 1e-9, 0.25])
    closed = np.array([True, False, False, True])
    cases = tuple((row,) for row in range(4))
    asked = replace(
        problem,
        constraints=OutputConstraints(coefficients, constants, closed),
        violations=(replace(problem.violations[0], by_label=(cases,) * 3),),
    )
    single = Single(0, 0, 0)
    assert len(carried(asked, single, 1).losses) == len(carried(asked, single, 2).losses) + 1
    for version in (1, 2):
        (region,) = read_vnnlib(question_text(asked, single, version).encode(), "q").regions
        for row, (condition,) in enumerate(region.alternatives):
            factors = {name: float(value) for name, value in condition.value.factors.items()}
            assert factors == {("Y", j): v for j, v in enumerate(coefficients[row]) if v}
            assert float(condition.value.constant) == constants[row]
            assert condition.closed == (closed[row] or version == 1)


def test_what_sat_is_worth_and_what_cannot_be_said() -> None:
    problem = random_problem(0, Ask())
    single, box = Single(0, 0, 0), Domain(np.zeros(2), np.full(2, 6.0), np.zeros(2))
    assert carried(replace(problem, domain=box), single, 1).losses == ()
    strips = SlabConstraints(np.ones((1, 2)), np.zeros(1), np.ones(1))
    listed = (Listed(np.array([0]), np.array([[1.0]])),)
    for domain in (problem.domain, replace(box, slabs=strips), replace(box, lists=listed)):
        assert len(carried(replace(problem, domain=domain), single, 1).losses) == 1
    none = Domain(np.zeros(0), np.zeros(0), np.zeros(0))
    for bad in (replace(problem, spread=0.5), replace(problem, domain=none)):
        with pytest.raises(UsageError, match=r"VF4521.*cannot be exported"):
            check_sayable(bad)


def test_a_part_of_the_questions_is_spread_evenly() -> None:
    problem = random_problem(0, ASKS["targeted"])
    every = list(singles(problem, 100))
    assert len(set(every)) == 8
    assert list(singles(problem, 4)) == every[::2]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    arguments = ["export", str(DIGITS / "no_backdoor.vfx"), "--out", str(out), "--max", "2"]
    assert run([*arguments, "--vnnlib", "2"]) == 0
    assert "2 of 571,896 questions" in capsys.readouterr().out
    instances = [line.split(",") for line in (out / "instances.csv").read_text().splitlines()]
    assert len(instances) == 2
    assert all((out / onnx).is_file() and (out / vnnlib).is_file() for onnx, vnnlib, _ in instances)
    first = json.loads((out / "questions.jsonl").read_text().splitlines()[0])
    assert first["question"] == "input 1, row 0, column 0, target 0"
    assert first["sat_is_a_trigger"] is False
    onnx, vnnlib, _ = instances[1]
    assert run(["verify", "--onnx", str(out / onnx), "--vnnlib", str(out / vnnlib), "--strategy", "balanced"]) == 0
    assert capsys.readouterr().out == "unsat\n"
    before = sorted(out.rglob("*"))
    assert run(arguments) == 2
    assert "VF4522" in capsys.readouterr().err
    assert sorted(out.rglob("*")) == before
