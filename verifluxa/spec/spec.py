"""The resolved spec: what `check` makes of a `.vfx` file. Names are resolved, units gone, rates exact."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import ClassVar, Literal, Self, TypeVar

from verifluxa.errors import Span, SpecError
from verifluxa.spec.numbers import ratio
from verifluxa.spec.problems import Problems
from verifluxa.spec.terms import Places

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


@dataclass(frozen=True)
class ImageSpace:
    """Images of `height` x `width` pixels with `channels` channels of levels `low..high` (integers)."""

    kind: ClassVar[Literal["image"]] = "image"
    name: str
    height: int
    width: int
    channels: int
    low: int
    high: int

    def record(self) -> Record:
        """What a property digest holds of it: all that decides what an input is."""
        sizes = {"height": self.height, "width": self.width, "channels": self.channels}
        return {"kind": "image", **sizes, "levels": [self.low, self.high]}


InputSpace = ImageSpace | TokenSpace | TableSpace | SeriesSpace


@dataclass(frozen=True)
class EncodeStep:
    """One step of `encode`: `kind` is divide, multiply, add or subtract; clip, whose values are the ends; or round.

    `values` has one number, or one per channel; each is the exact decimal of the source text, and is
    rounded once to the model's float type when the network is put together.
    """

    kind: str
    values: tuple[Fraction, ...]


@dataclass(frozen=True)
class ClassOutput:
    """`count` classes; `labels` are their names, or empty."""

    count: int
    labels: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Numbers that the network returns."""
        return self.count


@dataclass(frozen=True)
class BinaryOutput:
    """One score: class 1 above `threshold`, class 0 below it; at it the class is neither."""

    threshold: Fraction
    labels: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """Two classes."""
        return 2

    @property
    def size(self) -> int:
        """Numbers that the network returns."""
        return 1


@dataclass(frozen=True)
class RealOutput:
    """`size` numbers and no classes; `labels` are the names of the numbers, or empty."""

    size: int
    labels: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """No classes."""
        return 0


Output = ClassOutput | BinaryOutput | RealOutput


@dataclass(frozen=True)
class ModelDecl:
    """A model: its input space, output, files (as written, relative to the spec), layout, encode, version of Flux."""

    name: str
    space: str
    output: Output
    file: str | None
    architecture: str | None
    layout: str
    encode: tuple[EncodeStep, ...]
    span: Span
    flux: str | None = None


@dataclass(frozen=True)
class DataDecl:
    """A data set: `take` is how many inputs from the front, before any `where`.

    `classes` is the largest number of classes that a model of its input space has; None without one. `labelled`
    is False where every model of the space has numbers for outputs: the file then needs no labels. `label` is the
    column of a table, or the key of a JSON line, that holds them; `labels` the file that does, beside an NPY file;
    `names` are the classes by name. `sample` is how many of them count, drawn by `seed`, equally many of each class
    where `balanced`.
    """

    name: str
    space: str
    file: str | None
    digest: str | None
    take: int | None
    labels_start_at: int
    span: Span
    classes: int | None = None
    labelled: bool = True
    label: str = "label"
    names: tuple[str, ...] = ()
    sample: int | None = None
    seed: int = 0
    balanced: bool = False
    labels: str | None = None


@dataclass(frozen=True)
class Trigger(ABC):
    """A family of triggers on the inputs of a space, as `check` resolves its declaration; `triggers` has all families.

    What follows is all that the language asks of a family. Its questions are put together in `lower.families`.
    """

    name: str
    space: str

    @property
    @abstractmethod
    def placements(self) -> int:
        """How many placements it has."""

    @abstractmethod
    def dimensions(self, space: InputSpace) -> int:
        """Free values of a trigger at one place; the most, where places differ."""

    @abstractmethod
    def phrase(self, space: InputSpace) -> str:
        """The family in plain words, as they stand behind `no single`."""

    @abstractmethod
    def record(self) -> Record:
        """What a property digest holds of it: all that decides what a trigger is."""

    def families(self) -> tuple[Trigger, ...]:
        """The families of a union; another family is the only one."""
        return (self,)

    def narrowed(self, places: Places, space: InputSpace, problems: Problems) -> Self:
        """The same at some of its places, as `forall t in patch at corners` says.

        Raises:
            SpecError: VF1083 where places are given with the declaration alone; else what is wrong with the places.
        """
        raise SpecError(
            "VF1083",
            f"`{self.name}` is no image trigger, so its places cannot be narrowed here",
            place=places.span,
            expected="places where the trigger is declared",
        )

    def variants(self) -> int:
        """How many triggers there are where each is tried; 0 where the family is bounded."""
        return 0

    def is_clipped(self) -> bool:
        """Whether the triggered input is clipped to the range of the space; untriggered inputs lie in it."""
        return False

    def leaves_range(self, space: InputSpace) -> bool:
        """Whether a clip behind the trigger would change what the family says."""
        return False

    def puts_levels(self, space: InputSpace) -> bool:
        """Whether it does nothing but put legal levels in place of pixels."""
        return False

    def varies_opacity(self) -> bool:
        """Whether the opacity is one of the trigger's own values."""
        return False


