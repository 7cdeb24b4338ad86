"""Typed reading of TOML tables: every key is asked for by name and type, and none may be left over."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any, NoReturn

from verifluxa.certificate.fields import SHA256, Form
from verifluxa.errors import GateError

_TEXT = Form("one line of text", r"[^\x00-\x1f\x7f]{1,500}")
MOST_ITEMS = 1000


class Table:
    """One table of a policy."""

    def __init__(self, value: object, path: str, where: str) -> None:
        self.path, self.where = path, where
        if not isinstance(value, Mapping):
            self.fail(where, "a table", value)
        self._value: Mapping[str, Any] = value
        self._asked: set[str] = set()

    def has(self, key: str) -> bool:
        """Whether the key is there."""
        self._asked.add(key)
        return key in self._value

    def raw(self, key: str) -> Any:
        """The value as it stands; refuses a missing one."""
        if not self.has(key):
            raise wrong(self.path, f"{self.where} lacks `{key}`", "every required key")
        return self._value[key]

    def text(self, key: str, form: Form = _TEXT, default: str | None = None) -> str:
        """A string of the form."""
        if default is not None and not self.has(key):
            return default
        return self._form(key, self.raw(key), form)

    def texts(self, key: str, form: Form = _TEXT, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """An array of strings of the form, none twice."""
        if default is not None and not self.has(key):
            return default
        value = self.raw(key)
        if not isinstance(value, list) or len(value) > MOST_ITEMS:
            self.fail(key, f"an array of at most {MOST_ITEMS} texts", value)
        found = tuple(self._form(key, item, form) for item in value)
        if len(set(found)) != len(found):
            self.fail(key, "each text once", value)
        return found

    def digests(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """An array of `sha256:...`."""
        return self.texts(key, SHA256, default)

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """A whole number in `low..high`."""
        if default is not None and not self.has(key):
            return default
        value = self.raw(key)
        if type(value) is not int or not low <= value <= high:
            self.fail(key, f"a whole number in {low}..{high}", value)
        return value

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self.raw(key) if self.has(key) else default
        if not isinstance(value, bool):
            self.fail(key, "true or false", value)
        return value

    def choice(self, key: str, allowed: tuple[str, ...], default: str) -> str:
        """One of the listed texts."""
        value = self.raw(key) if self.has(key) else default
        if not isinstance(value, str) or value not in allowed:
            self.fail(key, "one of " + ", ".join(allowed), value)
        return value

    def time(self, key: str) -> datetime:
        """A time with its zone."""
        value = self.raw(key)
        if not isinstance(value, datetime) or value.tzinfo is None:
            self.fail(key, "a time with its zone, such as 2027-06-30T00:00:00Z", value)
        try:
            return value.astimezone(UTC)
        except OverflowError:
            self.fail(key, "a time in the years 1 to 9999", value)

    def child(self, key: str) -> Table:
        """A table; an empty one where it is missing."""
        return Table(self.raw(key) if self.has(key) else {}, self.path, f"[{key}]")

    def children(self, key: str) -> list[Table]:
        """An array of tables; refuses none at all."""
        value = self.raw(key)
        if not isinstance(value, list) or not 1 <= len(value) <= MOST_ITEMS:
            self.fail(key, f"at least one [[{key}]]", value)
        return [Table(item, self.path, f"[[{key}]] number {number}") for number, item in enumerate(value, 1)]

    def close(self) -> None:
        """Refuses keys that nobody asked for: a misspelt one would silently weaken the policy."""
        for key in self._value:
            if key not in self._asked:
                close = get_close_matches(key, sorted(self._asked), 1)
                hint = f"; did you mean `{close[0]}`?" if close else ""
                known = "one of " + ", ".join(sorted(self._asked))
                raise wrong(self.path, f"{self.where} has the unknown key `{key[:60]}`{hint}", known)

    def fail(self, key: str, expected: str, value: object) -> NoReturn:
        """Refuses a value."""
        shown = repr(value)
        raise wrong(
            self.path, f"`{key}` of {self.where} is {shown if len(shown) <= 60 else shown[:57] + '...'}", expected
        )

    def _form(self, key: str, value: object, form: Form) -> str:
        if not isinstance(value, str) or not form.matches(value):
            self.fail(key, form.words, value)
        return value


def wrong(path: str, problem: str, expected: str) -> GateError:
    """The error for a policy that is not one (VF6002)."""
    return GateError(
        "VF6002",
        f"this is no policy: {problem}",
        place=path,
        expected=expected,
        remedy="docs/how-to/gate.md describes every key; a policy that is not understood denies everything",
    )
