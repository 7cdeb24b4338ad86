"""ONNX files read back, files of other tools' making, and files that are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.conformance.cases import NEWEST, ROOT, Case, distance, expected, files, index
from verifluxa.errors import ModelError
from verifluxa.flux.load import lift, load_model
from verifluxa.interop.onnx_export import onnx_bytes
from verifluxa.interop.onnx_import import import_onnx

onnx = pytest.importorskip("onnx", reason="no onnx")
helper = onnx.helper
F32 = onnx.TensorProto.FLOAT
GENERATOR = np.random.default_rng(5)


def _model(nodes: list[Any], constants: dict[str, Any], shape: tuple[Any, ...], opset: int = 17, **more: Any) -> Any:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", F32, ["N", *shape])],
        [helper.make_tensor_value_info("y", F32, None)],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8, **more)


def _import(nodes: list[Any], constants: dict[str, Any], shape: tuple[Any, ...], opset: int = 17) -> Any:
    return import_onnx(_model(nodes, constants, shape, opset).SerializeToString()).graph


def _floats(*shape: int) -> Any:
    return GENERATOR.normal(size=shape).astype(np.float32)


def _node(kind: str, *inputs: str, **attributes: Any) -> Any:
    return helper.make_node(kind, ["x", *inputs], ["y"], **attributes)


# What is written with operators that are not read back: the reductions of an older LayerNorm, a padding of its own.


REFUSED_LAYERS = ("dense_f16", "rnncell", "lstmcell", "grucell", "pairwisefusion", "weightnorm")
"""Layers that do not lift, as `tests/conformance` shows."""


def _cases() -> list[Case]:
    return [
        files(ROOT / "layers" / name, NEWEST)[0]
        for name, entry in index("layers").items()
        if entry["verdict"] != "refuse" and name not in REFUSED_LAYERS
    ]


@pytest.mark.parametrize("case", _cases(), ids=str)
def test_what_is_exported_is_read_back(case: Case) -> None:
    inputs, output, tolerance = expected(case.folder)
    graph = lift(case.file, case.architecture, case.version, tuple(array.shape[1:] for array in inputs)).graph
    data = onnx_bytes(graph)
    again = import_onnx(data).graph
    assert again.input_shape == graph.input_shape
    assert distance(again.run(*inputs), output) <= tolerance


OPERATORS = [
    ("gemm", [_node("Gemm", "w", "b", transB=1)], {"w": _floats(3, 4), "b": _floats(3)}, (4,)),
    ("gemm_scalar_bias", [_node("Gemm", "w", "b")], {"w": _floats(4, 3), "b": _floats(1)}, (4,)),
    ("sub_left", [helper.make_node("Sub", ["c", "x"], ["y"])], {"c": _floats(1, 4)}, (4,)),
    ("sub_right", [_node("Sub", "c")], {"c": _floats(4)}, (4,)),
    *(
        (f"{kind.lower()}_{side}_scalar", [helper.make_node(kind, names, ["y"])], {"c": np.float32(1.7)}, (4,))
        for kind in ("Add", "Sub", "Mul", "Div")
        for side, names in (("right", ["x", "c"]), ("left", ["c", "x"]))
        if (kind, side) != ("Div", "left")
    ),
    ("div", [_node("Div", "c")], {"c": np.float32([1, 2, 4, 3])}, (4,)),
    ("neg", [_node("Neg")], {}, (4,)),
    ("sub_two", [helper.make_node("Relu", ["x"], ["a"]), _node("Sub", "a")], {}, (4,)),
    ("mul_two", [helper.make_node("Relu", ["x"], ["a"]), _node("Mul", "a")], {}, (4,)),
    ("matmul_two", [helper.make_node("Relu", ["x"], ["a"]), _node("MatMul", "a")], {}, (2, 3, 3)),
    ("sum", [helper.make_node("Relu", ["x"], ["a"]), _node("Sum", "a", "x")], {}, (4,)),
    ("concat", [helper.make_node("Relu", ["x"], ["a"]), _node("Concat", "a", axis=-1)], {}, (4,)),
    (
        "conv",
        [_node("Conv", "w", "b", pads=[1, 0, 0, 1], strides=[2, 1], dilations=[1, 2], group=2)],
        {"w": _floats(4, 1, 2, 2), "b": _floats(4)},
        (2, 5, 6),
    ),
    ("maxpool", [_node("MaxPool", kernel_shape=[2, 3], pads=[0, 1, 1, 1], strides=[2, 2])], {}, (2, 5, 6)),
    (
        "meanpool",
        [_node("AveragePool", kernel_shape=[2, 2], pads=[1, 1, 0, 0], count_include_pad=1)],
        {},
        (2, 5, 6),
    ),
    ("global_mean", [_node("GlobalAveragePool")], {}, (2, 5, 6)),
    ("global_max", [_node("GlobalMaxPool")], {}, (2, 5, 6)),
    (
        "batchnorm",
        [_node("BatchNormalization", "s", "b", "m", "v", epsilon=0.01)],
        {"s": _floats(2), "b": _floats(2), "m": _floats(2), "v": np.float32([0.5, 2])},
        (2, 3, 3),
    ),
    (
        "layernorm",
        [_node("LayerNormalization", "s", "b", axis=-2, epsilon=0.01)],
        {"s": _floats(3, 4), "b": _floats(3, 4)},
        (2, 3, 4),
    ),
    ("layernorm_plain", [_node("LayerNormalization", "s")], {"s": np.ones(4, np.float32)}, (3, 4)),
    ("flatten", [_node("Flatten")], {}, (2, 3, 3)),
    ("reshape", [_node("Reshape", "s")], {"s": np.array([0, 3, -1])}, (2, 3, 3)),
    ("squeeze", [_node("Squeeze", "s")], {"s": np.array([-1])}, (2, 1)),
    ("unsqueeze", [_node("Unsqueeze", "s")], {"s": np.array([1, -1])}, (2, 3)),
    ("transpose", [_node("Transpose", perm=[0, 3, 1, 2])], {}, (2, 3, 4)),
    ("clip", [_node("Clip", "", "h")], {"h": np.float32(0.25)}, (4,)),
    ("softmax", [_node("Softmax", axis=1)], {}, (3, 4)),
    ("logsoftmax", [_node("LogSoftmax")], {}, (3, 4)),
    ("hardsigmoid", [_node("HardSigmoid", alpha=0.3, beta=0.4)], {}, (4,)),
    ("identity", [_node("Identity")], {}, (4,)),
    ("dropout", [_node("Dropout")], {}, (4,)),
    ("gelu", [_node("Gelu", approximate="tanh")], {}, (4,)),
    ("gelu_exact", [_node("Gelu")], {}, (4,)),
    *((kind.lower(), [_node(kind)], {}, (4,)) for kind in ("Relu", "Elu", "Selu", "Celu", "LeakyRelu", "Mish")),
    *(
        (kind.lower(), [_node(kind)], {}, (4,))
        for kind in ("Softplus", "Softsign", "ThresholdedRelu", "Sigmoid", "Tanh")
    ),
    ("shrink", [_node("Shrink", lambd=0.3, bias=0.3)], {}, (4,)),
]


@pytest.mark.parametrize(("name", "nodes", "constants", "shape"), OPERATORS, ids=[item[0] for item in OPERATORS])
def test_an_operator_computes_what_onnxruntime_computes(name: str, nodes: Any, constants: Any, shape: Any) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="no onnxruntime")
    opset = 20 if name.startswith("gelu") else 18 if name == "mish" else 17
    model = _model(nodes, constants, shape, opset)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    x = (3 * _floats(3, *shape)).astype(np.float32)
    (wanted,) = session.run(None, {"x": x})
    graph = _import(nodes, constants, shape, opset)
    found = graph.run(x)
    assert graph.digest.startswith("sha256:")
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=2e-6, atol=2e-6)


REFUSED = {
    "unknown operator": ([_node("Erf")], {}, "VF2018"),
    "control flow": ([_node("Loop")], {}, "VF2018"),
    "unknown attribute": ([_node("Relu", alpha=1.0)], {}, "VF2018"),
    "computed divisor": ([_node("Div", "x")], {}, "VF2018"),
    "divisor of zero": ([_node("Div", "c")], {"c": np.float32([1, 0, 1, 1])}, "VF2018"),
    "another domain": ([helper.make_node("Relu", ["x"], ["y"], domain="com.microsoft")], {}, "VF2018"),
    "product of vectors": ([_node("MatMul", "x")], {}, "VF2101"),
    "computed weight": ([_node("Gemm", "x")], {}, "VF2018"),
    "unknown value": ([_node("Add", "z")], {}, "VF2018"),
    "samples reshaped": ([_node("Reshape", "s")], {"s": np.array([2, 2])}, "VF2018"),
    "samples squeezed": ([_node("Squeeze", "s")], {"s": np.array([0])}, "VF2018"),
    "samples in a layernorm": ([_node("LayerNormalization", "s", axis=0)], {"s": _floats(4)}, "VF2018"),
    "layernorm in half precision": (
        [_node("LayerNormalization", "s", stash_type=10)],
        {"s": _floats(4)},
        "VF2018",
    ),
    "samples normalised": ([_node("Softmax", axis=0)], {}, "VF2018"),
    "samples moved": ([_node("Transpose", perm=[1, 0])], {}, "VF2018"),
    "wide constant": ([_node("Add", "c")], {"c": np.zeros((2, 4), np.float32)}, "VF2018"),
    "double constant": ([_node("Add", "c")], {"c": np.zeros(4)}, "VF2018"),
    "not a number": ([_node("Add", "c")], {"c": np.float32([np.nan] * 4)}, "VF2017"),
    "text": ([_node("Add", "c")], {"c": np.array(["a"])}, "VF2017"),
    "training dropout": ([_node("Dropout", "", "t")], {}, "VF2018"),
    "wrong weight": ([_node("Gemm", "c")], {"c": _floats(5, 3)}, "VF2101"),
    "one name twice": ([_node("Relu"), _node("Relu")], {}, "VF2017"),
    "no output": ([helper.make_node("Relu", ["x"], ["z"])], {}, "VF2017"),
    "whole numbers": (
        [helper.make_node("Cast", ["x"], ["a"], to=7), helper.make_node("Relu", ["a"], ["y"])],
        {},
        "VF2018",
    ),
    "a mask": (
        [helper.make_node("Dropout", ["x"], ["a", "mask"]), helper.make_node("Relu", ["mask"], ["y"])],
        {},
        "VF2018",
    ),
}


@pytest.mark.parametrize(("nodes", "constants", "code"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_understood_is_refused(nodes: Any, constants: Any, code: str) -> None:
    with pytest.raises(ModelError) as error:
        _import(nodes, constants, (4,))
    assert error.value.code == code
    assert len(str(error.value)) < 1000


def test_files_with_parts_elsewhere_or_of_their_own_are_refused() -> None:
    def broken(change: Any) -> None:
        model = _model([_node("Add", "c")], {"c": _floats(4)}, (4,))
        change(model)
        with pytest.raises(ModelError) as error:
            import_onnx(model.SerializeToString())
        assert error.value.code in ("VF2017", "VF2013")

    def external(model: Any) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="/etc/passwd")

    broken(external)
    broken(lambda model: model.functions.add(name="f"))
    broken(lambda model: model.graph.initializer[0].dims.__setitem__(0, 2**40))
    broken(lambda model: model.graph.initializer[0].dims.__setitem__(0, -4))
    broken(lambda model: model.graph.sparse_initializer.add())

    def of_the_future(model: Any) -> None:
        model.opset_import[0].version = 99

    def named_size(model: Any) -> None:
        model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "M"

    def of_half_floats(model: Any) -> None:
        model.graph.input[0].type.tensor_type.elem_type = 10

    broken(of_the_future)
    broken(named_size)
    broken(of_half_floats)
    broken(lambda model: model.ClearField("graph"))
    broken(lambda model: model.graph.output.add(name="x"))
    broken(lambda model: model.graph.node[0].attribute.add(name="g", type=5))


def test_mutated_bytes_are_refused_or_read(tmp_path: Any) -> None:
    good = _model([_node("Gemm", "w")], {"w": _floats(4, 3)}, (4,)).SerializeToString()
    random = np.random.default_rng(0)
    read = 0
    for _ in range(400):
        data = bytearray(good)
        for _ in range(int(random.integers(1, 4))):
            data[int(random.integers(len(data)))] = int(random.integers(256))
        end = int(random.integers(1, len(data) + 1)) if random.random() < 0.3 else len(data)
        read += _code(bytes(data[:end])) is None
    assert 0 < read < 400


def _code(data: bytes) -> str | None:
    """The code of the refusal; any other exception fails the test."""
    try:
        import_onnx(data)
    except ModelError as error:
        return error.code
    return None


def test_a_model_file_is_loaded_by_its_ending(tmp_path: Any) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(onnx_bytes(load_model(ROOT / "layers" / "cnn_small" / "model.jld2", None, None, (1, 11, 12))))
    lifted = lift(path)
    assert lifted.format == "ONNX 17"
    assert lifted.notes[0].startswith("written by verifluxa")
    assert "fuse" in lifted.uncovered[0]
    assert len(lifted.layers) > 3
    with pytest.raises(ModelError, match="beside it"):
        lift(path, "Dense(3 => 2)")
    path.write_bytes(b"")
    with pytest.raises(ModelError) as error:
        lift(path)
    assert error.value.code == "VF2017"


def test_shapes_that_are_asked_for() -> None:
    data = _model([_node("Gemm", "w")], {"w": _floats(12, 3)}, (12,)).SerializeToString()
    image = import_onnx(data, ((1, 3, 4),)).graph
    assert image.input_shape == (1, 3, 4)
    x = _floats(2, 12)
    np.testing.assert_array_equal(image.run(x.reshape(2, 1, 3, 4)), import_onnx(data).graph.run(x))
    with pytest.raises(ModelError) as error:
        import_onnx(data, ((1, 3, 5),))
    assert error.value.code == "VF2101"
    opened = _model([_node("GlobalAveragePool")], {}, (2, "h", "w")).SerializeToString()
    assert import_onnx(opened, ((2, 5, 6),)).graph.output_shape == (2, 1, 1)
    with pytest.raises(ModelError) as error:
        import_onnx(opened)
    assert error.value.code == "VF2013"
