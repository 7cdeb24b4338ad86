"""Delivery is at least once and in any order: what comes twice, late or from a slow worker changes nothing."""

import pytest
from dispatch_fakes import FakeEngine, problem

from verifluxa.dispatch.driver import Answers, Plan, drive
from verifluxa.dispatch.ledger import Ledger, Origin
from verifluxa.dispatch.processes import InProcessPool
from verifluxa.dispatch.slices import NOT_LAST, Decided, HandedBack
from verifluxa.strategy.work import Limits

PLAN = Plan(attack_slice=2, prove_slice=2, limits=Limits(1), pieces=3)


class Twice(InProcessPool):
    """Gives every event of a kind a second time, at once or as late as it can."""

    capacity = 4

    def __init__(self, engine, kind, late):
        super().__init__(engine)
        self.kind, self.late, self.again = kind, late, []

    def next(self, timeout):
        if self.again and not self.late:
            return self.again.pop()
        event = super().next(timeout)
        if isinstance(event, self.kind) and isinstance(event, NOT_LAST):
            self.again.append(event)
        if self.late and self.again and event is not None and not isinstance(event, NOT_LAST):
            self._running = iter([self.again.pop(0), event])
            return next(self._running)
        return event


class Shuffled(InProcessPool):
    """A slow worker: its slices come last, whatever was handed in after them."""

    capacity = 6

    def submit(self, slice):
        super().submit(slice)
        if 0 in slice.placements:
            self._queue.rotate(0)
        else:
            self._queue.appendleft(self._queue.pop())


def answered(pool, folder) -> tuple[Answers, bytes]:
    asked = problem(placements=5)
    with Ledger.create(folder / "l.sqlite", Origin({}, {})) as ledger:
        ledger.begin(asked, "sha256:" + "1" * 64)
        answers = drive(asked, pool, PLAN, None, ledger)
        ledger.end(asked)
        lines = b"\n".join(line for _, records in ledger.sections() for line, _ in records)
    return answers, lines


def known(answers: Answers):
    return [(o.question, o.verdict, o.reason, o.found, o.proved, o.boxes) for o in answers.outcomes]


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("kind", [Decided, HandedBack])
def test_what_is_delivered_twice_counts_once(tmp_path, kind, late):
    engine = FakeEngine(proofs={1: "long", 3: "time"})
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    once, evidence = answered(InProcessPool(engine), tmp_path / "a")
    twice, again = answered(Twice(engine, kind, late), tmp_path / "b")
    assert known(twice) == known(once)
    assert again == evidence


def test_a_slow_worker_delays_and_changes_nothing(tmp_path):
    engine = FakeEngine(proofs={1: "long", 2: "long"})
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    usual, evidence = answered(InProcessPool(engine), tmp_path / "a")
    slow, again = answered(Shuffled(engine), tmp_path / "b")
    assert known(slow) == known(usual)
    assert again == evidence
