"""The values of a model file, whatever its format: named variables, each one neutral tree that the lifting reads.

Arrays are NumPy arrays in Julia's axis order (`a[i, j]` here is Julia's `a[i + 1, j + 1]`). Nothing in
the tree is code: functions and types are names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verifluxa.errors import ModelError

Array = NDArray[np.generic]
MAX_TYPE_NODES = 200_000
_SHOWN = 200


@dataclass(frozen=True)
class Symbol:
    """A Julia Symbol."""

    name: str


@dataclass(frozen=True, eq=False)
class JuliaType:
    """A type by its name, `Core.Array` or `Flux.Dense`, and its parameters.

    Attributes:
        name: full path, `Base.` rather than `Main.Base.`; functions are `Module.#name`.
        parameters: types, integers, Symbols or tuples of Symbols.
        nodes: how many names this type is made of, counted with repetition.
    """

    name: str
    parameters: tuple[Parameter, ...] = ()
    nodes: int = 1

    def __str__(self) -> str:
        if not self.parameters:
            return self.name
        text = f"{self.name}{{{', '.join(str(parameter) for parameter in self.parameters[:8])}}}"
        return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


Parameter = JuliaType | int | float | Symbol | tuple[Symbol, ...]


def make_type(name: str, parameters: tuple[Parameter, ...], place: str) -> JuliaType:
    """Builds a type and counts what it is made of.

    Raises:
        ModelError: VF2004 for a type of more than `MAX_TYPE_NODES` names.
    """
    nodes = 1 + sum(item.nodes if isinstance(item, JuliaType) else 1 for item in parameters)
    if nodes > MAX_TYPE_NODES:
        raise ModelError("VF2004", f"the type {name} is made of more than {MAX_TYPE_NODES} names", place=place)
    return JuliaType(name, parameters, nodes)


def same_type(first: Parameter, second: Parameter) -> bool:
    """Whether two types are the same, tuples under any of their three names."""
    if isinstance(first, JuliaType) and isinstance(second, JuliaType):
        if first is second:
            return True
        left, right = expand_tuple(first), expand_tuple(second)
        return (
            left.name == right.name
            and left.nodes == right.nodes
            and len(left.parameters) == len(right.parameters)
            and all(same_type(a, b) for a, b in zip(left.parameters, right.parameters, strict=True))
        )
    return type(first) is type(second) and first == second


def expand_tuple(kind: JuliaType) -> JuliaType:
    """`Tuple`, `Core.Tuple` and `NTuple{N,T}` under one name, `Core.Tuple`, with all their parameters."""
    if kind.name == "Tuple":
        return JuliaType("Core.Tuple", kind.parameters, kind.nodes)
    if kind.name == "NTuple" and len(kind.parameters) == 2:
        count, item = kind.parameters
        if isinstance(count, int) and 0 <= count <= MAX_TYPE_NODES and isinstance(item, JuliaType):
            nodes = 1 + count * item.nodes
            if nodes <= MAX_TYPE_NODES:
                return JuliaType("Core.Tuple", (item,) * count, nodes)
    return kind


@dataclass(frozen=True, eq=False)
class Function:
    """A function, only ever its name (`NNlib.relu`)."""

    name: str


@dataclass(frozen=True, eq=False)
class Opaque:
    """Something of a known harmless type that is not read, such as a random generator."""

    type: JuliaType


@dataclass(frozen=True, eq=False)
class Struct:
    """A value of a Julia struct, its fields by name, in order."""

    type: JuliaType
    names: tuple[str, ...]
    items: tuple[Value, ...]

    def __getitem__(self, name: str) -> Value:
        return self.items[self.names.index(name)]


@dataclass(frozen=True, eq=False)
class Tuple:
    """A Julia tuple."""

    items: tuple[Value, ...]


@dataclass(frozen=True, eq=False)
class NamedTuple:
    """A Julia NamedTuple."""

    names: tuple[str, ...]
    items: tuple[Value, ...]

    def __getitem__(self, name: str) -> Value:
        return self.items[self.names.index(name)]


@dataclass(frozen=True, eq=False)
class List:
    """A Julia Vector of something that is not a plain number."""

    items: tuple[Value, ...]


@dataclass(frozen=True, eq=False)
class Dictionary:
    """A Julia Dict: keys and values side by side."""

    keys: tuple[Value, ...]
    items: tuple[Value, ...]


Value = (
    None
    | bool
    | int
    | float
    | str
    | np.floating
    | Symbol
    | JuliaType
    | Function
    | Opaque
    | Struct
    | Tuple
    | NamedTuple
    | List
    | Dictionary
    | Array
)


def describe(value: Value) -> str:
    """A value in few words, for messages; never walks into it."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, np.ndarray):
        return f"an array of {julia_name(value.dtype)} of size {value.shape}"
    if isinstance(value, int | float | np.floating):
        return f"the number {value}"
    if isinstance(value, str):
        return "a string"
    return _describe_node(value)


def _describe_node(value: Value) -> str:
    match value:
        case Symbol():
            text = f"the symbol :{value.name[:_SHOWN]}"
        case Function():
            text = f"the function {value.name}"
        case Struct() | Opaque():
            text = f"a {value.type.name}"
        case NamedTuple():
            text = "a NamedTuple (" + ", ".join(value.names)[:_SHOWN] + ")"
        case Tuple():
            text = f"a tuple of {len(value.items)}"
        case List():
            text = f"a vector of {len(value.items)} things"
        case _:
            text = "a dictionary" if isinstance(value, Dictionary) else "a type"
    return text


def julia_name(dtype: np.dtype[np.generic]) -> str:
    """The Julia name of a NumPy element type."""
    return {
        "f2": "Float16",
        "f4": "Float32",
        "f8": "Float64",
        "b1": "Bool",
        "c8": "ComplexF32",
        "c16": "ComplexF64",
    }.get(dtype.str[1:], str(dtype).capitalize().replace("Uint", "UInt"))


def is_empty(value: Value) -> bool:
    """Whether a value is `()`, which is what `Flux.state` stores for a function."""
    return isinstance(value, Tuple) and not value.items


@dataclass(frozen=True, eq=False)
class Variable:
    """One variable of a model file.

    Attributes:
        name: its name, with the groups that it lies in: `net/model_state`.
        kind: the name of its type as far as the file tells, for messages and for choosing.
        read: reads it whole; raises ModelError for anything that is not understood.
    """

    name: str
    kind: str
    read: Callable[[], Value]


@dataclass(frozen=True, eq=False)
class Contents:
    """A model file.

    Attributes:
        format: `JLD2 0.2.0`, `BSON`, `safetensors` or `NPZ`.
        variables: in the order of the file.
        julia_version: of the Julia that wrote the file, where the file says so.
    """

    format: str
    variables: tuple[Variable, ...]
    julia_version: str | None = None
