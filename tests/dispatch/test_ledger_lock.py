"""Who may write a ledger: one process at a time, wherever the others run, and nobody who has lost it."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from dispatch_fakes import FakeEngine, problem

from verifluxa.dispatch.driver import Plan, drive
from verifluxa.dispatch.ledger import Ledger, Origin
from verifluxa.dispatch.ledger_file import is_shared
from verifluxa.dispatch.ledger_lock import Timing
from verifluxa.dispatch.processes import InProcessPool
from verifluxa.dispatch.status import run_status, status_words
from verifluxa.errors import UsageError

DATA = "sha256:" + "1" * 64
ORIGIN = Origin({"spec": "tiny.vfx", "cluster": "laptop"}, {"tool": "0"})
QUICK = Timing(patience=20.0, beat=0.2, silence=2.0)
HOLDER = """
import sys, time
from pathlib import Path
from verifluxa.dispatch.ledger import Ledger, Origin
from verifluxa.dispatch.ledger_lock import Timing
path, shared = Path(sys.argv[1]), sys.argv[2] == "shared"
timing = Timing(patience=20.0, beat=0.2, silence=2.0)
print("opened", flush=True)
sys.stdin.readline()
try:
    ledger = Ledger.open(path, timing=timing, shared=shared)
except Exception as error:
    print("refused", getattr(error, "code", repr(error)), flush=True)
else:
    print("holds", flush=True)
    sys.stdin.readline()
    try:
        ledger.end(None)
        print("written", flush=True)
    except Exception as error:
        print("stopped", getattr(error, "code", repr(error)), flush=True)
    ledger.close()
