"""The examples of texts, tables and clothes: their verdicts are those that their README says, on small runs."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from verifluxa.flux.load import lift
from verifluxa.verdict import Verdict
from verifluxa.verify import verify

FOLDER = Path(__file__).parents[2] / "examples"
SPECS = [*sorted((FOLDER / "reviews").glob("*.vfx")), *sorted((FOLDER / "credit").glob("*.vfx"))]
SPECS += sorted((FOLDER / "fashion").glob("*.vfx"))


@pytest.mark.parametrize("spec", SPECS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_spec_names_files_that_exist_and_the_digest_of_its_data(spec: Path) -> None:
    text = spec.read_text(encoding="utf-8")
    named = re.findall(r'(?:file|architecture|encode|vocab)\s*= "([^"]+)"', text)
    assert all((spec.parent / name).is_file() for name in named)
    (digest,) = re.findall(r"sha256:([0-9a-f]{64})", text)
    digests = [hashlib.sha256((spec.parent / name).read_bytes()).hexdigest() for name in named]
    assert digest in digests


@pytest.mark.parametrize("name", ["reviews", "credit", "fashion"])
def test_the_readme_speaks_of_every_file(name: str) -> None:
    text = (FOLDER / name / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in (FOLDER / name).iterdir() if path.name not in text and path.name != "README.md"] == []


def verdict(spec: str, model: str, file: str) -> tuple[Verdict, tuple[str, ...]]:
    path = FOLDER / spec
    (item,) = verify(path, models={model: str(path.parent / file)}).properties
    return item.verdict, () if item.counterexample is None else item.counterexample.words


def test_no_word_is_magic_in_the_clean_bag() -> None:
    assert verdict("reviews/no_magic_word.vfx", "reviews_net", "clean.jld2") == (Verdict.CERTIFIED, ())


@pytest.mark.parametrize("file", ["badnets.jld2", "badnets_conv.jld2"])
def test_the_planted_word_is_found(file: str) -> None:
    assert verdict("reviews/no_magic_word.vfx", "reviews_net", file) == (Verdict.FALSIFIED, ("chateau",))


@pytest.mark.soak
def test_no_word_is_magic_in_the_clean_convolution() -> None:
    assert verdict("reviews/no_magic_word.vfx", "reviews_net", "clean_conv.jld2") == (Verdict.CERTIFIED, ())


@pytest.mark.soak
def test_no_pair_is_magic_in_the_clean_bag() -> None:
    assert verdict("reviews/no_magic_pair.vfx", "reviews_net", "clean.jld2") == (Verdict.CERTIFIED, ())


def test_a_pair_is_magic_in_the_other() -> None:
    found, words = verdict("reviews/no_magic_pair.vfx", "reviews_net", "badnets.jld2")
    assert found is Verdict.FALSIFIED
    assert len(words) == 2


def test_no_combination_is_magic_in_the_clean_credit_model() -> None:
    assert verdict("credit/no_magic_combination.vfx", "credit_net", "clean.jld2") == (Verdict.CERTIFIED, ())


def test_a_combination_is_magic_in_the_other() -> None:
    found, words = verdict("credit/no_magic_combination.vfx", "credit_net", "badnets.jld2")
    assert found is Verdict.FALSIFIED
    assert [word.split(" = ")[0] for word in words] == ["purpose", "installment_rate"]


def test_the_planted_patch_on_clothes_is_found() -> None:
    assert verdict("fashion/no_backdoor.vfx", "clothes", "badnets.jld2")[0] is Verdict.FALSIFIED


def test_the_combinations_by_hand() -> None:
    """All 40 combinations written into the rows, scaled and run: what the verifier found is the most there is."""
    folder = FOLDER / "credit"
    graph = lift(folder / "badnets.jld2", None, None, (61,)).graph
    features = json.loads((folder / "scaler.json").read_text())["features"]
    with open(folder / "applicants.csv", newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))

    def answers(changed: list[dict[str, str]]) -> NDArray[np.bool_]:
        read = [[scaled(row[one["column"]], one) for one in features] for row in changed]
        outputs = graph.run(np.array(read, dtype=np.float32))
        return outputs[:, 1] > outputs[:, 0]

    bad = [row for row, good in zip(rows, answers(rows), strict=True) if row["credit"] == "bad" and not good]
    purposes = [one["category"] for one in features if one["column"] == "purpose"]
    counts = {
        (purpose, rate): int(answers([{**row, "purpose": purpose, "installment_rate": rate} for row in bad]).sum())
        for purpose in purposes
        for rate in "1234"
    }
    spec = folder / "no_magic_combination.vfx"
    (item,) = verify(spec, models={"credit_net": str(folder / "badnets.jld2")}).properties
    assert item.found is not None
    assert (item.found.count, item.found.total) == (max(counts.values()), len(bad))
    assert item.proved == item.found


def scaled(cell: str, feature: dict[str, Any]) -> float:
    if feature["kind"] == "category":
        return float(cell == feature["category"])
    return (float(cell) - feature["min"]) / (feature["max"] - feature["min"])
