"""`measure` on the whole pipeline: both ends, the gap, what is recorded, and how a run that is cut short ends."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from tests.soundness.language import HEAD, World, declare, images, net
from verifluxa.dispatch.observe import NoEvidence, Progress
from verifluxa.evidence import Outcome
from verifluxa.question import Problem
from verifluxa.report.summary import summary
from verifluxa.result.result import PropertyResult, Result
from verifluxa.verdict import Reason, Verdict
from verifluxa.verify import Request, RunContext, run

SPEC = (
    HEAD
    + declare("digits", "class(3)")
    + """
property how_bad {
  measure max rate(x in eval : class(digits(t(x))) != label(x)) over t in dot
}
"""
)


@pytest.fixture
def spec(tmp_path: Path) -> str:
    world = World(tmp_path)
    world.model("digits", net(74, 3))
    world.data(images(3, 6), [0, 1, 2, 0, 1, 2])
    (tmp_path / "how_bad.vfx").write_text(SPEC)
    return str(tmp_path / "how_bad.vfx")


class Keeper(NoEvidence):
    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []

    def record(self, problem: Problem, outcome: Outcome) -> None:
        self.outcomes.append(outcome)


class Watcher:
    def __init__(self) -> None:
        self.seen: list[Progress] = []

    def update(self, progress: Progress) -> None:
        self.seen.append(progress)


def entry(result: Result) -> dict[str, object]:
    (found,) = result.document()["properties"]
    return found


def only(result: Result) -> PropertyResult:
    return result.properties[0]


def test_ends_meet_and_every_question_has_its_proof(spec: str) -> None:
    keeper, watcher = Keeper(), Watcher()
    result = run(Request(spec), RunContext(watcher, keeper))
    found = only(result)
    assert found.verdict is Verdict.CERTIFIED
    assert found.found == found.proved
    assert len(keeper.outcomes) == found.counts.total == found.counts.certified == 6
    for outcome in keeper.outcomes:
        assert outcome.question.threshold == outcome.proved + 1
        assert outcome.tree is not None
    ends = [(progress.found, progress.proved) for progress in watcher.seen]
    assert ends == sorted(ends, key=lambda pair: (pair[0], -pair[1])), "the interval only shrinks"


def test_document_and_summary_tell_both_ends(spec: str) -> None:
    result = run(Request(spec))
    stated = entry(result)
    assert stated["kind"] == "measure"
    assert stated["gap"] == "0"
    assert stated["counterexample"] is None
    assert stated["bound"]["found"] == stated["bound"]["proved"] == stated["strongest"]["rate"]
    assert stated["strongest"]["replayed"]
    words = "\n".join(line.words for line in summary(result))
    assert "found, and proved to be the worst" in words
    assert "trigger at row" in words


@pytest.mark.parametrize(("gap", "apart"), [("1/2", Fraction(1, 2)), ("0", Fraction(0))])
def test_it_stops_at_the_gap(spec: str, gap: str, apart: Fraction) -> None:
    found = only(run(Request(spec, gap=gap)))
    assert found.verdict is Verdict.CERTIFIED
    assert found.gap == apart
    assert found.proved.rate - found.found.rate <= apart


def test_time_that_is_up_leaves_an_interval(spec: str) -> None:
    found = only(run(Request(spec, budget=1e-9)))
    assert (found.verdict, found.reason) == (Verdict.UNKNOWN, Reason.TIME)
    assert found.found.rate <= found.proved.rate <= 1


def test_a_strategy_that_proves_nothing_measures_nothing(spec: str) -> None:
    found = only(run(Request(spec, strategy="attack-only")))
    assert found.verdict is Verdict.UNKNOWN
    assert found.proved.rate == 1


def test_interruption(spec: str) -> None:
    class Stops(Watcher):
        def update(self, progress: Progress) -> None:
            super().update(progress)
            if len(self.seen) == 1:
                raise KeyboardInterrupt

    found = only(run(Request(spec), RunContext(Stops())))
    assert (found.verdict, found.reason) == (Verdict.UNKNOWN, Reason.INTERRUPTED)
