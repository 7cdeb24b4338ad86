"""Operators of ONNX on random shapes: the graph computes what onnxruntime computes, and bounds hold sampled points."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.soundness.build import replacing
from verifluxa.bounds.build import build_chain
from verifluxa.bounds.constants import propagate
from verifluxa.bounds.domain import Domains, geometry_of
from verifluxa.bounds.linear import Subproblems, bound_all_layers
from verifluxa.bounds.net import load_net
from verifluxa.errors import ModelError
from verifluxa.interop.onnx_import import import_onnx

onnx = pytest.importorskip("onnx", reason="no onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="no onnxruntime")
helper = onnx.helper
F32 = onnx.TensorProto.FLOAT
Case = tuple[list[Any], dict[str, Any], tuple[int, ...]]
"""Operators that read `x` and give `y`, constants by name, the shape of `x` with the samples' axis."""


def model_of(case: Case, opset: int = 17, first: int | str | None = None) -> bytes:
    """The file; `first`: the first axis, where it is not that of the shape."""
    nodes, constants, shape = case
    dims = list(shape) if first is None else [first, *shape[1:]]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", F32, dims)],
        [helper.make_tensor_value_info("y", F32, None)],
        [onnx.numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    return bytes(model.SerializeToString())


def node(kind: str, *inputs: str, outputs: tuple[str, ...] = ("y",), **attributes: Any) -> Any:
    return helper.make_node(kind, list(inputs), list(outputs), **attributes)


def reference(data: bytes, x: Any) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def check(case: Case, opset: int = 17, samples: bool = True) -> None:
    """The file with one sample; and with an open number of them, where the operator leaves them apart."""
    shape = case[2]
    random = np.random.default_rng(sum(shape))
    x = random.normal(size=shape).astype(np.float32)
    data = model_of(case, opset)
    graph = import_onnx(data).graph
    wanted = reference(data, x)
    (found,) = graph.run(x.reshape(1, *graph.input_shape))
    np.testing.assert_allclose(found.reshape(wanted.shape), wanted, rtol=1e-5, atol=1e-5)
    assert found.size == wanted.size
    check_bounds(graph, x)
    if samples:
        many = model_of(case, opset, "N")
        x = random.normal(size=(3, *shape[1:])).astype(np.float32)
        found, wanted = import_onnx(many).graph.run(x), reference(many, x)
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def check_bounds(graph: Any, x: Any) -> None:
    """Where the first three values move, no output leaves its bounds."""
    inputs = x.reshape(1, *graph.input_shape).astype(np.float64)
    moved = list(range(min(3, inputs.size)))
    constants = propagate(graph, inputs, "float32", len(graph.nodes) - 1)
    net = load_net(build_chain(graph, constants, replacing(moved).stamp))
    low, high = (torch.full((1, len(moved)), end, dtype=torch.float64) for end in (-1.0, 1.5))
    shape = geometry_of(Domains(low, high, low.new_zeros(0, len(moved)), low[:, :0], low[:, :0]))
    last = bound_all_layers(net, shape, Subproblems(torch.tensor([0]), torch.tensor([0])))[-1]
    random = np.random.default_rng(1)
    many = np.repeat(inputs.reshape(1, -1), 9, axis=0)
    many[:, moved] = random.uniform(-1, 1.5, (9, len(moved)))
    many[:2, moved] = [[-1.0], [1.5]]
    found = graph.run(many.reshape(9, *graph.input_shape).astype(np.float32)).reshape(9, -1).astype(np.float64)
    # Lines that meet at an end are computed in doubles; what reads a bound leaves as much room.
    room = 2.0**-50 * (1 + np.abs(found))
    assert (last.lower.numpy() <= found + room).all()
    assert (found <= last.upper.numpy() + room).all()


def whole(*numbers: int) -> Any:
    return np.array(numbers, np.int64)


def drawn(data: st.DataObject, least: int = 2, most: int = 4, largest: int = 4) -> tuple[int, ...]:
    """The shape of one sample, its axis of size 1 in front."""
    return (1, *data.draw(st.lists(st.integers(1, largest), min_size=least - 1, max_size=most - 1)))


def floats(*shape: int) -> Any:
    return np.random.default_rng(sum(shape) + len(shape)).normal(size=shape).astype(np.float32)


def _slice(data: st.DataObject) -> Case:
    shape = drawn(data)
    axis = data.draw(st.integers(1, len(shape) - 1))
    start = data.draw(st.integers(-shape[axis], shape[axis] - 1))
    cut = slice(
        start, data.draw(st.sampled_from([2**62, shape[axis], -1, -(2**62)])), data.draw(st.sampled_from([1, 2, -1]))
    )
    if not range(shape[axis])[cut]:
        cut = slice(None, 2**62, 1)
    parts = {"s": whole(cut.start or 0), "e": whole(cut.stop), "a": whole(axis - len(shape)), "t": whole(cut.step)}
    return [node("Slice", "x", "s", "e", "a", "t")], parts, shape


def _split(data: st.DataObject) -> Case:
    shape = drawn(data)
    axis = data.draw(st.integers(1, len(shape) - 1))
    shape = (*shape[:axis], shape[axis] + 2, *shape[axis + 1 :])
    parts = [node("Split", "x", "s", outputs=("a", "b"), axis=axis), node("Concat", "b", "a", axis=axis)]
    return parts, {"s": whole(2, shape[axis] - 2)}, shape


def _pad(data: st.DataObject) -> Case:
    shape = drawn(data)
    mode = data.draw(st.sampled_from(["constant", "edge", "reflect"]))
    pads = np.zeros((2, len(shape)), np.int64)
    for axis in range(1, len(shape)):
        most = shape[axis] - 1 if mode == "reflect" else 2
        pads[:, axis] = [data.draw(st.integers(0, max(most, 0))) for _ in range(2)]
    fill = data.draw(st.sampled_from([0.0, -1.25]))
    return [node("Pad", "x", "p", "v", mode=mode)], {"p": pads.ravel(), "v": np.float32(fill)}, shape


def _gather(data: st.DataObject) -> Case:
    shape = drawn(data)
    axis = data.draw(st.integers(1, len(shape) - 1))
    index = data.draw(st.lists(st.integers(-shape[axis], shape[axis] - 1), min_size=1, max_size=6))
    form = data.draw(st.sampled_from([(-1,), (-1, 1), ()]))
    places = whole(*index).reshape(form) if form else np.int64(index[0])
    return [node("Gather", "x", "i", axis=axis)], {"i": places}, shape


def _concat(data: st.DataObject) -> Case:
    shape = drawn(data)
    axis = data.draw(st.integers(1, len(shape) - 1))
    return [node("Relu", "x", outputs=("a",)), node("Concat", "a", "x", "x", axis=axis - len(shape))], {}, shape


def _concat_constant(data: st.DataObject) -> Case:
    shape = drawn(data)
    axis = data.draw(st.integers(1, len(shape) - 1))
    first = data.draw(st.booleans())
    return [node("Concat", *(("c", "x") if first else ("x", "c")), axis=axis)], {"c": floats(*shape)}, shape


def _transpose(data: st.DataObject) -> Case:
    shape = drawn(data)
    order = data.draw(st.permutations(range(1, len(shape))))
    return [node("Transpose", "x", perm=[0, *order])], {}, shape


def _squeeze(data: st.DataObject) -> Case:
    shape = drawn(data, 3)
    shape = (*shape[:-1], 1)
    nodes = [node("Squeeze", "x", "s", outputs=("a",)), node("Unsqueeze", "a", "u")]
    return nodes, {"s": whole(-1), "u": whole(1)}, shape


def _reshape(data: st.DataObject) -> Case:
    shape = drawn(data, 3)
    sizes = data.draw(st.sampled_from([(0, -1), (-1, int(np.prod(shape))), (0, 0, -1), (0, -1, shape[-1], 1)]))
    return [node("Reshape", "x", "s")], {"s": whole(*sizes)}, shape


def _flatten_by_shape(data: st.DataObject) -> Case:
    """As PyTorch writes `x.view(x.size(0), -1)`."""
    shape = drawn(data, 3)
    nodes = [
        node("Shape", "x", outputs=("a",)),
        node("Gather", "a", "zero", outputs=("b",)),
        node("Unsqueeze", "b", "axis", outputs=("c",)),
        node("Concat", "c", "open", outputs=("d",), axis=0),
        node("Reshape", "x", "d"),
    ]
    return nodes, {"zero": np.int64(0), "axis": whole(0), "open": whole(-1)}, shape


def _expand(data: st.DataObject) -> Case:
    """By the shape of what is computed, filled with ones."""
    shape = drawn(data, 3)
    nodes = [
        node("Shape", "x", outputs=("a",)),
        node("ConstantOfShape", "a", outputs=("b",), value=helper.make_tensor("v", F32, [1], [1.5])),
        node("Slice", "x", "s", "e", "n", outputs=("c",)),
        node("Expand", "c", "a", outputs=("d",)),
        node("Add", "d", "b"),
    ]
    return nodes, {"s": whole(0), "e": whole(1), "n": whole(1)}, shape


def _where(data: st.DataObject) -> Case:
    """A mask from a range of whole numbers."""
    size = data.draw(st.integers(2, 5))
    nodes = [
        node("Range", "zero", "size", "one", outputs=("a",)),
        node("Equal", "a", "one", outputs=("b",)),
        node("Cast", "b", outputs=("c",), to=1),
        node("Mul", "x", "c"),
    ]
    return nodes, {"zero": np.int64(0), "size": np.int64(size), "one": np.int64(1)}, (1, size)


def _tile(data: st.DataObject) -> Case:
    shape = drawn(data, 2, 3)
    return [node("Tile", "x", "r")], {"r": whole(1, *(data.draw(st.integers(1, 3)) for _ in shape[1:]))}, shape


def _resize(data: st.DataObject) -> Case:
    shape = (1, data.draw(st.integers(1, 2)), data.draw(st.integers(1, 3)), data.draw(st.integers(1, 4)))
    mode = data.draw(st.sampled_from(["asymmetric", "half_pixel", "align_corners"]))
    nearest = data.draw(st.sampled_from(["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"]))
    sizes = whole(1, shape[1], data.draw(st.integers(1, 6)), data.draw(st.integers(1, 6)))
    resize = node("Resize", "x", "", "", "s", mode="nearest", coordinate_transformation_mode=mode, nearest_mode=nearest)
    return [resize], {"s": sizes}, shape


def _depth(data: st.DataObject) -> Case:
    shape = (1, 4 * data.draw(st.integers(1, 2)), data.draw(st.integers(1, 3)), 2)
    mode = data.draw(st.sampled_from(["DCR", "CRD"]))
    nodes = [node("DepthToSpace", "x", outputs=("a",), blocksize=2, mode=mode), node("SpaceToDepth", "a", blocksize=2)]
    return nodes, {}, shape


def _reduce(data: st.DataObject) -> Case:
    shape = drawn(data, 2, 5)
    axes = data.draw(st.sets(st.integers(1, len(shape) - 1), min_size=1))
    kind = data.draw(st.sampled_from(["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin"]))
    keep = data.draw(st.integers(0, 1))
    if kind == "ReduceSum":
        return [node(kind, "x", "a", keepdims=keep)], {"a": whole(*axes)}, shape
    return [node(kind, "x", axes=sorted(axes), keepdims=keep)], {}, shape


def _matmul_right(data: st.DataObject) -> Case:
    shape = drawn(data, 3, 4)
    columns = data.draw(st.integers(1, 3))
    batch = data.draw(st.sampled_from([(), (1,), shape[1:-2]]))
    form = data.draw(st.sampled_from([(*batch, shape[-1], columns), (shape[-1],)]))
    return [node("MatMul", "x", "w")], {"w": floats(*form)}, shape


def _matmul_left(data: st.DataObject) -> Case:
    shape = drawn(data, 3, 4)
    rows = data.draw(st.integers(1, 3))
    batch = data.draw(st.sampled_from([(), (1,), shape[1:-2]]))
    form = data.draw(st.sampled_from([(*batch, rows, shape[-2]), (shape[-2],)]))
    return [node("MatMul", "w", "x")], {"w": floats(*form)}, shape


def _gemm(data: st.DataObject) -> Case:
    size, columns = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3))
    turned = data.draw(st.integers(0, 1))
    alpha, beta = (data.draw(st.sampled_from([1.0, 0.3, -2.0, 0.0])) for _ in range(2))
    weight = floats(*((columns, size) if turned else (size, columns)))
    form = data.draw(st.sampled_from([(), (1,), (columns,), (1, columns), (1, 1)]))
    gemm = node("Gemm", "x", "w", "c", transB=turned, alpha=alpha, beta=beta)
    return [gemm], {"w": weight, "c": floats(*form)}, (1, size)


