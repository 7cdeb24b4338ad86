"""What cannot happen on one region: single alternatives of single inputs, by plain or by clipped bounds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from verifluxa.certificate.check.bounds import Bounder, Planes, State
from verifluxa.certificate.check.chain import chain_of
from verifluxa.certificate.check.functions import KEPT, SAME, Floats
from verifluxa.certificate.check.lower import Alternative, Claim
from verifluxa.certificate.check.network import Constants, Integers
from verifluxa.certificate.check.refuse import refused
from verifluxa.certificate.check.region import Region
from verifluxa.errors import CertificateError


class Entry(NamedTuple):
    """One alternative of one input, the row that is said to be below zero (or None), the rows that clip.

    `slopes` are the lower slopes of relu and leakyrelu that the evidence chose, see `verifluxa.evidence.Dropped`.
    """

    input: int
    number: int
    alternative: Alternative
    row: int | None
    planes: tuple[int, ...]
    slopes: tuple[str, ...] = ()


class Group(NamedTuple):
    """Some entries: their numbers, bounds, their places in these, and which of them are contradicted."""

    numbers: Integers
    state: State
    places: Integers
    gone: NDArray[np.bool_]


def root_region(claim: Claim, directions: Floats) -> Region:
    """The whole domain of the trigger; strips begin a little wider than the box reaches, and cut nothing."""
    size = claim.positions.shape[1]
    lower, upper = np.full(size, claim.lower), np.full(size, claim.upper)
    middle = directions @ (lower + upper) / 2
    extent = np.abs(directions) @ (upper - lower) / 2 * 1.01 + 1e-6
    return Region(lower, upper, directions, middle - extent, middle + extent)


class Place:
    """A placement: its chain, the bounds of all inputs on the whole box, and for which inputs no value can overflow."""

    def __init__(self, claim: Claim, constants: Constants, number: int) -> None:
        self.chain = chain_of(constants, claim.positions[number])
        self.root = Bounder(self.chain, root_region(claim, np.zeros((0, claim.positions.shape[1]))))
        self.everyone = np.arange(len(claim.labels))
        self.largest = constants.rounding.largest
        self.usable = np.all([(ball.error < self.largest).all(axis=0) for ball in constants.balls], axis=0)

    @cached_property
    def quick(self) -> State:
        """On the whole box, by intervals alone, which settle most."""
        return self.root.state(self.everyone, planes=False)

    @cached_property
    def state(self) -> State:
        """On the whole box."""
        return self.root.state(self.everyone)


class Judge:
    """A region with the bounds of the inputs that its node speaks of."""

    def __init__(self, claim: Claim, place: Place, region: Region, inputs: Sequence[int]) -> None:
        self.claim, self.place, self.region = claim, place, region
        whole = place.root.region
        same = (region.lower == whole.lower) & (region.upper == whole.upper)
        self.at_root = not region.cut and bool(same.all())
        self.bounder = place.root if self.at_root else Bounder(place.chain, region)
        self.inputs = place.everyone if self.at_root else np.array(inputs, dtype=np.int64)

    @cached_property
    def state(self) -> State:
        """Bounds of the inputs."""
        return self.place.state if self.at_root else self.bounder.state(self.inputs)

    def usable(self, inputs: Sequence[int]) -> NDArray[np.bool_]:
        """For which of the inputs no value can overflow."""
        worst = (self.place.quick if self.at_root else self.state).worst
        fine = (worst < self.place.largest) & self.place.usable[self.inputs]
        return np.asarray(fine[np.searchsorted(self.inputs, inputs)])

    def falls(self, entries: list[Entry]) -> NDArray[np.bool_]:
        """Which entries cannot be met on the whole region."""
        met = np.zeros(len(entries), dtype=bool)
        if self.at_root:
            plain = np.flatnonzero([not (entry.planes or entry.slopes) for entry in entries])
            places = np.array([entries[at].input for at in plain], dtype=np.int64)
            self._mark(met, entries, Group(plain, self.place.quick, places, met[plain]))
        left = np.flatnonzero(~met)
        for group in self.groups([entries[at] for at in left]):
            self._mark(met, entries, group._replace(numbers=left[group.numbers]))
        return met

    def _mark(self, met: NDArray[np.bool_], entries: list[Entry], group: Group) -> None:
        """Marks the entries of a group that are contradicted, or whose named row cannot be met."""
        met[group.numbers] |= group.gone
        rows = [(at, row) for at, number in enumerate(group.numbers) if (row := entries[number].row) is not None]
        if rows:
            named, numbers = np.array(rows).T
            planes = self.planes(group.state, group.places[named], numbers)
            most = planes.value + self.bounder.region.spread(planes.slope)
            met[group.numbers[named]] |= np.where(self.claim.closed[numbers], most < 0, most <= 0)

    def groups(self, entries: list[Entry]) -> Iterator[Group]:
        """Bounds of entries where they can be met, for those with equally many clipping rows together."""
        batches: dict[tuple[int, bool], list[int]] = {}
        for at, entry in enumerate(entries):
            batches.setdefault((len(entry.planes), bool(entry.slopes)), []).append(at)
        for (rounds, chosen), numbers in batches.items():
            group = [entries[at] for at in numbers]
            state, places = self.state, np.searchsorted(self.inputs, [entry.input for entry in group])
            if rounds or chosen:
                state, places = state.take(places), np.arange(len(group))
            gone = state.crossed[places]
            for number in range(rounds):
                cut = self.planes(state, places, [entry.planes[number] for entry in group])
                gone = gone | self.bounder.clip(state, cut)
            for place, entry in enumerate(group if chosen else ()):
                self._choose(state, place, entry.slopes)
            yield Group(np.array(numbers), state, places, gone)

    def planes(self, state: State, places: Integers, rows: Sequence[int] | Integers) -> Planes:
        """Upper planes of rows of entries of a state."""
        numbers = np.array(rows, dtype=np.int64)
        return self.bounder.rows(state, places, self.claim.weight[numbers], self.claim.constants[numbers, 2])

    def _choose(self, state: State, place: int, slopes: Sequence[str]) -> None:
        """Puts the chosen lower slopes into the lines of one entry, where its neurons bend and any slope is sound."""
        texts, kept = iter(slopes), 0
        for layer, bounds, lines in zip(self.bounder.chain, state.layers, state.lines, strict=False):
            lower, upper = bounds.lower[place], bounds.upper[place]
            if layer.function in (SAME, KEPT):  # the evidence counts what is kept among the values of the layer behind
                kept = len(lower) if layer.function is KEPT else 0
                continue
            chosen = np.frombuffer(bytes.fromhex(next(texts, "")), dtype=np.uint8)[kept : kept + len(lower)] / 255
            if layer.function is not None and layer.function.least is not None and len(chosen) == len(lower):
                bends = (lower < 0) & (upper > 0)
                lines.low_slope[place, bends] = np.maximum(chosen, layer.function.least)[bends]
            kept = 0


@dataclass(frozen=True, eq=False)
class Asked:
    """One question: alternatives of each input of its selection, and the claim's rows by the evidence's numbers."""

    claim: Claim
    place: Place
    alternatives: dict[int, tuple[Alternative, ...]]
    need: int
    rows: tuple[int | None, ...]
    directions: Floats
    meanings: dict[tuple[object, ...], list[Entry] | None] = field(default_factory=dict)

    def row(self, number: int) -> int | None:
        """The claim's own row for a number of the evidence; None where there is none."""
        return self.rows[number] if 0 <= number < len(self.rows) else None


def unproved(code: str, what: str, region: Region) -> CertificateError:
    """The error for a proof that does not hold on a region."""
    widths = ", ".join(f"{width:g}" for width in (region.upper - region.lower)[:16])
    return refused(code, f"the proof does not hold: {what}", f"a domain with widths {widths}")
