"""From files to certificates: batch normalisations that come out otherwise when their constants are folded first.

Each network reads two pixels and looks at none of them: a dense layer of zeros, a normalisation, and class 1 where the
result is above half of what is left of `shift - scale * mean`. That is 0 when it is rounded twice, but not in exact
arithmetic, and not with a fused multiply-add.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.soundness.definitions import batch_norm, exactly, fractions, nearest
from verifluxa.certificate.check.run import check_certificate
from verifluxa.cli.main import run

onnx = pytest.importorskip("onnx", reason="no onnx")
EPSILON = np.float32(1e-5)
SPEC = """spec 1
input im : image(1 px, 2 px, 1 ch) of 0..3 level
model m : im -> class(2) { file = "m.onnx" encode = level }
data e : im { file = "e.npz" }
trigger t1 : im { replace 1 px x 1 px at (0, 0) with 0..3 level }
property p1 { forall x in e, t in t1 assert class(m(t(x))) == label(x) }
"""


@dataclass(frozen=True)
class Recipe:
    """One channel's constants, and what `shift - scale * mean` is in exact arithmetic and with a fused multiply-add."""

    mean: np.float32
    variance: np.float32
    factor: np.float32
    shift: np.float32
    exact: float
    fused: float


def recipes(seed: int) -> Iterator[Recipe]:
    """Those that are 0 when they are folded in float32, operation by operation."""
    random = np.random.default_rng(seed)
    for _ in range(2000):
        factor, variance = np.float32(random.uniform(0.5, 2)), np.float32(random.uniform(1, 20))
        mean = np.float32(random.uniform(1e7, 3e7))
        scale = factor / np.sqrt(variance + EPSILON)
        shift = scale * mean
        if -scale * mean + shift != 0:
            continue
        numbers = [np.array([value]) for value in (mean, variance, factor, shift)]
        defined = batch_norm(numbers[0], numbers[1], float(EPSILON), numbers[2], numbers[3])
        (exact,) = fractions(exactly(defined, np.zeros(1))[0])
        fused = nearest(Fraction(float(shift)) - Fraction(float(scale)) * Fraction(float(mean)), np.float32)
        yield Recipe(mean, variance, factor, shift, float(exact), float(fused))


def best(seed: int, key: str) -> Recipe:
    """The recipe in which most is left."""
    return max(recipes(seed), key=lambda recipe: getattr(recipe, key))


def written(folder: Path, recipe: Recipe, left: float) -> Path:
    """Model, data and spec; class 1 is above class 0 where the normalisation gives more than half of what is left."""
    constants: dict[str, Any] = {
        "w": np.zeros((2, 1), np.float32),
        "g": [recipe.factor],
        "b": [recipe.shift],
        "m": [recipe.mean],
        "v": [recipe.variance],
        "last": np.array([[0, 1]], np.float32),
        "bias": np.array([0, -left / 2], np.float32),
    }
    helper = onnx.helper
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["h"]),
        helper.make_node("BatchNormalization", ["h", "g", "b", "m", "v"], ["z"], epsilon=float(EPSILON)),
        helper.make_node("Gemm", ["z", "last", "bias"], ["y"]),
    ]
    element = onnx.TensorProto.FLOAT
    body = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", element, ["N", 1, 1, 2])],
        [helper.make_tensor_value_info("y", element, ["N", 2])],
        [onnx.numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in constants.items()],
    )
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    np.savez(folder / "e.npz", x=np.zeros((2, 1, 1, 2), np.uint8), y=np.zeros(2, int))
    (folder / "spec.vfx").write_text(SPEC, encoding="utf-8")
    return folder / "spec.vfx"


CASES = [(1, "fused", "float32"), (2, "exact", "real"), (7, "exact", "real")]


@pytest.mark.parametrize(("seed", "key", "arithmetic"), CASES)
def test_what_is_left_of_a_fold_is_never_left_out(seed: int, key: str, arithmetic: str, tmp_path: Path) -> None:
    recipe = best(seed, key)
    left = getattr(recipe, key)
    assert left > 1, "the test of the test"
    spec = written(tmp_path, recipe, left)
    run(["verify", str(spec), "--arithmetic", arithmetic, "--out", str(tmp_path / "out")])
    verdict = json.loads((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))["verdict"]
    # In exact arithmetic the class is another one; in floats it depends on the evaluation.
    assert verdict == ("falsified" if arithmetic == "real" else "unknown")
    report = check_certificate(tmp_path / "out" / "certificate.json")
    assert report.accepted
    assert report.statement is not None
    assert report.statement.verdict == verdict
