"""A strict reader of BSON files that BSON.jl wrote (bsonspec.org 1.1, the element types that it uses).

The document is parsed without recursion and with every length checked. What Julia would run or look up by
name when it loads the file (`ref`, `jl_anonymous`, methods, expressions) is refused wherever it stands.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np

from verifluxa.errors import ModelError
from verifluxa.flux.cursor import Cursor, damaged, foreign, text
from verifluxa.flux.juliatypes import ELEMENTS, check_declared, function_of, is_function_type, named_tuple_types
from verifluxa.flux.limits import Budget
from verifluxa.flux.names import is_code, stored_function, untrusted
from verifluxa.flux.structs import STRUCTS, UNREAD, matching, unknown_fields
from verifluxa.flux.values import (
    Contents,
    Dictionary,
    JuliaType,
    List,
    NamedTuple,
    Opaque,
    Parameter,
    Struct,
    Symbol,
    Tuple,
    Value,
    Variable,
    make_type,
)

# Values of a BSON file: documents with a `tag` are lowered Julia values, built by name and position only.

BACKREFS = "_backrefs"
Raw = None | bool | int | float | str | memoryview | dict[str, "Raw"] | list["Raw"]
Document = dict[str, Raw]

_KEYS: dict[str, frozenset[str]] = {
    "array": frozenset({"tag", "type", "size", "data"}),
    "struct": frozenset({"tag", "type", "data"}),
    "datatype": frozenset({"tag", "name", "params"}),
    "tuple": frozenset({"tag", "data"}),
    "symbol": frozenset({"tag", "name"}),
    "backref": frozenset({"tag", "ref"}),
}
_MODULES = ("Base", "Core")


def type_path(raw: Raw, place: str) -> str:
    """The full name of a type or function from its path; Base and Core come as parts of Main.

    Raises:
        ModelError: VF2002 when it is not a list of names.
    """
    if not isinstance(raw, list) or not raw:
        raise damaged("a type has no name", place)
    parts = [part for part in raw if isinstance(part, str) and part and "." not in part]
    if len(parts) != len(raw):
        raise damaged("the name of a type is not a list of names", place)
    if parts[0] == "Main" and len(parts) > 2 and parts[1] in _MODULES:
        parts = parts[1:]
    return ".".join(parts)


def _unknown_tag(tag: Raw, place: str) -> ModelError:
    shown = tag[:40] if isinstance(tag, str) else type(tag).__name__
    return foreign(f"a value with the tag `{shown}`", place, "one that BSON.jl writes for data")


class Values:
    """Builds the values of one file; shared ones are built once."""

    def __init__(self, backrefs: list[Raw], budget: Budget) -> None:
        self._backrefs = backrefs
        self._budget = budget
        self._shared: dict[int, Value] = {}
        self._open: set[int] = set()

    def kind(self, raw: Raw) -> str:
        """The name of a variable's type, as far as it can be told without building the variable."""
        if isinstance(raw, list):
            return "List"
        if not isinstance(raw, dict):
            return "scalar"
        tag = raw.get("tag")
        kind = raw.get("type")
        if tag == "struct" and isinstance(kind, dict) and "name" in kind:
            return type_path(kind["name"], "the type of a variable")
        if tag == "backref":
            return self.kind_of(self.value(raw, "a variable"))
        if tag is None:
            return "Base.Dict"
        if not isinstance(tag, str) or tag not in _KEYS:
            raise _unknown_tag(tag, "a variable")
        return {"array": "Core.Array", "tuple": "Core.Tuple"}.get(tag, "scalar")

    def kind_of(self, value: Value) -> str:
        """The name of a built value's type."""
        if isinstance(value, Struct | Opaque):
            return value.type.name
        kinds = {np.ndarray: "Core.Array", List: "List", Tuple: "Core.Tuple", NamedTuple: "Core.NamedTuple"}
        return next((name for kind, name in kinds.items() if isinstance(value, kind)), "scalar")

    def value(self, raw: Raw, place: str) -> Value:
        """Builds a value.

        Raises:
            ModelError: VF2002 to VF2006.
        """
        self._budget.visit(place)
        if raw is None or isinstance(raw, bool | int | str):
            return raw
        if isinstance(raw, float):
            return np.float64(raw)
        if isinstance(raw, memoryview):
            raise foreign("bytes without a type", place)
        with self._budget.level(place):
            if isinstance(raw, list):
                return List(self._items(raw, place))
            return self._document(raw, place)

    def _items(self, raw: Raw, place: str) -> tuple[Value, ...]:
        if not isinstance(raw, list):
            raise damaged("a list is missing", place)
        # Counted from 1, as in Julia and as the layers are.
        return tuple(self.value(item, f"{place}[{number}]") for number, item in enumerate(raw, start=1))

    def _document(self, raw: Document, place: str) -> Value:
        if "tag" not in raw:
            keys = tuple(Symbol(key) for key in raw)
            return Dictionary(keys, tuple(self.value(item, f"{place}.{key}") for key, item in raw.items()))
        tag = raw["tag"]
        if not isinstance(tag, str) or tag not in _KEYS:
            raise _unknown_tag(tag, place)
        if set(raw) != _KEYS[tag]:
            raise damaged(f"a value with the tag `{tag}` has the keys {', '.join(sorted(raw))}"[:200], place)
        if tag == "array":
            return self._array(raw, place)
        if tag == "struct":
            return self._struct(raw, place)
        if tag == "datatype":
            return self._type(raw, place)
        if tag == "tuple":
            return Tuple(self._items(raw["data"], place))
        return self._symbol(raw, place) if tag == "symbol" else self._backref(raw, place)

    def _symbol(self, raw: Document, place: str) -> Symbol:
        name = raw["name"]
        if not isinstance(name, str):
            raise damaged("a symbol without a name", place)
        return Symbol(name)

    def _backref(self, raw: Document, place: str) -> Value:
        index = raw["ref"]
        if isinstance(index, bool) or not isinstance(index, int) or not 1 <= index <= len(self._backrefs):
            raise damaged(f"a back reference to value {index} of {len(self._backrefs)}"[:120], place)
        if index in self._shared:
            return self._shared[index]
        if index in self._open:
            raise damaged("a value contains itself", f"{BACKREFS}[{index - 1}]")
        self._open.add(index)
        try:
            self._shared[index] = self.value(self._backrefs[index - 1], f"{BACKREFS}[{index - 1}]")
        finally:
            self._open.remove(index)
        return self._shared[index]

    def _type_of(self, raw: Raw, place: str) -> JuliaType:
        kind = self.value(raw, place)
        if not isinstance(kind, JuliaType):
            raise damaged("a type is missing", place)
        return kind

    def _type(self, raw: Document, place: str) -> JuliaType:
        where = f"{place}.params"
        parameters = tuple(self._parameter(item, where) for item in self._parameters(raw["params"], where))
        return make_type(type_path(raw["name"], place), parameters, place)

    def _parameters(self, raw: Raw, place: str) -> tuple[Value, ...]:
        # Parameters that are all integers are written as an array of numbers.
        if isinstance(raw, dict):
            numbers = self.value(raw, place)
            if isinstance(numbers, np.ndarray) and numbers.dtype.kind == "i" and numbers.ndim == 1:
                return tuple(int(number) for number in numbers)
        return self._items(raw, place)

    def _parameter(self, value: Value, place: str) -> Parameter:
        if isinstance(value, JuliaType | int | Symbol):
            return value
        if isinstance(value, Tuple):
            symbols = tuple(item for item in value.items if isinstance(item, Symbol))
            if len(symbols) == len(value.items):
                return symbols
        raise foreign("a type with a parameter that is neither a type, a number nor names", place)

    def _array(self, raw: Document, place: str) -> Value:
        kind = self._type_of(raw["type"], f"{place}.type")
        sizes = self._sizes(raw["size"], place)
        data = raw["data"]
        if isinstance(data, list):
            return self._list(data, sizes, place)
        dtype = ELEMENTS.get(kind.name)
        if dtype is None or not isinstance(data, memoryview):
            raise foreign(f"an array of {kind}", place, "an array of numbers")
        expected = math.prod(sizes) * np.dtype(dtype).itemsize
        if len(data) != expected:
            raise damaged(f"the sizes {sizes} ask for {expected} bytes", place, f"{len(data)}, the number stored")
        return np.frombuffer(data, dtype).reshape(sizes, order="F")

    def _list(self, data: list[Raw], sizes: tuple[int, ...], place: str) -> List:
        if sizes != (len(data),):
            raise damaged(f"a list of {len(data)} things says that its size is {sizes}", place)
        return List(self._items(data, f"{place}.data"))

    def _sizes(self, raw: Raw, place: str) -> tuple[int, ...]:
        sizes = tuple(item for item in raw if isinstance(item, int)) if isinstance(raw, list) else ()
        if not isinstance(raw, list) or len(sizes) != len(raw) or any(size < 0 for size in sizes) or len(sizes) > 16:
            raise damaged("the sizes of an array are not up to 16 numbers from 0", place)
        return sizes

    def _struct(self, raw: Document, place: str) -> Value:
        kind = self._type_of(raw["type"], f"{place}.type")
        data = raw["data"]
        if kind.name in UNREAD:
            return Opaque(kind)
        if isinstance(data, memoryview):
            return self._primitive(kind, data, place)
        if is_function_type(kind.name) and data == []:
            return function_of(kind, place)
        if kind.name == "Core.NamedTuple":
            return self._named_tuple(kind, data, place)
        if kind.name not in STRUCTS:
            raise untrusted(kind, place)
        count = len(data) if isinstance(data, list) else -1
        fields = matching(kind, None, count)
        if fields is None:
            raise unknown_fields(kind, f"{count} of them", place)
        items = self._declared(data, fields.names, tuple(fields.declared(kind, at) for at in range(count)), place)
        return Struct(kind, fields.names, items)

    def _named_tuple(self, kind: JuliaType, data: Raw, place: str) -> NamedTuple:
        names, types = named_tuple_types(kind, place)
        return NamedTuple(names, self._declared(data, names, types, place))

    def _declared(
        self, data: Raw, names: tuple[str, ...], types: tuple[Parameter | None, ...], place: str
    ) -> tuple[Value, ...]:
        if not isinstance(data, list) or len(data) != len(names):
            raise damaged(f"a value with the fields {', '.join(names)} has another number of them"[:200], place)
        items: list[Value] = []
        for raw, name, declared in zip(data, names, types, strict=True):
            items.append(self.value(raw, f"{place}.{name}"))
            check_declared(items[-1], declared, f"{place}.{name}")
        return tuple(items)

    def _primitive(self, kind: JuliaType, data: memoryview, place: str) -> Value:
        dtype = np.dtype(ELEMENTS[kind.name]) if kind.name in ELEMENTS and not kind.parameters else None
        if dtype is None or dtype.kind == "b" or len(data) != dtype.itemsize:
            raise untrusted(kind, place)
        number = np.frombuffer(data, dtype)[0]
        return number if isinstance(number, np.floating) else int(number)


