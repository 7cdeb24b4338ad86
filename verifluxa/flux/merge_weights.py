"""A text and stored values put together: a state has no types and no functions, a text has no arrays.

The result is what a whole-model file would hold, so that everything after it is written once. Names,
shapes and counts of both must agree; what the text does not say is not guessed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from verifluxa.errors import ModelError, Span
from verifluxa.flux.architecture import Call, Name
from verifluxa.flux.builder import Missing, Row
from verifluxa.flux.layer import Facts, Version, needs_version, unsupported
from verifluxa.flux.layers import TABLE
from verifluxa.flux.layers_container import members
from verifluxa.flux.layers_function import FIXED_ROWS, function_value, write_function
from verifluxa.flux.structs import STRUCTS, Fields
from verifluxa.flux.values import (
    Array,
    Function,
    JuliaType,
    List,
    NamedTuple,
    Struct,
    Symbol,
    Tuple,
    Value,
    describe,
    is_empty,
)
from verifluxa.flux.written import Arguments, Child, Written, last_name, unknown_name

PRINTS_OPTIONS = (0, 12, 5)
"""The first version of Flux that prints stride, padding and dilation of a convolution."""
_OPTIONS = {"stride", "pad", "dilation"}
_FIXED = ("Fix1", "Fix2")


def disagree(message: str, span: Span, expected: str | None = None) -> ModelError:
    """The error for a text that contradicts the file."""
    return ModelError(
        "VF2009",
        message,
        place=span,
        expected=expected,
        remedy="take the architecture text and the model file from the same model",
    )


def write(text: Call) -> tuple[Row, Written]:
    """The row and the facts of a layer in a text.

    Raises:
        ModelError: VF2005 for a layer that is not known, VF2007 for arguments that it does not take.
    """
    row = TABLE.get(last_name(text.name))
    if row is None and f"Flux.{last_name(text.name)}" in STRUCTS:
        raise unsupported(text.name, text.span, "this kind of layer is not supported")
    if row is None:
        raise unknown_name(text.name, text.span, TABLE)
    arguments = Arguments(text)
    written = row.write(arguments)
    arguments.finish()
    return row, written


def is_function(text: Call | Name) -> bool:
    """Whether a text names a function instead of a layer."""
    return isinstance(text, Name) or last_name(text.name) in _FIXED


def complete(row: Row, facts: Facts) -> Facts:
    """The facts of a text with the defaults of its layer."""
    return {**row.defaults(facts), **facts}


# A state


def merge_weights(text: Call | Name, state: Value, place: str) -> Value:
    """A state with the types and functions that the text names.

    Args:
        text: the layer in the text.
        state: what `Flux.state` stored for it.
        place: the state's, for messages.

    Raises:
        ModelError: VF2009 where the two contradict each other, VF2005 and VF2007 for the text.
    """
    if isinstance(text, Name) or is_function(text):
        return _merge_function(text, state, place)
    row, written = write(text)
    facts = complete(row, written.facts)
    if is_empty(state):
        return _from_text_alone(row, text, facts)
    if not isinstance(state, NamedTuple):
        raise disagree(f"the text says {row.name}, the state holds {describe(state)} at {place}", text.span)
    name, fields = _fields(row, state, text, place)
    lost = row.merge(state, facts) if row.merge is not None else {}
    items = []
    for key, value in zip(state.names, state.items, strict=True):
        at = f"{place}.{key}"
        if row.children is not None and key in (row.children, "over"):
            items.append(_merge_children(row, written, value, at))
        elif key in row.functions:
            items.append(_function(row, key, facts, value, text.span, at))
        else:
            items.append(lost.get(key, value))
    return Struct(JuliaType(name), fields.names, tuple(items))


def _fields(row: Row, state: NamedTuple, text: Call, place: str) -> tuple[str, Fields]:
    for name in row.stored:
        for fields in STRUCTS[name]:
            if fields.names == state.names:
                return name, fields
    known = " or ".join(f"({', '.join(fields.names)})" for name in row.stored for fields in STRUCTS[name])
    raise disagree(
        f"the text says {row.name}, the state at {place} has the fields {', '.join(state.names)}", text.span, known
    )


def _function(row: Row, key: str, facts: Facts, state: Value, span: Span, place: str) -> Value:
    """The function of a field; the state must hold an empty place for it, or the parameter that the text says."""
    fact = row.functions[key]
    if fact not in facts:
        message = f"the text does not say the {fact} of {row.name}, and a state does not store it"
        raise disagree(message, span, f"`{row.name}(..., mean)`" if fact == "reduction" else None)
    function, parameter = Function(str(facts[fact])), facts.get("parameter")
    if parameter is None and is_empty(state):
        return function
    if parameter is not None and isinstance(state, NamedTuple) and state.names == ("f", "x") and is_empty(state["f"]):
        stored = state["x"]
        if isinstance(stored, int | float | np.floating) and float(stored) == parameter:
            return Struct(JuliaType("Base.Fix2"), ("f", "x"), (function, stored))
    said = f"{function.name}" if parameter is None else f"{function.name} with the parameter {parameter}"
    raise disagree(f"the text says {said}, the state holds {describe(state)} at {place}", span)


def _merge_children(row: Row, written: Written, state: Value, place: str) -> Value:
    children = written.children
    if row.name == "SkipConnection":
        return merge_weights(children[0].text, state, place)
    inner = members(state, place)
    if len(inner) != len(children):
        raise disagree(
            f"the text says {len(children)} layers in this {row.name}, the state holds {len(inner)} at {place}",
            written.span,
        )
    _check_form(row, written, state, place)
    items = tuple(
        merge_weights(child.text, value, f"{place}[{key}]") for child, (key, value) in zip(children, inner, strict=True)
    )
    if isinstance(state, NamedTuple):
        return NamedTuple(state.names, items)
    return List(items) if isinstance(state, List) else Tuple(items)


def _check_form(row: Row, written: Written, state: Value, place: str) -> None:
    if isinstance(state, NamedTuple):
        names = tuple(child.name for child in written.children)
        if names != state.names:
            said = "no names" if None in names else ", ".join(str(name) for name in names)
            message = f"the text gives {said} for the layers, the state says {', '.join(state.names)} at {place}"
            raise disagree(message, written.span)
    elif any(child.name is not None for child in written.children):
        raise disagree(f"the text names the layers of this {row.name}, the state at {place} does not", written.span)
    elif isinstance(state, List) != (written.facts.get("form") == "vector"):
        what = "a vector" if isinstance(state, List) else "no vector"
        raise disagree(f"the state holds {what} of layers at {place}, the text says otherwise", written.span)


def _merge_function(text: Call | Name, state: Value, place: str) -> Value:
    kind, facts = write_function(text)
    if isinstance(text, Name):
        if is_empty(state):
            return function_value(kind, facts)
    elif isinstance(state, NamedTuple) and state.names == ("f", "x") and is_empty(state["f"]):
        return _merge_fixed(text, kind, facts, state["x"], place)
    raise disagree(f"the text says the function {text.name}, the state holds {describe(state)} at {place}", text.span)


def _merge_fixed(text: Call, kind: str, facts: Facts, state: Value, place: str) -> Value:
    if kind == "activation" and is_empty(state):
        inner: Value = Function(str(facts["activation"]))
        return Struct(JuliaType("Base.Fix1"), ("f", "x"), (Function("broadcast"), inner))
    if kind in FIXED_ROWS and (argument := FIXED_ROWS[kind].merge(state, facts)) is not None:
        return Struct(JuliaType("Base.Fix2"), ("f", "x"), (Function(kind), argument))
    raise disagree(f"the text says {text.name}, the state holds {describe(state)} at {place}", text.span)


# A text alone, and arrays for it


@dataclass(eq=False)
class ArrayList:
    """Arrays in the order of the layers, weight before bias, as `Flux.trainables` gives them."""

    arrays: tuple[Array, ...]
    used: int = 0

    def take(self, path: str, span: Span) -> Array:
        """The next array.

        Raises:
            ModelError: VF2009 when there is none.
        """
        del path
        if self.used == len(self.arrays):
            raise disagree(f"the text needs more arrays than the {len(self.arrays)} of the file", span)
        self.used += 1
        return self.arrays[self.used - 1]

    def left(self) -> list[str]:
        """The arrays that no layer took."""
        return [f"number {index + 1}" for index in range(self.used, len(self.arrays))]


@dataclass(eq=False)
class ArrayNames:
    """Arrays by the path that they have in `Flux.state`: `layers.1.weight`."""

    arrays: dict[str, Array]

    def __post_init__(self) -> None:
        self._used: set[str] = set()

    def take(self, path: str, span: Span) -> Array:
        """The array of a path.

        Raises:
            ModelError: VF2009 when there is none.
        """
        if path not in self.arrays:
            names = ", ".join(list(self.arrays)[:6])
            raise disagree(f"the file has no array `{path}`", span, f"one of its names: {names}")
        self._used.add(path)
        return self.arrays[path]

    def left(self) -> list[str]:
        """The arrays that no layer took."""
        return [f"`{name}`" for name in self.arrays if name not in self._used]


def fill(text: Call | Name, arrays: ArrayList | ArrayNames, version: Version | None) -> Value:
    """The model of a text, with arrays from elsewhere.

    Args:
        text: the architecture; it must say everything but the arrays.
        arrays: where the arrays come from.
        version: of Flux that printed the text, if known.

    Raises:
        ModelError: VF2009 when the arrays are too few or too many, VF2010 for a layer that has more to it
            than a text and arrays say.
    """
    _check_options(text, version)
    result = _fill(text, arrays, "")
    left = arrays.left()
    if left:
        raise disagree(f"the text has no layer for {len(left)} arrays of the file: {', '.join(left[:6])}", text.span)
    return result


def _check_options(text: Call | Name, version: Version | None) -> None:
    """Refuses a convolution in the form of Flux up to 0.12.4, which leaves out stride, padding and dilation."""
    if isinstance(text, Name) or is_function(text):
        return
    _, written = write(text)
    for child in written.children:
        _check_options(child.text, version)
    old = bool(written.facts.get("compact")) if version is None else version < PRINTS_OPTIONS
    if "window" in written.facts and "in" in written.facts and old and not written.facts.keys() >= _OPTIONS:
        raise needs_version(
            f"`{text.name}` without stride, pad and dilation",
            text.span,
            "up to 0.12.4 Flux prints none of them, and a list of weights does not hold them",
        )


def _fill(text: Call | Name, arrays: ArrayList | ArrayNames, path: str) -> Value:
    if isinstance(text, Name) or is_function(text):
        kind, facts = write_function(text)
        if isinstance(text, Call):
            raise unsupported(text.name, text.span, "arrays alone do not hold it")
        return function_value(kind, facts)
    row, written = write(text)
    facts = complete(row, written.facts)
    if row.children is not None:
        return _fill_children(row, written, arrays, path)
    return _blank(row, facts, text.span, _Taker(arrays, path))


@dataclass(frozen=True, eq=False)
class _Taker:
    arrays: ArrayList | ArrayNames
    path: str

    def take(self, name: str, span: Span) -> Array:
        return self.arrays.take(f"{self.path}{name}", span)


def _fill_children(row: Row, written: Written, arrays: ArrayList | ArrayNames, path: str) -> Value:
    assert row.children is not None  # the caller has seen to it
    inner = f"{path}{row.children}."
    if row.name == "SkipConnection":
        children: Value = _fill(written.children[0].text, arrays, inner)
    else:
        items = tuple(_fill(child.text, arrays, f"{inner}{key}.") for key, child in _keys(written.children))
        named = tuple(child.name for child in written.children if child.name is not None)
        children = NamedTuple(named, items) if named else Tuple(items)
        children = List(items) if written.facts.get("form") == "vector" else children
    names = STRUCTS[row.stored[0]][0].names
    functions: dict[str, Value] = {key: Function(str(written.facts[fact])) for key, fact in row.functions.items()}
    return Struct(JuliaType(row.stored[0]), names, tuple(functions.get(name, children) for name in names))


def _keys(children: tuple[Child, ...]) -> Iterator[tuple[str, Child]]:
    for index, child in enumerate(children):
        yield child.name or str(index + 1), child


def _from_text_alone(row: Row, text: Call, facts: Facts) -> Value:
    """A layer without arrays, of which a state may store nothing."""
    if row.children is not None:
        raise disagree(f"the text says {row.name}, the state holds nothing", text.span)
    return _blank(row, facts, text.span, None)


def _blank(row: Row, facts: Facts, span: Span, taker: _Taker | None) -> Struct:
    if row.blank is None:
        raise unsupported(row.name, span, "its running statistics or constants are in no list of weights")
    blank = row.blank(facts)
    name = row.stored[0]
    fields = next(fields for fields in STRUCTS[name] if set(blank) | set(row.functions) == set(fields.names))
    items: list[Value] = []
    for key in fields.names:
        if key in row.functions:
            items.append(_plain_function(row, key, facts, span))
            continue
        value = blank[key]
        if isinstance(value, Missing):
            if taker is None:
                raise disagree(f"the text says {row.name}, the state holds nothing", span)
            value = taker.take(key, span)
        items.append(value)
    parameters = (Symbol(str(facts["mode"])),) if "mode" in facts else ()
    return Struct(JuliaType(name, parameters), fields.names, tuple(items))


def _plain_function(row: Row, key: str, facts: Facts, span: Span) -> Value:
    fact = row.functions[key]
    if fact not in facts:
        raise disagree(f"the text does not say the {fact} of {row.name}", span)
    function, parameter = Function(str(facts[fact])), facts.get("parameter")
    if isinstance(parameter, float):
        return Struct(JuliaType("Base.Fix2"), ("f", "x"), (function, np.float64(parameter)))
    return function
