"""From files to a report: what is accepted, what each kind of disagreement is refused with, what stays unrechecked."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from syrupy.assertion import SnapshotAssertion

from verifluxa.certificate.check import functions, network
from verifluxa.certificate.check.__main__ import main
from verifluxa.certificate.check.functions import Floats
from verifluxa.certificate.check.report import CheckReport
from verifluxa.certificate.check.run import check_certificate
from verifluxa.certificate.document import canonical_json
from verifluxa.certificate.keys import keygen
from verifluxa.certificate.numbers import Exact
from verifluxa.certificate.sign import sign
from verifluxa.cli.main import run

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits"
SPEC = """spec 1
input digit : image(28 px, 28 px, 1 ch) of 0..255 level
model digits : digit -> class(10) {
  file         = "clean.jld2"
  architecture = "architecture.txt"
  layout       = whcn
  encode       = (level / 255 - 0.1307) / 0.3081
}
data eval : digit { file = "mnist_eval.npz" take = 30 }
trigger patch : digit { replace 2 px x 2 px at (0, 0), (12, 12) with 0..255 level }
param max_rate : fraction = 40 %
property shared {
  forall t in patch, target in classes(digits)
  let victims = eval where correct(digits, x) and label(x) != target
  assert rate(x in victims : class(digits(t(x))) == target) <= max_rate
}
property single {
  let clean = eval where correct(digits, x)
  forall x in clean, t in patch
  assert class(digits(t(x))) == label(x)
}
"""
PLANTED = """spec 1
input digit : image(28 px, 28 px, 1 ch) of 0..255 level
model digits : digit -> class(10) {
  file         = "badnets.jld2"
  architecture = "architecture.txt"
  layout       = whcn
  encode       = level / 255
}
data eval : digit { file = "mnist_eval.npz" take = 30 }
trigger patch : digit { replace 3 px x 3 px at (24, 24), (0, 0) with 0..255 level }
property planted {
  forall t in patch, target in {7}
  let victims = eval where correct(digits, x) and label(x) != target
  assert rate(x in victims : class(digits(t(x))) == target) <= 50 %
}
"""


def verified(folder: Path, text: str) -> Path:
    for name in ("clean.jld2", "badnets.jld2", "architecture.txt", "mnist_eval.npz"):
        shutil.copy(DIGITS / name, folder / name)
    (folder / "spec.vfx").write_text(text, encoding="utf-8")
    run(["verify", str(folder / "spec.vfx"), "--out", str(folder / "out")])
    return folder / "out"


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return verified(tmp_path_factory.mktemp("clean"), SPEC)


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return verified(tmp_path_factory.mktemp("planted"), PLANTED)


def codes(report: CheckReport) -> list[str]:
    assert report.accepted == (not report.reasons)
    return [reason.code for reason in report.reasons]


def test_accepted(out: Path) -> None:
    report = check_certificate(out / "certificate.json")
    assert codes(report) == []
    assert report.exit_code == 0
    assert not report.signed
    shared, single = report.properties
    assert (shared.said.coverage.questions, shared.unrechecked) == (20, 0)
    assert shared.leaves >= 20
    assert single.said.coverage.questions == 2 * len(
        {item["index"] for item in result_of(out)["properties"][1]["per_input"]}
    )
    assert report.statement is not None
    assert report.statement.properties[1].population is not None


def result_of(out: Path) -> Any:
    return json.loads((out / "result.json").read_text(encoding="utf-8"))


def test_a_counterexample_is_evaluated_again(planted: Path) -> None:
    report = check_certificate(planted / "certificate.json")
    assert codes(report) == []
    assert report.properties[0].reproduced >= 1
    assert report.statement is not None
    assert report.statement.verdict == "falsified"


def test_text(out: Path, planted: Path, snapshot: SnapshotAssertion) -> None:
    """The words; the counts are the engine's business."""
    for name, folder in (("clean", out), ("planted", planted)):
        text = check_certificate(folder / "certificate.json").text()
        text = re.sub(r"sha256:\w+", "sha256:...", text)
        assert re.sub(r"(?<![a-z])\d+", "N", text) == snapshot(name=name)


def test_a_signed_one_is_checked_too(out: Path, tmp_path: Path) -> None:
    key = keygen(tmp_path / "key")
    sign(out / "certificate.json", key.private, out / "certificate.dsse.json")
    report = check_certificate(out / "certificate.dsse.json")
    assert (codes(report), report.signed) == ([], True)


def test_main(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(out / "certificate.json")]) == 0
    assert "accepted (it says:" in capsys.readouterr().out
    other = str(out.parent / "badnets.jld2")
    assert main([str(out / "certificate.json"), "--model", f"digits={other}"]) == 1
    with pytest.raises(SystemExit) as caught:
        main([str(out / "certificate.json"), "--model", "digits"])
    assert caught.value.code == 2


