"""The driver loop over the in-process pool: order, counterexamples, faults, interrupts, budgets."""

import time
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import pytest
from dispatch_fakes import FakeEngine, marks, problem

from verifluxa.dispatch.driver import Answers, EngineCrash, Plan, drive, unasked
from verifluxa.dispatch.observe import NoEvidence, Progress
from verifluxa.dispatch.perform import Pace
from verifluxa.dispatch.processes import InProcessPool
from verifluxa.errors import DataError
from verifluxa.evidence import Outcome, Strongest
from verifluxa.question import Problem
from verifluxa.verdict import Reason, Verdict

PLAN = Plan(attack_slice=4, prove_slice=2)


class Watcher:
    def __init__(self) -> None:
        self.seen: list[Progress] = []

    def update(self, progress: Progress) -> None:
        self.seen.append(progress)


class Keeper(NoEvidence):
    def __init__(self) -> None:
        self.calls: list[str] = []
        self.outcomes: list[Outcome] = []

    def begin(self, problem: Problem, data: str) -> None:
        self.calls.append("begin")

    def record(self, problem: Problem, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def end(self, problem: Problem) -> None:
        self.calls.append("end")


def run(
    asked: Problem,
    engine: FakeEngine,
    plan: Plan = PLAN,
    watcher: Watcher | None = None,
    keeper: Keeper | None = None,
    pace: Pace | None = None,
) -> Answers:
    return drive(asked, InProcessPool(engine, pace), plan, watcher, keeper)


def counts(answers: Answers) -> Counter[str]:
    return Counter(str(outcome.reason or outcome.verdict) for outcome in answers.outcomes)


def test_every_question_is_answered_in_order_and_attacks_come_first(tmp_path):
    asked = problem(placements=5)
    answers = run(asked, FakeEngine(folder=tmp_path))
    assert [outcome.question for outcome in answers.outcomes] == list(asked.all_questions())
    assert {outcome.verdict for outcome in answers.outcomes} == {Verdict.CERTIFIED}
    assert marks(tmp_path, "attack") == [0, 1, 2, 3, 4]
    assert sorted(marks(tmp_path, "prove")) == [0, 1, 2, 3, 4]
    assert not answers.interrupted


def test_a_planted_trigger_is_found_before_any_proof_and_the_attack_is_finished(tmp_path):
    asked = problem(placements=6)
    answers = run(asked, FakeEngine(attacks={1: "find"}, folder=tmp_path))
    assert marks(tmp_path, "attack") == list(range(6))
    assert marks(tmp_path, "prove") == []
    assert counts(answers) == {"falsified": 2, "decided": 10}
    assert answers.outcomes[2].stage == "attack"
    assert answers.outcomes[2].witness is not None


def test_where_bounds_come_first_nothing_is_attacked_before(tmp_path):
    answers = run(problem(placements=2), FakeEngine(folder=tmp_path), plan=Plan(attack_first=False))
    assert (marks(tmp_path, "attack"), marks(tmp_path, "prove")) == ([], [0, 1])
    assert counts(answers) == {"certified": 4}


def test_a_counterexample_found_while_proving_ends_the_property(tmp_path):
    answers = run(problem(placements=6), FakeEngine(proofs={1: "find"}, folder=tmp_path))
    assert marks(tmp_path, "prove") == [0, 1]
    assert counts(answers) == {"certified": 2, "falsified": 2, "decided": 8}


def test_a_refuted_input_leaves_the_other_inputs_their_own_answers():
    answers = run(problem(placements=3, per_input=True), FakeEngine(attacks={1: "find"}))
    by_input = {
        s: {str(o.reason or o.verdict) for o in answers.outcomes if o.question.selection == s} for s in range(4)
    }
    assert by_input == {0: {"falsified", "decided"}, 1: {"certified"}, 2: {"certified"}, 3: {"certified"}}


def test_places_where_the_attack_came_closest_are_proved_first(tmp_path):
    class NearMiss(FakeEngine):
        def attack(self, problem, slice):
            found = super().attack(problem, slice)
            return [a._replace(strongest=Strongest(1)) if a.question.placement == 4 else a for a in found]

    run(problem(placements=6), NearMiss(folder=tmp_path))
    assert marks(tmp_path, "prove") == [4, 5, 0, 1, 2, 3]


@pytest.mark.parametrize(("deed", "reason"), [("memory", "memory"), ("unsupported", "unsupported"), ("time", "time")])
def test_what_cannot_be_proved_is_unknown_with_its_reason(deed, reason):
    answers = run(problem(placements=6), FakeEngine(proofs={3: deed}))
    assert counts(answers) == {"certified": 10, reason: 2}


def test_a_slice_that_is_too_big_is_tried_again_in_parts():
    assert counts(run(problem(placements=6), FakeEngine(proofs={3: "big"}))) == {"certified": 12}


@pytest.mark.parametrize("deed", ["memory", "unsupported"])
def test_a_failed_attack_does_not_stop_the_proof(deed):
    assert counts(run(problem(placements=6), FakeEngine(attacks={2: deed}))) == {"certified": 12}


def test_a_mistake_in_the_engine_is_an_internal_error_and_never_a_verdict():
    with pytest.raises(EngineCrash, match="ZeroDivisionError: a mistake of ours"):
        run(problem(), FakeEngine(proofs={0: "crash"}))


def test_a_forgotten_question_is_an_internal_error():
    with pytest.raises(EngineCrash, match="without an answer"):
        run(problem(), FakeEngine(proofs={5: "forget"}))


def test_what_the_user_can_mend_reaches_the_user():
    with pytest.raises(DataError, match="the data went away"):
        run(problem(), FakeEngine(proofs={0: "data"}))


@pytest.mark.parametrize("stage", ["attacks", "proofs"])
def test_ctrl_c_keeps_what_was_proved(stage):
    keeper = Keeper()
    asked = problem(placements=6)
    answers = run(asked, FakeEngine(**{stage: {5: "interrupt"}}), keeper=keeper)
    assert answers.interrupted
    assert counts(answers) == ({"interrupted": 12} if stage == "attacks" else {"certified": 8, "interrupted": 4})
    assert len(keeper.outcomes) == asked.size
    assert keeper.calls == []


@pytest.mark.parametrize(("deed", "seconds"), [("interrupt", 7.0), ("", 3.0)])
def test_a_run_that_is_stopped_in_the_attack_tells_its_time(deed, seconds):
    """The first slice says 3 seconds; the second, cut short after 4 more, says nothing."""
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)

    class Slow(FakeEngine):
        def attack(self, problem, slice):
            clock.now += 3.0 if 0 in slice.placements else 4.0 if deed else 0.0
            return super().attack(problem, slice)

    plan, pace = replace(PLAN, clock=clock.monotonic), Pace(clock=clock.monotonic)
    answers = run(problem(placements=6), Slow(attacks={5: deed}), plan, pace=pace)
    assert (answers.interrupted, answers.attack_seconds) == (bool(deed), seconds)


