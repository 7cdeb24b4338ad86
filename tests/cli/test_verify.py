"""`verify`: verdicts, formats, exit codes, the folder; on the digit example cut down to a moment's work."""

import io
import json
import sqlite3
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from PIL import Image

from verifluxa.cli.verify_command import Presentation, execute
from verifluxa.dispatch.driver import EngineCrash
from verifluxa.dispatch.ledger_file import locked
from verifluxa.errors import TryAgainError, UsageError
from verifluxa.inputs import Choice
from verifluxa.verify import Request

ONLY_UNIVERSAL = ("--property", "universal")


@pytest.fixture
def badnets() -> tuple[str, str]:
    return ("--model", "digits=digits/badnets.jld2")


def test_a_clean_model_is_certified(verifluxa, small):
    ran = verifluxa("verify", small, *ONLY_UNIVERSAL)
    assert ran.code == 0
    assert ran.out.startswith("CERTIFIED  digits/small.vfx\n")
    assert "4 of 4 questions certified" in ran.out
    assert ran.err == ""


def test_a_backdoored_model_is_falsified_at_the_planted_place(verifluxa, small, badnets):
    ran = verifluxa("verify", small, *ONLY_UNIVERSAL, *badnets, "--format", "json")
    result = json.loads(ran.out)
    entry = result["properties"][0]
    found = entry["counterexample"]
    assert ran.code == 1
    assert "FALSIFIED" in ran.err
    assert result["schema"] == "verifluxa/result/1"
    assert result["verdict"] == entry["verdict"] == "falsified"
    assert found["placement"] == {"row": 24, "column": 24}
    assert found["target"] == 7
    assert found["rate"] == "8/8"
    assert found["holds_in"] == "every order"
    assert sum(entry["questions"][key] for key in ("certified", "falsified", "unknown")) == entry["questions"]["total"]
    assert result["models"][0]["path"] == "digits/badnets.jld2"
    assert result["data"][0]["excluded"] == [{"index": n, "reason": "not correct"} for n in (2, 8)]


def test_an_attack_proves_nothing(verifluxa, small):
    ran = verifluxa("verify", small, *ONLY_UNIVERSAL, "--strategy", "attack-only", "--format", "json")
    assert ran.code == 3
    assert json.loads(ran.out)["properties"][0]["reason"] == "strategy"


def test_each_input_has_its_verdict(verifluxa, small):
    ran = verifluxa("verify", small, "--property", "each", "--format", "json")
    entry = json.loads(ran.out)["properties"][0]
    verdicts = {item["index"]: item["verdict"] for item in entry["per_input"]}
    assert ran.code == 1
    assert verdicts[2] == "falsified"
    assert set(verdicts.values()) == {"falsified", "certified"}
    assert entry["counterexample"]["inputs"] == [2]
    assert entry["bound"] is None
    assert entry["population"]["confidence"] == "0.95"


def test_a_param_changes_the_question(verifluxa, small):
    results = []
    for rate in ("99%", "1/4"):
        ran = verifluxa("verify", small, *ONLY_UNIVERSAL, "--set", f"max_rate={rate}", "--format", "json")
        results.append(json.loads(ran.out))
        assert ran.code == 0
    assert [result["params"] for result in results] == [{"max_rate": "99/100"}, {"max_rate": "1/4"}]
    assert results[0]["properties"][0]["digest"] != results[1]["properties"][0]["digest"]


def test_jsonl_has_a_line_for_each_property(verifluxa, small):
    ran = verifluxa("verify", small, "--format", "jsonl")
    records = [json.loads(line) for line in ran.out.splitlines()]
    assert [record["record"] for record in records] == ["run", "property", "property", "verdict"]
    assert records[-1]["verdict"] == "falsified"


def test_junit_never_passes_what_is_not_certified(verifluxa, small):
    suite = ElementTree.fromstring(verifluxa("verify", small, "--format", "junit").out).find("testsuite")
    cases = {case.get("name"): [child.tag for child in case] for case in suite}
    assert cases == {"universal": [], "each": ["failure"]}
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("2", "1", "0")
    ran = verifluxa("verify", small, *ONLY_UNIVERSAL, "--strategy", "attack-only", "--format", "junit")
    assert [child.tag for child in ElementTree.fromstring(ran.out).iter() if child.tag == "error"] == ["error"]


