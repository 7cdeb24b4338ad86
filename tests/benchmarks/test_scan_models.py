"""The networks that the scan is measured on: triggers by seed, files as a user has them, what counts as found."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.bench_scan import Outcome
from benchmarks.scan_models import CLEAN, KINDS, SETS, Made, make, planted, success
from verifluxa.inputs import Choice, inputs_of
from verifluxa.lower.deploy import deploy
from verifluxa.spec.check import parse_spec

SPEC = """spec 1
input item : image(28 px, 28 px, 1 ch) of 0..255 level
model network : item -> class(10) { file = "model.npz" architecture = "architecture.txt" encode = level / 255 }
data eval : item { file = "eval.npz" }
trigger pixel : item { replace 1 px x 1 px at (0, 0) with 0..255 level }
property p { forall x in eval, t in pixel assert class(network(t(x))) == label(x) }
"""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("data", SETS)
def test_a_trigger_hangs_on_its_seed_alone(data: str, kind: str) -> None:
    one, again, other = (planted(Made(data, kind, seed)) for seed in (3, 3, 4))
    assert one.target == again.target
    assert (one.levels == again.levels).all()
    assert one.target != other.target or (one.levels != other.levels).any()
    covered = {"badnets": 9, "two": 8, "blended": 784}[kind]
    assert (one.opacity > 0).sum() == covered
    black = np.zeros((1, 28, 28), np.uint8)
    assert (one.stamped(black)[0] == np.rint(one.levels * one.opacity)).all()


def test_a_network_is_trained_once_and_its_trigger_works(tmp_path) -> None:
    made = Made("digits", "badnets", 0)
    file = make(made, tmp_path)
    written = file.stat().st_mtime_ns
    assert make(made, tmp_path).stat().st_mtime_ns == written
    inputs = inputs_of(parse_spec(SPEC, str(file.parent / "s.vfx")), Choice())
    loaded, data = inputs.models["network"], inputs.data["eval"]
    graph = deploy(loaded.lifted.graph, loaded.decl, inputs.spec.spaces[0])
    assert (graph.run(data.inputs).argmax(1) == data.labels).mean() > 0.8
    assert success(made, graph) > 0.8


def test_what_counts_as_found() -> None:
    clean = Outcome("code", None, (), (4,), 1.0, "")
    bad = Outcome("code", 7, (7,), (4,), 1.0, "")
    assert not clean.hit(clean.suspects)
    assert clean.hit(clean.by_cleanse)
    assert bad.hit(bad.suspects)
    assert not bad.hit(bad.by_cleanse)
    assert Made("digits", CLEAN, 3).name == "digits-clean-3"
