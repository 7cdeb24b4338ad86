"""Ctrl-C and SIGTERM: a valid document with what was proved, unknown(interrupted) for the rest, exit code 3."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from verifluxa.dispatch.status import run_status, status_words

HERE = Path(__file__).resolve().parent
PATIENCE = 100
ONE_SLICE_A_PLACE = 'schema = 1\nkind = "{kind}"\nprove_slice = 1\n'


def cluster_file(here: Path, kind: str) -> str:
    path = here / f"{kind}.toml"
    path.write_text(ONE_SLICE_A_PLACE.format(kind=kind) + ("workers = 2\n" if kind == "processes" else ""))
    return str(path)


def interrupted(spec: Path, here: Path, kind: str, stop, *flags: str) -> tuple[int, str, str]:
    """Starts a run in a process group of its own, waits until it works, stops it."""
    mark = here / "mark"
    command = [sys.executable, str(HERE / "slow_run.py"), str(spec), cluster_file(here, kind), str(mark), "out", *flags]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        waited = 0
        while not mark.exists() and process.poll() is None and waited < PATIENCE * 10:
            time.sleep(0.1)
            waited += 1
        time.sleep(0.5)
        stop(process.pid)
        out, err = process.communicate(timeout=PATIENCE)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return process.returncode, out, err


def to_all(number: int):
    """As a terminal does it: to the whole process group."""
    return lambda pid: os.killpg(pid, number)


def to_one(number: int):
    """As a cluster manager does it: to the main process."""
    return lambda pid: os.kill(pid, number)


@pytest.mark.parametrize(
    ("kind", "stop", "flags"),
    [
        ("in-process", to_all(signal.SIGINT), []),
        ("processes", to_all(signal.SIGINT), []),
        ("in-process", to_one(signal.SIGTERM), ["--job-exit"]),
    ],
    ids=["Ctrl-C in-process", "Ctrl-C processes", "SIGTERM of a job, whose verdict is then not final"],
)
def test_what_was_proved_stays_proved(small, here, kind, stop, flags):
    code, out, err = interrupted(small, here, kind, stop, *flags)
    assert code == 3, err
    document = json.loads(out)
    first, second = document["properties"]
    assert document["verdict"] == "unknown"
    assert first["reason"] == "interrupted"
    assert first["questions"] == {"total": 4, "certified": 2, "falsified": 0, "unknown": 2, "skipped": 0}
    assert {item["reason"] for item in first["unknown"]} == {"interrupted"}
    assert second["questions"]["unknown"] == second["questions"]["total"] > 0
    assert json.loads(Path("out/result.json").read_text()) == document
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "certificate.json",
        "evidence.jsonl.gz",
        "ledger.sqlite",
        "result.json",
    ]
    assert "stopping; once more ends at once" in err
    assert "Traceback" not in err
    assert next(iter(status_words(run_status(Path("out/ledger.sqlite"))))).split(": ")[1].startswith("interrupted")
