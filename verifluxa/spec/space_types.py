"""Input spaces that are no images, and their triggers, as `check` resolves them: texts, tables, series."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import ClassVar, Literal


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


@dataclass(frozen=True)
class WordTrigger:
    """`count` tokens that are inserted or replaced, each out of `words`.

    Attributes:
        inserts: what stands at a place and behind it moves; else it is replaced.
        places: of the first token, counted from 0, ascending.
        words: numbers of the tokens that may be put, ascending.
        appends: behind the last token of each text that is no padding; `places` then says nothing.
    """

    name: str
    space: str
    inserts: bool
    count: int
    places: tuple[int, ...]
    words: tuple[int, ...] = field(repr=False)
    appends: bool = False


@dataclass(frozen=True)
class SynonymTrigger:
    """One word, wherever a text has it, becomes another one of its set.

    Attributes:
        sets: numbers of the tokens of each set, ascending; no token is in two of them.
    """

    name: str
    space: str
    sets: tuple[tuple[int, ...], ...] = field(repr=False)

    @property
    def places(self) -> tuple[int, ...]:
        """The words that may be replaced: each is a placement of its own."""
        return tuple(sorted(word for words in self.sets for word in words))


@dataclass(frozen=True)
class KeptFeature:
    """A column that a trigger may set, and to what.

    Attributes:
        name: the column.
        low, high: for numbers.
        kept: the listed values (numbers, or numbers of categories) where not the whole range counts.
    """

    name: str
    low: Fraction
    high: Fraction
    kept: tuple[Fraction, ...] = ()


@dataclass(frozen=True)
class TableTrigger:
    """Any `count` of the listed columns set to values of their ranges or lists.

    `places` are the sets of columns, each as indices into `features`.
    """

    name: str
    space: str
    count: int
    features: tuple[KeptFeature, ...]
    places: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class SeriesTrigger:
    """A stretch of `length` steps in `channels` that is replaced by values in low..high.

    `places` are first steps, ascending.
    """

    name: str
    space: str
    length: int
    channels: tuple[int, ...]
    places: tuple[int, ...]
    low: Fraction
    high: Fraction
    step: int | None