def test_places_that_an_attack_did_not_reach_in_time_are_attacked_when_the_run_goes_on():
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    kept: list[tuple[int, ...]] = []

    class Late(FakeEngine):
        def attack(self, problem, slice):
            clock.now += 3.0
            return [a for a in super().attack(problem, slice) if a.question.placement != 3 or clock.now < 6.0]

    class Attacks(Keeper):
        def attacked(self, problem, done):
            kept.append(done.slice.placements)

    watcher = Watcher()
    late = Plan(attack_slice=2, deadline=5.0, clock=clock.monotonic)
    answers = drive(problem(placements=6), InProcessPool(Late()), late, watcher, Attacks())
    assert kept == [(0, 1), (2,)]
    assert watcher.seen[-1].attacked == 3
    assert counts(answers) == {"time": 12}


def test_after_the_deadline_nothing_is_started():
    engine = FakeEngine(attacks={0: "crash"}, proofs={0: "crash"})
    answers = run(problem(), engine, Plan(deadline=time.monotonic() - 1.0))
    assert counts(answers) == {"time": 12}


def test_unasked_questions_still_get_outcomes():
    keeper = Keeper()
    answers = unasked(problem(), Reason.INTERRUPTED, keeper)
    assert counts(answers) == {"interrupted": 12}
    assert answers.interrupted
    assert len(keeper.outcomes) == 12


def test_progress_ends_with_the_final_counts():
    watcher = Watcher()
    run(problem(placements=6), FakeEngine(proofs={3: "time"}), watcher=watcher)
    last = watcher.seen[-1]
    assert (last.done, last.total, last.certified, last.falsified, last.unknown) == (12, 12, 10, 0, 2)
    assert (last.attacked, last.placements, last.left) == (6, 6, None)
    assert last.found == Fraction(0)
