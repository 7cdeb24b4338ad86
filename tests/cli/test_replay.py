"""`replay`: the same files or none; reproduced or not; pictures."""

import json
from pathlib import Path

import pytest

FALSIFIED = ("--property", "universal", "--model", "digits=digits/badnets.jld2")


@pytest.fixture
def result(verifluxa, small) -> Path:
    assert verifluxa("verify", small, *FALSIFIED, "--out", "out").code == 1
    return Path("out/result.json")


def change(result: Path, key: str, value: object) -> Path:
    """Another copy of the result with one field of its counterexample changed."""
    document = json.loads(result.read_text())
    document["properties"][0]["counterexample"][key] = value
    path = result.with_name("changed.json")
    path.write_text(json.dumps(document))
    return path


def test_a_counterexample_is_reproduced_and_drawn(verifluxa, result):
    ran = verifluxa("replay", result, "--out", "again")
    assert ran.code == 0
    assert ran.out.startswith("universal: reproduced\n")
    assert "trigger at row 24, column 24: 8 of 8 (100.0 %) go to class 7, allowed are 50 %" in ran.out
    for name in ("universal-inputs.png", "universal-trigger.png"):
        assert (Path("again/pictures") / name).read_bytes() == (Path("out/pictures") / name).read_bytes()


def test_margins_are_those_of_the_result(verifluxa, result):
    found = json.loads(result.read_text())["properties"][0]["counterexample"]
    margins = [float(line.split()[-1]) for line in verifluxa("replay", result).out.splitlines()[3:11]]
    assert margins == sorted(margins, reverse=True)
    assert margins[5 - 1] == pytest.approx(float(found["margin"]), rel=1e-3)


def test_another_trigger_is_not_reproduced(verifluxa, result):
    ran = verifluxa("replay", change(result, "trigger", [[0, 0, 0]] * 3))
    assert ran.code == 1
    assert "NOT reproduced" in ran.out


def test_each_input_of_a_per_input_property(verifluxa, small):
    verifluxa("verify", small, "--property", "each", "--out", "out")
    ran = verifluxa("replay", "out/result.json")
    assert ran.code == 0
    assert "input 2 goes to another class" in ran.out


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("placement", {"row": 3, "column": 3}),
        ("target", 6),
        ("trigger", [[0, 0], [0, 0]]),
        ("trigger", [[256, 0, 0], [0, 0, 0], [0, 0, 0]]),
        ("trigger", [[0.5, 0, 0], [0, 0, 0], [0, 0, 0]]),
        ("inputs", [1000]),
    ],
)
def test_what_does_not_fit_the_property_is_refused(verifluxa, result, key, value):
    ran = verifluxa("replay", change(result, key, value))
    assert ran.code == 4
    assert "error[VF3904]" in ran.err


def test_another_model_spec_or_data_is_refused(verifluxa, result, small):
    for arguments in (["--model", "digits=digits/clean.jld2"], ["--spec", "digits/no_backdoor.vfx"]):
        ran = verifluxa("replay", result, *arguments)
        assert ran.code in (2, 4)
        assert "error[VF3902]" in ran.err or "error[VF4402]" in ran.err
    small.write_text(small.read_text() + "\n# changed\n")
    ran = verifluxa("replay", result)
    assert (ran.code, "error[VF3902]" in ran.err) == (4, True)


def test_files_may_have_moved(verifluxa, result, small):
    Path("elsewhere").mkdir()
    target = (small.parent / "badnets.jld2").resolve()
    (small.parent / "badnets.jld2").unlink()
    ran = verifluxa("replay", result)
    assert (ran.code, "--model digits=FILE" in ran.err) == (4, True)
    Path("elsewhere/m.jld2").symlink_to(target)
    assert verifluxa("replay", result, "--model", "digits=elsewhere/m.jld2").code == 0
    page = Path("page.html")
    again = "Evaluated again for this page"
    assert verifluxa("report", result, "-o", page).code == 0
    assert again not in page.read_text()
    assert "--model digits=FILE" in page.read_text()
    assert verifluxa("report", result, "-o", page, "--model", "digits=elsewhere/m.jld2").code == 0
    assert again in page.read_text()
    assert verifluxa("report", result, "--model2", "digits=elsewhere/m.jld2").code == 2
    pdf = Path("page.pdf")
    refused = verifluxa("report", result, "-o", pdf)
    assert (refused.code, "VF4414" in refused.err, pdf.exists()) == (2, True, False)


def test_a_result_finds_its_files_from_another_folder(verifluxa, result, here, monkeypatch):
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert verifluxa("replay", Path("..") / result).code == 0
    assert verifluxa("cert", "check", Path("..") / result.parent / "certificate.json").code == 0


def test_a_certified_result_has_nothing_to_replay(verifluxa, small):
    verifluxa("verify", small, "--property", "universal", "--out", "out")
    ran = verifluxa("replay", "out/result.json")
    assert (ran.code, "error[VF3903]" in ran.err) == (4, True)


def test_what_is_no_result_is_refused(verifluxa, here):
    Path("x.json").write_text("{}")
    for name in ("x.json", "missing.json", "."):
        ran = verifluxa("replay", name)
        assert (ran.code, "error[VF3901]" in ran.err) == (4, True)