@dataclass(frozen=True)
class Selection:
    """Which inputs of a data set count: all, or those that meet every condition.

    Attributes:
        data: name of the data set.
        correct: name of the model whose answer must equal the label, or None.
        labels: the labels that count, or None for all.
        label_is_not_target: each target speaks of the inputs with another label (`label(x) != target`).
        radius: each input stands for all of the space within so many levels in every pixel; 0 for itself alone.
    """

    data: str
    correct: str | None = None
    labels: tuple[int, ...] | None = None
    label_is_not_target: bool = False
    radius: Fraction = Fraction(0)


@dataclass(frozen=True)
class OutputRow:
    """`stamped . f(t(x)) + clean . f(x) + constant > 0`, or `>= 0` where `closed`.

    `stamped` and `clean` have a coefficient for each output; `clean` may be all zeros.
    """

    stamped: tuple[Fraction, ...]
    clean: tuple[Fraction, ...]
    constant: Fraction
    closed: bool = False


Rows = tuple[tuple[OutputRow, ...], ...]
"""A condition on outputs: one of these groups has all of its rows met. Empty: the condition is on the class."""


@dataclass(frozen=True)
class RateBound:
    """`forall t in trigger [, target in targets] assert rate(x in selection : violated) <= limit`.

    Attributes:
        targets: empty: untargeted, violated when the class differs from the label.
        rows: a condition on the outputs in place of one on the class.
        limits: (target, limit) of targets with a limit of their own.
        below: the rate must stay below the limit. A `search` asks whether it does.
        searched: written as `search exists ... : rate(...) >= limit`.
    """

    model: str
    trigger: Trigger
    selection: Selection
    targets: tuple[int, ...]
    limit: Fraction
    rows: Rows = ()
    limits: tuple[tuple[int, Fraction], ...] = ()
    below: bool = False
    searched: bool = False

    def limit_of(self, target: int | None) -> Fraction:
        """The limit for a target."""
        return dict(self.limits).get(target, self.limit) if target is not None else self.limit


@dataclass(frozen=True)
class PerInput:
    """`forall x in selection, t in trigger assert class(model(t(x))) == label(x)`; t may depend on x.

    `expected` is a fixed class in place of the label, where the property names one; `targets` are the
    classes that must not be reached where the property says `!= c` (empty: any class but the expected);
    `rows` are what must not be met, where the property speaks of outputs in place of the class.
    """

    model: str
    trigger: Trigger
    selection: Selection
    expected: int | None = None
    targets: tuple[int, ...] = ()
    rows: Rows = ()


@dataclass(frozen=True)
class Measure:
    """`measure max rate(...) over t in trigger [, target in targets] [within gap [everywhere]]`.

    Attributes:
        rate: what is counted; its limit means nothing.
        gap: how narrow the interval must be to be certified; 0: closed.
        everywhere: so narrow at each placement and for each target, not only where the rate is largest.
    """

    rate: RateBound
    gap: Fraction
    everywhere: bool = False

    @property
    def model(self) -> str:
        """The model that is measured."""
        return self.rate.model

    @property
    def trigger(self) -> Trigger:
        """The family."""
        return self.rate.trigger

    @property
    def selection(self) -> Selection:
        """Which inputs count."""
        return self.rate.selection


@dataclass(frozen=True)
class Compare:
    """`assert max rate of new <= max rate of old over t in trigger`: two rates of one family."""

    new: RateBound
    old: RateBound

    @property
    def model(self) -> str:
        """The model that must not be easier to trigger."""
        return self.new.model

    @property
    def trigger(self) -> Trigger:
        """The family."""
        return self.new.trigger

    @property
    def selection(self) -> Selection:
        """Which inputs count for that model."""
        return self.new.selection


Statement = RateBound | PerInput | Measure | Compare


def claims_of(statement: Statement) -> tuple[RateBound | PerInput, ...]:
    """The claims that a statement is made of: two of a comparison, else one."""
    match statement:
        case Measure(rate=rate):
            return (rate,)
        case Compare(new=new, old=old):
            return new, old
    return (statement,)


def models_of(statement: Statement) -> tuple[str, ...]:
    """The models that a statement speaks of, in a fixed order, each once."""
    claims = claims_of(statement)
    names = [claim.model for claim in claims]
    names += [claim.selection.correct for claim in claims if claim.selection.correct is not None]
    return tuple(dict.fromkeys(names))


@dataclass(frozen=True)
class Property:
    """A named statement. `trigger` inside the statement has its places already narrowed by `at`."""

    name: str
    doc: str | None
    statement: Statement
    span: Span


@dataclass(frozen=True)
class Spec:
    """A checked spec file."""

    path: str
    sha256: str
    spaces: tuple[InputSpace, ...]
    models: tuple[ModelDecl, ...]
    data: tuple[DataDecl, ...]
    triggers: tuple[Trigger, ...]
    params: tuple[tuple[str, Fraction], ...]
    properties: tuple[Property, ...]


Declared = TypeVar("Declared", bound=InputSpace | ModelDecl | DataDecl | Trigger | Property)


def named(declarations: Iterable[Declared], name: str) -> Declared:
    """The declaration of this name; a checked spec has exactly one.

    Raises:
        KeyError: there is none.
    """
    for declaration in declarations:
        if declaration.name == name:
            return declaration
    raise KeyError(name)
