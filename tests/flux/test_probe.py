"""Recorded outputs of Flux against the lifted network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conformance.cases import NEWEST, ROOT
from verifluxa.errors import ModelError
from verifluxa.flux.load import load_model
from verifluxa.flux.probe import compare


def _record(folder: Path, **arrays: Any) -> Path:
    path = folder / "inputs.npz"
    np.savez(path, **arrays)
    return path


def _expected(name: str) -> dict[str, Any]:
    with np.load(ROOT / "layers" / name / "expect.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("cnn_small", ("x", "y")),
        ("embedding", ("x", "y")),
        ("parallel_two_inputs", ("x1", "x2", "y")),
        ("dense_f64", ("x", "y")),
        ("embeddingbag_mean", ("x", "y")),
    ],
)
def test_what_flux_computed_is_found_again(name: str, keys: tuple[str, ...], tmp_path: Path) -> None:
    arrays = _expected(name)
    shapes = tuple(arrays[f"{key}_numpy"].shape[1:] for key in keys[:-1])
    graph = load_model(ROOT / "layers" / name / "model.bson", None, NEWEST, shapes)
    path = _record(tmp_path, **{key: arrays[f"{key}_julia"] for key in keys})
    probe = compare(graph, path)
    assert probe.samples == len(arrays["y_numpy"])
    assert probe.difference <= probe.tolerance == (1e-12 if name == "dense_f64" else 1e-5)
    first = [arrays[f"{key}_numpy"] - (1 if name.startswith("embedding") and key == "x" else 0) for key in keys]
    numpy_order = _record(tmp_path, **{f"{key}_numpy": array for key, array in zip(keys, first, strict=True)})
    assert compare(graph, numpy_order).difference == probe.difference


def test_a_difference_is_an_error_with_its_size(tmp_path: Path) -> None:
    arrays = _expected("dense_relu")
    graph = load_model(ROOT / "layers" / "dense_relu" / "model.bson")
    wrong = arrays["y_numpy"] + 0.01 * np.abs(arrays["y_numpy"]).max()
    for outputs in (wrong, wrong[:, :2], np.full_like(wrong, np.nan)):
        path = _record(tmp_path, x_numpy=arrays["x_numpy"], y_numpy=outputs)
        with pytest.raises(ModelError) as error:
            compare(graph, path)
        assert error.value.code == "VF2015"
    path = _record(tmp_path, x_numpy=arrays["x_numpy"], y_numpy=wrong)
    assert compare(graph, path, tolerance=0.02).difference == pytest.approx(0.01, rel=0.02)


def test_a_file_without_inputs_and_outputs_is_refused(tmp_path: Path) -> None:
    graph = load_model(ROOT / "layers" / "dense_relu" / "model.bson")
    with pytest.raises(ModelError, match="its arrays are a"):
        compare(graph, _record(tmp_path, a=np.zeros(3)))
    with pytest.raises(ModelError) as error:
        compare(graph, tmp_path / "none.npz")
    assert error.value.code == "VF2001"
