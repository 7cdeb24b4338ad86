"""A disk that is full, for real (a tmpfs of its own): nothing half-made is left, and what was found can be taken up."""

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SMALL_DISK = ("unshare", "--map-root-user", "--mount", "sh", "-c")
MOUNT = 'mount -t tmpfs -o size={size} none "$1" && shift && exec "$@"'
AT_CREATION = """
import os, sys
from pathlib import Path
from verifluxa.dispatch.ledger import Ledger, Origin
from verifluxa.errors import UsageError
folder = Path.cwd()
free = int(sys.argv[1])
filler = folder / "filler"
room = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
filler.write_bytes(b"x" * (room - free))
path = folder / "ledger.sqlite"
try:
    Ledger.create(path, Origin({"spec": "a.vfx"}, {})).close()
    print("made")
except UsageError as error:
    print(error.code)
    assert sorted(os.listdir(folder)) == ["filler"], os.listdir(folder)
filler.unlink()
with Ledger.create(path, Origin({"spec": "b.vfx"}, {})) as ledger:
    print(ledger.origin.request["spec"], os.listdir(folder) and "usable")
"""
COMMON = """
import os
from pathlib import Path
from dispatch_fakes import FakeEngine, marks, problem
from verifluxa.dispatch.driver import Plan, drive
from verifluxa.dispatch.ledger import Ledger, Origin
from verifluxa.dispatch.processes import InProcessPool
from verifluxa.errors import UsageError
folder = Path.cwd()
path, filler, asked = folder / "ledger.sqlite", folder / "filler", problem(placements=200)


def work(ledger, engine):
    ledger.begin(asked, "sha256:" + "1" * 64)
    answers = drive(asked, InProcessPool(engine), Plan(attack_slice=8, prove_slice=1), None, ledger)
    ledger.end(asked)
    return {str(outcome.verdict) for outcome in answers.outcomes}
"""
FILLS = """

class Filling(FakeEngine):
    def prove(self, problem, slice):
        if 100 in slice.placements:
            room = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
            filler.write_bytes(b"x" * room)
        yield from super().prove(problem, slice)


with Ledger.create(path, Origin({}, {})) as ledger:
    try:
        work(ledger, Filling())
    except UsageError as error:
        print(error.code, "full" in str(error), ledger.is_ours, ledger.holds_work())
filler.unlink()
"""
GOES_ON = """
made = folder / "marks"
made.mkdir()
with Ledger.open(path) as ledger:
    print(sorted(work(ledger, FakeEngine(folder=made))), marks(made, "attack"), marks(made, "prove")[0] >= 100)
"""
IN_TURN = "import subprocess, sys; [subprocess.run([sys.executable, '-c', text], check=True) for text in sys.argv[1:]]"
"""One process after the other, on the same disk."""


def on_a_disk_of(size: str, folder: Path, script: str, *arguments: str) -> list[str]:
    """What a script says whose current folder is a file system of this size."""
    inside = 'cd "$1" && shift && exec "$@"'
    command = [*SMALL_DISK, MOUNT.format(size=size), "sh", folder, "sh", "-c", inside, "sh", folder]
    paths = {"PYTHONPATH": f"{ROOT}:{HERE}", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False, env=paths
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def has_small_disks(folder: Path) -> bool:
    try:
        on_a_disk_of("64k", folder, "")
    except (AssertionError, FileNotFoundError):
        return False
    return True


@pytest.fixture
def disk(tmp_path) -> Path:
    if not has_small_disks(tmp_path):
        pytest.skip("this system lends no file system (unshare, tmpfs)")
    return tmp_path


@pytest.mark.parametrize("free", [0, 4096, 16384, 40960, 61440, 81920, 102400, 126976])
def test_at_creation_it_leaves_nothing_that_is_in_the_way(disk, free):
    first, second = on_a_disk_of("1m", disk, AT_CREATION, str(free))
    assert first in ("VF4406", "made")
    assert (first == "VF4406") or free > 40960
    assert second == "b.vfx usable"


def test_in_the_middle_it_stops_the_run_which_goes_on_later(disk):
    said = on_a_disk_of("4m", disk, IN_TURN, COMMON + FILLS, COMMON + GOES_ON)
    assert said == ["VF4406 True True True", "['certified'] [] True"]