def _arithmetic(data: st.DataObject) -> Case:
    shape = drawn(data)
    kind = data.draw(st.sampled_from(["Add", "Sub", "Mul", "Div"]))
    wide = [data.draw(st.sampled_from([1, 2 if size == 1 else size])) for size in shape[1:]]
    form = data.draw(st.sampled_from([(), (1,), tuple(wide), (1, *wide)]))
    constant = floats(*form) + np.float32(3)
    names = ("x", "c") if kind == "Div" or data.draw(st.booleans()) else ("c", "x")
    return [node(kind, *names)], {"c": np.asarray(constant, np.float32)}, shape


def _two(data: st.DataObject) -> Case:
    """Two values that are broadcast to each other."""
    shape = drawn(data, 3)
    kind = data.draw(st.sampled_from(["Add", "Sub", "Mul", "Max", "Min", "Sum", "Mean"]))
    first = node("ReduceMax", "x", outputs=("a",), axes=[data.draw(st.integers(1, len(shape) - 1))], keepdims=1)
    return [first, node(kind, *data.draw(st.permutations(["a", "x"])))], {}, shape


def _extreme(data: st.DataObject) -> Case:
    shape = drawn(data, 2, 3)
    form = data.draw(st.sampled_from([(), (1,), shape]))
    names = data.draw(st.permutations(["x", "c"]))
    return [node(data.draw(st.sampled_from(["Max", "Min"])), *names)], {"c": floats(*form)}, shape


