"""`verifluxa review` as people call it: words, JSON, SARIF, exit codes."""

import json
from pathlib import Path

import pytest

from verifluxa.cli.main import run

POISON = """using Flux
x[25:28, 25:28, chosen] .= 1f0
BSON.load("a.bson") # verifluxa: allow object-file: our own encoder, its digest is checked
"""


@pytest.fixture
def script(tmp_path, monkeypatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("train.jl").write_text(POISON)
    return "train.jl"


def test_words_give_place_reason_and_advice(script, capsys) -> None:
    assert run(["review", script]) == 1
    out = capsys.readouterr().out
    assert "train.jl:2:1: error[stamp]" in out
    assert "why: " in out
    assert "do: " in out
    assert "1 file, 3 lines of Julia: 1 error, 0 warnings, 0 notes, 1 allowed by comments" in out
    assert "does not mean" in out


def test_json_holds_the_allowed_findings_too(script, capsys) -> None:
    assert run(["review", script, "--format", "json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "verifluxa/review/1"
    assert [(item["rule"], item["allowed"] is None) for item in document["findings"]] == [
        ("stamp", True),
        ("object-file", False),
    ]
    assert "does not mean" in document["means"]


def test_sarif_has_rules_places_and_suppressions(script, capsys) -> None:
    assert run(["review", script, "--format", "sarif"]) == 1
    (log,) = json.loads(capsys.readouterr().out)["runs"]
    stamp, allowed = log["results"]
    assert {rule["id"] for rule in log["tool"]["driver"]["rules"]} == {"stamp", "object-file"}
    assert stamp["locations"][0]["physicalLocation"]["region"] == {"startLine": 2, "startColumn": 1}
    assert allowed["suppressions"][0]["justification"].startswith("our own encoder")


def test_a_clean_script_is_exit_code_0_and_a_bad_file_4(script, capsys) -> None:
    Path("clean.jl").write_text("x = 1\n")
    assert run(["review", "clean.jl"]) == 0
    Path("binary.jl").write_bytes(b"\0")
    assert run(["review", "clean.jl", "binary.jl"]) == 4
    assert "error[VF8051]" in capsys.readouterr().err
