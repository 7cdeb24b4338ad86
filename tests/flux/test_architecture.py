"""The architecture text: the forms that are read, places of errors, and bounds."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

from tests.conformance.cases import ROOT, index
from verifluxa.errors import ModelError, Span
from verifluxa.flux.architecture import Call, Keyword, Literal, Name, Pair, Sequence, parse_architecture
from verifluxa.flux.layer import Facts
from verifluxa.flux.limits import DEPTH, TEXT_BYTES
from verifluxa.flux.merge_weights import write


def facts(text: str) -> Facts:
    """What the text of one layer says."""
    call = parse_architecture(text, "architecture.txt")
    assert isinstance(call, Call)
    _, written = write(call)
    return {name: fact for name, fact in written.facts.items() if name != "compact"}


@pytest.mark.parametrize("name", [name for name, entry in index("layers").items() if entry["verdict"] == "lift"])
def test_both_printed_forms_of_a_layer_are_read(name: str) -> None:
    shown = [ROOT / "layers" / name / file for file in ("architecture.txt", "architecture_repr.txt")]
    for path in shown:
        parse_architecture(path.read_text(encoding="utf-8"), path.name)


def test_places_are_lines_and_columns_of_the_text() -> None:
    call = parse_architecture("Chain(\n  Dense(5 => 4, σ),   # 24 parameters\n  softmax,\n)  # Total\n", "a.txt")
    assert isinstance(call, Call)
    dense, softmax = call.arguments
    assert isinstance(dense, Call)
    assert dense.span == Span("a.txt", 2, 3, 2, 19)
    pair, activation = dense.arguments
    assert isinstance(pair, Pair)
    assert isinstance(activation, Name)
    assert activation.name == "σ"
    assert isinstance(softmax, Name)
    assert softmax.span.line == 3


def test_the_ways_in_which_people_write_source() -> None:
    text = "model = Flux.Chain(Dense(28*28 => 2^0*64 - 4, relu),)".replace("2^0*64", "64")
    call = parse_architecture(text, "a.txt")
    assert isinstance(call, Call)
    assert call.name == "Flux.Chain"
    (dense,) = call.arguments
    assert isinstance(dense, Call)
    assert facts("Dense(28*28 => 64 - 4, relu)") == {"in": 784, "out": 60, "activation": "relu", "parameter": None}
    assert facts("Dense(5, 4, NNlib.relu; bias = false)") == facts("Dense(5 => 4, relu, bias=false)")
    assert facts("Dense(1_000 => 2; init = Flux.zeros32)") == {"in": 1000, "out": 2}


def test_numbers_symbols_and_constants() -> None:
    call = parse_architecture('f(1, -2, 0.5, 1f-5, 1e3, :x, "s", true, nothing, (1,), [a, b], +, a = 1;)', "a.txt")
    assert isinstance(call, Call)
    values = [item.value for item in call.arguments if isinstance(item, Literal)]
    assert values[:3] == [1, -2, 0.5]
    assert values[3] == float.fromhex("0x1.4f8b580000000p-17")
    assert values[6:] == ["s", True, None]
    sequences = [item for item in call.arguments if isinstance(item, Sequence)]
    assert [item.vector for item in sequences] == [False, True]
    assert isinstance(call.arguments[-1], Keyword)


@pytest.mark.parametrize(
    ("text", "pad"),
    [
        ("Conv((3, 2), 1 => 2, pad=1)", (1, 1, 1, 1)),
        ("Conv((3, 2), 1 => 2, pad=(1, 0))", (1, 1, 0, 0)),
        ("Conv((3, 2), 1 => 2, pad=(1, 2, 3, 4))", (1, 2, 3, 4)),
        ("Conv((3, 2), 1 => 2, pad=SamePad())", (1, 1, 1, 0)),
        ("Conv((3, 2), 1 => 2, pad=SamePad(), dilation=2)", (2, 2, 1, 1)),
        ("ConvTranspose((3, 2), 1 => 2, pad=SamePad(), stride=2)", (1, 0, 0, 0)),
        ("MaxPool((3, 2), pad=SamePad())", (1, 1, 1, 0)),
    ],
)
def test_padding_in_all_its_forms(text: str, pad: tuple[int, ...]) -> None:
    assert facts(text)["pad"] == pad


WRONG = {
    "empty": "",
    "open bracket": "Chain(Dense(5 => 4, relu)",
    "wrong arrow": "Dense(5 ==> 4)",
    "two layers": "Dense(5 => 4) Dense(4 => 3)",
    "arithmetic with names": "Dense(n + 1 => 4)",
    "keyword twice": "Dense(5 => 4, bias=false, bias=true)",
    "unknown keyword": "Dense(5 => 4; biass=false)",
    "too many arguments": "Dense(5 => 4, relu, relu)",
    "too few arguments": "Dense()",
    "no sizes": "Dense(weight)",
    "unknown layer": "Chain(Dense(5 => 4), Densee(4 => 3))",
    "unknown activation": "Dense(5 => 4, relu7)",
    "softmax as activation": "Dense(5 => 4, softmax)",
    "layer that is not lifted": "Chain(Recur(RNNCell(3 => 4)), Dense(4 => 2))",
    "anonymous function": "Chain(Dense(5 => 4), x -> relu.(x))",
    "printed closure": "Chain(Dense(5 => 4), #11, Dense(4 => 3))",
    "printed closure as a layer": 'Chain(Dense(5 => 4), var"#11#12"(), Dense(4 => 3))',
    "array of a user's layer": "Shifted(Float32[0.5 0.25; 1.0 2.0])",
    "names for some": "Chain(a = Dense(5 => 4), Dense(4 => 3))",
    "huge size": "Dense(99999999999 => 3)",
    "padding": "Conv((3, 3), 1 => 2, pad=(1, 2, 3))",
    "two sizes": "Upsample(:nearest, scale = 2, size = (4, 4))",
    "connection": "SkipConnection(Dense(4 => 4), *)",
}


@pytest.mark.parametrize("name", WRONG)
def test_the_message_for_a_wrong_text(name: str, snapshot: SnapshotAssertion) -> None:
    with pytest.raises(ModelError) as error:
        _written(WRONG[name])
    assert isinstance(error.value.place, Span | str)
    assert str(error.value) == snapshot


def _written(text: str) -> None:
    pending: list[Call | Name] = [parse_architecture(text, "architecture.txt")]
    while pending:
        part = pending.pop()
        if isinstance(part, Call):
            pending += [child.text for child in write(part)[1].children]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Chain(" * (DEPTH + 1) + "f" + ")" * (DEPTH + 1), "VF2004"),
        ("(" * 50_000, "VF2007"),
        ("f(" + "1 + " * 10_000 + "1)", None),
        ("f(" + "1, " * 10_000 + "1)", None),
        ("# " + "x" * TEXT_BYTES + "\nf()", "VF2004"),
        ("f(" + "9" * 100_000 + ")", "VF2007"),
        ("f(1e999)", "VF2007"),
    ],
    ids=["depth", "brackets", "sums", "arguments", "length", "digits", "infinity"],
)
def test_hostile_texts_are_bounded(text: str, code: str | None) -> None:
    if code is None:
        parse_architecture(text, "a.txt")
        return
    with pytest.raises(ModelError) as error:
        parse_architecture(text, "a.txt")
    assert error.value.code == code


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.text(st.sampled_from('Chain(Dense[]{}=>,;:+-*#"\n 0123.efσ_^|'), max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    assert _outcome(text) in (None, "VF2004", "VF2005", "VF2007", "VF2010")


def _outcome(text: str) -> str | None:
    try:
        _written(text)
    except ModelError as error:
        return error.code
    return None
