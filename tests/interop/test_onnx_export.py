"""A graph exported to ONNX and run by onnxruntime gives the same outputs as the graph."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from tests.conformance.cases import NEWEST, ROOT, Case, distance, expected, files, index
from verifluxa.errors import ModelError
from verifluxa.flux.load import lift
from verifluxa.graph.activations import ACTIVATIONS
from verifluxa.graph.graph import Graph, chain
from verifluxa.graph.ops import OPS, Activation, BatchNorm, Normalise, Take
from verifluxa.interop.onnx_export import _EXPORT, onnx_bytes
from verifluxa.interop.onnx_functions import WRITTEN

onnx = pytest.importorskip("onnx", reason="no onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="no onnxruntime")


def run_onnx(data: bytes, *inputs: Any) -> Any:
    """The outputs of onnxruntime, without the fusions that round otherwise."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip([item.name for item in session.get_inputs()], inputs, strict=True)))[0]


def _cases() -> list[Case]:
    """One file of each model: the others hold the same network."""
    layers = [case for name in index("layers") for case in files(ROOT / "layers" / name, NEWEST)[:1]]
    folders = [folder for part in ("mnist", "examples", "jld2-0.6.5") for folder in sorted((ROOT / part).iterdir())]
    newer = [files(folder, NEWEST)[0] for folder in folders if folder.is_dir() and files(folder, NEWEST)]
    old = [
        files(folder, version)[0]
        for version in ("0.12.1", "0.13.4")
        for folder in sorted(next((ROOT / "old").glob(f"flux-{version}*")).iterdir())
        if folder.is_dir()
    ]
    return layers + newer + old


@cache
def _lifted(case: Case) -> tuple[Graph, list[Any]] | None:
    try:
        inputs, _, _ = expected(case.folder)
        shapes = tuple(array.shape[1:] for array in inputs)
        return lift(case.file, case.architecture, case.version, shapes).graph, inputs
    except (ModelError, KeyError):  # a recurrent cell gives two outputs, under names of their own
        return None


def test_most_fixtures_lift() -> None:
    assert sum(_lifted(case) is not None for case in _cases()) >= 143


@pytest.mark.parametrize("case", _cases(), ids=str)
def test_onnxruntime_gives_the_outputs_of_flux(case: Case) -> None:
    found = _lifted(case)
    if found is None:
        pytest.skip("not a network with one output")
    graph, inputs = found
    result = run_onnx(onnx_bytes(graph), *(array.astype(graph.dtype) for array in inputs))
    _, output, tolerance = expected(case.folder)
    assert distance(result, output) <= max(tolerance, 1e-12)


@pytest.mark.parametrize("index", [[[5, 2, 2]], [[4], [-1], [0]]], ids=["places", "zeros"])
def test_values_by_their_places(index: Any) -> None:
    graph = chain((2, 3), [Take((2, 3), np.array(index))])
    x = np.random.default_rng(1).normal(size=(4, 2, 3)).astype(np.float32)
    expected = graph.run(x)
    assert np.array_equal(expected[2], np.where(np.array(index) < 0, 0, x[2].ravel()[index]))
    assert np.array_equal(run_onnx(onnx_bytes(graph), x), expected)


def test_no_operation_and_no_activation_is_refused() -> None:
    assert set(_EXPORT) == {op.kind for op in OPS} - {"input"}
    assert set(WRITTEN) == set(ACTIVATIONS)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_activation_with_its_usual_parameter_and_another(name: str, dtype: str) -> None:
    x = np.linspace(-7, 7, 57, dtype=dtype).reshape(3, 19)
    usual = ACTIVATIONS[name].parameter
    for parameter in (None,) if usual is None else (None, 0.3):
        graph = chain((19,), [Activation(name, parameter)], dtype)
        try:
            found = run_onnx(onnx_bytes(graph), x)
        except onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented:
            # The runtime has some operators in float32 alone.
            assert dtype == "float64"
            continue
        np.testing.assert_allclose(found, graph.run(x), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("name", ["leakyrelu", "elu", "selu", "softshrink"])
def test_no_parameter_of_a_float64_network_is_rounded_to_float32(name: str) -> None:
    """Attributes hold float32: 0.3 would become another number."""
    x = np.linspace(-7, 7, 57, dtype="float64").reshape(3, 19)
    graph = chain((19,), [Activation(name, None if name == "selu" else 0.3)], "float64")
    data = onnx_bytes(graph)
    try:
        found = run_onnx(data, x)
    except onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented:
        # The runtime has Elu in float32 alone; what stands around it has no attribute that rounds.
        assert [node.op_type for node in onnx.load_model_from_string(data).graph.node if node.attribute] == ["Elu"]
        return
    np.testing.assert_allclose(found, graph.run(x), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("epsilon", [2.0**-17, 1e-5])
@pytest.mark.parametrize("affine", [True, False])
def test_a_batch_normalisation_runs_with_its_own_numbers(dtype: str, epsilon: float, affine: bool) -> None:
    random = np.random.default_rng(3)
    mean, variance, factor, shift = (np.abs(random.normal(size=3)).astype(dtype) + 1 for _ in range(4))
    rest = (factor, shift) if affine else (None, None)
    graph = chain((3, 2, 2), [BatchNorm(mean, variance, float(np.dtype(dtype).type(epsilon)), *rest)], dtype)
    x = random.normal(size=(4, 3, 2, 2)).astype(dtype)
    tolerance = 1e-6 if dtype == "float32" else 1e-15
    np.testing.assert_allclose(run_onnx(onnx_bytes(graph), x), graph.run(x), rtol=tolerance, atol=4 * tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_layer_normalisation_runs_with_its_own_epsilon(dtype: str) -> None:
    x = np.random.default_rng(4).normal(size=(3, 5)).astype(dtype) / 100
    graph = chain((5,), [Normalise(1, 1e-5)], dtype)
    np.testing.assert_allclose(run_onnx(onnx_bytes(graph), x), graph.run(x), rtol=1e-12 if dtype == "float64" else 1e-5)


def test_the_same_graph_gives_the_same_bytes() -> None:
    file = ROOT / "layers" / "dense_relu" / "model.bson"
    assert onnx_bytes(lift(file).graph) == onnx_bytes(lift(file).graph)