def _elementwise(data: st.DataObject) -> Case:
    shape = drawn(data)
    nodes, constants = data.draw(
        st.sampled_from(
            [
                ([node("Abs", "x")], {}),
                ([node("HardSwish", "x")], {}),
                ([node("Pow", "x", "c")], {"c": np.float32(2)}),
                ([node("PRelu", "x", "c")], {"c": floats(shape[-1])}),
                ([node("PRelu", "x", "c")], {"c": np.float32([0.2])}),
                ([node("Clip", "x", "c", "d")], {"c": np.float32(-0.5), "d": np.float32(0.25)}),
                ([node("Cast", "x", to=1)], {}),
                ([node("Dropout", "x", "c", "d")], {"c": np.float32(0.5), "d": np.array(False)}),
                ([node("Elu", "x", alpha=0.5)], {}),
                ([node("LeakyRelu", "x", alpha=0.25)], {}),
                ([node("HardSigmoid", "x", alpha=0.25)], {}),
            ]
        )
    )
    return nodes, constants, shape


def _image(data: st.DataObject, axes: int, channels: int, least: int) -> tuple[int, ...]:
    return (1, channels, *(data.draw(st.integers(least, 7)) for _ in range(axes)))


def _padding(data: st.DataObject, size: list[int]) -> dict[str, Any]:
    auto = data.draw(st.sampled_from(["NOTSET", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"]))
    if auto != "NOTSET":
        return {"auto_pad": auto}
    return {"pads": [data.draw(st.integers(0, min(width - 1, 1))) for width in size * 2]}


def _conv(data: st.DataObject) -> Case:
    axes, group = data.draw(st.integers(1, 2)), data.draw(st.integers(1, 2))
    size = [data.draw(st.integers(1, 3)) for _ in range(axes)]
    shape = _image(data, axes, 2 * group, 5)
    how = _padding(data, size)
    if "auto_pad" not in how or how["auto_pad"] == "VALID":
        how["dilations"] = [data.draw(st.integers(1, 2)) for _ in size]
    strides = [data.draw(st.integers(1, min(width, 2))) for width in size]
    conv = node("Conv", "x", "w", "b", group=group, strides=strides, **how)
    return [conv], {"w": floats(3 * group, 2, *size), "b": floats(3 * group)}, shape


def _conv_transpose(data: st.DataObject) -> Case:
    axes, group = data.draw(st.integers(1, 2)), data.draw(st.integers(1, 2))
    size = [data.draw(st.integers(2, 3)) for _ in range(axes)]
    strides = [data.draw(st.integers(1, 3)) for _ in size]
    more = [data.draw(st.integers(0, step - 1)) for step in strides]
    pads = [data.draw(st.integers(0, 1)) for _ in size * 2]
    dilations = [data.draw(st.integers(1, 2)) for _ in size]
    turned = node(
        "ConvTranspose",
        "x",
        "w",
        "b",
        group=group,
        strides=strides,
        output_padding=more,
        pads=pads,
        dilations=dilations,
    )
    return [turned], {"w": floats(2 * group, 3, *size), "b": floats(3 * group)}, _image(data, axes, 2 * group, 2)


def _max_pool(data: st.DataObject) -> Case:
    axes = data.draw(st.integers(1, 2))
    size = [data.draw(st.integers(1, 3)) for _ in range(axes)]
    how = _padding(data, size)
    if "auto_pad" not in how:
        how |= {"ceil_mode": data.draw(st.integers(0, 1)), "dilations": [data.draw(st.integers(1, 2)) for _ in size]}
    strides = [data.draw(st.integers(1, min(width, 3))) for width in size]
    return [node("MaxPool", "x", kernel_shape=size, strides=strides, **how)], {}, _image(data, axes, 2, 5)


def _mean_pool(data: st.DataObject) -> Case:
    axes = data.draw(st.integers(1, 2))
    size = [data.draw(st.integers(1, 3)) for _ in range(axes)]
    how = _padding(data, size) | {"count_include_pad": data.draw(st.integers(0, 1))}
    if "auto_pad" not in how:
        how["ceil_mode"] = data.draw(st.integers(0, 1))
    strides = [data.draw(st.integers(1, min(width, 3))) for width in size]
    return [node("AveragePool", "x", kernel_shape=size, strides=strides, **how)], {}, _image(data, axes, 2, 5)


def _normalised(data: st.DataObject) -> Case:
    shape = _image(data, data.draw(st.integers(1, 2)), 2, 2)
    scales = {"g": floats(2), "b": floats(2), "m": floats(2), "v": np.float32([0.5, 2])}
    names = ("g", "b", "m", "v") if data.draw(st.booleans()) else ("g", "b")
    return [node("BatchNormalization" if len(names) > 2 else "InstanceNormalization", "x", *names)], scales, shape


CASES: dict[str, Callable[[st.DataObject], Case]] = {
    "arithmetic": _arithmetic,
    "concat": _concat,
    "concat with a constant": _concat_constant,
    "conv": _conv,
    "conv transpose": _conv_transpose,
    "depth and space": _depth,
    "elementwise": _elementwise,
    "expand": _expand,
    "extreme": _extreme,
    "flatten by shape": _flatten_by_shape,
    "gather": _gather,
    "gemm": _gemm,
    "matmul left": _matmul_left,
    "matmul right": _matmul_right,
    "max pool": _max_pool,
    "mean pool": _mean_pool,
    "normalised": _normalised,
    "pad": _pad,
    "reduce": _reduce,
    "reshape": _reshape,
    "resize": _resize,
    "slice": _slice,
    "split": _split,
    "squeeze": _squeeze,
    "tile": _tile,
    "transpose": _transpose,
    "two values": _two,
    "where": _where,
}
ONE_SAMPLE = {"concat with a constant", "resize"}
"""Cases whose constants hold one sample."""


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(data=st.data())
def test_an_operator_computes_what_onnxruntime_computes(name: str, data: st.DataObject) -> None:
    check(CASES[name](data), samples=name not in ONE_SAMPLE)


WHOLE: dict[str, Case] = {
    "a vector": ([node("Add", "x", "c")], {"c": floats(3)}, (3,)),
    "a number": ([node("Mul", "x", "c")], {"c": np.float32(2)}, ()),
    "a matrix": ([node("Transpose", "x")], {}, (2, 3)),
    "the first axis moved": ([node("Transpose", "x", perm=[1, 0, 2])], {}, (1, 2, 3)),
    "the first axis squeezed": ([node("Squeeze", "x", "a")], {"a": whole(0)}, (1, 3)),
    "the first axis summed up": ([node("ReduceSum", "x", "a", keepdims=0)], {"a": whole(0, 1)}, (1, 3)),
    "rows of the first axis": ([node("Concat", "x", "c", axis=0)], {"c": floats(2, 3)}, (1, 3)),
    "an axis in front": ([node("Unsqueeze", "x", "a")], {"a": whole(0)}, (2, 3)),
    "broadcast in front": ([node("Sub", "c", "x")], {"c": floats(2, 1, 3)}, (4, 1)),
    "softmax of a vector": ([node("Softmax", "x")], {}, (3,)),
    "gemm of two": (
        [node("Relu", "x", outputs=("a",)), node("Gemm", "x", "a", "c", transA=1, beta=0.5)],
        {"c": floats(3)},
        (2, 3),
    ),
    "gemm by a constant on the left": ([node("Gemm", "w", "x", transA=1, alpha=0.5)], {"w": floats(2, 4)}, (2, 3)),
    "matmul of a vector": ([node("MatMul", "x", "w")], {"w": floats(3, 2)}, (3,)),
    "matmul by a vector": ([node("MatMul", "w", "x")], {"w": floats(2, 3)}, (3,)),
    "matmul of two vectors": ([node("Relu", "x", outputs=("a",)), node("MatMul", "x", "a")], {}, (3,)),
    "matmul by batches": ([node("MatMul", "w", "x")], {"w": floats(2, 3, 4, 2)}, (1, 2, 3)),
    "a convolution behind a new axis": (
        [node("Unsqueeze", "x", "a", outputs=("b",)), node("Conv", "b", "w")],
        {"a": whole(0), "w": floats(2, 1, 2)},
        (1, 5),
    ),
    "a mask that broadcasts": (
        [node("Relu", "x", outputs=("a",)), node("Where", "m", "x", "a")],
        {"m": np.array([[True], [False]])},
        (3,),
    ),
    "constants that are rounded": (
        [node("Div", "c", "d", outputs=("a",)), node("Mul", "x", "a")],
        {"c": floats(3), "d": np.float32([3, 7, 9])},
        (3,),
    ),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_first_axis_of_a_fixed_size_is_an_axis_like_others(name: str) -> None:
    check(WHOLE[name], samples=False)


@pytest.mark.parametrize("opset", [7, 9, 10, 12, 13, 18, 22, 23])
def test_operator_sets(opset: int) -> None:
    """What moved from attributes to inputs: Clip in 11, Squeeze in 13, Split and ReduceMean in 18."""
    clip = node("Clip", "d", "e", min=-0.5) if opset < 11 else node("Clip", "d", "e0", outputs=("e",))
    clip = node("Clip", "d", outputs=("e",), min=-0.5) if opset < 11 else clip
    cut = (
        node("Slice", "x", outputs=("a",), starts=[0], ends=[3], axes=[1])
        if opset < 10
        else node("Slice", "x", "s", "t", "u", outputs=("a",))
    )
    wide = (
        node("Unsqueeze", "a", outputs=("b",), axes=[2])
        if opset < 13
        else node("Unsqueeze", "a", "two", outputs=("b",))
    )
    mean = (
        node("ReduceMean", "b", outputs=("d",), axes=[2], keepdims=0)
        if opset < 18
        else node("ReduceMean", "b", "two", outputs=("d",), keepdims=0)
    )
    constants = {"s": whole(0), "t": whole(3), "u": whole(1), "two": whole(2), "e0": np.float32(-0.5)}
    nodes = [cut, wide, mean, clip, node("Softmax", "e", axis=1)]
    used = {name for item in nodes for name in item.input}
    check((nodes, {name: value for name, value in constants.items() if name in used}, (1, 5)), opset)


def test_softmax_of_old_runs_over_all_axes_from_one_on() -> None:
    check(([node("Softmax", "x", axis=1)], {}, (1, 2, 3)), 11)


REFUSED: dict[str, tuple[Case, str]] = {
    "a comparison": (
        ([node("Greater", "x", "c", outputs=("a",))], {"c": floats(3)}, (1, 3)),
        "Greater.*constants only",
    ),
    "a mask that is computed": (([node("Where", "x", "x", "x")], {}, (1, 3)), "Where.*input 1 is computed"),
    "a divisor that is computed": (([node("Div", "c", "x")], {"c": floats(3)}, (1, 3)), "divides by what the network"),
    "a cube": (([node("Pow", "x", "c")], {"c": np.float32(3)}, (1, 3)), "exponents are"),
    "a root": (([node("Sqrt", "x")], {}, (1, 3)), "Sqrt"),
    "linear resizing": (
        ([node("Resize", "x", "", "s", mode="linear")], {"s": np.float32([1, 1, 2])}, (1, 2, 3)),
        "mode.*linear",
    ),
    "a batch": (([node("Conv", "a", "w")], {"w": floats(2, 3, 1)}, (2, 3, 4)), "nothing gives it"),
    "places outside": (([node("Gather", "x", "i", axis=1)], {"i": whole(0, 7)}, (1, 3)), "places 0 to 7"),
    "parts that do not fit": (([node("Split", "x", "s", axis=1)], {"s": whole(4)}, (1, 3)), "splits 3 values"),
    "a window of padding alone": (
        ([node("MaxPool", "x", kernel_shape=[2], strides=[2], pads=[2, 0])], {}, (1, 1, 4)),
        "padding as a whole",
    ),
    "nothing left": (([node("Slice", "x", "s", "s", "a")], {"s": whole(2), "a": whole(1)}, (1, 3)), "leaves nothing"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_read_is_named(name: str) -> None:
    case, words = REFUSED[name]
    with pytest.raises(ModelError, match=words) as error:
        import_onnx(model_of(case))
    assert error.value.code == "VF2018"
    assert error.value.place is not None


SIZES = {
    "padding": [node("Pad", "x", "p")],
    "expanding": [node("Expand", "x", "p")],
    "filling": [node("ConstantOfShape", "p", outputs=("a",)), node("Add", "x", "a")],
    "a range": [node("Range", "zero", "many", "one", outputs=("a",)), node("Gather", "x", "a", axis=1)],
    "tiling": [node("Tile", "x", "p")],
    "resizing": [node("Resize", "x", "", "", "p", mode="nearest")],
}


@pytest.mark.parametrize("name", SIZES)
def test_sizes_that_no_memory_holds_are_refused_before_it_is_taken(name: str) -> None:
    size = 2**40
    form = [0, 0, 0, size] if name == "padding" else [1, size]
    constants = {"p": whole(*form), "zero": np.int64(0), "one": np.int64(1), "many": np.int64(size)}
    used = {word for item in SIZES[name] for word in item.input}
    case: Case = (SIZES[name], {key: value for key, value in constants.items() if key in used}, (1, 1))
    with pytest.raises(ModelError) as error:
        import_onnx(model_of(case))
    assert error.value.code == "VF2004"


def test_a_cycle_and_a_constant_that_is_missing_are_refused() -> None:
    for nodes in ([node("Add", "x", "b", outputs=("a",)), node("Relu", "a", outputs=("b",))], [node("Add", "x", "w")]):
        with pytest.raises(ModelError, match="nothing gives it before") as error:
            import_onnx(model_of((nodes, {}, (1, 3))))
        assert error.value.code == "VF2018"


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "weights.bin", "..\\weights", ""])
def test_no_other_file_is_read(path: str) -> None:
    model = onnx.ModelProto()
    model.ParseFromString(model_of(([node("Add", "x", "c")], {"c": floats(3)}, (1, 3))))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=path)
    with pytest.raises(ModelError) as error:
        import_onnx(model.SerializeToString())
    assert error.value.code == "VF2017"


def test_a_file_that_is_cut_off_anywhere_is_refused() -> None:
    data = model_of(([node("Gemm", "x", "w")], {"w": floats(3, 2)}, (1, 3)))
    for end in range(len(data) - 1):
        with pytest.raises(ModelError) as error:
            import_onnx(data[:end])
        assert error.value.code in ("VF2013", "VF2017", "VF2018")


def test_how_many_samples_there_are_changes_nothing() -> None:
    """A file that multiplies by the size of its open first axis is none of single samples."""
    nodes = [
        node("Shape", "x", outputs=("a",)),
        node("Cast", "a", outputs=("b",), to=1),
        node("Gather", "b", "zero", outputs=("c",)),
        node("Mul", "x", "c"),
    ]
    case: Case = (nodes, {"zero": np.int64(0)}, (1, 3))
    check(case, samples=False)
    with pytest.raises(ModelError, match="how many there are") as error:
        import_onnx(model_of(case, first="N"))
    assert error.value.code == "VF2017"


def test_an_image_of_224_by_224() -> None:
    """Read, run and cut out around a patch, without a matrix of all its values."""
    nodes = [
        node("Slice", "x", "s", "e", "a", outputs=("b",)),
        node("Pad", "b", "p", outputs=("c",)),
        node("Conv", "c", "w", outputs=("d",), strides=[8, 8], auto_pad="SAME_UPPER"),
        node("Relu", "d", outputs=("f",)),
        node("ReduceMean", "f", outputs=("g",), axes=[2, 3], keepdims=0),
        node("Gemm", "g", "v"),
    ]
    constants = {
        "s": whole(1, 1),
        "e": whole(223, 223),
        "a": whole(2, 3),
        "p": whole(0, 0, 1, 1, 0, 0, 1, 1),
        "w": floats(4, 3, 7, 7),
        "v": floats(4, 2),
    }
    check((nodes, constants, (1, 3, 224, 224)), samples=False)
