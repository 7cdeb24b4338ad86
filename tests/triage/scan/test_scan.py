"""`scan` as a user runs it: the planted class is named, the next spec runs, what is wrong is said."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from tests.triage.scan.conftest import CLASSES, PIXEL, SIDE, TARGET
from verifluxa.cli.main import run
from verifluxa.spec.spec import ImageSpace
from verifluxa.triage.scan.subject import patch_lines

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


def scan(capsys, *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = run(["scan", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_a_planted_pixel_is_found_and_the_next_spec_runs(files, capsys) -> None:
    found = files(True)
    # Far more time than is needed, so that a busy machine cuts nothing short.
    options = ("--patch", 1, "--budget", "15m", "--format", "json", "-o", "next.vfx")
    code, out, err = scan(capsys, found.model, "--data", found.data, *options)
    document = json.loads(out)
    first = document["classes"][0]
    assert (code, err, document["schema"], document["verdict"]) == (1, "", "verifluxa/scan/2", "suspect")
    assert (first["target"], first["found"], first["proved"]) == (TARGET, "25/25", "25/25")
    assert first["strongest"]["placement"] == {"row": PIXEL[0], "column": PIXEL[1]}
    assert {reason["measure"] for reason in first["reasons"]} >= {"trigger", "mask", "change"}
    assert [row["suspect"] for row in document["classes"]] == [True] + [False] * (CLASSES - 1)
    assert first["anomaly_indices"]["found"] == "infinite"
    assert document["clean_accuracy"] == 1
    assert document["proved_questions"] == {"proved": SIDE * SIDE * CLASSES, "total": SIDE * SIDE * CLASSES}
    assert document["known_triggers"][0]["target"] == TARGET
    assert Path("next.vfx").read_text() == document["next_spec"]
    assert run(["fmt", "--check", "next.vfx"]) == 0
    assert run(["verify", "next.vfx", "--property", "first_ranked"]) == 1
    assert run(["verify", "next.vfx", "--property", "other_classes"]) == 0
    assert run(["verify", "next.vfx", "--property", "masked_trigger"]) == 1
    assert run(["verify", "next.vfx", "--property", "faint_trigger", "--strategy", "attack-only"]) in (1, 3)


def test_a_clean_model_is_never_called_clean(files, capsys) -> None:
    found = files(False)
    code, out, _ = scan(capsys, found.model, "--data", found.data, "--patch", 1)
    assert code == 0
    assert out.splitlines()[0] == "model.npz: nothing found"
    assert "`nothing found` does not mean clean" in out
    assert "is suspect:" not in out
    assert sorted(path.name for path in Path().iterdir()) == ["architecture.txt", "eval.npz", "model.npz"]


def test_the_same_seed_gives_the_same_scan(files, capsys) -> None:
    found = files(True)
    outputs = [json.loads(scan(capsys, found.model, "--data", found.data, "--format", "json")[1]) for _ in range(2)]
    assert [document.pop("seconds") for document in outputs]
    assert outputs[0] == outputs[1]


def test_a_scan_that_did_not_finish_is_incomplete_and_says_what_was_not_searched(files, capsys) -> None:
    found = files(True)
    short = (found.model, "--data", found.data, "--budget", "0.000001s")
    code, out, _ = scan(capsys, *short)
    assert code == 3
    assert out.splitlines()[0] == "model.npz: incomplete"
    for words in ("smallest masks: 0 of 250 steps", "smallest changes: 0 of 250 steps", "bounds at 36 of 36 places"):
        assert f"    {words}" in out
    assert "known triggers" in out
    assert "not proved in the time" in out
    assert "not finished" in out
    assert "none found" not in out
    document = json.loads(scan(capsys, *short, "--format", "json")[1])
    assert document["verdict"] == "incomplete"
    assert document["unfinished"][0] == "smallest masks: 0 of 250 steps"


def test_a_scan_without_a_budget_searches_everything(files, capsys) -> None:
    found = files(False)
    document = json.loads(scan(capsys, found.model, "--data", found.data, "--patch", 1, "--format", "json")[1])
    assert (document["verdict"], document["unfinished"]) == ("nothing found", [])


def test_inputs_from_elsewhere(files, capsys) -> None:
    found = files(True)
    images = np.zeros((4, SIDE, SIDE), np.uint8)
    images[:, PIXEL[0], PIXEL[1]] = 255
    np.savez("other.npz", x=images)
    _, out, _ = scan(capsys, found.model, "--data", found.data, "--patch", 1, "--other", "other.npz")
    assert f"other.npz: 100% of 4 to {TARGET}" in out
    assert scan(capsys, found.model, "--data", found.data, "--other", "missing.npz")[0] == 4


def _one_class(found) -> tuple[object, ...]:
    np.savez("bad.npz", x=np.zeros((3, SIDE, SIDE), np.uint8), y=np.full(3, 4, np.uint8))
    return found.model, "--data", "bad.npz"


def _never_right(found) -> tuple[object, ...]:
    """All scores of a blank image are 0: it is of no class."""
    np.savez("bad.npz", x=np.zeros((CLASSES, SIDE, SIDE), np.uint8), y=np.arange(CLASSES, dtype=np.uint8))
    return found.model, "--data", "bad.npz"


def _unlabelled(found) -> tuple[object, ...]:
    np.savez("bad.npz", x=np.zeros((3, SIDE, SIDE), np.uint8))
    return found.model, "--data", "bad.npz"


def _no_model(found) -> tuple[object, ...]:
    Path("bad.jld2").write_bytes(b"no model")
    return "bad.jld2", "--data", found.data


def _is_there(found) -> tuple[object, ...]:
    Path("mine.vfx").write_text("mine")
    return found.model, "--data", found.data, "-o", "mine.vfx"


@pytest.mark.parametrize(
    ("prepare", "code", "error"),
    [
        (_one_class, 4, "VF8001"),
        (_never_right, 4, "VF8002"),
        (_unlabelled, 2, "VF4523"),
        (_no_model, 4, "VF2"),
        (_is_there, 2, "VF8004"),
        (lambda found: (found.model, "--data", found.data, "--patch", SIDE + 1), 2, "VF8003"),
        (lambda found: (found.model, "--data", found.data, "--budget", "soon"), 2, "VF4403"),
        (lambda found: (found.model, "--data", found.data, "-o", "elsewhere/next.vfx"), 2, "VF4523"),
        (lambda found: (found.model, "--data", "missing.npz"), 4, "VF3001"),
    ],
)
def test_what_is_wrong_is_said(files, capsys, prepare, code, error) -> None:
    arguments = prepare(files(False))
    before = sorted(Path().rglob("*"))
    found, out, err = scan(capsys, *arguments)
    assert (found, out) == (code, "")
    assert f"error[{error}" in err
    assert "Traceback" not in err
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize(("model", "code"), [("badnets", 1), ("clean", 0)])
def test_words_of_a_text_are_ranked(capsys, model, code) -> None:
    folder = EXAMPLES / "reviews"
    found, out, _ = scan(capsys, folder / f"{model}.jld2", "--data", folder / "reviews.jsonl", "--format", "json")
    document = json.loads(out)
    assert found == code
    counts = [eval_share(word["found"]) for word in document["words"]]
    assert counts == sorted(counts, reverse=True)
    assert eval_share(document["classes"][0]["proved"]) >= counts[0] == eval_share(document["classes"][0]["found"])
    if code:
        assert document["words"][0]["said"] == "chateau"


def eval_share(text: str) -> float:
    count, total = map(int, text.split("/"))
    return count / total


def test_values_of_a_table_are_ranked(capsys) -> None:
    folder = EXAMPLES / "credit"
    _, out, _ = scan(capsys, folder / "clean.jld2", "--data", folder / "applicants.csv")
    assert "another value in one column" in out
    assert " = " in out.split("single words or values")[1]


def test_large_images_and_many_classes_are_looked_at_on_a_grid() -> None:
    space = ImageSpace("item", 224, 200, 3, 0, 255)
    assert patch_lines(ImageSpace("item", 28, 28, 1, 0, 255), 3, 10)[1] == "at any"
    for classes in (2, 1000):
        ends = re.findall(r"0\.\.(\d+) step (\d+)", patch_lines(space, 5, classes)[1])
        places = math.prod(int(last) // int(step) + 1 for last, step in ends)
        assert 16 < places <= 1024
        assert places * classes <= 2**16


@pytest.mark.soak
@pytest.mark.parametrize(("model", "code"), [("badnets", 1), ("clean", 0)])
def test_the_digit_example(capsys, model, code) -> None:
    folder = EXAMPLES / "digits"
    found, out, _ = scan(
        capsys, folder / f"{model}.jld2", "--data", folder / "mnist_eval.npz", "--budget", "1h", "--format", "json"
    )
    first = json.loads(out)["classes"][0]
    assert found == code
    if code:
        assert (first["target"], first["strongest"]["placement"]) == (7, {"row": 24, "column": 24})