Edit = Callable[[dict[str, Any]], Any]


def edited(out: Path, tmp_path: Path, edit: Edit) -> list[str]:
    """The codes for a certificate with one thing changed; evidence and result stay as they are."""
    for file in ("result.json", "evidence.jsonl.gz"):
        shutil.copy(out / file, tmp_path / file)
    value = json.loads((out / "certificate.json").read_text(encoding="utf-8"))
    edit(value["predicate"])
    (tmp_path / "certificate.json").write_bytes(canonical_json(value))
    return codes(check_certificate(tmp_path / "certificate.json"))


def first(value: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = value["properties"][0]
    return found


OTHER = "sha256:" + "0" * 64
NOTHING = {"exact": "0", "hex": "0x0.0p+0", "decimal": "0"}
EXACT = {"exact": "1/30", "hex": "0x1.1111111111112p-5", "decimal": "0.033334"}


def as_much_found_as_proved(value: dict[str, Any]) -> None:
    """No trigger does that."""
    bound = first(value)["bound"]
    bound["found"] = Exact(Fraction(bound["proved"]["exact"]), up=False).to_json()


EDITS: dict[str, tuple[str, Edit]] = {
    "leaves": ("VF5056", lambda v: first(v)["coverage"].update(leaves=first(v)["coverage"]["leaves"] + 1)),
    "placements": ("VF5056", lambda v: first(v)["coverage"].update(placements=3)),
    "targets": ("VF5056", lambda v: first(v)["coverage"].update(targets=9)),
    "questions": ("VF5056", lambda v: first(v)["coverage"].update(questions=19, certified=19)),
    "arithmetic": ("VF5056", lambda v: first(v).update(arithmetic="real")),
    "rate": ("VF5056", lambda v: first(v)["bound"].update(proved=EXACT, found=NOTHING)),
    "excluded": ("VF5056", lambda v: v["data"][0]["excluded"].pop()),
    "index list": ("VF5056", lambda v: v["data"][0].update(indices=OTHER)),
    "population": ("VF5056", lambda v: v["properties"][1]["population"].update(failures=0)),
    "population bound": ("VF5056", lambda v: v["properties"][1]["population"].update(bound="0.1")),
    "population of a shared trigger": (
        "VF5056",
        lambda v: first(v).update(population=v["properties"][1]["population"]),
    ),
    "property digest": ("VF5050", lambda v: first(v).update(digest=OTHER)),
    "data digest": ("VF5050", lambda v: v["data"][0].update(digest=OTHER)),
    "selection": ("VF5050", lambda v: v["data"][0].update(selection="all")),
    "graph": ("VF5050", lambda v: v["models"][0].update(graph=OTHER)),
    "float type": ("VF5050", lambda v: v["models"][0].update(dtype="float64")),
    "param": ("VF5050", lambda v: v["params"].update(max_rate="1/2")),
    "param in another form": ("VF5050", lambda v: v["params"].update(max_rate="40 %")),
    "found rate": ("VF5056", as_much_found_as_proved),
    "population of fewer properties": ("VF5056", lambda v: v["properties"][1]["population"].update(properties=1)),
    "reason of exclusion": ("VF5056", lambda v: v["data"][0]["excluded"][0].update(reason="not in the sample")),
    "format": ("VF5050", lambda v: v["models"][0].update(format="BSON")),
    "invented model": ("VF5050", lambda v: v["models"].append({**v["models"][0], "name": "production"})),
    "invented data": ("VF5011", lambda v: v["data"].append({**v["data"][0], "name": "secret"})),
    "evidence": ("VF5051", lambda v: first(v).update(evidence=OTHER)),
}


@pytest.mark.parametrize("case", EDITS)
def test_an_edited_certificate_is_refused(out: Path, tmp_path: Path, case: str) -> None:
    code, edit = EDITS[case]
    assert edited(out, tmp_path, edit)[0] == code


def test_the_same_certificate_unedited_is_accepted(out: Path, tmp_path: Path) -> None:
    assert edited(out, tmp_path, lambda value: None) == []


@pytest.mark.parametrize(
    "edit",
    [
        {"target": 3},
        {"placement": {"row": 0, "column": 0}},
        {"inputs": [1, 2]},
        {"trigger": [["0"]]},
        {"trigger": [["255", "255", "255"], ["255", "255", "255"], ["255", "255", "254"]]},
        {"rate": "1/20"},
        {"rate": None},
        {"margin": "99999.0"},
        {"margin": "1e-9"},
        {"replayed": False},
    ],
    ids=str,
)
def test_another_counterexample_than_the_evidence_shows(planted: Path, tmp_path: Path, edit: dict[str, Any]) -> None:
    assert edited(planted, tmp_path, lambda v: first(v)["counterexample"].update(edit)) == ["VF5057"]


def test_a_weaker_word_for_what_holds_in_every_order_is_true(planted: Path, tmp_path: Path) -> None:
    assert edited(planted, tmp_path, lambda v: first(v)["counterexample"].update(holdsIn="this replay")) == []


def unfounded(value: dict[str, Any], verdict: str) -> None:
    """The first property alone, without evidence."""
    found = first(value)
    found.update(verdict=verdict, evidence="none", reason="time" if verdict == "unknown" else None)
    found["coverage"].update(leaves=0, certified=0, falsified=0, unknown=0)
    found["coverage"][verdict] = found["coverage"]["questions"]
    if verdict == "unknown":
        found["counterexample"] = None
    value.update(verdict=verdict, properties=[found])


@pytest.mark.parametrize(("verdict", "code"), [("falsified", "VF5057"), ("unknown", "VF5056")])
def test_nothing_is_said_without_evidence(planted: Path, tmp_path: Path, verdict: str, code: str) -> None:
    assert edited(planted, tmp_path, lambda v: unfounded(v, verdict)) == [code]


def test_a_property_that_was_left_out_is_named(out: Path, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        run(["verify", str(out.parent / "spec.vfx"), "--property", "shared", "--out", "part"])
    report = check_certificate(tmp_path / "part" / "certificate.json")
    assert codes(report) == []
    assert "property single of the spec is not in this certificate" in report.notes


def test_other_files_are_refused(out: Path) -> None:
    certificate, folder = out / "certificate.json", out.parent
    other = check_certificate(certificate, models={"digits": str(folder / "badnets.jld2")})
    assert set(codes(other)) == {"VF5050"}
    assert not other.properties
    assert codes(check_certificate(folder / "gone.json")) == ["VF5007"]
    assert codes(check_certificate(certificate, models={"other": str(folder / "clean.jld2")})) == ["VF4402"]


@pytest.mark.parametrize("what", ["spec", "model", "data", "evidence"])
def test_a_missing_file_makes_a_recheck_incomplete(out: Path, what: str) -> None:
    gone = str(out.parent / "gone.vfx")
    given: dict[str, Any] = {
        "spec": {"spec": gone},
        "model": {"models": {"digits": gone}},
        "data": {"data": {"eval": gone}},
        "evidence": {"evidence": gone},
    }[what]
    report = check_certificate(out / "certificate.json", **given)
    assert (codes(report), report.exit_code, report.accepted) == (["VF5059"], 3, False)
    assert "REJECTED" not in report.text()
    assert "incomplete" in report.text(reasons=False)
    assert gone in str(report.reasons[0])


def test_what_is_certified_is_said_in_the_words_of_the_spec_and_not_of_its_author(out: Path) -> None:
    report = check_certificate(out / "certificate.json")
    lines = report.text().splitlines()
    assert lines[0] == "the properties, as the certified spec puts them:"
    assert "% of the first" in lines[1]
    other = check_certificate(out / "certificate.json", models={"digits": str(out.parent / "badnets.jld2")})
    assert other.claims == ()


def test_evidence_of_another_run_is_refused(out: Path, planted: Path) -> None:
    report = check_certificate(out / "certificate.json", evidence=planted / "evidence.jsonl.gz")
    assert codes(report) == ["VF5051"]


def test_without_a_result_beside_it_the_spec_must_be_given(out: Path, tmp_path: Path) -> None:
    for file in ("certificate.json", "evidence.jsonl.gz"):
        shutil.copy(out / file, tmp_path / file)
    assert codes(check_certificate(tmp_path / "certificate.json")) == ["VF5050"]
    assert codes(check_certificate(tmp_path / "certificate.json", spec=str(out.parent / "spec.vfx"))) == []


def test_what_cannot_be_recomputed_is_said(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function that this checker does not know: accepted nowhere, refused nowhere, exit code 3."""
    monkeypatch.setattr(network, "function_of", lambda op: None)
    report = check_certificate(out / "certificate.json")
    assert report.accepted
    assert report.exit_code == 3
    assert report.properties[0].leaves == 0
    assert report.unrechecked >= 20
    assert report.properties[0].unjudged == 30
    assert "checked except" in report.text()
    assert "NOT recomputed" in report.text()
    assert any("of the population" in what for what in report.properties[1].unvouched)


def test_a_checker_with_a_wrong_line_would_be_noticed(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test of the test: looser lines no longer close the proofs."""

    def lines(lower: Floats, upper: Floats) -> functions.Lines:
        return functions.Lines(lower * 0, lower * 0 - 50, upper * 0, upper + 50)

    loose = functions.Function(functions.RELU.value, 1.0, 0.0, lines)
    monkeypatch.setattr(network, "function_of", lambda op: loose if op.kind == "activation" else None)
    assert codes(check_certificate(out / "certificate.json")) == ["VF5054"]