# The documents of a file

_RAW_DEPTH = 1024
_CODE_TAGS = {
    "jl_anonymous": "an anonymous function with its compiled code (tag `jl_anonymous`)",
    "ref": "a name that Julia would look up (tag `ref`)",
}
_SMALLEST = 5


@dataclass
class _Open:
    """A document or array that is being read."""

    result: Document | list[Raw]
    cursor: Cursor


def read_bson(data: bytes | memoryview) -> Contents:
    """Reads a BSON file; a variable's value is built when asked for.

    Args:
        data: the whole file.

    Raises:
        ModelError: VF2002 for damage, VF2003 for what BSON.jl never writes, VF2004 past the limits, VF2005
            for code and names that Julia would look up.
    """
    budget = Budget(len(data))
    document = parse(memoryview(data), budget)
    for error in _suspects(document):
        raise error
    backrefs = document.get(BACKREFS, [])
    if not isinstance(backrefs, list):
        raise damaged("the list of shared values is not a list", BACKREFS)
    values = Values(backrefs, budget)
    if "tag" in document:
        raise foreign("the file holds one value instead of named variables", "byte 0")
    variables = tuple(
        Variable(name, values.kind(raw), partial(values.value, raw, name))
        for name, raw in document.items()
        if name != BACKREFS
    )
    return Contents("BSON", variables)


