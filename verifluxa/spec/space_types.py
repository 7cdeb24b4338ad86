"""Input spaces that are no images, as `check` resolves them: texts, tables, series."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import ClassVar, Literal

from verifluxa.spec.numbers import ratio

Record = dict[str, object]
"""Part of what a property digest holds: JSON values."""


@dataclass(frozen=True)
class TokenSpace:
    """Texts of `length` tokens. A token is its number in the vocabulary, counted from 0.

    Attributes:
        length: tokens of one input; shorter texts are filled with `pad`.
        words: the vocabulary, in order.
        vocab: its file as written; `vocab_sha256` is the digest of that file.
        pad, unknown: numbers of the tokens that fill a text and stand for what the vocabulary does not have.
        truncate: whether tokens that an insertion pushes off the end are lost; else that is an error.
        tokenizer: whether the vocabulary is a Hugging Face `tokenizer.json`, which then also splits texts.
    """

    kind: ClassVar[Literal["tokens"]] = "tokens"
    name: str
    length: int
    words: tuple[str, ...] = field(repr=False)
    vocab: str
    vocab_sha256: str
    pad: int | None = None
    unknown: int | None = None
    truncate: bool = False
    tokenizer: bool = False

    def record(self) -> Record:
        """What a property digest holds of it: all that decides what an input is."""
        return {
            "kind": "tokens",
            "length": self.length,
            "vocabulary": self.vocab_sha256,
            "pad": self.pad,
            "unknown": self.unknown,
            "truncate": self.truncate,
        }


@dataclass(frozen=True)
class Feature:
    """A column of a table.

    Attributes:
        low, high: the range of a number; 0 and 1 for `bool`.
        step: 1 for whole numbers and `bool`, None where continuous.
        unit: of the numbers, or None.
        items: the categories; empty for numbers and `bool`.
        boolean: `bool`.
    """

    name: str
    low: Fraction
    high: Fraction
    step: int | None
    unit: str | None = None
    items: tuple[str, ...] = ()
    boolean: bool = False

    @property
    def width(self) -> int:
        """How many numbers the network reads of it: one, or one for each category."""
        return len(self.items) or 1

    def record(self) -> Record:
        """What a property digest holds of it."""
        record: Record = {"name": self.name, "range": [ratio(self.low), ratio(self.high)], "step": self.step}
        return record | {"unit": self.unit, "categories": list(self.items), "bool": self.boolean}


@dataclass(frozen=True)
class TableSpace:
    """Rows of a table. The network reads the columns in order, a category as 0s and one 1."""

    kind: ClassVar[Literal["table"]] = "table"
    name: str
    features: tuple[Feature, ...]

    @property
    def width(self) -> int:
        """How many numbers the network reads."""
        return sum(feature.width for feature in self.features)

    def start(self, name: str) -> int:
        """Where the numbers of a column begin."""
        before = 0
        for feature in self.features:
            if feature.name == name:
                return before
            before += feature.width
        raise KeyError(name)

    def record(self) -> Record:
        """What a property digest holds of it: all that decides what an input is."""
        return {"kind": "table", "columns": [feature.record() for feature in self.features]}


@dataclass(frozen=True)
class SeriesSpace:
    """Series of `steps` times with `channels` values in low..high each; `step` 1: whole numbers, None: any."""

    kind: ClassVar[Literal["series"]] = "series"
    name: str
    steps: int
    channels: int
    low: Fraction
    high: Fraction
    step: int | None

    def record(self) -> Record:
        """What a property digest holds of it: all that decides what an input is."""
        sizes = {"steps": self.steps, "channels": self.channels}
        return {"kind": "series", **sizes, "range": [ratio(self.low), ratio(self.high)], "step": self.step}
