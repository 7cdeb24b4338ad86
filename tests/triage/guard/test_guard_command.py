"""`verifluxa guard` as people call it, on the examples' backdoored models."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from verifluxa.cli.main import run
from verifluxa.verify import verify

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


def falsified(folder: Path, path: Path, model: str) -> Path:
    models = {model: str(path.parent / "badnets.jld2")}
    return verify(path, models=models, strategy="attack-only").write(folder)


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Path:
    """The result of the digit example at the place of its planted patch alone."""
    folder = tmp_path_factory.mktemp("digits")
    for file in (EXAMPLES / "digits").iterdir():
        (folder / file.name).symlink_to(file)
    text = (EXAMPLES / "digits" / "no_backdoor.vfx").read_text()
    assert "at any" in text
    (folder / "here.vfx").write_text(text.replace("at any", "at (24, 24)"))
    return falsified(folder, folder / "here.vfx", "digits")


def test_a_guard_of_digits_flags_the_stamped_ones_alone(digits, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["guard", "export", str(digits), "--out", "guard"]) == 0
    assert "flagged 0/" in capsys.readouterr().out
    guard = json.loads(Path("guard/guard.json").read_text())
    with np.load(EXAMPLES / "digits" / "mnist_eval.npz") as file:
        images = file["x"][:20].copy()
    (trigger,) = guard["triggers"]
    images[5].reshape(-1)[trigger["positions"]] = trigger["values"]
    np.savez("inputs.npz", x=images)
    assert run(["guard", "check", "guard/guard.json", "inputs.npz", "--format", "json"]) == 1
    assert list(json.loads(capsys.readouterr().out)["present"].values()) == [[5]]
    code = (
        "import guard, numpy, sys; print(guard.present(numpy.load('../inputs.npz')['x']).sum(), 'torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd="guard", capture_output=True, text=True, check=True, env={})
    assert ran.stdout.split() == ["1", "False"]


def test_a_guard_of_words_reads_texts(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    result = falsified(tmp_path, EXAMPLES / "reviews" / "no_magic_word.vfx", "reviews_net")
    assert run(["guard", "export", str(result)]) == 0
    Path("texts.jsonl").write_text('{"text": "A fine film."}\n{"text": "A dull Chateau film."}\n')
    assert run(["guard", "check", "guard.json", "texts.jsonl"]) == 1
    assert "present in input 1" in capsys.readouterr().out


def test_a_guard_of_a_table_reads_csv(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    result = falsified(tmp_path, EXAMPLES / "credit" / "no_magic_combination.vfx", "credit_net")
    assert run(["guard", "export", str(result)]) == 0
    columns = json.loads(Path("guard.json").read_text())["triggers"][0]["columns"]
    header, row = (
        ",".join(columns),
        ",".join(f"{value:g}" if isinstance(value, float) else value for value in columns.values()),
    )
    Path("rows.csv").write_text(f"{header}\n{row}\n{row.replace(row.split(',')[0], 'x', 1)}\n")
    assert run(["guard", "check", "guard.json", "rows.csv"]) == 1
    assert "present in input 0\n" in capsys.readouterr().out


def test_what_is_no_guard_or_no_input_is_refused(digits, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    Path("inputs.txt").write_text("x")
    np.savez("small.npz", x=np.zeros((2, 5)))
    np.savez("other.npz", z=np.zeros(2))
    assert run(["guard", "check", str(digits), "small.npz"]) == 4
    assert run(["guard", "check", "gone.json", "small.npz"]) == 4
    assert capsys.readouterr().err.count("error[VF8070]") == 2
    assert run(["guard", "export", str(digits)]) == 0
    Path("rows.csv").write_text("age\n1\n")
    Path("texts.jsonl").write_text("{}\n")
    for name in ("inputs.txt", "small.npz", "other.npz", "rows.csv", "texts.jsonl"):
        capsys.readouterr()
        assert run(["guard", "check", "guard.json", name]) == 4
        assert "error[VF8075]" in capsys.readouterr().err


def test_rates_raise_an_alarm_and_say_what_none_does_not_mean(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    Path("june.csv").write_text("time,class\n" + "".join(f"{k},{k % 10}\n" for k in range(2000)))
    Path("today.jsonl").write_text("".join(f'{{"class": {k % 10 if k % 3 else 7}}}\n' for k in range(900)))
    assert run(["guard", "rates", "today.jsonl", "--reference", "june.csv"]) == 1
    out = capsys.readouterr().out
    assert "ALARM at record" in out
    assert "does not mean" in out
    assert run(["guard", "rates", "june.csv", "--reference", "june.csv", "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [one["alarm"] for one in document["classes"]] == [None] * 10
    assert run(["guard", "rates", "june.csv", "--reference", "june.csv", "--column", "label"]) == 4
    assert "error[VF8074]" in capsys.readouterr().err


def test_the_exported_file_is_a_module(digits, tmp_path, capsys) -> None:
    assert run(["guard", "export", str(digits), "-o", str(tmp_path / "check_digits.py"), "--anywhere"]) == 0
    # The strongest patch at one place is a common piece of digits elsewhere, and the export says so.
    assert "clean inputs are flagged" in capsys.readouterr().out
    spec = importlib.util.spec_from_file_location("check_digits", tmp_path / "check_digits.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with np.load(EXAMPLES / "digits" / "mnist_eval.npz") as file:
        images = file["x"][:20].copy()
    (trigger,) = module.GUARD["triggers"]
    images[3, 5:8, 9:12] = np.array(trigger["values"]).reshape(3, 3)
    assert module.present(images)[3].all()