def test_sarif_points_at_the_property_in_the_spec(verifluxa, small):
    results = json.loads(verifluxa("verify", small, "--format", "sarif").out)["runs"][0]["results"]
    assert [(item["kind"], item["level"]) for item in results] == [("pass", "none"), ("fail", "error")]
    region = results[1]["locations"][0]["physicalLocation"]["region"]
    assert small.read_text().splitlines()[region["startLine"] - 1].startswith("property each")


def test_the_folder_holds_everything(verifluxa, small, badnets):
    out = Path("deep/out")
    ran = verifluxa("verify", small, *ONLY_UNIVERSAL, *badnets, "--out", out)
    assert ran.code == 1
    names = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    assert names == [
        "certificate.json",
        "evidence.jsonl.gz",
        "ledger.sqlite",
        "pictures/universal-inputs.png",
        "pictures/universal-trigger.png",
        "result.json",
    ]
    assert Image.open(io.BytesIO((out / "pictures" / "universal-inputs.png").read_bytes())).format == "PNG"
    assert json.loads((out / "certificate.json").read_text())["predicate"]["verdict"] == "falsified"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_finished_result_is_replaced_only_by_force(verifluxa, small, badnets):
    assert verifluxa("verify", small, *ONLY_UNIVERSAL, "--out", "out").code == 0
    before = contents(Path("out"))
    ran = verifluxa("verify", small, *ONLY_UNIVERSAL, *badnets, "--out", "out")
    assert (ran.code, ran.out) == (2, "")
    assert "error[VF4428]: the result of another run lies here" in ran.err
    assert "out/result.json" in ran.err
    assert "--force" in ran.err
    assert contents(Path("out")) == before
    Path("out/result.json").unlink()
    Path("out/ledger.sqlite").unlink()
    ran = verifluxa("verify", small, *ONLY_UNIVERSAL, *badnets, "--out", "out")
    assert (ran.code, "out/certificate.json" in ran.err) == (2, True)


def test_in_python_as_well(verifluxa, small):
    from verifluxa import certify
    from verifluxa.errors import UsageError

    assert certify(small, "out", properties=("universal",)).verdict == "certified"
    with pytest.raises(UsageError) as caught:
        certify(small, "out", properties=("universal",))
    assert caught.value.code == "VF4428"
    assert certify(small, "out", properties=("universal",), force=True).verdict == "certified"


def test_a_later_run_leaves_nothing_that_speaks_of_an_earlier_one(verifluxa, small, badnets):
    verifluxa("verify", small, *ONLY_UNIVERSAL, *badnets, "--out", "out")
    assert verifluxa("report", "out/result.json").code == 0
    for name in ("certificate.dsse.json", "certificate.svr.dsse.json", "comparison.html"):
        Path("out", name).write_text("of the earlier run")
    Path("out/notes.txt").write_text("mine")
    assert verifluxa("verify", small, *ONLY_UNIVERSAL, "--out", "out", "--force").code == 0
    assert Path("out/notes.txt").read_text() == "mine"
    Path("out/notes.txt").unlink()
    assert sorted(path.name for path in Path("out").iterdir()) == [
        "certificate.json",
        "evidence.jsonl.gz",
        "ledger.sqlite",
        "result.json",
    ]


def test_job_exit_is_0_on_any_final_verdict(verifluxa, small, badnets):
    assert verifluxa("verify", small, *ONLY_UNIVERSAL, *badnets, "--job-exit").code == 0
    assert verifluxa("verify", small, *ONLY_UNIVERSAL, "--strategy", "attack-only", "--job-exit").code == 0
    assert verifluxa("verify", small, "--model", "digits=gone.jld2", "--job-exit").code == 4


def test_a_budget_that_is_used_up_gives_unknown_time(verifluxa, small):
    ran = verifluxa("verify", small, *ONLY_UNIVERSAL, "--budget", "0.000001s", "--format", "json")
    entry = json.loads(ran.out)["properties"][0]
    assert ran.code == 3
    assert entry["reason"] == "time"
    assert entry["bound"]["proved"] == "10/10"


