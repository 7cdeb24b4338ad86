"""Worker processes: the same answers as in-process, and what happens when they die."""

import os
import signal
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from dispatch_fakes import FakeEngine, marks, problem

from verifluxa.dispatch.driver import Answers, EngineCrash, Plan, drive
from verifluxa.dispatch.processes import InProcessPool, ProcessPool
from verifluxa.errors import DataError

PLAN = Plan(attack_slice=4, prove_slice=2)


def run(asked, engine, workers: int = 2) -> Answers:
    pool = ProcessPool(engine, workers)
    try:
        return drive(asked, pool, PLAN)
    finally:
        pool.close()


def counts(answers: Answers) -> Counter[str]:
    return Counter(str(outcome.reason or outcome.verdict) for outcome in answers.outcomes)


def test_processes_and_in_process_agree():
    engine = FakeEngine(proofs={3: "time"})
    asked = problem(placements=6)
    here = drive(asked, InProcessPool(engine), PLAN)
    there = run(asked, engine)
    assert [(o.question, o.verdict, o.reason, o.proved) for o in there.outcomes] == [
        (o.question, o.verdict, o.reason, o.proved) for o in here.outcomes
    ]


def test_a_slice_whose_worker_died_once_is_tried_again(tmp_path):
    answers = run(problem(placements=6), FakeEngine(proofs={2: "die once"}, folder=tmp_path))
    assert counts(answers) == {"certified": 12}
    assert marks(tmp_path, "prove").count(2) == 2


def test_a_placement_that_kills_its_worker_twice_is_unknown_and_costs_only_itself(tmp_path):
    answers = run(problem(placements=6), FakeEngine(proofs={3: "die"}, folder=tmp_path))
    assert counts(answers) == {"certified": 10, "lost-worker": 2}
    assert marks(tmp_path, "prove").count(3) == 2


def test_workers_that_do_nothing_but_die_end_the_run():
    dying = dict.fromkeys(range(40), "die")
    answers = run(problem(placements=40), FakeEngine(attacks=dying, proofs=dying), workers=1)
    assert counts(answers) == {"lost-worker": 80}


@pytest.mark.parametrize(("deed", "error"), [("crash", EngineCrash), ("data", DataError)])
def test_errors_come_back_as_records(deed, error):
    with pytest.raises(error):
        run(problem(), FakeEngine(proofs={0: deed}))


def test_a_counterexample_ends_the_other_workers(tmp_path):
    answers = run(problem(placements=6), FakeEngine(attacks={1: "find"}, folder=tmp_path))
    assert counts(answers) == {"falsified": 2, "decided": 10}
    assert marks(tmp_path, "prove") == []


def test_a_worker_that_does_not_come_back_after_the_deadline_is_ended():
    pool = ProcessPool(FakeEngine(proofs={5: "hang"}), 1)
    plan = Plan(attack_slice=6, prove_slice=1, deadline=time.monotonic() + 4.0, grace=0.5)
    try:
        answers = drive(problem(placements=6), pool, plan)
    finally:
        pool.close()
    assert counts(answers)["time"] >= 2
    assert counts(answers)["certified"] + counts(answers)["time"] == 12


def test_one_pool_serves_several_problems():
    pool = ProcessPool(FakeEngine(), 1)
    try:
        first = drive(problem(placements=2), pool, PLAN)
        second = drive(problem(placements=3, per_input=True), pool, PLAN)
    finally:
        pool.close()
    assert counts(first) == {"certified": 4}
    assert counts(second) == {"certified": 12}


def test_a_slice_needs_its_problem():
    pool = ProcessPool(FakeEngine(), 1)
    with pytest.raises(RuntimeError, match="before its problem"):
        pool.submit(None)  # type: ignore[arg-type]


def answers_with_signs(engine, placements: int = 6, workers: int = 2) -> Counter[str]:
    """Workers that say every 0.2 s that they run; no budget would end one that does not."""
    pool = ProcessPool(engine, workers, silence=2.5, beat=0.2)
    try:
        return counts(drive(problem(placements=placements), pool, PLAN))
    finally:
        pool.close()


@pytest.mark.parametrize("stage", ["attacks", "proofs"])
def test_a_stopped_worker_is_replaced_and_its_slice_asked_again(tmp_path, stage):
    """SIGSTOP: it does not die, it does nothing. One slice is asked twice, no answer is lost."""
    engine = FakeEngine(**{stage: {3: "stop once"}}, folder=tmp_path)
    assert answers_with_signs(engine) == {"certified": 12}
    if stage == "proofs":
        assert marks(tmp_path, "prove").count(3) == 2


def test_a_placement_that_stops_every_worker_is_unknown(tmp_path):
    assert answers_with_signs(FakeEngine(proofs={3: "stop"})) == {"certified": 10, "lost-worker": 2}


def test_a_slow_slice_is_not_a_silent_one(tmp_path):
    assert answers_with_signs(FakeEngine(proofs={3: "slow"}, folder=tmp_path)) == {"certified": 12}
    assert marks(tmp_path, "prove").count(3) == 1


class Stopping(FakeEngine):
    """Tells where its process is, so that the test can stop it between two slices."""

    def prove(self, problem, slice):
        (self.folder / "process").write_text(str(os.getpid()))
        yield from super().prove(problem, slice)


def test_a_worker_that_was_stopped_while_it_was_idle_does_not_hold_the_driver(tmp_path):
    """Its pipe is full before it has its next problem."""
    pool = ProcessPool(Stopping(folder=tmp_path), 1, silence=2.5, beat=0.2)
    large = replace(problem(placements=2), inputs=np.zeros((4, 200_000)))
    try:
        assert counts(drive(problem(placements=2), pool, PLAN)) == {"certified": 4}
        os.kill(int((tmp_path / "process").read_text()), signal.SIGSTOP)
        assert counts(drive(large, pool, PLAN)) == {"certified": 4}
    finally:
        pool.close()


def test_a_driver_that_was_away_takes_nobody_for_dead(tmp_path):
    """As after Ctrl-Z and `fg`, or a long wait for the disk: signs that were not read yet are no silence."""
    asked = problem(placements=4)
    pool = ProcessPool(FakeEngine(proofs={3: "slow"}, folder=tmp_path), 1, silence=2.5, beat=0.2)

    class Away:
        times = 0

        def update(self, progress):
            if progress.done >= 4 and self.times < 1:
                self.times += 1
                time.sleep(4)

    try:
        assert counts(drive(asked, pool, Plan(attack_slice=4, prove_slice=2, shown=0.0), Away())) == {"certified": 8}
    finally:
        pool.close()
    assert marks(tmp_path, "prove").count(3) == 1
