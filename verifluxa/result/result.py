"""What a run says: plain values. `verifluxa.result.document` turns them into the result document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from html import escape
from typing import TYPE_CHECKING, SupportsIndex, overload

from verifluxa.errors import Span
from verifluxa.question import Problem
from verifluxa.verdict import Reason, Verdict, combine

if TYPE_CHECKING:
    from pathlib import Path

    from PIL.Image import Image

Grid = Sequence[float] | Sequence[Sequence[float]] | Sequence[Sequence[Sequence[float]]]
"""A trigger as people see it: rows of levels; rows of pixels of levels where there are several channels."""


@dataclass(frozen=True)
class Share:
    """So many of so many inputs; written `2/97`, not reduced, since the second number says something."""

    count: int
    total: int

    @property
    def rate(self) -> Fraction:
        """The exact rate."""
        return Fraction(self.count, self.total)

    def __str__(self) -> str:
        return f"{self.count}/{self.total}"


@dataclass(frozen=True)
class FileUsed:
    """A file that the result depends on: how the user called it, and the digest of its bytes."""

    name: str
    path: str
    sha256: str


@dataclass(frozen=True)
class ModelUsed:
    """A model: its weights file, the digest of the lifted graph, and further files that define it."""

    file: FileUsed
    graph_sha256: str
    format: str
    flux_version: str
    dtype: str
    architecture: FileUsed | None = None


@dataclass(frozen=True)
class DataUsed:
    """A data set.

    Attributes:
        file: the file.
        counted: inputs that count in at least one property.
        excluded: (position in the file, reason) of inputs that count in none.
    """

    file: FileUsed
    counted: int
    excluded: tuple[tuple[int, str], ...]


@dataclass(frozen=True)
class Counts:
    """How the questions of a property were answered.

    Attributes:
        total: `certified + falsified + unknown`.
        skipped: those of the unknown that were not asked, since a counterexample had decided.
    """

    total: int
    certified: int
    falsified: int
    unknown: int
    skipped: int


@dataclass(frozen=True)
class Place:
    """One point of the map: the bounds at a placement, for a target or untargeted (None)."""

    placement: tuple[tuple[str, int], ...]
    target: int | None
    found: Share
    proved: Share


@dataclass(frozen=True)
class Counterexample:
    """A replayed trigger.

    Attributes:
        placement: where.
        placement_index: the same, as an index into the problem's placements.
        violation, selection: which question of the placement it refutes.
        target: the class that it sends inputs to, or None.
        trigger: its levels.
        inputs: positions in the data file of the inputs that violate.
        rate: the share of the counted inputs; None where the property speaks of one input.
        margin: the least margin that the verdict rests on: the `threshold`-th largest.
        holds_in: `every order` of evaluation, or `this replay` only.
        words: the trigger as people say it: words of a text, `region = north`; empty where it is numbers alone.
    """

    placement: tuple[tuple[str, int], ...]
    placement_index: int
    violation: int
    selection: int
    target: int | None
    trigger: Grid
    inputs: tuple[int, ...]
    rate: Share | None
    margin: float
    holds_in: str
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Compared:
    """The other model of a comparison, and the bounds of its largest rate."""

    model: str
    found: Share
    proved: Share


@dataclass(frozen=True, repr=False)
class PropertyResult:
    """One property and its verdict.

    Attributes:
        name: in the spec.
        words: the statement in plain words.
        span: where it stands in the spec.
        verdict, reason: the reason where unknown, else None.
        digest: the property digest.
        limit: the rate that the property allows; None where it is not a rate.
        found, proved: bounds of the largest rate; None where the property is not a rate.
        counts: questions by answer.
        counted: how many inputs the property speaks of.
        per_input: (position in the data file, verdict) where the property speaks of single inputs.
        places: the map.
        unknown: (question, reason) of each open question, without the skipped ones.
        counterexample: where falsified.
        stages: seconds by stage.
        seconds: in all.
        classes: names of the classes, or empty.
        population: what follows for other inputs, as (bound, confidence) in decimals, or None.
        message: why the engine had no answer, where it said so.
        problem: what was decided; None where nothing could be asked.
        kind: `assert`, `search`, `measure` or `compare`.
        condition: what counts, in words, where the property speaks of outputs in place of the class.
        limits: (target, limit) of targets with a limit of their own.
        gap: how far the ends of a measurement may be apart; None for other kinds.
        everywhere: whether that holds of each placement and target by itself.
        strongest: the trigger with the largest rate that a measurement found; it refutes nothing.
        compared: the other model of a comparison; None for other kinds.
        closed: how many questions each stage decided.
    """

    name: str
    words: str
    span: Span | None
    verdict: Verdict
    reason: Reason | None
    digest: str
    limit: Fraction | None
    found: Share | None
    proved: Share | None
    counts: Counts
    counted: int
    per_input: tuple[tuple[int, Verdict], ...]
    places: tuple[Place, ...]
    unknown: tuple[tuple[str, Reason], ...]
    counterexample: Counterexample | None
    stages: Mapping[str, float]
    seconds: float
    classes: tuple[str, ...] = ()
    population: tuple[str, str] | None = None
    message: str | None = None
    problem: Problem | None = field(default=None, repr=False, compare=False)
    kind: str = "assert"
    condition: str | None = None
    limits: tuple[tuple[int, Fraction], ...] = ()
    gap: Fraction | None = None
    everywhere: bool = False
    strongest: Counterexample | None = None
    compared: Compared | None = None
    closed: Mapping[str, int] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<{self.name}: {self.summary}>"

    @property
    def summary(self) -> str:
        """The verdict, and what is known of the largest rate: `falsified, a trigger reaches 82/82`."""
        said = f"{self.verdict} ({self.reason})" if self.reason else str(self.verdict)
        if self.found is None or self.proved is None:
            return said
        known = {
            Verdict.CERTIFIED: f"no trigger exceeds {self.proved}",
            Verdict.FALSIFIED: f"a trigger reaches {self.found}",
            Verdict.UNKNOWN: f"the largest rate is from {self.found} to {self.proved}",
        }
        return f"{said}, {known[self.verdict]}"

    @property
    def trigger(self) -> Counterexample | None:
        """The trigger that refutes the property, else the strongest that a measurement found."""
        return self.counterexample or self.strongest

    def image(self, scale: int = 24) -> Image | None:
        """The trigger as a picture; None where there is no trigger, or it is no rectangle of pixels.

        Args:
            scale: pixels of the picture for each pixel of the trigger.
        """
        from verifluxa.result.picture import trigger_image

        if self.trigger is None:
            return None
        return trigger_image(self.trigger.trigger, self._levels(self.trigger.placement_index), scale)

    def _levels(self, placement: int) -> tuple[float, float] | None:
        """The darkest and the brightest level of a trigger; None where the problem is not there any more."""
        if self.problem is None:
            return None
        domain = self.problem.domain_of(placement)
        return float(min(0, domain.lower.min())), float(domain.upper.max())

    def limit_of(self, target: int | None) -> Fraction | None:
        """The rate that is allowed for a target."""
        return dict(self.limits).get(target, self.limit) if target is not None else self.limit

    @property
    def failures(self) -> tuple[int, int]:
        """Of a per-input property: inputs that are not known to be safe, and all that were drawn.

        Those that do not count, or not in every evaluation, are failures too.
        """
        assert self.problem is not None
        counted = set(self.problem.counted)
        safe = sum(verdict is Verdict.CERTIFIED and index in counted for index, verdict in self.per_input)
        total = len(counted) + len(self.problem.excluded)
        return total - safe, total


class Properties(tuple[PropertyResult, ...]):
    """The properties of a result, in order; one of them by its number or its name."""

    __slots__ = ()

    @overload
    def __getitem__(self, key: SupportsIndex | str) -> PropertyResult: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[PropertyResult, ...]: ...
    def __getitem__(self, key: SupportsIndex | str | slice) -> PropertyResult | tuple[PropertyResult, ...]:
        """One property, or several by a slice.

        Raises:
            KeyError: for a name that there is not.
        """
        if not isinstance(key, str):
            return super().__getitem__(key)
        for item in self:
            if item.name == key:
                return item
        raise KeyError(f"no property `{key}`: there is {', '.join(f'`{item.name}`' for item in self)}")


@dataclass(frozen=True)
class Machine:
    """Where the work was done."""

    cluster: str
    workers: int
    device: str


@dataclass(frozen=True, repr=False)
class Result:
    """The result of a run.

    Attributes:
        version: of the tool.
        spec: the spec file.
        params: the spec's params after `--set`, exact.
        models, data: the files.
        strategy: name and digest of the strategy.
        arithmetic: `float32`, `float64` or `real`.
        properties: one entry for each property that was asked, by number or name.
        machine: where the work was done.
        interrupted: whether the run was stopped before its end.
    """

    version: str
    spec: FileUsed
    params: tuple[tuple[str, Fraction], ...]
    models: tuple[ModelUsed, ...]
    data: tuple[DataUsed, ...]
    strategy: tuple[str, str]
    arithmetic: str
    properties: Properties
    machine: Machine
    interrupted: bool = False

    def __repr__(self) -> str:
        return "\n".join((f"<{self.spec.path}: {self.verdict}>", *(f"  {item!r}" for item in self.properties)))

    def _repr_html_(self) -> str:
        """A table, as notebooks show it."""
        head = "".join(
            f"<th>{title}</th>" for title in ("property", "verdict", "found", "proved", "questions", "seconds")
        )
        rows = "".join(_row(_cells(item)) for item in self.properties)
        return f"<table><caption>{escape(self.spec.path)}: {self.verdict}</caption><tr>{head}</tr>{rows}</table>"

    @property
    def verdict(self) -> Verdict:
        """The verdict over all properties."""
        return combine(item.verdict for item in self.properties)

    def document(self) -> dict[str, object]:
        """The result document, schema `verifluxa/result/1`."""
        from verifluxa.result.document import document

        return document(self)

    def write(self, folder: str | Path) -> Path:
        """Writes `result.json` into a folder, whole or not at all; returns its path."""
        from verifluxa.result.write import write_result

        return write_result(self, folder)


def _cells(item: PropertyResult) -> Iterable[object]:
    why = f" ({item.reason})" if item.reason else ""
    yield from (item.name, f"{item.verdict}{why}", item.found or "", item.proved or "")
    yield from (item.counts.total, f"{item.seconds:.1f}")


def _row(cells: Iterable[object]) -> str:
    return "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in cells) + "</tr>"
