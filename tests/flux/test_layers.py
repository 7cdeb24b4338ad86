"""Layers against formulas of their own, in Float64: options that the fixtures do not have, versions, and limits."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch

from tests.conformance.cases import ROOT
from tests.flux.models import Array, dense, norm, numbers, read, run, sizes, struct
from verifluxa.errors import ModelError
from verifluxa.flux.files import read_model_file
from verifluxa.flux.load import choose
from verifluxa.flux.values import Function, JuliaType, List, NamedTuple, Struct, Symbol, Tuple, Value

EXACT = 1e-12
OPTIONS = [
    (stride, pad, outpad, dilation, groups)
    for stride, pad, outpad, dilation, groups in product([1, 2, 3], [0, 1], [0, 1], [1, 2], [1, 2])
    if outpad < max(stride, dilation)
]


def _code(value: Value, *inputs: Array) -> str:
    with pytest.raises(ModelError) as error:
        run(value, *inputs)
    return error.value.code


@pytest.mark.parametrize(("stride", "pad", "outpad", "dilation", "groups"), OPTIONS)
def test_a_transposed_convolution_is_that_of_torch(
    stride: int, pad: int, outpad: int, dilation: int, groups: int
) -> None:
    weight, bias, x = numbers(3, 2, 2, 4, seed=5), numbers(2 * groups, seed=6), numbers(2, 4, 5, 4, seed=7)
    layer = struct(
        "ConvTranspose",
        Function("identity"),
        weight,
        bias,
        sizes(stride, 1),
        sizes(pad, 0),
        sizes(outpad, 0),
        sizes(dilation, 1),
        groups,
    )
    # Flux reverses the kernel; torch has (in, out, height, width).
    kernel = torch.tensor(np.ascontiguousarray(np.flip(weight.transpose(3, 2, 1, 0), (2, 3))))
    expected = torch.nn.functional.conv_transpose2d(
        torch.tensor(x), kernel, torch.tensor(bias), (1, stride), (0, pad), (0, outpad), groups, (1, dilation)
    )
    if dilation * 2 - pad + outpad < stride - 1:
        assert _code(layer, x) == "VF2010"
    else:
        np.testing.assert_allclose(run(layer, x), expected.numpy(), atol=EXACT)


@pytest.mark.parametrize("version", [(0, 12, 1), (0, 13, 4), (0, 13, 16), (0, 16, 7), None])
@pytest.mark.parametrize("name", ["BatchNorm", "InstanceNorm"])
@pytest.mark.parametrize("affine", [True, False])
def test_running_statistics_give_one_function_in_every_version(
    name: str, version: tuple[int, ...] | None, affine: bool
) -> None:
    changes: dict[str, Value] = {} if affine else {"affine": False, "β": None, "γ": None}
    value, x = norm(name, 3, **changes), numbers(2, 3, 4, 5, seed=8)
    beta, gamma, mean, variance = (
        numbers(3, seed=1),
        numbers(3, seed=2),
        numbers(3, seed=3),
        np.abs(numbers(3, seed=4)) + 0.1,
    )
    scaled = (x - mean[:, None, None]) / np.sqrt(variance + float(np.float32(0.01)))[:, None, None]
    expected = gamma[:, None, None] * scaled + beta[:, None, None] if affine else scaled
    np.testing.assert_allclose(run(value, x, version=version), expected, atol=EXACT)


def test_the_statistics_of_one_sample_do_not_depend_on_the_batch() -> None:
    value = norm("InstanceNorm", 3, track_stats=False, μ=None, **{"σ²": None})
    x = numbers(4, 3, 4, 5, seed=9)
    np.testing.assert_allclose(run(value, x)[1:2], run(value, x[1:2]), atol=EXACT)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"track_stats": False, "μ": None, "σ²": None}, "VF2016"),
        ({"active": True}, "VF2016"),
        ({"chs": 4}, "VF2008"),
        ({"γ": numbers(2)}, "VF2008"),
        ({"σ²": np.array([1.0, -0.5, 1.0])}, "VF2008"),
        ({"ϵ": np.float32(-1)}, "VF2008"),
        ({"ϵ": np.float32(np.nan)}, "VF2008"),
        ({"affine": 1}, "VF2008"),
        ({"λ": Function("softmax")}, "VF2008"),
    ],
    ids=str,
)
def test_a_norm_that_is_not_one_function_is_refused(changes: dict[str, Value], code: str) -> None:
    assert _code(norm("BatchNorm", 3, **changes), numbers(2, 3)) == code


def _layer_norm(eps: float, *, old: bool = False) -> Struct:
    scale, bias = numbers(5, seed=10), numbers(5, seed=11)
    diag = struct("Diagonal", scale, bias) if old else struct("Scale", scale, bias, Function("identity"))
    return struct("LayerNorm", Function("identity"), diag, np.float64(eps), sizes(5), True)


@pytest.mark.parametrize(
    ("version", "old"),
    [
        ((0, 12), False),
        ((0, 14, 25), False),
        (None, True),
        ((0, 15), False),
        ((0, 16, 10), False),
        ((0, 16, 11), False),
    ],
)
def test_where_a_layer_norm_adds_eps_depends_on_the_version(version: tuple[int, ...] | None, old: bool) -> None:
    x, eps = numbers(3, 5, seed=12), 0.3
    mean, variance = x.mean(1, keepdims=True), x.var(1, keepdims=True)
    divisor = {
        True: np.sqrt(variance) + eps,
        False: np.sqrt(variance + (eps if version and version >= (0, 16, 11) else eps**2)),
    }[old or (version is not None and version < (0, 15))]
    expected = (x - mean) / divisor * numbers(5, seed=10) + numbers(5, seed=11)
    np.testing.assert_allclose(run(_layer_norm(eps, old=old), x, version=version), expected, atol=EXACT)


def test_a_layer_norm_without_a_version_is_refused_unless_eps_is_zero() -> None:
    x = numbers(3, 5, seed=12)
    assert _code(_layer_norm(1e-5), x) == "VF2011"
    assert run(_layer_norm(0.0), x).shape == (3, 5)


@pytest.mark.parametrize(("version", "name"), [(None, "tanh_fast"), ((0, 13), "tanh_fast"), ((0, 12, 10), "tanh")])
def test_fast_activations_came_with_0_13(version: tuple[int, ...] | None, name: str) -> None:
    from verifluxa.flux.builder import Builder
    from verifluxa.flux.layers import emit
    from verifluxa.graph.ops import Activation

    builder = Builder(((2,),), "float64", version)
    emit(read(dense(numbers(3, 2), False, "tanh")), builder, builder.inputs)
    op = builder.graph().nodes[-1].op
    assert isinstance(op, Activation)
    assert op.function == name


def test_identity_and_dropout_add_no_operation() -> None:
    from verifluxa.flux.builder import Builder
    from verifluxa.flux.layers import emit

    dropout = struct("Dropout", np.float64(0.5), struct("MaxPool", sizes(2), sizes(0), sizes(2)), None)
    chain = struct("Chain", Tuple((dense(numbers(3, 2)), dropout, Function("identity"))))
    builder = Builder(((2,),), "float64", None)
    emit(read(chain), builder, builder.inputs)
    assert [node.op.kind for node in builder.graph().nodes] == ["input", "affine"]
    assert [row.printed for row in builder.rows] == ["Dense(2 => 3; bias=false)", "Dropout(0.5)", "identity"]


def test_branches_and_their_connections() -> None:
    x = numbers(4, 3, seed=13)
    first, second = numbers(3, 3, seed=14), numbers(3, 3, seed=15)
    left, right = x @ first.T, x @ second.T
    branches = Tuple((dense(first), dense(second)))
    cases: list[tuple[Value, Array]] = [
        (struct("Parallel", Function("+"), branches), left + right),
        (struct("Parallel", Function("vcat"), branches), np.concatenate([left, right], 1)),
        (struct("SkipConnection", dense(first), Function("vcat")), np.concatenate([left, x], 1)),
        (struct("Maxout", branches), np.maximum(left, right)),
        (struct("Maxout", Tuple((dense(first),))), left),
        (struct("Parallel", Function("+"), Tuple((dense(first),))), left),
    ]
    for value, expected in cases:
        np.testing.assert_allclose(run(value, x), expected, atol=EXACT)


def test_a_bilinear_layer_takes_one_input_twice() -> None:
    weight, x = numbers(2, 3, 3, seed=16), numbers(4, 3, seed=17)
    expected = np.einsum("oij,ni,nj->no", weight, x, x)
    np.testing.assert_allclose(run(struct("Bilinear", weight, False, Function("identity")), x), expected, atol=EXACT)


def test_images_grow_by_whole_steps() -> None:
    x = numbers(2, 3, 4, 5, seed=18)
    bigger = np.repeat(np.repeat(x, 3, 2), 2, 3)
    mode = (Symbol("nearest"),)
    for value in (
        struct("Upsample", sizes(2, 3), None, parameters=mode),
        struct("Upsample", None, sizes(10, 12), parameters=mode),
    ):
        np.testing.assert_array_equal(run(value, x), bigger)
    double = struct("Upsample", 2, None, parameters=mode)
    np.testing.assert_array_equal(run(double, x), np.repeat(np.repeat(x, 2, 2), 2, 3))
    assert _code(struct("Upsample", None, sizes(11, 12), parameters=mode), x) == "VF2010"
    assert _code(struct("Upsample", sizes(2, 2), None, parameters=(Symbol("bilinear"),)), x) == "VF2010"


@pytest.mark.parametrize("reduction", ["mean", "sum", "maximum"])
def test_a_bag_of_words_is_reduced(reduction: str) -> None:
    weight = numbers(3, 7, seed=19)
    words = np.array([[0, 6, 6], [2, 3, 4]])
    rows = weight.T[words]
    expected = {"mean": rows.mean(1), "sum": rows.sum(1), "maximum": rows.max(1)}[reduction]
    np.testing.assert_allclose(run(struct("EmbeddingBag", weight, Function(reduction)), words), expected, atol=EXACT)


def test_the_padding_word_of_an_embedding_is_zero() -> None:
    value = struct("Embedding", numbers(3, 7, seed=20), 7)
    result = run(value, np.array([[6, 1]]))
    assert not result[0, 0].any()
    assert result[0, 1].any()
    with pytest.raises(ModelError, match="no row"):
        run(value, np.array([[7, 1]]))


def test_a_pairwise_fusion_gives_what_flux_gives_taken_one_by_one() -> None:
    folder = ROOT / "layers" / "pairwisefusion"
    _, contents = read_model_file(folder / "model.bson")
    fusion = choose(contents).value
    with np.load(folder / "expect.npz") as arrays:
        x, outputs = arrays["x_numpy"], (arrays["y1_numpy"], arrays["y2_numpy"])
    for name, output in zip(("first", "last"), outputs, strict=True):
        picked = struct("Chain", Tuple((fusion, Function(name))))
        np.testing.assert_allclose(run(picked, x), output, rtol=1e-5, atol=1e-6)
    assert _code(fusion, x, x, x) == "VF2010"
    joined = struct("PairwiseFusion", Function("vcat"), Tuple((dense(numbers(4, 4)), dense(numbers(4, 8)))))
    assert _code(joined, x) == "VF2010"


def test_permuted_axes() -> None:
    x = numbers(2, 3, 4, seed=21)
    fix = Struct(JuliaType("Base.Fix2"), ("f", "x"), (Function("permutedims"), sizes(2, 1, 3)))
    np.testing.assert_array_equal(run(fix, x), x.transpose(0, 2, 1))
    moved = Struct(JuliaType("Base.Fix2"), ("f", "x"), (Function("permutedims"), sizes(3, 2, 1)))
    assert _code(moved, x) == "VF2010"
    twice = Struct(JuliaType("Base.Fix2"), ("f", "x"), (Function("permutedims"), sizes(1, 1, 3)))
    assert _code(twice, x) == "VF2008"


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        (struct("MaxPool", sizes(), sizes(), sizes()), (2, 3, 4)),
        (struct("MaxPool", sizes(2, 2), sizes(0), sizes(2, 2)), (2, 3, 4, 4)),
        (struct("MaxPool", sizes(2, 2), sizes(0, 0), sizes(2)), (2, 3, 4, 4)),
        (struct("MaxPool", sizes(2, -2), sizes(0, 0), sizes(2, 2)), (2, 3, 4, 4)),
        (struct("Chain", Tuple(())), (2, 3)),
        (struct("Chain", dense(numbers(3, 3))), (2, 3)),
        (struct("Chain", Tuple((numbers(3, 3),))), (2, 3)),
        (struct("Parallel", Function("softmax"), Tuple((dense(numbers(3, 3)),))), (2, 3)),
        (dense(numbers(3)), (2, 3)),
        (dense(numbers(3, 3), True), (2, 3)),
        (dense(numbers(3, 3).astype(np.float16)), (2, 3)),
        (dense(numbers(3, 3), False, "flatten"), (2, 3)),
        (struct("Scale", numbers(3), numbers(2), Function("identity")), (2, 3)),
        (struct("Embedding", numbers(3, 4), 9), (2, 3)),
        (struct("EmbeddingBag", numbers(3, 4), Function("+")), (2, 3)),
        (struct("Dropout", np.float64(1.5), Tuple(()), None), (2, 3)),
    ],
)
def test_fields_that_a_layer_cannot_have_are_refused(value: Value, shape: tuple[int, ...]) -> None:
    assert _code(value, np.zeros(shape)) == "VF2008"


def test_shared_layers_are_not_unfolded_without_end() -> None:
    value: Value = dense(numbers(2, 2))
    for _ in range(30):
        value = struct("Chain", Tuple((value, value)))
    with pytest.raises(ModelError) as error:
        read(value)
    assert error.value.code == "VF2004"


def test_shared_arrays_are_not_copied_without_end() -> None:
    layer = dense(np.zeros((1024, 1024)))
    with pytest.raises(ModelError) as error:
        read(struct("Chain", List((layer,) * 100)))
    assert error.value.code == "VF2004"


def test_named_layers_have_their_names_as_places() -> None:
    chain = struct("Chain", NamedTuple(("body", "head"), (dense(numbers(3, 2)), dense(numbers(2, 3)))))
    assert [child.place for _, child in read(chain).children] == ["model.layers[body]", "model.layers[head]"]


def _plain_norm(diag: Value, function: str = "relu", affine: bool = False) -> Struct:
    return struct("LayerNorm", Function(function), diag, np.float64(0), sizes(5), affine)


def test_a_layer_norm_without_scale_holds_its_activation() -> None:
    x = numbers(3, 5, seed=22)
    scaled = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
    fix = Struct(JuliaType("Base.Fix1"), ("f", "x"), (Function("broadcast"), Function("relu")))
    for diag in (fix, None, Function("relu")):
        np.testing.assert_allclose(run(_plain_norm(diag), x), np.maximum(scaled, 0), atol=EXACT)
    scale = struct("Scale", numbers(5), numbers(5), Function("tanh"))
    short = struct("Scale", numbers(4), numbers(4), Function("relu"))
    for wrong in (_plain_norm(Function("tanh")), _plain_norm(scale, affine=True), _plain_norm(short, affine=True)):
        assert _code(wrong, x) == "VF2008"
    assert _code(_plain_norm(fix, affine=True), x) == "VF2008"
    assert _code(_plain_norm(fix), numbers(3, 4)) == "VF2008"


def test_normalisation_needs_spatial_axes() -> None:
    plain = norm("InstanceNorm", 3, track_stats=False, μ=None, **{"σ²": None})
    assert _code(plain, numbers(2, 3)) == "VF2010"
    items = (
        2,
        Function("identity"),
        numbers(3),
        numbers(3),
        None,
        None,
        np.float32(0),
        np.float32(0),
        True,
        False,
        None,
        3,
    )
    assert _code(struct("GroupNorm", *items), numbers(2, 3, 4)) == "VF2008"


@pytest.mark.parametrize("function", ["tanh", "permutedims"])
def test_functions_that_are_no_layers_by_themselves(function: str) -> None:
    assert _code(Function(function), numbers(2, 3)) == "VF2010"


def test_convolutions_that_do_not_fit_their_numbers_are_refused() -> None:
    def conv(weight: Array, groups: int = 1, axes: int = 2, bias: Value = False) -> Struct:
        ones, zeros = sizes(*(1,) * axes), sizes(*(0,) * axes)
        return struct("Conv", Function("identity"), weight, bias, ones, zeros, ones, groups)

    x = numbers(2, 2, 4, 4)
    assert run(conv(numbers(3, 3, 2, 5)), x).shape == (2, 5, 2, 2)
    for wrong in (
        conv(numbers(3, 3)),
        conv(numbers(3, 3, 1, 5), 2),
        conv(numbers(3, 3, 2, 5), axes=1),
        conv(numbers(3, 3, 2, 5), bias=numbers(4)),
        conv(numbers(2, 2, 2, 2, 2, 2), axes=4),
    ):
        assert _code(wrong, x) == "VF2008"
    assert _code(conv(numbers(3, 3, 3, 5)), x) == "VF2101"


def test_recurrent_layers_that_are_not_one_function_are_refused() -> None:
    cell = struct("RNNCell", Function("tanh"), numbers(4, 3), numbers(4, 4), numbers(4))
    x = numbers(2, 6, 3)
    assert run(struct("RNN", cell), x).shape == (2, 6, 4)
    assert run(struct("RNN", cell), x[:, :1]).shape == (2, 1, 4)
    assert _code(struct("RNN", cell), numbers(2, 6, 2)) == "VF2008"
    assert _code(struct("LSTM", cell), x) == "VF2008"
    assert _code(struct("RNN", cell), numbers(1, 513, 3)) == "VF2010"
    states = Struct(JuliaType("Flux.RNN", (True, JuliaType("Core.Any"))), ("cell",), (cell,))
    assert _code(states, x) == "VF2010"
    odd = struct("GRUCell", numbers(7, 3), numbers(7, 2), False)
    assert _code(struct("GRU", odd), x) == "VF2008"


@pytest.mark.parametrize("name", ["Upsample", "PixelShuffle", "AdaptiveMaxPool", "GlobalMaxPool", "EmbeddingBag"])
def test_values_that_are_no_images_are_refused(name: str) -> None:
    value = {
        "Upsample": struct("Upsample", 2, None, parameters=(Symbol("nearest"),)),
        "PixelShuffle": struct("PixelShuffle", 2),
        "AdaptiveMaxPool": struct("AdaptiveMaxPool", sizes(2, 2)),
        "GlobalMaxPool": struct("GlobalMaxPool"),
        "EmbeddingBag": struct("EmbeddingBag", numbers(3, 4), Function("mean")),
    }[name]
    assert _code(value, np.zeros((2, 3, 2, 2, 2, 2))) == "VF2010"
