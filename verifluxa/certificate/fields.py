"""Typed reading of JSON objects: every field is asked for by name and type, and none may be left over."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from typing import NoReturn

from verifluxa.certificate.document import Json
from verifluxa.errors import CertificateError


@dataclass(frozen=True)
class Form:
    """What a string must look like: in words for people, and as a regular expression."""

    words: str
    pattern: str

    def matches(self, text: str) -> bool:
        """Whether the whole text has this form."""
        return re.fullmatch(self.pattern, text) is not None


SHA256 = Form("sha256: and 64 hex digits", r"sha256:[0-9a-f]{64}")
EXTENSION_PREFIX = "x_"
"""Fields that begin so are other people's additions and are ignored; every other unknown field is refused."""

_TEXT = Form("text without control characters", r"[^\x00-\x08\x0b-\x1f\x7f]*")
_FRACTION = Form("an exact fraction such as 2/97", r"(0|[1-9][0-9]{0,17})(/[1-9][0-9]{0,17})?")
_TIME = Form("a time in UTC such as 2026-01-31T12:00:00Z", r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


class Fields:
    """One JSON object being read; `close` refuses whatever nobody asked for.

    `extensions` collects the places of other people's additions, in this object and those inside that were closed.
    """

    def __init__(self, value: Json, place: str, extensions: list[str] | None = None) -> None:
        if not isinstance(value, dict):
            raise wrong(place, "an object", value)
        self.place = place
        self.extensions: list[str] = [] if extensions is None else extensions
        self._value = value
        self._asked: set[str] = set()

    def raw(self, key: str) -> Json:
        """The value as it stands.

        Raises:
            CertificateError: VF5005 when the field is missing.
        """
        self._asked.add(key)
        if key not in self._value:
            raise CertificateError(
                "VF5005",
                f"the field {key!r} is missing",
                place=self.place,
                expected="every required field",
                remedy="make the document anew with verifluxa; it writes all of them",
            )
        return self._value[key]

    def has(self, key: str) -> bool:
        """Whether the field is there and is not null."""
        self._asked.add(key)
        return self._value.get(key) is not None

    def text(self, key: str, form: Form = _TEXT, limit: int = 4096) -> str:
        """A string of at most `limit` characters that has the form."""
        value = self.raw(key)
        if not isinstance(value, str) or len(value) > limit or not form.matches(value):
            self.fail(key, f"{form.words}, at most {limit} characters", value)
        return value

    def choice(self, key: str, *allowed: str) -> str:
        """One of the listed strings."""
        value = self.raw(key)
        if not isinstance(value, str) or value not in allowed:
            self.fail(key, "one of " + ", ".join(allowed), value)
        return value

    def integer(self, key: str, low: int = 0, high: int = 2**53) -> int:
        """An integer in `low..high`."""
        return self._in_range(key, self.raw(key), low, high)

    def integers(self, key: str, low: int = 0, high: int = 2**53) -> tuple[int, ...]:
        """An array of integers in `low..high`."""
        return tuple(self._in_range(key, value, low, high) for value in self.items(key))

    def flag(self, key: str) -> bool:
        """A boolean."""
        value = self.raw(key)
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

    def items(self, key: str, limit: int = 1_000_000) -> list[Json]:
        """An array of at most `limit` values."""
        value = self.raw(key)
        if not isinstance(value, list) or len(value) > limit:
            self.fail(key, f"an array of at most {limit} values", value)
        return value

    def objects(self, key: str, limit: int = 1_000_000) -> list[Fields]:
        """An array of objects."""
        return [
            Fields(item, f"{self.place}.{key}[{index}]", self.extensions)
            for index, item in enumerate(self.items(key, limit))
        ]

    def child(self, key: str) -> Fields:
        """An object."""
        return Fields(self.raw(key), f"{self.place}.{key}", self.extensions)

    def texts(self, key: str) -> dict[str, str]:
        """An object whose values are all strings."""
        inner = self.child(key)
        return {name: inner.text(name) for name in inner.names()}

    def names(self) -> list[str]:
        """All field names, sorted: for objects whose names are free."""
        self._asked.update(self._value)
        return sorted(self._value)

    def close(self) -> None:
        """Refuses fields that nobody asked for.

        Raises:
            CertificateError: VF5006 for an unknown field that is not an extension (`x_...`).
        """
        others = sorted(self._value.keys() - self._asked)
        self.extensions += [f"{self.place}.{key}" for key in others if key.startswith(EXTENSION_PREFIX)]
        unknown = [key for key in others if not key.startswith(EXTENSION_PREFIX)]
        if unknown:
            raise CertificateError(
                "VF5006",
                f"the field {unknown[0][:60]!r} is unknown, and it might change what the document claims",
                place=self.place,
                expected=f"only known fields, or extensions that begin with {EXTENSION_PREFIX}",
                remedy="read it with the version of verifluxa that wrote it",
            )

    def fail(self, key: str, expected: str, value: object) -> NoReturn:
        """Refuses a field's value (VF5005)."""
        raise wrong(f"{self.place}.{key}", expected, value)

    def _in_range(self, key: str, value: Json, low: int, high: int) -> int:
        if type(value) is not int or not low <= value <= high:
            self.fail(key, f"an integer in {low}..{high}", value)
        return value


def wrong(place: str, expected: str, value: object) -> CertificateError:
    """The error for a value of the wrong type or form (VF5005)."""
    shown = repr(value)
    return CertificateError(
        "VF5005",
        f"a value has the wrong type or form: {shown if len(shown) <= 60 else shown[:57] + '...'}",
        place=place,
        expected=expected,
        remedy="make the document anew with verifluxa; if it came from elsewhere, do not trust it",
    )


def time_text(time: datetime) -> str:
    """A time as documents carry it: UTC, whole seconds."""
    # `strftime` writes years before 1000 with fewer digits, which nothing reads again.
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