"""
ELSEWHERE = (
    "unshare",
    *("--map-root-user", "--uts"),
    *(sys.executable, "-c"),
    "import os, socket, sys; socket.sethostname('elsewhere'); os.execv(sys.executable, sys.argv[1:])",
)


def has_namespaces() -> bool:
    try:
        return subprocess.run([*ELSEWHERE, sys.executable, "-c", ""], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


needs_namespaces = pytest.mark.skipif(not has_namespaces(), reason="this system lends no host name (unshare)")


class Other:
    """Another process that opens a ledger when it is told to."""

    def __init__(self, path: Path, elsewhere: bool = False, shared: bool = False) -> None:
        start = ELSEWHERE if elsewhere else ()
        command = [*start, sys.executable, "-c", HOLDER, str(path), "shared" if shared else "alone"]
        root = str(Path(__file__).resolve().parents[2])
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": root}
        )
        assert self.says() == "opened"

    def go(self) -> None:
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def says(self) -> str:
        return self.process.stdout.readline().strip()

    def opens(self) -> str:
        self.go()
        return self.says()


@contextmanager
def others(path: Path, count: int = 1, **how):
    found = [Other(path, **how) for _ in range(count)]
    try:
        yield found
    finally:
        for one in found:
            one.process.kill()
            one.process.communicate()


@pytest.fixture
def path(tmp_path) -> Path:
    """Of a ledger that nobody holds."""
    found = tmp_path / "ledger.sqlite"
    Ledger.create(found, ORIGIN).close()
    return found


def refused(act) -> str:
    with pytest.raises(UsageError) as caught:
        act().close()
    return caught.value.code


def test_a_second_writer_is_refused_and_a_reader_is_welcome(path):
    with others(path) as (other,):
        assert other.opens() == "holds"
        assert refused(lambda: Ledger.open(path)) == "VF4421"
        assert refused(lambda: Ledger.open(path, take_over=True)) == "VF4421", "it can be seen to run"
        assert refused(lambda: Ledger.create(path, ORIGIN, force=True)) == "VF4421"
        with Ledger.watch(path) as ledger:
            assert ledger.origin == ORIGIN


def test_a_running_ledger_shows_as_running(path):
    with Ledger.open(path) as ledger:
        ledger.begin(problem(), DATA)
        assert next(iter(status_words(run_status(path)))).startswith("tiny.vfx: running")
        assert refused(lambda: Ledger.open(path)) == "VF4421", "nor twice in one process"
    Ledger.open(path).close()


def test_of_those_who_come_at_once_after_a_dead_writer_one_gets_it(path):
    with others(path) as (dead,):
        assert dead.opens() == "holds"
        dead.process.send_signal(signal.SIGKILL)
        with others(path, 5) as all_at_once:
            for one in all_at_once:
                one.go()
            assert sorted(one.says() for one in all_at_once) == ["holds", *["refused VF4421"] * 4]


def test_of_those_who_create_at_once_one_gets_it(tmp_path):
    path = tmp_path / "ledger.sqlite"
    gate, said = threading.Barrier(6), []

    def create() -> None:
        gate.wait()
        try:
            said.append(Ledger.create(path, ORIGIN))
        except UsageError as error:
            said.append(error.code)

    threads = [threading.Thread(target=create) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (held,) = (one for one in said if isinstance(one, Ledger))
    assert sorted(one for one in said if one is not held) == ["VF4421"] * 5
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT count(*) FROM header").fetchone() == (2,)
    assert [name for name in os.listdir(tmp_path) if not name.startswith("ledger.sqlite")] == []


@needs_namespaces
@pytest.mark.parametrize("shared", [False, True], ids=["WAL", "rollback journal"])
def test_a_live_writer_on_another_host_keeps_it_until_it_is_taken_over_and_then_stops(path, shared):
    with others(path, elsewhere=True, shared=shared) as (other,):
        assert other.opens() == "holds"
        assert refused(lambda: Ledger.open(path, timing=QUICK, shared=shared)) == "VF4421"
        with Ledger.open(path, take_over=True, timing=QUICK, shared=shared) as ledger:
            assert other.opens() == "stopped VF4426"
            ledger.begin(problem(), DATA)
            (mode,) = ledger.rows("PRAGMA journal_mode")
            assert mode == ("delete" if shared else "wal",)
            assert ledger.is_ours


@needs_namespaces
def test_a_dead_writer_on_another_host_is_taken_for_dead_when_it_is_silent(path):
    with others(path, elsewhere=True) as (other,):
        assert other.opens() == "holds"
        other.process.send_signal(signal.SIGSTOP)
        before = time.monotonic()
        with Ledger.open(path, timing=QUICK):
            assert time.monotonic() - before >= QUICK.silence
            other.process.send_signal(signal.SIGCONT)
            assert other.opens() == "stopped VF4426"


@needs_namespaces
def test_a_writer_on_another_host_that_has_let_go_keeps_nobody_waiting(path):
    with others(path, elsewhere=True) as (other,):
        assert other.opens() == "holds"
        other.go()
        other.process.wait()
    patient = Timing(silence=3600.0)
    Ledger.open(path, timing=patient).close()


@pytest.mark.parametrize(
    ("folder", "shared"),
    [("/data", True), ("/data/local", False), ("/my runs", True), ("/home", False), ("/database", False), ("/x", True)],
)
def test_where_other_machines_may_open_it_is_told_by_the_kind_of_the_file_system(tmp_path, folder, shared):
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/a / ext4 rw 0 0\nserver:/a /data nfs4 rw 0 0\n/dev/b /data/local xfs rw 0 0\n"
        "//server/b /my\\040runs cifs rw 0 0\n/dev/c /x xfs rw 0 0\ns /x fuse.sshfs rw 0 0\n\n"
    )
    assert is_shared(Path(folder) / "run" / "ledger.sqlite", mounts) == shared
    assert not is_shared(Path(folder), tmp_path / "nothing")


def stolen(path: Path) -> None:
    """As another writer takes it."""
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE writer SET token = token + 1, host = 'elsewhere'")


def test_no_write_of_a_run_that_lost_its_ledger_gets_through(path):
    with Ledger.open(path) as ledger:
        ledger.begin(problem(), DATA)
        stolen(path)
        before = sorted(sqlite_dump(path))
        plan = Plan(attack_slice=2, prove_slice=2)
        with pytest.raises(UsageError) as caught:
            drive(problem(), InProcessPool(FakeEngine()), plan, ledger, ledger)
        assert caught.value.code == "VF4426"
        for write in (
            lambda: ledger.begin(problem(), DATA),
            lambda: ledger.end(problem()),
            ledger.remove,
            lambda: ledger.finishing().__enter__(),
        ):
            with pytest.raises(UsageError) as caught:
                write()
            assert caught.value.code == "VF4426"
        assert not ledger.is_ours
    assert sorted(sqlite_dump(path)) == before, "nor does it let go of what is not its own"


def sqlite_dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as database:
        return list(database.iterdump())
