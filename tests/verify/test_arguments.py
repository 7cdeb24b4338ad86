"""What programs give to `verify` and `certify`, and what they get back."""

from __future__ import annotations

import shutil
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import verifluxa
from verifluxa.arguments import choice_of
from verifluxa.durations import seconds

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "examples" / "digits"
SPEC = DIGITS / "no_backdoor.vfx"


@pytest.mark.parametrize(
    ("given", "expected"),
    [("90", 90), ("1.5m", 90), (90, 90), (0.5, 0.5), (timedelta(minutes=2), 120), (None, None), ("1h", 3600)],
)
def test_a_budget_is_text_a_number_or_a_duration(given: Any, expected: float | None) -> None:
    assert seconds(given) == expected


@pytest.mark.parametrize("given", ["soon", 0, -1, float("nan"), True, timedelta(0), [], "1 fortnight"])
def test_anything_else_is_no_budget(given: Any) -> None:
    with pytest.raises(verifluxa.UsageError) as error:
        seconds(given)
    assert error.value.code == "VF4403"


@pytest.mark.parametrize("given", ["2 %", 0.02, Fraction(1, 50), Decimal("0.02"), np.float64(0.02)])
def test_a_param_is_text_or_a_number_as_it_is_written(given: Any) -> None:
    (text,) = choice_of(None, None, {"max_rate": given}, ()).params.values()
    assert text in ("2 %", "1/50")


@pytest.mark.parametrize(
    ("group", "value"),
    [
        ("params", None),
        ("params", True),
        ("params", float("nan")),
        ("params", float("inf")),
        ("models", 3),
        ("models", b"model.jld2"),
        ("data", [1, 2]),
        ("data", np.array([None])),
        ("data", np.array(["a"])),
        ("data", (np.zeros(2), np.zeros(2), np.zeros(2))),
    ],
)
def test_a_value_of_another_type_is_refused_with_its_place(group: str, value: Any) -> None:
    with pytest.raises(verifluxa.UsageError) as error:
        verifluxa.verify(SPEC, **{group: {"name": value}})
    assert error.value.code == "VF4401"
    assert group in str(error.value.place)
    assert error.value.expected


@pytest.mark.parametrize("function", [verifluxa.verify, verifluxa.certify])
def test_an_argument_of_another_name_is_refused(function: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="budgt"):
        function(SPEC, *([tmp_path] if function is verifluxa.certify else []), budgt="10s")


def test_networks_and_arrays_in_memory_give_what_their_files_give(tmp_path: Path) -> None:
    spec = tmp_path / "a.vfx"
    lines = SPEC.read_text(encoding="utf-8").splitlines()
    spec.write_text("\n".join(line for line in lines if "digest" not in line), encoding="utf-8")
    shutil.copy(DIGITS / "architecture.txt", tmp_path)
    stored = np.load(DIGITS / "mnist_eval.npz")
    seen: list[verifluxa.Progress] = []
    text = DIGITS / "architecture.txt"
    flat = verifluxa.load_model(DIGITS / "badnets.jld2", text)
    with pytest.raises(verifluxa.ModelError, match=r"takes inputs of the shape \(784,\)") as error:
        verifluxa.verify(spec, models={"digits": flat})
    assert "input_shape=(1, 28, 28)" in (error.value.remedy or "")
    graph = verifluxa.load_model(DIGITS / "badnets.jld2", text, input_shape=(1, 28, 28))
    found = verifluxa.verify(
        spec, models={"digits": graph}, data={"eval": (stored["x"], stored["y"])}, progress=seen.append
    )
    files = verifluxa.verify(spec, models={"digits": DIGITS / "badnets.jld2"}, data={"eval": DIGITS / "mnist_eval.npz"})
    assert found.verdict is files.verdict is verifluxa.Verdict.FALSIFIED
    assert found.models[0].graph_sha256 == files.models[0].graph_sha256
    assert found.properties[0].trigger == files.properties[0].trigger
    assert found.data[0].counted == files.data[0].counted
    assert (found.models[0].file.path, found.data[0].file.path) == ("in memory", "in memory")
    assert seen[-1].name == "no_universal_trigger"
    with pytest.raises(verifluxa.UsageError, match="certificate names files"):
        verifluxa.certify(spec, tmp_path / "out", models={"digits": graph})


def test_a_result_is_shown_in_a_few_words_and_as_a_table() -> None:
    result = verifluxa.verify(SPEC, models={"digits": DIGITS / "badnets.jld2"}, properties="no_universal_trigger")
    (item,) = result.properties
    assert result.properties["no_universal_trigger"] is result.properties[0] is item
    assert result.properties[:1] == (item,)
    with pytest.raises(KeyError, match="there is `no_universal_trigger`"):
        result.properties["no_trigger"]
    assert repr(item) == f"<no_universal_trigger: falsified, a trigger reaches {item.found}>"
    assert repr(result).splitlines()[1].strip() == repr(item)
    table = result._repr_html_()
    assert "<th>verdict</th>" in table
    assert "<td>no_universal_trigger</td><td>falsified</td>" in table
    image = item.image(10)
    assert image is not None
    assert image.size == (30, 30)
    assert verifluxa.verify(SPEC, budget=1e-3).properties[0].image() is None


def test_every_public_name_can_be_had() -> None:
    for name in dir(verifluxa):
        assert getattr(verifluxa, name) is not None
