"""From a path to a graph: what is chosen, compared, inferred, reported and refused."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from syrupy.assertion import SnapshotAssertion

from tests.conformance.cases import NEWEST, ROOT
from tests.flux.test_bson import arr, array, doc, integer, kind, text, value
from verifluxa.errors import ModelError
from verifluxa.flux.load import lift, load_model

LAYERS = ROOT / "layers"
GOOD = ROOT / "hostile" / "good.bson"
GOOD_TEXT = ROOT / "hostile" / "good_architecture.txt"


def _floats(*shape: int) -> bytes:
    return np.arange(np.prod(shape), dtype="<f4").tobytes()


def _dense(outputs: int, inputs: int) -> tuple[int, bytes]:
    relu = value(kind("NNlib", "#relu"))
    return value(kind("Flux", "Dense"), _array(outputs, inputs), _array(outputs), relu)


def _array(*shape: int) -> tuple[int, bytes]:
    return array(shape, _floats(*shape))


def _file(folder: Path, **variables: tuple[int, bytes]) -> Path:
    path = folder / "model.bson"
    path.write_bytes(doc(**variables)[1])
    return path


def _refusal(*arguments: object, **keywords: object) -> ModelError:
    with pytest.raises(ModelError) as error:
        lift(*arguments, **keywords)  # type: ignore[arg-type]
    return error.value


def test_sources_layers_and_notes() -> None:
    lifted = lift(GOOD, GOOD_TEXT)
    assert lifted.sources == tuple(
        (path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in (GOOD, GOOD_TEXT)
    )
    assert [row.printed for row in lifted.layers] == ["Dense(5 => 4, relu)", "Dense(4 => 3)"]
    assert [row.parameters for row in lifted.layers] == [24, 15]
    first = lifted.layers[0]
    assert (first.name, first.input_shape, first.output_shape) == ("model_state.layers[1]", ((5,),), ((4,),))
    assert lifted.format == "BSON"
    assert lifted.flux_version is None
    assert lift(ROOT / "hostile" / "groups.jld2", GOOD_TEXT).uncovered[0].startswith("not read: ")


def test_a_text_may_be_a_path_or_the_text_itself() -> None:
    by_text = lift(GOOD, GOOD_TEXT.read_text(encoding="utf-8"))
    by_path = lift(GOOD, str(GOOD_TEXT))
    assert by_text.graph.digest == by_path.graph.digest == load_model(GOOD, GOOD_TEXT).digest
    assert by_text.sources[1] == ("architecture", by_path.sources[1][1])


def test_the_same_model_in_four_forms_is_the_same_graph() -> None:
    folder = LAYERS / "cnn_small"
    text = folder / "architecture.txt"
    digests = {
        load_model(folder / file, text if file.startswith("state") else None, input_shape=(1, 11, 12)).digest
        for file in ("state.jld2", "state.bson", "model.jld2", "model.bson")
    }
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("dense_relu", (5,)),
        ("chain_nested", (5,)),
        ("flatten", (12,)),
        ("scale_act_2d", (2, 3)),
        ("layernorm_2d", (2, 3)),
        ("batchnorm_dense", (5,)),
        ("skip_chain_plus", (5,)),
        ("parallel_plus", (5,)),
        ("maxout", (5,)),
        ("conv_plain", (2, 512, 512)),
        ("conv_1d", (2, 512)),
        ("crosscor", (2, 512, 512)),
        ("batchnorm_chain", None),
        ("cnn_small", (1, 13, 13)),
        ("maxpool", None),
        ("gru", None),
        ("embedding", None),
        ("globalmeanpool", None),
    ],
)
def test_the_input_is_inferred_where_the_layers_tell_it(name: str, shape: tuple[int, ...] | None) -> None:
    path = LAYERS / name / "model.bson"
    if shape is None:
        assert _refusal(path, flux_version=NEWEST).code == "VF2013"
    else:
        assert load_model(path, flux_version=NEWEST).input_shape == shape


def test_the_largest_image_that_fits_the_later_layers_is_taken() -> None:
    graph = load_model(ROOT / "mnist" / "clean_cnn" / "model.bson")
    # Trained on 28 pixels; with strides of 2, up to 30 give the same 576 features.
    assert graph.input_shape == (1, 30, 30)
    assert graph.output_shape == (10,)
    assert any(
        "30 x 30 is the largest that fits" in note for note in lift(ROOT / "mnist" / "clean_cnn" / "model.bson").notes
    )


def test_a_recurrent_layer_does_not_pass_for_the_dense_behind_it(tmp_path: Path) -> None:
    weights = doc(tag=text("tuple"), data=arr(_recurrent(), _dense(2, 4)))
    path = _file(tmp_path, model=value(kind("Flux", "Chain"), weights))
    assert _refusal(path).code == "VF2013"
    assert load_model(path, input_shape=(6, 3)).output_shape == (6, 2)


def _recurrent() -> tuple[int, bytes]:
    cell = value(
        kind("Flux", "LSTMCell", params=arr(*[kind("Core", "Any")] * 3)), _array(16, 3), _array(16, 4), _array(16)
    )
    return value(kind("Flux", "LSTM", params=arr((8, b"\0"), kind("Core", "Any"))), cell)


def test_two_inputs_are_inferred_and_given() -> None:
    path = LAYERS / "bilinear" / "model.bson"
    shapes = [node.shape for node in load_model(path).nodes[:2]]
    assert shapes == [(3,), (4,)]
    graph = load_model(path, input_shape=((3,), (4,)))
    assert graph.run(np.ones((2, 3)), np.ones((2, 4))).shape == (2, 2)


@pytest.mark.parametrize("shape", [(0,), (5, -1), ((5,), 3), ("5",)])
def test_a_shape_that_is_none_is_refused(shape: object) -> None:
    assert _refusal(GOOD, GOOD_TEXT, None, shape).code == "VF2013"


def test_an_input_that_does_not_fit_names_the_layer() -> None:
    error = _refusal(GOOD, GOOD_TEXT, None, (7,))
    assert error.code == "VF2101"
    assert error.place == "model_state.layers[1]"


def test_float64_models_stay_float64_and_mixtures_are_refused(tmp_path: Path) -> None:
    assert load_model(LAYERS / "dense_f64" / "model.jld2").dtype == "float64"
    double = array((3, 4), np.ones(12).tobytes(), "Float64")
    second = value(kind("Flux", "Dense"), double, (8, b"\0"), value(kind("NNlib", "#relu")))
    layers = doc(tag=text("tuple"), data=arr(_dense(4, 5), second))
    error = _refusal(_file(tmp_path, model=value(kind("Flux", "Chain"), layers)))
    assert error.code == "VF2008"
    assert "float32 at model.layers[1]" in str(error)


def test_which_variable_is_the_model(tmp_path: Path) -> None:
    one = _file(tmp_path, epoch=integer(3), net=_dense(2, 3), losses=_array(7))
    assert lift(one).uncovered[0] == "not read: epoch (scalar), losses (Core.Array)"
    named = _file(tmp_path, model=_dense(2, 3), best=_dense(4, 3))
    assert load_model(named).output_shape == (2,)
    open_choice = _file(tmp_path, first=_dense(2, 3), second=_dense(4, 3))
    assert _refusal(open_choice).code == "VF2014"
    nothing = _file(tmp_path, epoch=integer(3))
    assert _refusal(nothing).code == "VF2014"


def test_lists_of_weights(tmp_path: Path) -> None:
    weights = arr(_array(4, 5), _array(4), _array(3, 4))
    path = _file(tmp_path, weights=weights)
    graph = load_model(path, "Chain(Dense(5 => 4, relu), Dense(4 => 3; bias=false))")
    assert graph.output_shape == (3,)
    for wrong in (
        "Dense(5 => 4)",
        "Chain(Dense(5 => 4), Dense(4 => 3))",
        "Chain(Dense(4 => 5), Dense(4 => 3; bias=false))",
    ):
        assert _refusal(path, wrong).code in ("VF2008", "VF2009")


def test_bare_arrays_are_read_only_where_sizes_leave_no_doubt(tmp_path: Path) -> None:
    path = _file(tmp_path, W=_array(4, 5), b=_array(4))
    assert load_model(path, "Dense(5 => 4)").output_shape == (4,)
    twins = _file(tmp_path, a=_array(4, 4), b=_array(4, 4))
    assert _refusal(twins, "Chain(Dense(4 => 4; bias=false), Dense(4 => 4; bias=false))").code == "VF2014"


def test_a_list_of_weights_needs_a_text_that_says_the_options_of_a_convolution(tmp_path: Path) -> None:
    path = _file(tmp_path, weights=arr(_array(3, 3, 1, 2), _array(2)))
    assert load_model(path, "Conv((3, 3), 1 => 2)").input_shape == (1, 512, 512)
    # As Flux up to 0.12.4 prints it, whatever its stride.
    assert _refusal(path, "Conv((3, 3), 1=>2)").code == "VF2011"
    assert _refusal(path, "Conv((3, 3), 1 => 2)", "0.12.4").code == "VF2011"
    full = "Conv((3, 3), 1=>2; stride=2, pad=1, dilation=1)"
    assert load_model(path, full).output_shape == (2, 256, 256)


@pytest.mark.parametrize(
    "wrong",
    [
        "Chain(Dense(5 => 4, tanh), Dense(4 => 3))",
        "Chain(Dense(5 => 4), Dense(4 => 3))",
        "Chain(Dense(5 => 4, relu; bias=false), Dense(4 => 3))",
        "Chain(Dense(5 => 4, relu), Dense(4 => 2))",
        "Chain(Dense(5 => 4, relu), Dense(4 => 3), softmax)",
        "Chain(Dense(5 => 4, relu), Scale(4))",
        "Chain(a = Dense(5 => 4, relu), b = Dense(4 => 3))",
        "Chain([Dense(5 => 4, relu), Dense(4 => 3)])",
        "Chain(Chain(Dense(5 => 4, relu), Dense(4 => 3)))",
        "Maxout(Dense(5 => 4, relu), Dense(4 => 3))",
        "Dense(5 => 4, relu)",
    ],
)
def test_a_text_that_contradicts_a_whole_model_is_refused(wrong: str) -> None:
    assert _refusal(ROOT / "hostile" / "good_model.bson", wrong).code == "VF2009"


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("conv_stride_pad", "Conv((3, 2), 2 => 3, relu, pad=(1, 0))"),
        ("conv_plain", "CrossCor((3, 2), 2 => 3)"),
        ("conv_plain", "Conv((3, 2), 2 => 3, groups=1, dilation=2)"),
        ("conv_groups", "Conv((3, 2), 2 => 4, relu)"),
        ("maxpool", "MaxPool((2, 2), stride=1)"),
        ("maxpool", "MeanPool((2, 2))"),
        ("batchnorm_eps", "BatchNorm(5, eps=0.2)"),
        ("batchnorm_dense", "BatchNorm(5, relu)"),
        ("layernorm", "LayerNorm(5, affine=false)"),
        ("dropout", "Chain(Dense(5 => 4, relu), Dropout(0.5), Dense(4 => 3))"),
        ("skip_plus", "SkipConnection(Dense(4 => 4, relu), vcat)"),
        ("parallel_named", "Parallel(+, a = Dense(5 => 3, relu), c = Dense(5 => 3))"),
        ("embedding", "Embedding(6 => 3, padding_idx=1)"),
        ("flatten", "Chain(softmax, Dense(12 => 3))"),
    ],
)
@pytest.mark.parametrize("file", ["model.jld2", "state.jld2"])
def test_every_option_is_compared(name: str, wrong: str, file: str) -> None:
    alone = {"batchnorm_dense": (5,), "skip_plus": (4,), "flatten": (12,)} | (
        {"maxpool": (2, 5, 7)} if "Mean" in wrong else {}
    )
    if file == "state.jld2" and name in alone:
        # Functions, and the kind of a pool, are what a state does not store: there the text alone says them.
        lift(LAYERS / name / file, wrong, NEWEST, alone[name])
        return
    assert _refusal(LAYERS / name / file, wrong, NEWEST).code == "VF2009"


def test_words_that_a_text_needs_for_a_state() -> None:
    folder = LAYERS / "embeddingbag_mean"
    assert _refusal(folder / "state.jld2", folder / "architecture.txt").code == "VF2009"
    assert load_model(folder / "state.jld2", "EmbeddingBag(6 => 3, mean)", input_shape=(2,)).output_shape == (3,)


def test_a_state_without_a_text_is_refused() -> None:
    assert _refusal(GOOD).code == "VF2012"


@pytest.mark.parametrize("version", ["", "latest", "0", "1.2.3.4", "0.16.x", "0.16", "0.11.6", "0.17.0", "1.0.0"])
def test_a_version_that_is_none_is_refused(version: str) -> None:
    assert _refusal(GOOD, GOOD_TEXT, version).code == "VF2011"


def test_a_layer_norm_needs_the_version() -> None:
    assert _refusal(LAYERS / "layernorm" / "model.bson").code == "VF2011"
    assert load_model(LAYERS / "layernorm" / "model.bson", flux_version="v0.16.7").output_shape == (5,)


def test_paths_that_cannot_be_read(tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    (tmp_path / "folder.jld2").mkdir()
    (tmp_path / "latin.txt").write_bytes("Dense(5 => 4, \u03c3)".encode("utf-16"))
    shutil.copy(GOOD, tmp_path / "model.jls")
    found = {
        "missing": _refusal(tmp_path / "none.jld2"),
        "folder": _refusal(tmp_path / "folder.jld2"),
        "extension": _refusal(tmp_path / "model.jls"),
        "missing text": _refusal(GOOD, tmp_path / "none.txt"),
        "text in another encoding": _refusal(GOOD, tmp_path / "latin.txt"),
    }
    shown = {name: str(error).replace(str(tmp_path) + os.sep, "") for name, error in found.items()}
    assert shown == snapshot


def test_two_branches_with_inputs_of_their_own_are_inferred() -> None:
    graph = load_model(LAYERS / "parallel_two_inputs" / "model.bson")
    assert [node.shape for node in graph.nodes[:2]] == [(5,), (4,)]


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("chain_named", "Chain(Dense(5 => 4, relu), Dense(4 => 3))"),
        ("chain_named", "Chain(hidden = Dense(5 => 4, relu), last = Dense(4 => 3))"),
        ("chain_vector", "Chain(Dense(5 => 4, relu), Dense(4 => 4, relu), Dense(4 => 4, relu))"),
        ("chain_flat", "Chain([Dense(5 => 4, relu), Dense(4 => 3)])"),
        ("chain_flat", "Chain(a = Dense(5 => 4, relu), b = Dense(4 => 3))"),
        ("chain_flat", "Chain(GlobalMaxPool(), Dense(4 => 3))"),
        ("chain_flat", "Chain(flatten, Dense(4 => 3))"),
        ("chain_softmax", "Chain(Dense(5 => 4, relu), Dense(4 => 3), Dense(3 => 3))"),
        ("chain_softmax", "Chain(Dense(5 => 4, relu), Dense(4 => 3), Chain(softmax))"),
        ("chain_bare_relu", "Chain(Dense(5 => 4), relu, Dense(4 => 3))"),
        ("flatten", "Chain(Fix2(permutedims, (2, 1, 3)), Dense(12 => 3))"),
        ("dense_fix2_activation", "Dense(5 => 4, Fix2(leakyrelu, 0.3))"),
        ("dense_relu", "Dense(5 => 4, Fix2(leakyrelu, 0.2))"),
    ],
)
def test_the_shape_of_a_state_is_compared_with_the_text(name: str, wrong: str) -> None:
    assert _refusal(LAYERS / name / "state.bson", wrong).code == "VF2009"


def test_an_activation_with_a_parameter_is_lifted_from_a_state_too() -> None:
    folder = LAYERS / "dense_fix2_activation"
    whole = load_model(folder / "model.jld2")
    assert load_model(folder / "state.jld2", folder / "architecture_repr.txt").digest == whole.digest


def test_a_random_activation_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="at random") as error:
        lift(LAYERS / "dense_relu" / "state.bson", "Dense(5 => 4, NNlib.rrelu)")
    assert error.value.code == "VF2005"
    dense = value(kind("Flux", "Dense"), array((1, 2), bytes(8)), array((1,), bytes(4)), value(kind("NNlib", "#rrelu")))
    path = tmp_path / "model.bson"
    path.write_bytes(doc(model=dense)[1])
    with pytest.raises(ModelError, match="at random") as error:
        lift(path)
    assert error.value.code == "VF2005"
