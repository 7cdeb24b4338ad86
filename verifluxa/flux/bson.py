"""A strict reader of BSON files that BSON.jl wrote (bsonspec.org 1.1, the element types that it uses).

The document is parsed without recursion and with every length checked. What Julia would run or look up by
name when it loads the file (`ref`, `jl_anonymous`, methods, expressions) is refused wherever it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from verifluxa.errors import ModelError
from verifluxa.flux.bson_values import BACKREFS, Document, Raw, Values, type_path
from verifluxa.flux.contents import Contents, Variable
from verifluxa.flux.cursor import Cursor, damaged, foreign, text
from verifluxa.flux.limits import Budget
from verifluxa.flux.names import is_code, stored_function, untrusted

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