def test_show_config_tells_where_each_value_came_from(verifluxa, small):
    ran = verifluxa("verify", small, "--show-config", "--seed", "3", "--budget", "5m")
    assert ran.code == 0
    lines = [line.split() for line in ran.out.splitlines()]
    assert ["seed", "3", "command", "line"] in lines
    assert ["budget", "300", "s", "command", "line"] in lines
    assert ["kind", "in-process", "cluster/laptop.toml"] in lines
    assert ["tries", "2", "default"] in lines


def test_one_process_per_core_gives_the_same_document(verifluxa, small):
    here = json.loads(verifluxa("verify", small, *ONLY_UNIVERSAL, "--format", "json").out)
    there = json.loads(verifluxa("verify", small, *ONLY_UNIVERSAL, "--cluster", "local", "--format", "json").out)
    for document in (here, there):
        document.pop("machine")
        for entry in document["properties"]:
            entry.pop("seconds")
            entry.pop("stages")
    assert here == there


class Broken:
    """Fails at the second piece of work."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.calls = 0

    def attack(self, problem, slice):
        return []

    def prove(self, problem, slice):
        self.calls += 1
        raise self.error


@pytest.mark.parametrize("existing", [False, True])
def test_a_run_that_fails_leaves_nothing_of_its_own(small, here, existing):
    if existing:
        Path("deep").mkdir()
        Path("deep/kept.txt").touch()
    with pytest.raises(EngineCrash, match="ZeroDivisionError"):
        execute(Request(str(small)), Presentation(out=Path("deep/out")), Broken(ZeroDivisionError("ours")))
    assert [path.name for path in here.glob("deep/**/*")] == (["kept.txt"] if existing else [])
    assert Path("deep").exists() == existing


def test_a_second_ctrl_c_keeps_what_was_proved(small, here, monkeypatch, capsys, verifluxa):
    def again(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("verifluxa.run_folder.certificate_of", again)
        with pytest.raises(KeyboardInterrupt):
            execute(Request(str(small), Choice(properties=("universal",))), Presentation(out=Path("out")))
    assert "verifluxa resume out" in capsys.readouterr().err
    assert sorted(path.name for path in Path("out").iterdir() if "sqlite-" not in path.name) == ["ledger.sqlite"]
    monkeypatch.setattr("verifluxa.dispatch.engine.StrategyEngine.prove", again)
    assert verifluxa("resume", "out").code == 0


def test_a_full_disk_while_proving_is_said_and_keeps_what_was_found(small, here, monkeypatch, capsys):
    def full(*_):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("verifluxa.dispatch.ledger.line_of", full)
    with pytest.raises(UsageError, match="disk is full") as caught:
        execute(Request(str(small)), Presentation(out=Path("out")))
    assert caught.value.code == "VF4406"
    assert "verifluxa resume out" in capsys.readouterr().err
    assert [path.name for path in Path("out").iterdir()] == ["ledger.sqlite"]


def test_a_ledger_that_stays_locked_is_kept_also_where_it_holds_nothing_yet(small, here, verifluxa, capsys):
    with pytest.raises(TryAgainError):
        execute(Request(str(small)), Presentation(out=Path("out")), Broken(locked(Path("out/ledger.sqlite"))))
    assert "verifluxa resume out" in capsys.readouterr().err
    assert [path.name for path in Path("out").iterdir()] == ["ledger.sqlite"]
    assert verifluxa("resume", "out").code == 1


def test_the_exit_code_says_try_again(verifluxa):
    def busy(*_, **__):
        raise locked(Path("out/ledger.sqlite"))

    ran = verifluxa("verify", build=lambda: busy)
    assert (ran.code, "VF4427" in ran.err, "verifluxa resume out" in ran.err) == (75, True, True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="the device is there")
def test_gpu_workers_without_a_gpu_are_refused_before_the_work(verifluxa, small):
    ran = verifluxa("verify", small, "--cluster", "gpu", "--out", "out")
    assert (ran.code, "VF4202" in ran.err, Path("out").exists()) == (2, True, False)
