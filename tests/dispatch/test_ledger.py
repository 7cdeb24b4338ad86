"""The ledger: what it keeps, what it refuses, and that a run goes on from it."""

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from dispatch_fakes import FakeEngine, marks, problem

from verifluxa.certificate.evidence_file import read_evidence, write_evidence
from verifluxa.dispatch.driver import Plan, drive
from verifluxa.dispatch.ledger import Ledger, Origin
from verifluxa.dispatch.ledger_file import TABLES
from verifluxa.dispatch.ledger_lock import Timing
from verifluxa.dispatch.processes import InProcessPool
from verifluxa.dispatch.status import run_status
from verifluxa.errors import TryAgainError, UsageError
from verifluxa.evidence import Strongest
from verifluxa.verdict import Reason, Verdict

DATA = "sha256:" + "1" * 64
ORIGIN = Origin({"spec": "tiny.vfx", "cluster": "laptop"}, {"tool": "0"})
PLAN = Plan(attack_slice=2, prove_slice=2)


class Killed(BaseException):
    """As sudden as a kill for whoever writes."""


class DyingPool(InProcessPool):
    """The driver dies while it waits for the event of this number."""

    def __init__(self, engine, after):
        super().__init__(engine)
        self.after = after

    def next(self, timeout):
        self.after -= 1
        if self.after < 0:
            raise Killed
        return super().next(timeout)


def run(path: Path, engine: FakeEngine, asked=None, after: int | None = None, ledger: Ledger | None = None):
    asked = asked or problem(placements=6)
    ledger = ledger or (Ledger.open(path) if path.exists() else Ledger.create(path, ORIGIN))
    pool = InProcessPool(engine) if after is None else DyingPool(engine, after)
    with ledger:
        ledger.begin(asked, DATA)
        answers = drive(asked, pool, PLAN, ledger, ledger)
        ledger.end(asked)
        return answers


def evidence(path: Path, out: Path) -> bytes:
    with Ledger.open(path) as ledger:
        write_evidence(out, ledger.sections())
    assert len(list(read_evidence(out))) == 14
    return out.read_bytes()


def answers_of(answers):
    return [(o.question, o.verdict, o.reason, o.found, o.proved, o.stage, o.boxes) for o in answers.outcomes]


@pytest.mark.parametrize("after", range(10))
def test_a_run_goes_on_from_wherever_its_driver_was_killed(tmp_path, after):
    """Three attack slices, three proof slices: nothing closed is done again, and the evidence is the same."""
    whole, cut = tmp_path / "whole.sqlite", tmp_path / "cut.sqlite"
    expected = run(whole, FakeEngine())
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    try:
        run(cut, FakeEngine(folder=tmp_path / "first"), after=after)
    except Killed:
        assert after < 9
    again = run(cut, FakeEngine(folder=tmp_path / "second"))
    assert answers_of(again) == answers_of(expected)
    assert evidence(whole, tmp_path / "a.jsonl") == evidence(cut, tmp_path / "b.jsonl")
    for kind in ("attack", "prove"):
        before, later = marks(tmp_path / "first", kind), marks(tmp_path / "second", kind)
        assert len(set(before) & set(later)) <= 2  # the slice that was in flight
        assert sorted({*before, *later}) == list(range(6))


def test_what_was_left_for_time_is_tried_again_and_what_was_closed_is_not(tmp_path):
    path = tmp_path / "ledger.sqlite"
    (tmp_path / "again").mkdir()
    first = run(path, FakeEngine(proofs={3: "time", 4: "unsupported"}))
    assert [o.reason for o in first.outcomes].count(Reason.TIME) == 2
    second = run(path, FakeEngine(folder=tmp_path / "again"))
    assert marks(tmp_path / "again", "attack") == []
    assert marks(tmp_path / "again", "prove") == [2, 3]
    reasons = [o.reason for o in second.outcomes]
    assert (reasons.count(Reason.TIME), reasons.count(Reason.UNSUPPORTED)) == (0, 4)


def test_a_counterexample_stays_one(tmp_path):
    path = tmp_path / "ledger.sqlite"
    first = run(path, FakeEngine(attacks={1: "find"}))
    second = run(path, FakeEngine(attacks={0: "crash"}, proofs={0: "crash"}))
    assert answers_of(first) == answers_of(second)
    assert second.outcomes[2].verdict is Verdict.FALSIFIED
    assert second.outcomes[2].witness is not None


def test_another_problem_is_refused(tmp_path):
    path = tmp_path / "ledger.sqlite"
    run(path, FakeEngine())
    with pytest.raises(UsageError) as caught:
        run(path, FakeEngine(), asked=problem(placements=5))
    assert caught.value.code == "VF4422"


def held(path: Path) -> sqlite3.Connection:
    """A lock of somebody else, who may let go from another thread."""
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    database.execute("BEGIN IMMEDIATE")
    return database


