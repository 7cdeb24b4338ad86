"""What a Julia type says about its values: which have no bytes at all, and whether a value is of the type."""

from __future__ import annotations

import numpy as np

from verifluxa.flux.cursor import damaged
from verifluxa.flux.names import stored_function, untrusted
from verifluxa.flux.structs import STRUCTS, UNREAD, Fields
from verifluxa.flux.values import (
    Array,
    Function,
    JuliaType,
    List,
    NamedTuple,
    Opaque,
    Parameter,
    Struct,
    Symbol,
    Tuple,
    Value,
    describe,
    expand_tuple,
    same_type,
)

ELEMENTS: dict[str, str] = {
    "Core.Float16": "<f2",
    "Core.Float32": "<f4",
    "Core.Float64": "<f8",
    "Core.Int8": "<i1",
    "Core.Int16": "<i2",
    "Core.Int32": "<i4",
    "Core.Int64": "<i8",
    "Core.UInt8": "<u1",
    "Core.UInt16": "<u2",
    "Core.UInt32": "<u4",
    "Core.UInt64": "<u8",
    "Core.Bool": "|b1",
}
"""Element types of arrays that are read as arrays, and how NumPy calls them."""


def is_function_type(name: str) -> bool:
    """Whether a type's name is that of a function's own type: `Module.#name`."""
    return name.rpartition(".")[2].startswith("#")


def named_tuple_types(kind: JuliaType, place: str) -> tuple[tuple[str, ...], tuple[Parameter, ...]]:
    """Names and member types of `Core.NamedTuple{names, Tuple{types...}}`.

    Raises:
        ModelError: VF2002 when the type is not of that form.
    """
    if len(kind.parameters) == 2:
        names, types = kind.parameters
        if isinstance(names, tuple) and isinstance(types, JuliaType):
            members = expand_tuple(types)
            texts = tuple(symbol.name for symbol in names)
            if members.name == "Core.Tuple" and len(members.parameters) == len(texts) == len(set(texts)):
                return texts, members.parameters
    raise damaged("a NamedTuple's type is not complete", place)


def member_types(kind: JuliaType, place: str) -> tuple[Parameter, ...] | None:
    """The types of the members of a tuple or NamedTuple, None for any other type."""
    if kind.name == "Core.NamedTuple":
        return named_tuple_types(kind, place)[1]
    kind = expand_tuple(kind)
    return kind.parameters if kind.name == "Core.Tuple" else None


def zero_size(kind: Parameter | None, place: str) -> bool:
    """Whether the values of a type have no bytes, so that JLD2 leaves them out."""
    if not isinstance(kind, JuliaType):
        return False
    if kind.name == "Core.Nothing" or is_function_type(kind.name):
        return True
    members = member_types(kind, place)
    if members is not None:
        return all(zero_size(member, place) for member in members)
    return _empty_fields(kind, place) is not None or (kind.name in UNREAD and not kind.parameters)


def _empty_fields(kind: JuliaType, place: str) -> Fields | None:
    for fields in STRUCTS.get(kind.name, ()):
        declared = [fields.declared(kind, index) for index in range(len(fields.names))]
        if all(zero_size(item, place) for item in declared):
            return fields
    return None


def absent(kind: Parameter | None, place: str) -> Value:
    """The one value of a type of size zero.

    Raises:
        ModelError: VF2005 for a function or type that is not known, VF2002 for a type that has bytes.
    """
    if not isinstance(kind, JuliaType):
        raise damaged("a value is missing", place)
    if kind.name == "Core.Nothing":
        return None
    if is_function_type(kind.name):
        return function_of(kind, place)
    if kind.name in UNREAD:
        return Opaque(kind)
    members = member_types(kind, place)
    if members is not None:
        items = tuple(absent(member, place) for member in members)
        return NamedTuple(named_tuple_types(kind, place)[0], items) if kind.name == "Core.NamedTuple" else Tuple(items)
    return _absent_struct(kind, place)


def _absent_struct(kind: JuliaType, place: str) -> Struct:
    if kind.name not in STRUCTS:
        raise untrusted(kind, place)
    fields = _empty_fields(kind, place)
    if fields is None:
        raise damaged(f"a {kind.name} has none of its fields", place)
    return Struct(
        kind, fields.names, tuple(absent(fields.declared(kind, index), place) for index in range(len(fields.names)))
    )


def function_of(kind: JuliaType, place: str) -> Function:
    """The function of a function's own type.

    Raises:
        ModelError: VF2005 for one that is not in the allow list.
    """
    function = stored_function(kind.name)
    if function is None or kind.parameters:
        raise untrusted(kind, place)
    return function


def check_declared(value: Value, declared: Parameter | None, place: str) -> None:
    """Refuses a value that is not of the type that it is declared with.

    Raises:
        ModelError: VF2002.
    """
    if isinstance(declared, JuliaType) and not _fits(value, expand_tuple(declared)):
        raise damaged(f"{describe(value)} stands where the file declares a {declared}", place)


def _fits(value: Value, declared: JuliaType) -> bool:
    if declared.name == "Core.Any":
        return True
    if declared.name == "Core.Array":
        return _fits_array(value, declared)
    if isinstance(value, np.ndarray | List):
        return False
    if isinstance(value, Struct | Opaque):
        return same_type(value.type, declared)
    if isinstance(value, NamedTuple | Tuple):
        return declared.name == ("Core.NamedTuple" if isinstance(value, NamedTuple) else "Core.Tuple")
    return _fits_scalar(value, declared)


def _fits_array(value: Value, declared: JuliaType) -> bool:
    if len(declared.parameters) != 2:
        return False
    item, rank = declared.parameters
    if isinstance(value, np.ndarray):
        element = ELEMENTS.get(item.name) if isinstance(item, JuliaType) else None
        return element is not None and _element(value) == element and value.ndim == rank
    return isinstance(value, List) and rank == 1


def _element(value: Array) -> str:
    text = value.dtype.str
    return "<" + text[1:] if text[0] == "|" and text[1] != "b" else text


def _fits_scalar(value: Value, declared: JuliaType) -> bool:
    expected: dict[str, type | tuple[type, ...]] = {
        "Core.Float16": np.float16,
        "Core.Float32": np.float32,
        "Core.Float64": np.float64,
        "Core.Bool": bool,
        "Core.String": str,
        "Core.Symbol": Symbol,
        "Core.Nothing": type(None),
        "Core.DataType": JuliaType,
    }
    if declared.name in expected:
        return isinstance(value, expected[declared.name])
    if declared.name.startswith(("Core.Int", "Core.UInt")):
        return isinstance(value, int) and not isinstance(value, bool)
    # Abstract types (Any, Real, Union): any value that could be read.
    return not is_function_type(declared.name) or isinstance(value, Function)
