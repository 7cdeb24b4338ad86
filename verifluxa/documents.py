"""One strict reader of JSON and TOML documents: every field is asked for by name and type, and none may be left over.

Each kind of document has a small subclass of `Fields` that says which error it raises, and what the reader can do.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple, NoReturn, Self, TypeVar

from verifluxa.errors import VerifluxaError

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)
LARGEST_INTEGER = 2**53
"""JSON readers that keep numbers as doubles lose larger ones."""


@dataclass(frozen=True)
class Form:
    """What a string must look like: in words for people, and as a regular expression."""

    words: str
    pattern: str

    def matches(self, text: str) -> bool:
        """Whether the whole text has this form."""
        return re.fullmatch(self.pattern, text) is not None


class Rule(NamedTuple):
    """What a value must be beyond its type: in words for people, and as a predicate."""

    words: str
    matches: Callable[[Any], bool]


OMITTED = Rule("left out where empty", bool)
"""Marks the last field of an array: it is not written where there is nothing in it."""
NOT_EMPTY = Rule("at least one", bool)
NOT_ZERO = Rule("not 0", bool)
POSITIVE = Rule("positive", lambda value: value > 0)
NOT_NEGATIVE = Rule("not negative", lambda value: value >= 0)
ASCENDING = Rule("in ascending order", lambda values: all(first < second for first, second in pairwise(values)))

SHA256 = Form("sha256: and 64 hex digits", r"sha256:[0-9a-f]{64}")
TEXT = Form("text without control characters", r"[^\x00-\x08\x0b-\x1f\x7f]*")
LINE = Form("one line of text", r"[^\x00-\x1f\x7f]{1,500}")
_FRACTION = Form("an exact fraction such as 2/97", r"(0|[1-9][0-9]{0,17})(/[1-9][0-9]{0,17})?")
_TIME = Form("a time in UTC such as 2026-01-31T12:00:00Z", r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


class Fields:
    """A JSON object or a TOML table that is being read.

    A method that is given a `default` takes it where the field is missing; without one the field must be there.

    Attributes:
        place: of the document, for people.
        at: where in it the object stands, as `properties[0].`; empty for the whole.
    """

    kind: ClassVar[str] = "an object"
    form: ClassVar[Form] = TEXT
    """Of texts for which no other one is given."""
    longest: ClassVar[int] = 4096
    """Characters of a text."""
    most: ClassVar[int] = 1_000_000
    """Values of an array."""
    extension: ClassVar[str] = ""
    """What the names of other people's additions begin with, which are ignored; empty: there are none."""

    def __init__(self, value: object, place: str, at: str = "") -> None:
        self.place, self.at = place, at
        self._asked: set[str] = set()
        if not isinstance(value, Mapping):
            raise self.error(
                place, f"`{at.rstrip('.')}` is {shown(value)}" if at else f"it is {shown(value)}", self.kind
            )
        self._value: Mapping[str, Any] = value

    @classmethod
    def error(cls, place: str, problem: str, expected: str | None) -> VerifluxaError:
        """The error of this kind of document."""
        raise NotImplementedError

    def missing(self, key: str, expected: str) -> VerifluxaError:
        """The error for a field that is not there."""
        close = get_close_matches(key, self._value, 1)
        hint = f"; is `{close[0][:60]}` a misspelling of it?" if close else ""
        return self.error(self.place, f"`{self.at}{key}` is missing{hint}", expected)

    def unknown(self, key: str) -> VerifluxaError:
        """The error for a field that nobody asked for."""
        close = get_close_matches(key, sorted(self._asked), 1)
        hint = f"; did you mean `{close[0]}`?" if close else ""
        known = "one of " + ", ".join(sorted(self._asked))
        return self.error(self.place, f"there is no setting `{self.at}{key[:60]}` here{hint}", known)

    def fail(self, key: str, expected: str, value: object) -> NoReturn:
        """Refuses a field's value, or that there is none."""
        if key not in self._value:
            raise self.missing(key, expected)
        raise self.error(self.place, f"`{self.at}{key}` is {shown(value)}", expected)

    def refuse(self, key: str, expected: str) -> NoReturn:
        """Refuses the value that a field has."""
        self.fail(key, expected, self._value.get(key))

    def inner(self, value: object, key: str, number: int | None = None) -> Self:
        """The reader of an object in a field, or of one of several."""
        return type(self)(value, self.place, f"{self.at}{key}." if number is None else f"{self.at}{key}[{number}].")

    def has(self, key: str) -> bool:
        """Whether the field is there and is not null."""
        self._asked.add(key)
        return self._value.get(key) is not None

    def raw(self, key: str) -> Any:
        """The value as it stands."""
        if key not in self._value:
            raise self.missing(key, "every required field")
        return self._get(key)

    def read(self, key: str, decode: Callable[[Any, str], T]) -> T:
        """What a codec makes of the value."""
        return decode(self.raw(key), f"{self.place}.{key}")

    def text(self, key: str, form: Form | None = None, limit: int | None = None, default: str | None = None) -> str:
        """A string of at most `limit` characters that has the form."""
        return self._text(key, self._get(key, default), form or self.form, limit or self.longest)

    def choice(self, key: str, *allowed: str, default: str | None = None) -> str:
        """One of the listed strings."""
        value = self._get(key, default)
        if not isinstance(value, str) or value not in allowed:
            self.fail(key, "one of " + ", ".join(allowed), value)
        return value

    def member(self, key: str, kind: type[E]) -> E:
        """One of an enumeration, by its value."""
        return kind(self.choice(key, *kind))

    def integer(self, key: str, low: int = 0, high: int = LARGEST_INTEGER, default: int | None = None) -> int:
        """A whole number in `low..high`."""
        return self._whole(key, self._get(key, default), low, high)

    def integers(self, key: str, low: int = 0, high: int = LARGEST_INTEGER) -> tuple[int, ...]:
        """An array of whole numbers in `low..high`."""
        return tuple(self._whole(key, value, low, high) for value in self.items(key))

    def number(self, key: str, low: float, high: float, default: float | None = None, above: bool = False) -> float:
        """A number in `low..high`, or one that is `above` the lower end."""
        value = self._get(key, default)
        if type(value) not in (int, float) or not low <= value <= high or (above and value == low):
            self.fail(key, f"a number above {low:g}" if above else f"a number from {low:g} to {high:g}", value)
        return float(value)

    def flag(self, key: str, default: bool | None = None) -> bool:
        """True or false."""
        value = self._get(key, default)
        if not isinstance(value, bool):
            self.fail(key, "true or false", value)
        return value

    def fraction(self, key: str, lowest: bool = True) -> Fraction:
        """An exact fraction, `p` or `p/q`, not negative; in lowest terms unless said otherwise."""
        text = self.text(key, _FRACTION, 40)
        value = Fraction(text)
        if lowest and str(value) != text:
            self.fail(key, "a fraction in lowest terms", text)
        return value

    def time(self, key: str) -> datetime:
        """A time in UTC, `2026-01-31T12:00:00Z`."""
        text = self.text(key, _TIME, 20)
        try:
            return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        except ValueError:
            self.fail(key, "a time that exists", text)

    def items(self, key: str, limit: int | None = None, default: tuple[object, ...] | None = None) -> list[Any]:
        """An array of at most `limit` values."""
        if default is not None and not self.has(key):
            return list(default)
        value, limit = self._get(key), self.most if limit is None else limit
        if not isinstance(value, list) or len(value) > limit:
            self.fail(key, f"an array of at most {limit:,} values", value)
        return value

    def texts(self, key: str, form: Form | None = None, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """An array of strings of the form, none twice."""
        items = self.items(key, default=default)
        found = tuple(self._text(key, item, form or self.form, self.longest) for item in items)
        if len(set(found)) != len(found):
            self.fail(key, "each text once", items)
        return found

    def child(self, key: str, default: Mapping[str, object] | None = None) -> Self:
        """An object."""
        if default is None and key not in self._value:
            raise self.missing(key, self.kind)
        return self.inner(self._get(key, default), key)

    def objects(self, key: str, limit: int | None = None) -> list[Self]:
        """An array of objects."""
        return [self.inner(item, key, number) for number, item in enumerate(self.items(key, limit))]

    def named_texts(self, key: str, default: Mapping[str, str] | None = None) -> dict[str, str]:
        """An object whose values are all strings."""
        inner = self.child(key, default)
        return {name: inner.text(name) for name in inner.names()}

    def names(self) -> list[str]:
        """All field names in order: for objects whose names are free."""
        self._asked.update(self._value)
        return list(self._value)

    def close(self) -> None:
        """Refuses fields that nobody asked for: a misspelt one would silently be none."""
        for key in sorted(self._value.keys() - self._asked):
            if not (self.extension and key.startswith(self.extension)):
                raise self.unknown(key)

    def _get(self, key: str, default: object = None) -> Any:
        self._asked.add(key)
        return self._value.get(key, default)

    def _text(self, key: str, value: object, form: Form, limit: int) -> str:
        if isinstance(value, str) and len(value) > limit:
            self.fail(key, f"at most {limit} characters", value)
        if not isinstance(value, str) or not form.matches(value):
            self.fail(key, form.words, value)
        return value

    def _whole(self, key: str, value: object, low: int, high: int) -> int:
        if type(value) is not int or not low <= value <= high:
            self.fail(key, str(low) if low == high else f"a whole number from {low} to {high}", value)
        return value


class Table(Fields):
    """A table of a TOML file."""

    kind = "a table"
    form = LINE
    most = 10_000

    @classmethod
    def parse(cls, data: bytes | str, place: str) -> Self:
        """The whole file."""
        try:
            return cls(tomllib.loads(data if isinstance(data, str) else data.decode("utf-8")), place)
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise cls.error(place, f"it is not valid TOML: {error}", "TOML in UTF-8") from error
        except (RecursionError, ValueError) as error:
            problem = "its numbers are too long or its brackets nested too deeply"
            raise cls.error(place, problem, "TOML in UTF-8") from error

    def inner(self, value: object, key: str, number: int | None = None) -> Self:
        """The reader of a table, or of one of several."""
        return type(self)(value, f"{self.place}, {key}" + ("" if number is None else f" {number + 1}"))

    def time(self, key: str) -> datetime:
        """A time with its zone."""
        value = self._get(key)
        if not isinstance(value, datetime) or value.tzinfo is None:
            self.fail(key, "a time with its zone, such as 2027-06-30T00:00:00Z", value)
        return value.astimezone(UTC)

    def tables(self, key: str) -> list[Self]:
        """An array of tables, at least one."""
        if not isinstance(self._value.get(key), list) or not self._value[key]:
            raise self.error(self.place, f"there is no [[{key}]]", f"one to {self.most:,} [[{key}]] tables")
        return self.objects(key)


def shown(value: object) -> str:
    """A value for a message: printable, and not long."""
    try:
        text = str(value).lower() if isinstance(value, bool) else repr(value)
    except ValueError:  # Python writes no integers of thousands of digits
        text = "a very long number"
    return text if len(text) <= 60 else text[:57] + "..."


def time_text(time: datetime) -> str:
    """A time as documents carry it: UTC, whole seconds."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
