"""Many runs as one queue: one summary, one exit code; it goes on after a crash; old trees start a new proof."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from verifluxa.batch import BrokenJob, Job, load_batch, worst_code
from verifluxa.certificate.evidence_file import read_evidence
from verifluxa.certificate.evidence_lines import Record
from verifluxa.certificate.tree_codec import count_leaves
from verifluxa.dispatch.driver import EngineCrash
from verifluxa.dispatch.ledger import Ledger
from verifluxa.errors import CertificateError, DataError, TryAgainError, UsageError
from verifluxa.verify import Request

JOBS = """schema = 1
strategy = "balanced"
[[job]]
name = "clean"
spec = "digits/small.vfx"
properties = ["universal"]
[[job]]
name = "suspect"
spec = "digits/small.vfx"
models = { digits = "digits/badnets.jld2" }
set = { max_rate = "40 %" }
properties = ["universal"]
"""


@pytest.fixture
def jobs(small, here) -> Path:
    path = here / "jobs.toml"
    path.write_text(JOBS)
    return path


def test_one_queue_one_summary_one_exit_code(jobs, verifluxa):
    ran = verifluxa("batch", "jobs.toml", "--out", "nightly")
    assert ran.code == 1, ran.err
    lines = ran.out.splitlines()
    assert [line.split(" (")[0] for line in lines] == [
        "clean: certified",
        "suspect: falsified",
        "2 of 2 jobs: 1 certified, 1 falsified",
    ]
    for name, verdict in (("clean", "certified"), ("suspect", "falsified")):
        folder = Path("nightly") / name
        assert json.loads((folder / "result.json").read_text())["verdict"] == verdict
        assert {path.name for path in folder.iterdir()} >= {"certificate.json", "evidence.jsonl.gz", "ledger.sqlite"}
    assert verifluxa("batch", "jobs.toml", "--out", "nightly", "--job-exit").code == 0
    assert verifluxa("batch", "jobs.toml", "--out", "nightly", "--job", "clean").code == 0


def test_nothing_is_asked_again(jobs, verifluxa, monkeypatch):
    assert verifluxa("batch", "jobs.toml", "--out", "nightly").code == 1

    def asked(*_):
        raise AssertionError("asked again")

    monkeypatch.setattr("verifluxa.dispatch.engine.StrategyEngine.attack", asked)
    monkeypatch.setattr("verifluxa.dispatch.engine.StrategyEngine.prove", asked)
    assert verifluxa("batch", "jobs.toml", "--out", "nightly").code == 1


def test_a_changed_job_replaces_the_result_of_another_only_by_force(jobs, verifluxa):
    assert verifluxa("batch", "jobs.toml", "--out", "nightly", "--job", "suspect").code == 1
    jobs.write_text(JOBS.replace("40 %", "45 %"))
    ran = verifluxa("batch", "jobs.toml", "--out", "nightly")
    assert (ran.code, "job `suspect`:\nerror[VF4428]" in ran.err) == (2, True)
    assert ran.out.splitlines()[-2:] == ["1 of 2 jobs: 1 certified, 1 broken", "broken: suspect (VF4428)"]
    assert verifluxa("batch", "jobs.toml", "--out", "nightly", "--force").code == 1
    assert json.loads(Path("nightly/suspect/result.json").read_text())["params"]["max_rate"] == "9/20"


def test_every_mistake_shows_before_any_work(jobs, verifluxa):
    jobs.write_text(JOBS + '[[job]]\nname = "third"\nspec = "digits/missing.vfx"\n')


BROKEN = {
    "a model that is not there": (
        'spec = "digits/small.vfx"\nmodels = { digits = "digits/missing.jld2" }\n',
        "VF2001",
        4,
    ),
    "a property that is not there": ('spec = "digits/small.vfx"\nproperties = ["no"]\n', "VF4402", 2),
}


@pytest.mark.parametrize("which", BROKEN)
def test_a_broken_job_is_an_error_of_its_own(jobs, verifluxa, which):
    text, error, code = BROKEN[which]
    jobs.write_text(JOBS.replace("[[job]]", f'[[job]]\nname = "third"\n{text}[[job]]', 1))
    ran = verifluxa("batch", "jobs.toml", "--out", "nightly")
    assert ran.code == code, ran.err
    assert ran.err.startswith("job `third`:\nerror[VF")
    assert error in ran.err
    assert [line.split(" (")[0] for line in ran.out.splitlines()] == [
        "clean: certified",
        "suspect: falsified",
        "2 of 3 jobs: 1 certified, 1 falsified, 1 broken",
        "broken: third",
    ]
    assert verifluxa("batch", "jobs.toml", "--out", "nightly", "--job-exit").code == code
    assert sorted(path.name for path in Path("nightly").iterdir()) == ["clean", "suspect"]


def test_nothing_but_broken_jobs(jobs, verifluxa):
    jobs.write_text(JOBS.replace("small.vfx", "missing.vfx"))
    ran = verifluxa("batch", "jobs.toml", "--out", "nightly")
    assert (ran.code, Path("nightly").exists()) == (4, False)
    assert ran.out.splitlines()[0] == "0 of 2 jobs: 2 broken"


def test_a_job_that_fails_on_the_way_stops_no_other(jobs, verifluxa):
    """Its folder holds something else, which is not ours to replace."""
    Path("nightly/clean").mkdir(parents=True)
    Path("nightly/clean/ledger.sqlite").write_text("not a ledger")
    ran = verifluxa("batch", "jobs.toml", "--out", "nightly")
    assert ran.code == 2
    assert ran.err.startswith("job `clean`:\nerror[VF4420]")
    assert ran.out.splitlines()[-2:] == ["1 of 2 jobs: 1 falsified, 1 broken", "broken: clean (VF4420)"]


def test_what_is_worst_of_several_errors():
    def broken(error):
        return BrokenJob(Job("a", Request("b")), error)

    bad, wrong, busy = DataError("VF3001", "x"), UsageError("VF4401", "x"), TryAgainError("VF4427", "x")
    refused, ours = CertificateError("VF5001", "x"), EngineCrash("Traceback")
    assert worst_code(map(broken, [wrong, bad, busy])) == 4
    assert worst_code(map(broken, [busy, wrong])) == 2
    assert worst_code(map(broken, [busy])) == 75
    assert worst_code(map(broken, [refused])) == 4, "1 would say falsified"
    assert worst_code(map(broken, [bad, ours])) == 5


def test_the_work_of_a_stopped_job_is_not_thrown_away_when_its_inputs_have_changed(jobs, small, verifluxa):
    assert verifluxa("batch", "jobs.toml", "--out", "nightly", "--job", "clean").code == 0
    path = Path("nightly/clean/ledger.sqlite")
    with closing(sqlite3.connect(path)) as ledger, ledger:
        ledger.execute("DELETE FROM progress WHERE key = 'over'")  # as if it had been killed just before its end
    jobs.write_text(JOBS.replace('"universal"]', '"universal"]\nset = { max_rate = "45 %" }', 1))
    ran = verifluxa("batch", "jobs.toml", "--out", "nightly")
    assert ran.code == 2
    assert "job `clean`:\nerror[VF4422]: `params` are no longer" in ran.err
    assert ran.out.splitlines()[-1] == "broken: clean (VF4422)"
    with Ledger.watch(path) as ledger:
        assert ledger.has_stopped
    again = verifluxa("batch", "jobs.toml", "--out", "nightly", "--force")
    assert (again.code, again.err) == (1, "")


@pytest.mark.parametrize(
    "text",
    [
        "schema = ",
        "schema = 2\n",
        "schema = true\n[[job]]\n",
        "schema = 1\n",
        "schema = 1\njob = 3\n",
        "schema = 1\njob = [3]\n",
        'schema = 1\ncluster = 3\n[[job]]\nname = "a"\nspec = "b.vfx"\n',
        'schema = 1\nclutser = "local"\n[[job]]\nname = "a"\nspec = "b.vfx"\n',
        'schema = 1\n[[job]]\nname = "../a"\nspec = "b.vfx"\n',
        'schema = 1\n[[job]]\nname = "a"\n',
        'schema = 1\n[[job]]\nname = "a"\nspec = "b.vfx"\nmodel = {}\n',
        'schema = 1\n[[job]]\nname = "a"\nspec = "b.vfx"\nmodels = { m = 3 }\n',
        'schema = 1\n[[job]]\nname = "a"\nspec = "b.vfx"\nproperties = "p"\n',
        'schema = 1\n[[job]]\nname = "a"\nspec = "b.vfx"\nbudget = "5m"\n',
        'schema = 1\nseed = -1\n[[job]]\nname = "a"\nspec = "b.vfx"\n',
        'schema = 1\n[[job]]\nname = "a"\nspec = "b.vfx"\n[[job]]\nname = "a"\nspec = "c.vfx"\n',
    ],
)
def test_a_file_that_is_not_understood_is_refused(here, text, snapshot):
    (here / "jobs.toml").write_text(text)
    with pytest.raises(UsageError) as caught:
        load_batch(Path("jobs.toml"))
    assert str(caught.value) == snapshot


HARD = """schema = 1
name = "hard"
[[stage]]
kind = "bound"
method = "crown"
[[stage]]
kind = "branch"
boxes = 2000
clip_rounds = 0
strips = 1
"""


def trees(folder: str) -> dict[object, int]:
    items = read_evidence(Path(folder) / "evidence.jsonl.gz")
    return {item.question[:3]: count_leaves(item.tree) for item in items if isinstance(item, Record) and item.tree}


def test_an_old_proof_starts_a_new_one(jobs, small, verifluxa, here):
    """The retrained model is the same one here: its old trees close leaf by leaf, and no question is split anew."""
    (here / "hard.toml").write_text(HARD)
    text = small.read_text().replace("take = 12", "take = 60").replace("(24, 24), (0, 0)", "(12, 6), (0, 0)")
    small.write_text(text.replace("50 %", "5 %").replace("{5, 7}", "{3, 5}"))
    one = 'schema = 1\nstrategy = "hard.toml"\n[[job]]\nname = "{}"\nspec = "digits/small.vfx"\n'
    one += 'properties = ["universal"]\n'
    jobs.write_text(one.format("old"))
    first = verifluxa("batch", "jobs.toml", "--out", "runs")
    jobs.write_text(one.format("new") + 'warm = "runs/old"\n')
    second = verifluxa("batch", "jobs.toml", "--out", "runs")
    assert (second.code, second.err) == (first.code, "")
    old, new = trees("runs/old"), trees("runs/new")
    assert max(old.values()) > 20
    assert {key: leaves for key, leaves in new.items() if leaves > old[key]} == {}
    assert verifluxa("cert", "check", "runs/new/certificate.json").code in (0, 3)
