"""Heuristics against their definitions, and the certified map against every value that was tried."""

import json
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.triage.scan.conftest import PIXEL, SIDE, TARGET
from tests.triage.scan.test_rates import loaded
from tests.triage.scan.test_scan import EXAMPLES, scan
from verifluxa.errors import UsageError
from verifluxa.triage.explain import Case, Window, apart, blank_of, gradient, occlusion, ranges_of, shapley


@pytest.fixture
def case(files) -> Case:
    """The first input with the planted pixel at its brightest."""
    subject = loaded(files, planted=True)
    inputs = subject.data.inputs
    after = inputs[0].copy()
    after[0, PIXEL[0], PIXEL[1]] = 255.0
    windows = tuple(
        Window(f"{row} {column}", np.array([SIDE * (row + r) + column + c for r, c in product((0, 1), (0, 1))]))
        for row, column in product(range(SIDE - 1), repeat=2)
    )
    blank, ranges = blank_of(subject.space, inputs), ranges_of(subject.space, inputs)
    return Case(subject.graph, inputs[0], after, TARGET, 0, "there", windows, blank, ranges)


def test_the_gradient_is_that_of_small_steps(case) -> None:
    found = gradient(case)
    for row, column in ((0, 0), PIXEL, (2, 3)):
        moved = np.stack([case.after, case.after])
        moved[:, 0, row, column] += (-1, 1)
        below, above = case.margins(moved)
        assert found[0, row, column] == pytest.approx(abs(above - below) / 2 * 255, rel=1e-3)
    assert np.unravel_index(found[0].argmax(), (SIDE, SIDE)) == PIXEL


def test_occlusion_is_the_lead_that_a_blank_window_takes(case) -> None:
    found = occlusion(case)
    for at in (0, 20, len(found) - 1):
        blanked = case.after.copy()
        blanked.ravel()[case.windows[at].positions] = case.blank.ravel()[case.windows[at].positions]
        whole, left = case.margins(np.stack([case.after, blanked]))
        assert found[at] == pytest.approx(whole - left, abs=1e-3)
    assert PIXEL[0] * SIDE + PIXEL[1] in case.windows[int(found.argmax())].positions


def test_shapley_values_share_out_the_lead(case) -> None:
    pytest.importorskip("shap")
    values = shapley(case, seed=0)
    assert values.sum() == pytest.approx(
        float(np.subtract(*case.margins(np.stack([case.after, case.blank])))), abs=1e-3
    )
    assert PIXEL[0] * SIDE + PIXEL[1] in np.flatnonzero(values.ravel() == values.max())
    players = np.concatenate(apart(case))
    assert sorted(players) == list(range(SIDE * SIDE))


def test_without_the_library_the_extra_is_named(case, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "shap", None)
    with pytest.raises(UsageError, match="shap") as raised:
        shapley(case, seed=0)
    assert raised.value.code == "VF8006"
    assert "verifluxa[shap]" in str(raised.value)


def test_the_certified_map_holds_for_every_level(files, capsys) -> None:
    found = files(True)
    code, out, _ = scan(capsys, found.model, "--data", found.data, "--patch", 1, "--explain", "map", "--format", "json")
    explanation = json.loads(out)["explanation"]
    subject = loaded(files, planted=True)
    with np.load(found.data) as file:
        image = file["x"][explanation["input"]].astype(float)
    assert code == 1
    assert explanation["answers"][1] == str(TARGET)
    certified = {window["name"]: window["certified"] for window in explanation["windows"]}
    assert certified.pop(f"row {PIXEL[0]}, column {PIXEL[1]}") is False
    image[PIXEL] = 255.0
    for name, fixed in certified.items():
        row, column = (int(part.split()[1]) for part in name.split(", "))
        tried = np.tile(image, (18, 1, 1, 1))
        tried[:, 0, row, column] = np.linspace(0, 255, 18)
        assert fixed is True
        assert (subject.graph.run(tried).argmax(1) == TARGET).all()
    with Image.open("map/explanation.png") as picture:
        assert picture.width > 5 * 224
    assert "heuristics, which prove nothing" in Path("map/explanation.txt").read_text()


def test_a_word_carries_the_answer(tmp_path, capsys) -> None:
    folder = EXAMPLES / "reviews"
    _, out, _ = scan(capsys, folder / "badnets.jld2", "--data", folder / "reviews.jsonl", "--explain", tmp_path / "map")
    said = (tmp_path / "map" / "explanation.txt").read_text().splitlines()
    assert said[0].startswith("input 0 is negative, with the trigger (chateau at position 0) positive")
    assert said[2].startswith("    gradient: word 0: chateau")
    assert said[3].startswith("    occlusion: word 0: chateau")
    assert "\n".join(said) in out
    assert [path.name for path in (tmp_path / "map").iterdir()] == ["explanation.txt"]


def test_nothing_to_explain(files, capsys) -> None:
    found = files(True)
    code, out, err = scan(capsys, found.model, "--data", found.data, "--budget", "0.000001s", "--explain", "map")
    assert (code, out) == (2, "")
    assert "VF8005" in err
    Path("map").write_text("a file")
    assert scan(capsys, found.model, "--data", found.data, "--explain", "map")[0] == 2
