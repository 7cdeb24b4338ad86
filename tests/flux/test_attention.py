"""MultiHeadAttention against the formula of NNlib, written out head by head."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.conformance.cases import NEWEST, ROOT, distance, expected
from tests.flux.models import Array, dense, numbers, read, struct
from verifluxa.errors import ModelError
from verifluxa.flux.architecture import Call, Name, parse_architecture
from verifluxa.flux.builder import Builder
from verifluxa.flux.layer import Layer
from verifluxa.flux.layers import LayerReader, emit, show
from verifluxa.flux.load import lift
from verifluxa.flux.merge_weights import merge_weights
from verifluxa.flux.values import Function, NamedTuple, Struct, Tuple, Value

FIXTURE = ROOT / "layers" / "attention"
SIZES = (3, 5, 2, 6, 4, 7)
"""Inputs of query, key and value, features of query and value, outputs."""
HEADS = 2


def attention(sizes: tuple[int, ...] = SIZES, heads: int = HEADS, biased: bool = False, **changes: Value) -> Struct:
    """The struct of Flux, in Float64."""
    query, key, value, features, values, out = sizes
    pairs = ((features, query), (features, key), (values, value), (out, values))
    layers = [
        dense(numbers(*pair, seed=seed), numbers(pair[0], seed=seed + 10) if biased else False)
        for seed, pair in enumerate(pairs)
    ]
    drop = struct("Dropout", np.float64(0.0), Tuple(()), None, Tuple(()))
    fields = dict(zip(("nheads", "q_proj", "k_proj", "v_proj", "attn_drop"), (heads, *layers[:3], drop), strict=True))
    return struct("MultiHeadAttention", *{**fields, "out_proj": layers[3], **changes}.values())


def _projected(model: Struct, name: str, x: Array) -> Array:
    inner = model[name]
    assert isinstance(inner, Struct)
    weight, bias = inner["weight"], inner["bias"]
    assert isinstance(weight, np.ndarray)
    return x @ weight.T + (bias if isinstance(bias, np.ndarray) else 0.0)


def formula(model: Struct, heads: int, query: Array, key: Array, value: Array) -> tuple[Array, Array]:
    """Outputs and scores, samples first: each head by itself."""
    q, k, v = (_projected(model, *pair) for pair in (("q_proj", query), ("k_proj", key), ("v_proj", value)))
    mixed, scores = [], []
    for head in range(heads):
        own = [
            part[..., head * (part.shape[-1] // heads) : (head + 1) * (part.shape[-1] // heads)] for part in (q, k, v)
        ]
        logits = np.einsum("nid,njd->nij", own[0] / np.sqrt(own[0].shape[-1]), own[1])
        weights = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
        scores.append(weights)
        mixed.append(np.einsum("nij,njd->nid", weights, own[2]))
    return _projected(model, "out_proj", np.concatenate(mixed, -1)), np.stack(scores, 1)


def _built(layer: Layer, *inputs: Array) -> tuple[Builder, tuple[int, ...]]:
    builder = Builder(tuple(array.shape[1:] for array in inputs), "float64", (0, 16, 7))
    return builder, emit(layer, builder, builder.inputs)


def _run(model: Value, *inputs: Array, which: int = 0) -> Array:
    layer = read(model)
    builder, nodes = _built(layer, *inputs)
    builder.finish(layer, nodes[which])
    return builder.graph().run(*inputs)


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("which", [0, 1])
def test_query_key_and_value_are_mixed_as_nnlib_does(biased: bool, which: int) -> None:
    model = attention(biased=biased)
    inputs = numbers(2, 4, 3, seed=5), numbers(2, 6, 5, seed=6), numbers(2, 6, 2, seed=7)
    np.testing.assert_allclose(_run(model, *inputs, which=which), formula(model, HEADS, *inputs)[which], rtol=1e-12)


def test_one_input_is_all_three_and_two_inputs_share_the_second() -> None:
    model = attention((4, 4, 4, 4, 8, 3), 4)
    x, y = numbers(2, 5, 4, seed=5), numbers(2, 3, 4, seed=6)
    np.testing.assert_allclose(_run(model, x), formula(model, 4, x, x, x)[0], rtol=1e-12)
    np.testing.assert_allclose(_run(model, x, y), formula(model, 4, x, y, y)[0], rtol=1e-12)


def test_first_and_last_take_one_of_the_two() -> None:
    model = attention((4, 4, 4, 4, 4, 4))
    x = numbers(2, 5, 4, seed=5)
    for index, name in enumerate(("first", "last")):
        picked = struct("Chain", Tuple((model, Function(name))))
        np.testing.assert_allclose(_run(picked, x), formula(model, HEADS, x, x, x)[index], rtol=1e-12)
    skip = struct("SkipConnection", struct("Chain", Tuple((model, Function("first")))), Function("+"))
    np.testing.assert_allclose(_run(skip, x), formula(model, HEADS, x, x, x)[0] + x, rtol=1e-12)


def _code(model: Value, *inputs: Array) -> str:
    with pytest.raises(ModelError) as error:
        _built(read(model), *inputs)
    return error.value.code


X = numbers(1, 5, 4)
SQUARE = (4, 4, 4, 4, 4, 4)


@pytest.mark.parametrize(
    ("model", "code"),
    [
        (attention(SQUARE, 3), "VF2008"),
        (attention(SQUARE, 0), "VF2008"),
        (attention(SQUARE, k_proj=dense(numbers(6, 4))), "VF2008"),
        (attention(SQUARE, out_proj=dense(numbers(4, 6))), "VF2008"),
        (attention(SQUARE, q_proj=Function("identity")), "VF2008"),
        (attention(SQUARE, attn_drop=Function("identity")), "VF2008"),
        (attention(SQUARE, attn_drop=struct("Dropout", np.float64(0.1), Tuple(()), True, Tuple(()))), "VF2016"),
        (attention((3, 3, 3, 4, 4, 4)), "VF2008"),
        (struct("Chain", Tuple((attention(SQUARE), dense(numbers(3, 4))))), "VF2010"),
        (struct("Chain", Tuple((attention(SQUARE), attention(SQUARE)))), "VF2010"),
        (struct("Chain", Tuple((dense(numbers(4, 4)), Function("first")))), "VF2010"),
    ],
)
def test_what_is_no_attention_of_flux_is_refused(model: Value, code: str) -> None:
    assert _code(model, X) == code


def test_keys_and_values_are_as_many() -> None:
    assert _code(attention(SQUARE), X, X[:, :4], X) == "VF2008"


def test_an_activation_of_a_projection_is_computed() -> None:
    model = attention(SQUARE, q_proj=dense(numbers(4, 4), function="relu"))
    plain = attention(SQUARE, q_proj=dense(numbers(4, 4)))
    assert np.abs(_run(model, X) - _run(plain, X)).max() > 0.01


@pytest.mark.parametrize(
    ("text", "sizes"),
    [
        ("MultiHeadAttention(4; nheads = 2)", (4, 4, 4, 4, 4, 4)),
        ("MultiHeadAttention(3 => 6 => 5, nheads=2, bias=true, dropout_prob=0.1)", (3, 3, 3, 6, 6, 5)),
        ("Flux.MultiHeadAttention(3 => (6, 4) => 5; nheads=2)", (3, 3, 3, 6, 4, 5)),
        ("MultiHeadAttention((3, 5, 2) => (6, 4) => 7; nheads=2)", SIZES),
    ],
)
def test_a_text_goes_with_its_state(text: str, sizes: tuple[int, ...]) -> None:
    model = attention(sizes, biased="bias=true" in text)
    parsed = parse_architecture(text, "text")
    layer = LayerReader(1 << 20).read(merge_weights(parsed, _state(model), "state"), "model")
    assert layer.facts["sizes"] == sizes
    assert layer.facts["assumed"] is True
    again = parse_architecture(show(layer), "shown")
    assert show(LayerReader(1 << 20).read(merge_weights(again, _state(model), "state"), "model")) == show(layer)


def _state(value: Value) -> Value:
    """What `Flux.state` makes of it."""
    if isinstance(value, Struct):
        return NamedTuple(value.names, tuple(_state(item) for item in value.items))
    return Tuple(()) if isinstance(value, Function) else value


def test_a_state_with_another_function_than_the_constructor_makes_is_refused() -> None:
    slope = NamedTuple(("f", "x"), (Tuple(()), 0.2))
    state = _state(attention(SQUARE))
    assert isinstance(state, NamedTuple)
    inner = state["q_proj"]
    assert isinstance(inner, NamedTuple)
    odd = replace(inner, items=(*inner.items[:2], slope))
    parsed = parse_architecture("MultiHeadAttention(4; nheads=2)", "text")
    assert isinstance(parsed, Call | Name)
    value = merge_weights(parsed, replace(state, items=(state.items[0], odd, *state.items[2:])), "state")
    with pytest.raises(ModelError) as error:
        LayerReader(1 << 20).read(value, "model")
    assert error.value.code == "VF2008"


@pytest.mark.parametrize("text", ["MultiHeadAttention(4; nheads=4)", "MultiHeadAttention(4 => 8 => 4; nheads=2)"])
def test_a_text_that_contradicts_the_file_is_refused(text: str) -> None:
    with pytest.raises(ModelError) as error:
        lift(FIXTURE / "model.bson", text, NEWEST, (5, 4))
    assert error.value.code == "VF2009"


def test_what_a_proof_leaves_out_is_said() -> None:
    inputs, output, tolerance = expected(FIXTURE)
    whole = lift(FIXTURE / "model.jld2", None, None, (5, 4))
    assert distance(whole.graph.run(*inputs), output) <= tolerance
    assert [text.split(",")[0] for text in whole.uncovered] == ["the attention scores"]
    state = lift(FIXTURE / "state.jld2", FIXTURE / "architecture.txt", None, (5, 4))
    assert "a state does not hold" in state.uncovered[0]