def test_a_lock_that_goes_away_is_waited_for(tmp_path):
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger.create(path, ORIGIN)
    with closing(held(path)) as other:
        ending = threading.Timer(2.5, other.rollback)
        ending.start()
        answers = run(path, FakeEngine(), ledger=ledger)
        ending.join()
    assert {o.verdict for o in answers.outcomes} == {Verdict.CERTIFIED}


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("after", [0, 2, 4])
def test_a_lock_that_stays_stops_the_run_and_it_goes_on_later(tmp_path, after, shared):
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger.create(path, ORIGIN, timing=Timing(patience=0.2), shared=shared)
    locks = []

    class Locking(FakeEngine):
        def prove(self, problem, slice):
            if after in slice.placements:
                locks.append(held(path))
            yield from super().prove(problem, slice)

    with ledger:
        ledger.begin(problem(), DATA)
        with pytest.raises(TryAgainError) as caught:
            drive(problem(), InProcessPool(Locking()), PLAN, ledger, ledger)
        locks[0].close()
    assert (caught.value.code, caught.value.exit_code) == ("VF4427", 75)
    (tmp_path / "again").mkdir()
    assert {o.verdict for o in run(path, FakeEngine(folder=tmp_path / "again")).outcomes} == {Verdict.CERTIFIED}
    assert marks(tmp_path / "again", "attack") == []
    assert marks(tmp_path / "again", "prove") == list(range(after, 6))


def test_a_full_disk_is_said_and_what_was_kept_can_be_taken_up(tmp_path):
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger.create(path, ORIGIN)
    (pages,) = ledger.rows("PRAGMA page_count")[0]
    ledger.rows(f"PRAGMA max_page_count = {pages + 1}")
    with pytest.raises(UsageError) as caught:
        run(path, FakeEngine(), asked=problem(placements=300), ledger=ledger)
    assert caught.value.code == "VF4406"
    assert "full" in str(caught.value)
    assert {o.verdict for o in run(path, FakeEngine(), asked=problem(placements=300)).outcomes} == {Verdict.CERTIFIED}


def taken_up(path: Path) -> None:
    with Ledger.open(path) as ledger:
        assert ledger.origin
    run(path, FakeEngine())


def spoilt(path: Path, *statements: str) -> None:
    database = sqlite3.connect(path)
    for statement in statements:
        database.execute(statement)
    database.commit()
    database.close()


@pytest.mark.parametrize(
    "statement",
    [
        "PRAGMA user_version = 4",
        "PRAGMA application_id = 7",
        "CREATE TABLE more (x)",
        "CREATE TRIGGER t AFTER INSERT ON attack BEGIN DELETE FROM outcome; END",
        "DROP TABLE attack",
        "UPDATE header SET value = '[' WHERE key = 'request'",
        "UPDATE header SET value = '[]'",
        "DELETE FROM writer",
        "UPDATE writer SET token = 'much'",
        "UPDATE writer SET token = 9223372036854775807",
        "UPDATE outcome SET record = '{}'",
        "UPDATE outcome SET record = X'00'",
        "UPDATE outcome SET record = zeroblob(17000000) WHERE place = 0",
        'UPDATE attack SET record = \'{"attacked":[{"q":[99,0,0,2],"found":0}]}\'',
        'UPDATE attack SET record = \'{"attacked":[{"q":[0,0,0,2],"found":0,"more":1}]}\'',
    ],
)
def test_a_hostile_ledger_is_refused_with_a_code(tmp_path, statement):
    path = tmp_path / "ledger.sqlite"
    run(path, FakeEngine())
    spoilt(path, statement)
    with pytest.raises(UsageError) as caught:
        taken_up(path)
    assert caught.value.code == "VF4420"


@pytest.mark.parametrize("content", [b"", b"not a database, but long enough to look at it for a while" * 40])
def test_a_file_that_is_no_ledger_is_neither_read_nor_replaced(tmp_path, content):
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(content)
    for use in (Ledger.open, Ledger.watch, lambda p: Ledger.create(p, ORIGIN)):
        with pytest.raises(UsageError) as caught:
            use(path)
        assert caught.value.code == "VF4420"
    assert path.read_bytes() == content


def test_the_tables_are_those_that_readers_expect():
    assert TABLES.count("CREATE TABLE") == 8


def test_where_a_run_stands(tmp_path):
    path = tmp_path / "ledger.sqlite"

    class NearMiss(FakeEngine):
        def attack(self, problem, slice):
            found = super().attack(problem, slice)
            return [a._replace(strongest=Strongest(1)) if a.question.placement == 4 else a for a in found]

    with pytest.raises(Killed):
        run(path, NearMiss(), after=3)
    found = run_status(path)
    (only,) = found.properties
    assert (only.answered, only.questions, only.attacked, only.placements, only.ended) == (0, 12, 6, 6, False)
    assert only.worst is not None
    assert (only.worst.placement, float(only.worst.found)) == ("row 4, column 0", 0.25)
    run(path, NearMiss())
    (only,) = run_status(path).properties
    assert (only.counts, only.worst, only.ended) == ({"certified": 12}, None, True)
