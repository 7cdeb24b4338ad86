"""Absent models and judges, numbers that are none, selections that nothing is left of: refused with a code."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.certificate.forgery.bases import base
from tests.certificate.forgery.documents import Files, repaired
from verifluxa.certificate.check.run import check_certificate
from verifluxa.cli.main import run

NUMBERS = ("NaN", "Infinity", "-Infinity", "1e999")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkout of a certificate about `m`, whose inputs the model `j` judges."""
    return Path(shutil.copytree(base("judged").folder, tmp_path / "here"))


def codes(folder: Path, files: Files) -> tuple[int, set[str]]:
    report = check_certificate(files.write(folder), spec=str(folder / "spec.vfx"))
    return report.exit_code, {reason.code for reason in report.reasons}


def test_a_model_or_judge_that_is_absent(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    certificate = base("judged").files.write(folder)
    for name in ("m", "j"):
        path = folder / f"{name}.npz"
        kept = path.read_bytes()
        path.unlink()
        assert run(["cert", "check", str(certificate), "--spec", str(folder / "spec.vfx")]) == 1
        said = capsys.readouterr()
        assert f"{name}.npz" in said.out + said.err
        assert "error[VF" in said.out + said.err
        assert run(["verify", str(folder / "spec.vfx"), "--out", str(folder / "again")]) == 4
        assert f"{name}.npz" in capsys.readouterr().err
        path.write_bytes(kept)
    assert run(["cert", "check", str(certificate), "--spec", str(folder / "spec.vfx")]) == 0


def test_a_judge_that_is_another_network(folder: Path) -> None:
    weights = dict(np.load(folder / "j.npz"))
    np.savez(folder / "j.npz", **{name: array + np.float32(0.5) for name, array in weights.items()})
    assert codes(folder, base("judged").files) == (1, {"VF5050"})


def test_a_certificate_that_lists_no_judge(folder: Path) -> None:
    files = base("judged").files.copy()
    files.predicate["models"] = [one for one in files.predicate["models"] if one["name"] != "j"]
    assert codes(folder, files) == (1, {"VF5050"})


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("where", ["proved", "constant", "witness"])
def test_numbers_that_are_none(folder: Path, number: str, where: str) -> None:
    files = base("judged").files.copy()
    before = files.evidence_digest()
    if where == "proved":
        files.properties[0]["bound"]["proved"]["decimal"] = number
    elif where == "constant":
        files.evidence[0]["rows"][0][1] = number
    else:
        files.evidence[1]["strongest"] = [number]
    code, found = codes(folder, repaired(files, before))
    assert code == 1
    assert found <= {"VF5004", "VF5005", "VF5040", "VF5052", "VF5057"}
    assert found


def test_no_input_is_left(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held = dict(np.load(folder / "e.npz"))
    np.savez(folder / "e.npz", **(held | {"y": np.full_like(held["y"], 2)}))
    assert run(["verify", str(folder / "spec.vfx"), "--out", str(folder / "again")]) == 4
    assert "error[VF3201]: property 'shared_rate' has no input left" in capsys.readouterr().err
    assert codes(folder, base("judged").files) == (1, {"VF5050"})