def parse(data: memoryview, budget: Budget) -> Document:
    """Parses the bytes of a file into documents, arrays and plain values.

    Raises:
        ModelError: VF2002, VF2003 or VF2004.
    """
    if len(data) < _SMALLEST:
        raise damaged("the file is too short for a BSON document", "byte 0", f"{_SMALLEST} bytes at least")
    top = Cursor(data, 0, len(data), "the file")
    root: Document = {}
    stack = [_Open(root, _document(top))]
    top.finish()
    while stack:
        current = stack[-1]
        kind = current.cursor.uint(1)
        if kind == 0:
            current.cursor.finish()
            stack.pop()
            continue
        budget.visit(current.cursor.place)
        child = _element(current, kind)
        if child is not None:
            if len(stack) >= _RAW_DEPTH:
                raise ModelError("VF2004", f"documents nest more than {_RAW_DEPTH} deep", place=child.cursor.place)
            stack.append(child)
    return root


def _document(cursor: Cursor) -> Cursor:
    """A cursor over the elements of a document, with the zero byte that ends it."""
    place = cursor.place
    length = cursor.int32()
    if not _SMALLEST <= length <= cursor.left + 4:
        raise damaged(f"a document says that it is {length} bytes long", place, f"5 to {cursor.left + 4}")
    start = cursor.position
    cursor.take(length - 4)
    return Cursor(cursor.data, start, cursor.position, "a document")


