"""The solver's process: answers, limits, death, and that nothing of it is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.smt.queries import HARD
from verifluxa.question import Domain
from verifluxa.smt.decide import WORKER, Sat, Solver, Unknown, Unsat
from verifluxa.smt.query import Query, axes_of
from verifluxa.verdict import Reason

LONG = 600.0
DOMAIN = Domain(np.array([2.0]), np.array([5.0]), np.array([0.5]))
SIMPLE = Query("(declare-const t0 Int)(assert (<= 0 t0 6))\n", axes_of(DOMAIN))


def simple(condition: str) -> Query:
    """A query about one grid coordinate 2, 2.5, .. 5."""
    return Query(f"{SIMPLE.text}(assert {condition})", SIMPLE.axes)


@pytest.fixture
def solver() -> Iterator[Solver]:
    with Solver(500) as made:
        yield made


def pid(solver: Solver) -> int:
    """The process that the solver works in now."""
    assert solver._process is not None
    return solver._process._process.pid


def is_gone(number: int) -> bool:
    """Whether a process has ended and was waited for."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    return False


def test_one_process_answers_query_after_query(solver: Solver) -> None:
    assert solver.decide(simple("(> t0 6)"), LONG) == Unsat()
    first = pid(solver)
    assert solver.decide(simple("(> t0 5)"), LONG) == Sat((Fraction(5),))
    assert solver.decide(simple("(= (* 2 t0) 2)"), LONG) == Sat((Fraction(5, 2),))
    assert pid(solver) == first


def test_no_time_is_no_question(solver: Solver) -> None:
    for seconds in (0.0, -1.0):
        assert solver.decide(SIMPLE, seconds) == Unknown(Reason.TIME)
    assert solver._process is None


def test_the_solver_stops_at_its_own_limit_and_goes_on(solver: Solver) -> None:
    answer = solver.decide(Query(HARD, ()), 0.3)
    assert isinstance(answer, Unknown)
    assert answer.reason is Reason.TIME
    assert solver.decide(SIMPLE, LONG) == Sat((Fraction(2),))


def test_memory_is_limited_and_given_back() -> None:
    with Solver(100) as small:
        answer = small.decide(Query(HARD, ()), LONG)
        assert isinstance(answer, Unknown)
        assert answer.reason is Reason.MEMORY
        assert small.decide(SIMPLE, LONG) == Sat((Fraction(2),))


DEAF = """import runpy, time
from pathlib import Path
mark = Path({mark!r})
if mark.exists():
    runpy.run_path({worker!r}, run_name="__main__")
mark.touch()
time.sleep(600)
"""
"""A worker that is deaf to its limit, but for the second time that it is started."""


def test_a_process_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    deaf, mark = tmp_path / "deaf.py", tmp_path / "started"
    deaf.write_text(DEAF.format(mark=str(mark), worker=str(WORKER)), encoding="utf-8")
    with Solver(500, deaf, 0.1) as solver:
        while not mark.exists():  # however long a process takes to start on a busy machine
            assert solver.decide(SIMPLE, 0.5) == Unknown(Reason.TIME, "killed at the limit")
            assert solver._process is None
        assert solver.decide(SIMPLE, LONG) == Sat((Fraction(2),))


def test_a_process_that_dies_at_work_is_told_and_replaced(solver: Solver) -> None:
    solver.decide(SIMPLE, LONG)
    first = pid(solver)
    killer = threading.Timer(0.2, os.kill, (first, signal.SIGKILL))
    killer.start()
    answer = solver.decide(Query(HARD, ()), LONG)
    killer.join()
    assert isinstance(answer, Unknown)
    assert answer.reason is Reason.LOST_WORKER
    assert is_gone(first)
    assert solver.decide(SIMPLE, LONG) == Sat((Fraction(2),))
    assert pid(solver) != first


def test_a_process_that_died_between_two_queries_is_told(solver: Solver) -> None:
    solver.decide(SIMPLE, LONG)
    os.kill(pid(solver), signal.SIGKILL)
    answers = [solver.decide(SIMPLE, LONG) for _ in range(2)]
    assert isinstance(answers[0], Unknown)
    assert answers[0].reason is Reason.LOST_WORKER
    assert answers[1] == Sat((Fraction(2),))


def test_a_worker_that_cannot_start_is_no_verdict(tmp_path: Path) -> None:
    with Solver(500, tmp_path / "nowhere.py") as solver:
        answer = solver.decide(SIMPLE, LONG)
    assert isinstance(answer, Unknown)
    assert answer.reason is Reason.LOST_WORKER


def test_nothing_is_left_when_the_block_is_left() -> None:
    with pytest.raises(KeyboardInterrupt), Solver(500) as solver:  # noqa: PT012 - the process must have been started
        solver.decide(SIMPLE, LONG)
        number = pid(solver)
        raise KeyboardInterrupt
    assert is_gone(number)


@pytest.mark.parametrize("text", ["(assert (> nobody 0))", "(assert", "(declare-const x Real)(assert x)"])
def test_text_that_is_no_query_is_a_mistake_and_no_answer(solver: Solver, text: str) -> None:
    with pytest.raises(ValueError, match="does not understand"):
        solver.decide(Query(text, ()), LONG)


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("timeout", Reason.TIME),
        ("canceled", Reason.TIME),
        ("max. memory exceeded", Reason.MEMORY),
        ("(incomplete quantifiers)", Reason.STRATEGY),
        ("", Reason.STRATEGY),
    ],
)
def test_unknown_keeps_the_word_of_the_solver(tmp_path: Path, word: str, reason: Reason) -> None:
    """A worker that gives up at once."""
    reply = json.dumps({"answer": "unknown", "reason": word})
    script = f"import sys\nfor line in sys.stdin:\n    print({reply!r}, flush=True)\n"
    (tmp_path / "idle.py").write_text(script, encoding="utf-8")
    with Solver(500, tmp_path / "idle.py") as solver:
        assert solver.decide(SIMPLE, LONG) == Unknown(reason, word)


def test_a_worker_ends_when_nobody_listens_any_more() -> None:
    """Its caller was killed: the pipe closes while the solver works."""
    command = [sys.executable, "-P", str(WORKER), "500"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps({"text": HARD, "names": [], "milliseconds": 600_000}) + "\n")
        process.stdin.flush()
        time.sleep(0.5)
        assert process.poll() is None
        process.stdin.close()
        assert process.wait(timeout=60) == 0


def test_ctrl_c_is_left_to_the_caller(solver: Solver) -> None:
    solver.decide(SIMPLE, LONG)
    os.kill(pid(solver), signal.SIGINT)
    assert solver.decide(simple("(> t0 5)"), LONG) == Sat((Fraction(5),))
