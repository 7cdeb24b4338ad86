"""`--log-level`: lines on the standard error, also of worker processes; nothing else changes, nothing at import."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.cli.conftest import Ran
from tests.dispatch.dispatch_fakes import FakeEngine, problem
from verifluxa import logs
from verifluxa.dispatch.driver import Plan, drive
from verifluxa.dispatch.processes import ProcessPool

PLAIN = {name: value for name, value in os.environ.items() if name != logs.VARIABLE}


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Logging as it is before a command, afterwards too."""
    monkeypatch.setenv(logs.VARIABLE, "")
    monkeypatch.delenv(logs.VARIABLE)
    logger = logging.getLogger("verifluxa")
    yield
    logger.handlers.clear()
    logger.setLevel(logging.NOTSET)


def test_a_run_says_what_it_does(verifluxa: Callable[..., Ran], small: str) -> None:
    quiet = verifluxa("verify", small, "--property", "universal")
    told = verifluxa("--log-level", "info", "verify", small, "--property", "universal")
    assert (quiet.err, told.code) == ("", quiet.code)
    assert told.out.splitlines()[0] == quiet.out.splitlines()[0]
    for word in ("model digits", "data eval", "4 questions", "4 certified"):
        assert word in told.err
    assert "DEBUG" not in told.err


def test_another_level_is_refused(verifluxa: Callable[..., Ran]) -> None:
    ran = verifluxa("--log-level", "loud", "supports")
    assert ran.code == 2
    assert "'debug', 'info', 'warning', 'error'" in ran.err


def test_a_library_sets_nothing_up() -> None:
    look = "import logging, verifluxa.verify; print(logging.getLogger('verifluxa').handlers, logging.root.handlers)"
    ran = subprocess.run([sys.executable, "-c", look], env=PLAIN, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["[]", "[]"]


def test_workers_log_as_the_command_does(capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure("debug")
    pool = ProcessPool(FakeEngine(), 1)
    try:
        drive(problem(placements=2), pool, Plan(attack_slice=1, prove_slice=1))
    finally:
        pool.close()
    told = capfd.readouterr().err
    assert "SpawnProcess" in told
    assert "ended the proof of 1 placements" in told


def test_a_lost_worker_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    pool = ProcessPool(FakeEngine(proofs={1: "die"}), 1)
    try:
        drive(problem(placements=2), pool, Plan(attack_slice=2, prove_slice=1, tries=1))
    finally:
        pool.close()
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == ["a worker was lost with the proof of 1 placements from 1"]