def _element(current: _Open, kind: int) -> _Open | None:
    """Reads one element; a document or array is returned, to be read next."""
    cursor = current.cursor
    place = cursor.place
    name = cursor.cstring()
    if kind in (0x03, 0x04):
        inner: Document | list[Raw] = {} if kind == 0x03 else []
        _store(current, name, inner, place)
        return _Open(inner, _document(cursor))
    _store(current, name, _scalar(cursor, kind), place)
    return None


def _store(current: _Open, name: str, value: Raw, place: str) -> None:
    result = current.result
    if isinstance(result, list):
        if name != str(len(result)):
            raise damaged(f"element `{name}` of an array is out of order", place, str(len(result)))
        result.append(value)
        return
    if name in result:
        raise damaged(f"the key `{name}` stands twice in a document", place)
    result[name] = value


def _scalar(cursor: Cursor, kind: int) -> Raw:
    place = cursor.place
    if kind not in _SCALARS:
        raise foreign(f"an element of type {kind:#04x}", place, "the element types that BSON.jl writes")
    return _SCALARS[kind](cursor)


def _boolean(cursor: Cursor) -> bool:
    place = cursor.place
    value = cursor.uint(1)
    if value > 1:
        raise damaged(f"a boolean is {value}", place, "0 or 1")
    return value == 1


def _string(cursor: Cursor) -> str:
    place = cursor.place
    length = cursor.int32()
    if not 1 <= length <= cursor.left:
        raise damaged(f"a string says that it is {length} bytes long", place)
    content = bytes(cursor.take(length))
    if content[-1] != 0:
        raise damaged("a string does not end with a zero byte", place)
    return text(content[:-1], place)


def _binary(cursor: Cursor) -> memoryview:
    place = cursor.place
    length = cursor.int32()
    subtype = cursor.uint(1)
    if not 0 <= length <= cursor.left:
        raise damaged(f"a binary says that it is {length} bytes long", place, f"0 to {cursor.left}")
    if subtype != 0:
        raise foreign(f"a binary of subtype {subtype}", place, "subtype 0")
    return cursor.take(length)


def _null(cursor: Cursor) -> None:
    del cursor


_SCALARS: dict[int, Callable[[Cursor], Raw]] = {
    0x01: Cursor.double,
    0x02: _string,
    0x05: _binary,
    0x08: _boolean,
    0x0A: _null,
    0x10: Cursor.int32,
    0x12: Cursor.int64,
}


def _walk(document: Document) -> Iterator[tuple[Document, str]]:
    """Every document of the file, each with its path."""
    pending: list[tuple[Raw, str]] = [(document, "")]
    while pending:
        node, path = pending.pop()
        if isinstance(node, dict):
            yield node, path
            pending.extend((child, f"{path}.{key}" if len(path) < 200 else path) for key, child in node.items())
        elif isinstance(node, list):
            pending.extend((child, f"{path}[{index}]" if len(path) < 200 else path) for index, child in enumerate(node))


def suspects(data: memoryview) -> list[ModelError]:
    """Everything in a file that is code, or comes from the user's own script, whether the model uses it or not.

    Raises:
        ModelError: VF2002 to VF2004 when the file cannot be read.
    """
    return list(_suspects(parse(data, Budget(len(data)))))


def _suspects(document: Document) -> Iterator[ModelError]:
    """Code first, then names of types."""
    nodes = list(_walk(document))
    for tag, what in _CODE_TAGS.items():
        for node, path in nodes:
            if node.get("tag") == tag:
                yield ModelError(
                    "VF2005",
                    f"the file holds {what}",
                    place=path.removeprefix(".") or "the file",
                    expected="arrays, numbers and layers of Flux itself",
                    remedy="write that part with Flux layers and save the model again; `Flux.state` never stores code",
                )
    for node, path in nodes:
        if node.get("tag") == "datatype" and "name" in node:
            place = path.removeprefix(".")
            name = type_path(node["name"], place)
            if is_code(name) and stored_function(name) is None:
                yield untrusted(name, place)
