"""One codec for what evidence is made of, driven by the types: each becomes JSON, exactly, and is read back strictly.

| type | JSON |
|---|---|
| `int` | a number, 0 or more and below 2^31 unless it is annotated with `integer(...)` |
| `bool` | 0 or 1, or true and false where it is annotated with `TRUE_OR_FALSE` |
| `float` | the shortest decimal as text, in hex where it is annotated with `HEX` |
| `str`, `bytes` | text, base64 |
| `tuple[X, ...]` | an array |
| `tuple[X, Y]`, a named tuple | an array of its fields |
| a dataclass | an array of its `tag`, where it has one, and its fields |
| a union of those | the one whose tag stands in front |

A `Rule` or a `Form` in `Annotated` is checked when a value is read; a last field that is `OMITTED` is left out where it
is empty. A value has one encoding: whatever `encode` does not write, `decode` refuses.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType, UnionType
from typing import Annotated, Any, NamedTuple, Protocol, get_args, get_origin, get_type_hints

from verifluxa.certificate.document import Json, wrong
from verifluxa.certificate.numbers import float_text, parse_float_text, parse_hex_float
from verifluxa.documents import OMITTED

LARGEST_INDEX = 2**31


class Codec(NamedTuple):
    """How a type is written and read.

    Attributes:
        words: what its JSON looks like.
        encode: a value to JSON.
        decode: JSON to a value; its second argument is the place of the error (VF5005) for anything else.
    """

    words: str
    encode: Callable[[Any], Json]
    decode: Callable[[Json, str], Any]


def integer(low: int = 0, high: int = LARGEST_INDEX - 1) -> Codec:
    """Whole numbers in `low..high`."""
    words = f"a whole number in {low}..{high}"

    def decode(value: Json, place: str) -> int:
        if type(value) is not int or not low <= value <= high:
            raise wrong(place, words, value)
        return value

    return Codec(words, int, decode)


def _read_by(words: str, encode: Callable[[Any], Json], parse: Callable[[Json], Any]) -> Codec:
    """A codec whose reader says None to what it does not take."""

    def decode(value: Json, place: str) -> Any:
        found = parse(value)
        if found is None:
            raise wrong(place, words, value)
        return found

    return Codec(words, encode, decode)


def _bytes(text: Json) -> bytes | None:
    """What a text says in base64; None where that is not how it would be written."""
    try:
        found = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except ValueError:
        return None
    return found if base64.b64encode(found).decode("ascii") == text else None


TRUE_OR_FALSE = _read_by("true or false", bool, lambda value: value if isinstance(value, bool) else None)
HEX = _read_by("a number in hex", lambda value: float(value).hex(), parse_hex_float)
FLOAT = _read_by("a number as its shortest decimal string", lambda value: float_text(float(value)), parse_float_text)
_PLAIN: dict[object, Codec] = {
    int: integer(),
    bool: _read_by("0 or 1", int, lambda value: bool(value) if type(value) is int and value in (0, 1) else None),
    float: FLOAT,
    str: _read_by("text", str, lambda value: value if isinstance(value, str) else None),
    bytes: _read_by("base64", lambda value: base64.b64encode(value).decode("ascii"), _bytes),
}


def codec_of(kind: Any, own: Mapping[Any, Codec] = MappingProxyType({})) -> Codec:
    """The codec of a type.

    Args:
        kind: the type.
        own: codecs of types that the rules above do not fit.
    """
    known, origin, parts = {**_PLAIN, **own}, get_origin(kind), get_args(kind)
    if kind in known:
        return known[kind]
    if origin is Annotated:
        return _annotated(known.get(parts[0]) or codec_of(parts[0], own), parts[1:])
    if origin is tuple and parts[-1] is Ellipsis:
        return array(codec_of(parts[0], own))
    if origin is UnionType:
        return _union({part.tag: codec_of(part, own) for part in parts})
    hints = {str(number): part for number, part in enumerate(parts, 1)}
    if origin is not tuple:
        hints = {name: hint for name, hint in get_type_hints(kind, include_extras=True).items() if name != "tag"}
    *_, last = hints.values()
    codecs = {name: codec_of(hint, own) for name, hint in hints.items()}
    return _fields(kind if origin is None else None, codecs, OMITTED in getattr(last, "__metadata__", ()))


def array(item: Codec) -> Codec:
    """Tuples of any length."""
    words, write, read = f"an array, each {item.words}", item.encode, item.decode

    def encode(values: Sequence[Any]) -> Json:
        return [write(value) for value in values]

    def decode(values: Json, place: str) -> tuple[Any, ...]:
        if not isinstance(values, list):
            raise wrong(place, words, values)
        return tuple([read(value, place) for value in values])

    return Codec(words, encode, decode)


def _fields(kind: type | None, named: Mapping[str, Codec], omitted: bool) -> Codec:
    """Values of a class as an array of their fields, with its tag where it has one; of None: tuples."""
    codecs, tag = list(named.values()), getattr(kind, "tag", None)
    head: list[Json] = [] if tag is None else [tag]
    words = "[" + ", ".join([f'"{tag}"'] * len(head) + list(named)) + "]" + omitted * ", the last where there is any"
    sizes = {len(head) + len(codecs), len(head) + len(codecs) - omitted}
    writers, readers = [codec.encode for codec in codecs], [codec.decode for codec in codecs]
    is_tuple = kind is None or issubclass(kind, tuple)

    def encode(value: Any) -> Json:
        parts = value if is_tuple else [getattr(value, name) for name in named]
        kept = parts[:-1] if omitted and not parts[-1] else parts
        return head + [write(part) for write, part in zip(writers, kept, strict=False)]

    def decode(value: Json, place: str) -> Any:
        if not isinstance(value, list) or len(value) not in sizes or value[: len(head)] != head:
            raise wrong(place, words, value)
        read = [decode(part, place) for decode, part in zip(readers, value[len(head) :], strict=False)]
        if omitted and len(read) == len(codecs) and not read[-1]:
            raise wrong(place, words, value)
        return tuple(read) if kind is None else kind(*read)

    return Codec(words, encode, decode)


def _union(codecs: dict[str, Codec]) -> Codec:
    words = " or ".join(codec.words for codec in codecs.values())

    def decode(value: Json, place: str) -> Any:
        tag = value[0] if isinstance(value, list) and value else None
        if not isinstance(tag, str) or tag not in codecs:
            raise wrong(place, words, value)
        return codecs[tag].decode(value, place)

    return Codec(words, lambda value: codecs[value.tag].encode(value), decode)


def _annotated(plain: Codec, marks: Sequence[Any]) -> Codec:
    """A codec with rules, or with another one in its place."""
    plain = next((mark for mark in marks if isinstance(mark, Codec)), plain)
    rules = [mark for mark in marks if not isinstance(mark, Codec) and mark is not OMITTED]
    words = ", ".join([plain.words, *(rule.words for rule in rules)])

    def decode(value: Json, place: str) -> Any:
        found = plain.decode(value, place)
        if not all(rule.matches(found) for rule in rules):
            raise wrong(place, words, value)
        return found

    return Codec(words, plain.encode, decode) if rules else plain


class Branching(Protocol):
    """A node of a tree."""

    @property
    def children(self) -> Sequence[Branching]:
        """In order."""


def flatten(root: Any, encode: Callable[[Any], Json]) -> list[Json]:
    """A tree as a list of its nodes in preorder: of bounded depth in JSON."""
    flat: list[Json] = []
    waiting = [root]
    while waiting:
        node = waiting.pop()
        flat.append(encode(node))
        waiting.extend(reversed(node.children))
    return flat


def unflatten(
    flat: Json,
    place: str,
    decode: Callable[[Json, str], tuple[Any, int]],
    join: Callable[[Any, list[Any]], Any],
    deepest: int | None = None,
) -> Any:
    """The tree of a list in preorder.

    Args:
        flat: the list.
        place: of the list, for errors.
        decode: reads a node, and says how many children it has.
        join: a node with its children.
        deepest: branchings below each other.

    Raises:
        CertificateError: VF5005 for anything that is not one tree.
    """
    if not isinstance(flat, list):
        raise wrong(place, "a tree: an array of nodes in preorder", flat)
    done: list[tuple[Any, int]] = []  # from the end, so that children are there before their node
    for item in reversed(flat):
        node, count = decode(item, place)
        if count > len(done):
            raise wrong(place, "all children below every node that has some", item)
        below = [done.pop() for _ in range(count)]
        height = 1 + max((height for _, height in below), default=-1)
        if deepest is not None and height > deepest:
            raise wrong(place, f"at most {deepest} nodes with children below each other", item)
        done.append((join(node, [child for child, _ in below]) if below else node, height))
    if len(done) != 1:
        raise wrong(place, "one tree, and nothing behind its last leaf", flat)
    return done[0][0]
