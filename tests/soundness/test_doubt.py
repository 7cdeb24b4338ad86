"""Inputs in doubt: what is certified holds whichever of them count, what is found and falsified too, by brute force.

A linear network over four pixels of few levels, whose outputs are small whole numbers: every evaluation gives the same,
but the engine does not know that, so an input at a tie is in doubt to it. Truth is worked out for each choice of them.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from verifluxa.certificate.check.run import check_certificate
from verifluxa.cli.main import run

SPEC = """spec 1
input im : image(2 px, 2 px, 1 ch) of 0..3 level
model m : im -> class(2) {{ file = "m.npz" architecture = "m.txt" encode = level }}
data e : im {{ file = "e.npz" }}
trigger t1 : im {{ replace 1 px x 1 px at (0, 0) with 0..3 level }}
property shared {{
  let v = e where correct(m, x)
  forall t in t1
  assert rate(x in v : class(m(t(x))) != label(x)) <= {limit} %
}}
property single {{ forall x in (e where correct(m, x)), t in t1 assert class(m(t(x))) == label(x) }}
"""
LEVELS = range(4)


@dataclass(frozen=True)
class Case:
    """A network, inputs with margins of their label without a trigger, and whether each trigger level violates."""

    weight: NDArray[np.int64]
    bias: int
    inputs: NDArray[np.int64]
    labels: NDArray[np.int64]
    limit: int

    @property
    def margins(self) -> NDArray[np.int64]:
        """By input, then without a trigger and for each level: above 0 where the label is the strict maximum."""
        columns = [self.inputs]
        for level in LEVELS:
            changed = self.inputs.copy()
            changed[:, 0] = level
            columns.append(changed)
        scores = np.stack([part @ self.weight + self.bias for part in columns], axis=1)
        return np.where(self.labels[:, None] == 1, scores, -scores)


def case(seed: int) -> Case:
    """With a few inputs at a tie."""
    random = np.random.default_rng(seed)
    weight, bias = random.integers(-3, 5, 4), int(random.integers(-8, 2))
    every = np.array(list(itertools.product(LEVELS, repeat=4)))
    scores = every @ weight + bias
    tied, clear = every[scores == 0], every[scores != 0]
    some = [random.permutation(clear)[:12], random.permutation(tied)[: int(random.integers(1, 4))]]
    inputs = random.permutation(np.concatenate(some))
    labels = (inputs @ weight + bias > 0).astype(np.int64)
    wrong = random.random(len(labels)) < 0.1
    return Case(weight, bias, inputs, np.where(wrong, 1 - labels, labels), int(random.choice([0, 10, 25, 40, 50, 75])))


def verified(case: Case, folder: Path) -> dict[str, Any]:
    weight = np.stack([np.zeros(4), case.weight]).astype(np.float32)
    arrays = {"layers.2.weight": weight, "layers.2.bias": np.array([0, case.bias], np.float32)}
    np.savez(folder / "m.npz", **arrays)
    (folder / "m.txt").write_text("Chain(Flux.flatten, Dense(4 => 2))")
    pictures = case.inputs.reshape(-1, 1, 2, 2).astype(np.uint8)
    np.savez(folder / "e.npz", x=pictures, y=case.labels)
    (folder / "s.vfx").write_text(SPEC.format(limit=case.limit))
    run(["verify", str(folder / "s.vfx"), "--out", str(folder / "out"), "--force"])
    read: dict[str, Any] = json.loads((folder / "out" / "result.json").read_text())
    return read


def check(case: Case, folder: Path) -> str:
    margins = case.margins
    sure, tied = np.flatnonzero(margins[:, 0] > 0), np.flatnonzero(margins[:, 0] == 0)
    if not len(sure):
        return "nothing counts"
    result = verified(case, folder)
    shared, single = result["properties"]
    violated, strictly = margins[:, 1:] <= 0, margins[:, 1:] < 0
    choices = [
        np.concatenate([sure, np.array(some, dtype=np.int64)])
        for count in range(len(tied) + 1)
        for some in itertools.combinations(tied.tolist(), count)
    ]
    worst = max(Fraction(int(violated[chosen].sum(0).max()), len(chosen)) for chosen in choices)
    limit = Fraction(case.limit, 100)
    bound = {end: Fraction(text) for end, text in shared["bound"].items()}
    if shared["verdict"] == "certified":
        assert worst <= limit, "a choice of the inputs in doubt breaks the claim"
        assert worst <= bound["proved"]
    reached = max(min(Fraction(int(strictly[c, at].sum()), len(c)) for c in choices) for at in LEVELS)
    assert bound["found"] <= reached, "no trigger does that whichever of them count"
    if shared["verdict"] == "falsified":
        assert max(Fraction(int(strictly[sure, at].sum()), len(sure)) for at in LEVELS) > limit
    safe = {item["index"]: item["verdict"] for item in single["per_input"]}
    for index, verdict in safe.items():
        assert verdict != "certified" or not violated[index].any()
        assert verdict != "falsified" or (strictly[index].any() and index in sure), "the replay does not count it"
    assert set(safe) == {*sure.tolist(), *tied.tolist()}
    report = check_certificate(folder / "out" / "certificate.json")
    assert report.accepted, report.reasons
    assert report.exit_code == 0 or "unknown" in {shared["verdict"], single["verdict"]}
    return str(shared["verdict"])


def test_every_choice_of_the_inputs_in_doubt_keeps_what_is_certified(tmp_path: Path) -> None:
    assert {check(case(at), tmp_path) for at in range(18)} >= {"certified", "falsified", "unknown"}


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 140))
def test_every_choice_of_the_inputs_in_doubt_keeps_what_is_certified_long(seed: int, tmp_path: Path) -> None:
    for at in range(seed * 20, seed * 20 + 20):
        check(case(at), tmp_path)
