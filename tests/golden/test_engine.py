"""What the engine answers, kept while its insides change: verdicts, found, proved, stages and boxes.

A change of these snapshots is no mistake as such, but whoever makes one says why: a tighter bound or another order of
search is a reason, a renaming is none.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

from benchmarks.hard_questions import Triple, attacked, graphs, triples
from benchmarks.hard_questions import answer as hard_answer
from benchmarks.train import digits
from tests.soundness.build import digested
from tests.soundness.engine import CONFLICTS, TRICKS, answer, strategy
from tests.soundness.networks import crowds, hardest, problems
from verifluxa.cli.main import run
from verifluxa.evidence import Outcome
from verifluxa.question import Problem
from verifluxa.strategy.decide import decide
from verifluxa.strategy.load import BranchStage, Strategy, load_strategy

ROOT = Path(__file__).parents[2]
STRATEGIES = ("balanced", "quick without attack", *TRICKS, CONFLICTS)
FEW = 300
"""Boxes that a question may cost: their number, and not the time, ends a search."""
HARD = 200
"""The same for a hard question: the longest of them takes five seconds on one core."""
CHEAP = 2
"""Hard questions that are always asked."""
EXAMPLES = (
    *("digits/no_backdoor", "digits/goals", "digits/triggers", "credit/no_magic_combination"),
    *("fashion/no_backdoor", "reviews/no_magic_word", "reviews/no_magic_pair"),
)
SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large)


def line(problem: Problem, name: str, outcome: Outcome) -> str:
    found, proved = outcome.found, outcome.proved
    # Stages with a solver have a limit of time, which moves their number of boxes.
    boxes = "" if outcome.stage in ("smt", "cross") else f" boxes {outcome.boxes}"
    return f"{problem.arithmetic} {name}: {outcome.verdict} {found}..{proved} by {outcome.stage or 'none'}{boxes}"


def answers(count: int) -> list[str]:
    """Of random problems, one question at its exact count or one above, and crowds of questions."""
    lines: list[str] = []

    def one(problem: Problem, shift: int, real: bool) -> None:
        question, _ = hardest(problem, shift)
        problem = problem if real else digested(replace(problem, arithmetic="float32"))
        lines.extend(line(problem, name, answer(problem, question, name, FEW)) for name in STRATEGIES)

    def crowd(problem: Problem) -> None:
        outcomes = decide(problem, problem.all_questions(), strategy("balanced", FEW))
        lines.extend(line(problem, "crowd", outcome) for outcome in outcomes)

    some = settings(max_examples=count, deadline=None, derandomize=True, database=None, suppress_health_check=SLOW)
    some(given(problems(), st.integers(0, 1), st.booleans())(one))()
    some(given(crowds())(crowd))()
    return lines


def test_random_networks(snapshot: SnapshotAssertion) -> None:
    assert "\n".join(answers(12)) == snapshot


@pytest.mark.soak
def test_five_hundred_random_networks(snapshot: SnapshotAssertion) -> None:
    assert "\n".join(answers(250)) == snapshot


def hard_questions() -> list[Triple]:
    """Twelve patches of 5x5 on the digit example's clean network, in two arithmetics."""
    nets = graphs(digits(), small=True)
    return [triple for arithmetic in ("real", "float32") for triple in triples(digits(), nets, 5, arithmetic)]


def hard_line(triple: Triple) -> str:
    """Can one patch do more than the attack has found? Bounds, branching and conflicts decide; no solver does."""
    known, _ = attacked(triple, load_strategy("balanced"))
    need = known.found + 1
    outcome = hard_answer(triple, need, known, unhurried(load_strategy("thorough").without("smt"))).outcome
    return f"{triple.label}, {need} inputs: {line(triple.problem, 'thorough', outcome)}"


def unhurried(given: Strategy) -> Strategy:
    """The strategy with few boxes and no limit of time."""
    stages = [replace(s, boxes=HARD, seconds=1e6) if isinstance(s, BranchStage) else s for s in given.stages]
    return replace(given, stages=tuple(stages))


def test_cheap_hard_questions(snapshot: SnapshotAssertion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VERIFLUXA_MNIST", raising=False)
    assert "\n".join(map(hard_line, hard_questions()[:CHEAP])) == snapshot


@pytest.mark.soak
def test_hard_questions(snapshot: SnapshotAssertion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VERIFLUXA_MNIST", raising=False)
    assert "\n".join(map(hard_line, hard_questions())) == snapshot


@pytest.mark.soak
@pytest.mark.parametrize("name", EXAMPLES)
def test_examples(name: str, snapshot: SnapshotAssertion, tmp_path: Path) -> None:
    code = run(["verify", str(ROOT / "examples" / f"{name}.vfx"), "--out", str(tmp_path / "out")])
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    kept = [[item[key] for key in ("name", "verdict", "bound", "questions", "closed")] for item in result["properties"]]
    assert [code, *kept] == snapshot
