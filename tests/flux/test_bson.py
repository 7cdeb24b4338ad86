"""BSON files made by hand: what is read, what is refused, and that nothing in a file can run away with the reader."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import pytest

from verifluxa.errors import ModelError
from verifluxa.flux.bson import read_bson
from verifluxa.flux.limits import DEPTH
from verifluxa.flux.values import Dictionary, Function, JuliaType, List, NamedTuple, Struct, Symbol, Tuple

Element = tuple[int, bytes]


def doc(**elements: Element) -> Element:
    """A document."""
    return 3, _body(list(elements.items()))


def arr(*elements: Element) -> Element:
    """An array."""
    return 4, _body([(str(index), element) for index, element in enumerate(elements)])


def _body(elements: list[tuple[str, Element]]) -> bytes:
    inner = b"".join(bytes([kind]) + name.encode() + b"\0" + data for name, (kind, data) in elements)
    return struct.pack("<i", len(inner) + 5) + inner + b"\0"


def text(value: str) -> Element:
    """A string."""
    return 2, struct.pack("<i", len(value.encode()) + 1) + value.encode() + b"\0"


def integer(value: int) -> Element:
    """An integer of 8 bytes."""
    return 18, struct.pack("<q", value)


def binary(value: bytes, subtype: int = 0) -> Element:
    """Bytes."""
    return 5, struct.pack("<i", len(value)) + bytes([subtype]) + value


def kind(*path: str, params: Element | None = None) -> Element:
    """A datatype."""
    return doc(tag=text("datatype"), name=arr(*map(text, path)), params=params or arr())


def array(sizes: tuple[int, ...], data: bytes, element: str = "Float32") -> Element:
    """An array of numbers."""
    return doc(tag=text("array"), type=kind("Core", element), size=arr(*map(integer, sizes)), data=binary(data))


def value(of: Element, *fields: Element) -> Element:
    """A struct."""
    return doc(tag=text("struct"), type=of, data=arr(*fields))


RELU = value(kind("NNlib", "#relu"))


def read(element: Element, **more: Element) -> object:
    """The value of a file with one variable."""
    (variable,) = read_bson(doc(W=element, **more)[1]).variables
    return variable.read()


def test_plain_values() -> None:
    assert read((10, b"")) is None
    assert read((8, b"\1")) is True
    assert read((16, struct.pack("<i", -7))) == -7
    assert read(integer(2**40)) == 2**40
    assert read(text("abc σ")) == "abc σ"
    number = read((1, struct.pack("<d", 0.1)))
    assert isinstance(number, np.float64)
    assert number == 0.1
    single = read(doc(tag=text("struct"), type=kind("Core", "Float32"), data=binary(struct.pack("<f", 0.1))))
    assert isinstance(single, np.float32)


def test_arrays_run_through_the_first_axis_first() -> None:
    found = read(array((2, 3), struct.pack("<6f", *range(6))))
    assert isinstance(found, np.ndarray)
    assert found.tolist() == [[0, 2, 4], [1, 3, 5]]


def test_structs_get_their_names_from_the_table() -> None:
    weight, bias = array((1, 2), bytes(8)), array((1,), bytes(4))
    found = read(value(kind("Flux", "Dense"), weight, bias, RELU))
    assert isinstance(found, Struct)
    assert found.names == ("weight", "bias", "σ")
    assert isinstance(found["σ"], Function)
    assert found["σ"].name == "relu"


def test_named_tuples_symbols_and_dictionaries() -> None:
    names = doc(tag=text("tuple"), data=arr(doc(tag=text("symbol"), name=text("a"))))
    types = kind("Core", "Tuple", params=arr(kind("Core", "Int64")))
    found = read(value(kind("Core", "NamedTuple", params=arr(names, types)), integer(4)))
    assert isinstance(found, NamedTuple)
    assert found["a"] == 4
    empty = read(doc(tag=text("tuple"), data=arr()))
    assert isinstance(empty, Tuple)
    assert isinstance(read(doc(x=integer(1))), Dictionary)
    assert isinstance(read(doc(tag=text("symbol"), name=text("x"))), Symbol)


def test_base_and_core_come_as_parts_of_main() -> None:
    found = read(kind("Main", "Base", "Pair"))
    assert isinstance(found, JuliaType)
    assert found.name == "Base.Pair"


def test_shared_values_are_built_once() -> None:
    shared = doc(tag=text("backref"), ref=integer(1))
    found = read(arr(shared, shared), _backrefs=arr(array((2,), bytes(8))))
    assert isinstance(found, List)
    assert found.items[0] is found.items[1]


REFUSED: dict[str, tuple[str, Callable[[], Element]]] = {
    "list that does not fit its size": (
        "VF2002",
        lambda: doc(tag=text("array"), type=kind("Core", "Any"), size=arr(integer(2)), data=arr(integer(1))),
    ),
    "size that is no number": (
        "VF2002",
        lambda: doc(tag=text("array"), type=kind("Core", "Float32"), size=arr(text("2")), data=binary(bytes(8))),
    ),
    "unknown element type": ("VF2003", lambda: array((2,), bytes(8), "Char")),
    "bytes without a type": ("VF2003", lambda: binary(b"abc")),
    "binary of another subtype": ("VF2003", lambda: binary(b"abc", 2)),
    "unknown tag": ("VF2003", lambda: doc(tag=text("pointer"), data=arr())),
    "tag that is no string": ("VF2003", lambda: doc(tag=integer(1))),
    "key too many": ("VF2002", lambda: doc(tag=text("tuple"), data=arr(), extra=integer(1))),
    "key missing": ("VF2002", lambda: doc(tag=text("tuple"))),
    "name with a dot": ("VF2002", lambda: value(kind("Flux.Dense"), integer(1), integer(1), RELU)),
    "type without a name": ("VF2002", lambda: value(kind(), integer(1))),
    "type that is no type": ("VF2002", lambda: value(integer(1), integer(1))),
    "wrong number of fields": ("VF2006", lambda: value(kind("Flux", "Dense"), integer(1), RELU)),
    "type of the user": ("VF2005", lambda: value(kind("Main", "Dense"), integer(1), integer(1), RELU)),
    "type of a package": ("VF2005", lambda: value(kind("Lux", "Dense"), integer(1))),
    "function of another module": ("VF2005", lambda: value(kind("Main", "#relu"))),
    "function of Base": ("VF2005", lambda: value(kind("Main", "Base", "#run"))),
    "anonymous function": ("VF2005", lambda: value(kind("Main", "#3#4"))),
    "closure": ("VF2005", lambda: doc(tag=text("jl_anonymous"), params=arr(), typename=doc())),
    "name to look up": ("VF2005", lambda: doc(tag=text("ref"), path=arr(text("Main"), text("run")))),
    "method": ("VF2005", lambda: value(kind("Core", "Method"), integer(1))),
    "expression": ("VF2005", lambda: value(kind("Core", "Expr"), integer(1))),
    "code beside the model": ("VF2005", lambda: arr(integer(1), doc(x=arr(kind("Core", "CodeInfo"))))),
    "back reference 0": ("VF2002", lambda: doc(tag=text("backref"), ref=integer(0))),
    "back reference that is a Bool": ("VF2002", lambda: doc(tag=text("backref"), ref=(8, b"\1"))),
    "boolean 2": ("VF2002", lambda: (8, b"\2")),
    "element of type 7": ("VF2003", lambda: (7, bytes(12))),
    "declared type and value": (
        "VF2002",
        lambda: value(kind("Flux", "Embedding", params=arr(kind("NNlib", "#relu"))), integer(3)),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_data_of_a_model_is_refused(name: str) -> None:
    code, make = REFUSED[name]
    with pytest.raises(ModelError) as error:
        read(make(), _backrefs=arr(integer(1)))
    assert error.value.code == code


def test_array_elements_out_of_order_are_refused() -> None:
    body = _body([("1", integer(1)), ("0", integer(2))])
    with pytest.raises(ModelError, match="out of order"):
        read((4, body))


def test_depth_is_bounded_and_back_references_are_not_unfolded() -> None:
    nested = arr()
    for _ in range(DEPTH + 1):
        nested = arr(nested)
    with pytest.raises(ModelError) as error:
        read(nested)
    assert error.value.code == "VF2004"
    # 2^25 paths lead to the last value; each value is built once.
    levels = DEPTH // 2 - 7
    pairs = [arr(*[doc(tag=text("backref"), ref=integer(index + 2))] * 2) for index in range(levels)]
    found = read(doc(tag=text("backref"), ref=integer(1)), _backrefs=arr(*pairs, integer(1)))
    assert isinstance(found, List)


def test_a_file_needs_named_variables() -> None:
    with pytest.raises(ModelError, match="instead of named variables"):
        read_bson(array((2,), bytes(8))[1])
