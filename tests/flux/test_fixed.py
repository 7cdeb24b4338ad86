"""`Base.Fix2` of reshape and onehotbatch: stored, in a text beside a state, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from tests.flux.models import dense, numbers, read, run, sizes, struct
from tests.flux.test_bson import Element, arr, doc, integer, kind, text, value
from verifluxa.errors import ModelError
from verifluxa.flux.architecture import parse_architecture
from verifluxa.flux.bson import read_bson
from verifluxa.flux.layer import Layer
from verifluxa.flux.layers import LayerReader, show
from verifluxa.flux.layers_function import MOST_LABELS
from verifluxa.flux.merge_weights import merge_weights
from verifluxa.flux.values import Function, JuliaType, NamedTuple, Struct, Tuple, Value

COLON = Struct(JuliaType("Base.Colon"), (), ())


def fixed(name: str, argument: Value) -> Struct:
    """The struct of Julia."""
    return Struct(JuliaType("Base.Fix2"), ("f", "x"), (Function(name), argument))


def labels(first: int, last: int) -> Struct:
    """`first:last`."""
    return Struct(JuliaType("Base.UnitRange"), ("start", "stop"), (first, last))


def test_reshape_keeps_samples_and_the_order_in_memory() -> None:
    x = numbers(2, 24, seed=3)
    # Julia's (4, 3, 2, samples) is (2, 3, 4) of each sample here.
    np.testing.assert_array_equal(run(fixed("reshape", Tuple((4, 3, 2, COLON))), x), x.reshape(2, 2, 3, 4))
    np.testing.assert_array_equal(run(fixed("reshape", Tuple((24, COLON))), x.reshape(2, 4, 6)), x)


def test_one_hot_words_meet_the_columns_of_a_dense() -> None:
    weight = numbers(3, 6, seed=4)
    model = struct("Chain", Tuple((fixed("onehotbatch", labels(1, 6)), dense(weight))))
    words = np.array([[0, 5, 2], [1, 1, 3]])
    np.testing.assert_allclose(run(model, words), weight.T[words], rtol=1e-15)
    with pytest.raises(ModelError, match="no row"):
        run(model, words + 1)


@pytest.mark.parametrize(
    ("model", "code"),
    [
        (fixed("reshape", Tuple((4, COLON))), "VF2101"),
        (fixed("reshape", sizes(4, 6, 2)), "VF2010"),
        (fixed("reshape", Tuple((4, COLON, 6))), "VF2010"),
        (fixed("reshape", Tuple((0, COLON))), "VF2008"),
        (fixed("reshape", Tuple((1,) * 9 + (COLON,))), "VF2008"),
        (fixed("reshape", Tuple(())), "VF2008"),
        (fixed("reshape", 24), "VF2008"),
        (fixed("onehotbatch", labels(0, 5)), "VF2010"),
        (fixed("onehotbatch", labels(1, 0)), "VF2010"),
        (fixed("onehotbatch", labels(1, MOST_LABELS + 1)), "VF2010"),
        (fixed("onehotbatch", sizes(1, 2, 3)), "VF2008"),
        (fixed("flatten", sizes(1, 2)), "VF2010"),
        (Struct(JuliaType("Base.Fix1"), ("f", "x"), (Function("reshape"), Tuple((24, COLON)))), "VF2010"),
    ],
)
def test_what_is_not_of_that_form_is_refused(model: Value, code: str) -> None:
    with pytest.raises(ModelError) as error:
        run(model, numbers(1, 24))
    assert error.value.code == code


TEXTS = {
    "Base.Fix2{typeof(reshape), Tuple{Int64, Int64, Colon}}(reshape, (4, 6, Colon()))": (4, 6, Tuple(())),
    "Base.Fix2(reshape, (4, 6, :))": (4, 6, Tuple(())),
    "Base.Fix2{typeof(onehotbatch), UnitRange{Int64}}(OneHotArrays.onehotbatch, 1:6)": labels(1, 6),
    "Base.Fix2(Flux.onehotbatch, 1:6)": labels(1, 6),
}


def _merged(written: str, argument: Value) -> Layer:
    parsed = parse_architecture(f"Chain({written})", "text")
    held = Tuple(argument) if isinstance(argument, tuple) else argument
    fix = NamedTuple(("f", "x"), (Tuple(()), held))
    state = NamedTuple(("layers",), (Tuple((fix,)),))
    return LayerReader(1 << 20).read(merge_weights(parsed, state, "state"), "model")


@pytest.mark.parametrize("written", TEXTS)
def test_a_text_goes_with_its_state(written: str) -> None:
    layer = _merged(written, TEXTS[written])
    assert show(layer) in ("Chain(reshape(4, 6, :))", "Chain(onehotbatch(1:6))")


@pytest.mark.parametrize(
    ("written", "argument"),
    [
        ("Base.Fix2(reshape, (4, 6, :))", (6, 4, Tuple(()))),
        ("Base.Fix2(reshape, (4, 6, :))", (4, 6, 1)),
        ("Base.Fix2(reshape, (4, 6, :))", labels(1, 6)),
        ("Base.Fix2(onehotbatch, 1:6)", labels(1, 7)),
        ("Base.Fix2(onehotbatch, 1:6)", labels(0, 6)),
        ("Base.Fix2(onehotbatch, 1:6)", (1, 6)),
    ],
)
def test_a_state_that_holds_something_else_is_refused(written: str, argument: Value) -> None:
    with pytest.raises(ModelError) as error:
        _merged(written, argument)
    assert error.value.code == "VF2009"


@pytest.mark.parametrize(
    "written",
    [
        "Base.Fix2(reshape, (4, 6))",
        "Base.Fix2(reshape, 24)",
        "Base.Fix2(onehotbatch, 0:5)",
        "Base.Fix2(onehotbatch, [1, 2])",
        "Base.Fix2(onehotbatch, 1:n)",
        "reshape",
    ],
)
def test_a_text_of_another_form_is_refused(written: str) -> None:
    with pytest.raises(ModelError) as error:
        _merged(written, labels(1, 6))
    assert error.value.code in ("VF2005", "VF2007")


def _stored(function: tuple[str, str], argument: Element, of: Element) -> Element:
    """`Base.Fix2` as BSON.jl writes it."""
    return value(kind("Base", "Fix2", params=arr(kind(*function), of)), value(kind(*function)), argument)


def test_bson_stores_them_as_structs() -> None:
    whole = kind("Core", "Int64")
    unit = kind("Base", "UnitRange", params=arr(whole))
    hot = _stored(("OneHotArrays", "#onehotbatch"), value(unit, integer(1), integer(6)), unit)
    colon = kind("Base", "Colon")
    shape = doc(tag=text("tuple"), data=arr(integer(4), integer(6), value(colon)))
    reshaped = _stored(("Base", "#reshape"), shape, kind("Core", "Tuple", params=arr(whole, whole, colon)))
    for element, printed in ((hot, "onehotbatch(1:6)"), (reshaped, "reshape(4, 6, :)")):
        (variable,) = read_bson(doc(model=element)[1]).variables
        assert show(read(variable.read())) == printed
