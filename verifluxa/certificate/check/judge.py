"""What cannot happen on one region: single alternatives of single inputs, by plain or by clipped bounds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from verifluxa.certificate.check.bounds import Bounder, OutputRows, Planes, State
from verifluxa.certificate.check.chain import chain_of
from verifluxa.certificate.check.lower import Alternative, Claim
from verifluxa.certificate.check.network import Constants, Floats, Integers
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


class Clipped(NamedTuple):
    """Clipped bounds of some entries: their numbers, the bounds, and which of them are contradicted."""

    numbers: Integers
    state: State
    gone: NDArray[np.bool_]


def root_region(claim: Claim, directions: Floats) -> Region:
    """The whole domain of the trigger; strips begin a little wider than the box reaches, and cut nothing."""
    size = claim.positions.shape[1]
    lower, upper = np.full(size, claim.lower), np.full(size, claim.upper)
    middle = directions @ (lower + upper) / 2
    extent = np.abs(directions) @ (upper - lower) / 2 * 1.01 + 1e-6
    return Region(lower, upper, directions, middle - extent, middle + extent)


class Place:
    """A placement: its chain, and the bounds of all inputs on the whole box."""

    def __init__(self, claim: Claim, constants: Constants, number: int) -> None:
        self.chain = chain_of(constants, claim.positions[number])
        self.root = Bounder(self.chain, root_region(claim, np.zeros((0, claim.positions.shape[1]))))
        self._last = self.root
        self.branches = any(len(step.sources) > 1 for step in constants.steps)
        self.everyone = np.arange(len(claim.labels))
        self.largest = constants.rounding.largest
        fine = [(form.error < self.largest).all(axis=0) for form in constants.forms]
        self.unusable = ~np.all(fine, axis=0)

    def bounder(self, region: Region) -> Bounder:
        """For a region; that of the whole box and the last one are kept."""
        whole = self.root.region
        if not region.cut and (region.lower == whole.lower).all() and (region.upper == whole.upper).all():
            return self.root
        if self._last.region is not region:
            self._last = Bounder(self.chain, region)
        return self._last

    @cached_property
    def quick(self) -> State:
        """By intervals alone."""
        return self.root.state(self.everyone, planes=False)

    @cached_property
    def state(self) -> State:
        """With planes."""
        return self.root.state(self.everyone)


class Judge:
    """A region with the bounds of the inputs that its node speaks of."""

    def __init__(self, claim: Claim, place: Place, region: Region, inputs: Sequence[int]) -> None:
        self.claim = claim
        self.region = region
        self.place = place
        self.bounder = place.bounder(region)
        self.at_root = self.bounder is place.root
        self.inputs = place.everyone if self.at_root else np.array(inputs, dtype=np.int64)
        self._at = {int(index): at for at, index in enumerate(self.inputs)}

    @cached_property
    def state(self) -> State:
        """Bounds with planes of the inputs."""
        return self.place.state if self.at_root else self.bounder.state(self.inputs)

    @property
    def empty(self) -> bool:
        """No point is in the region."""
        return self.bounder.reach.empty

    def usable(self, inputs: Sequence[int]) -> NDArray[np.bool_]:
        """For which of the inputs no value can overflow, by whichever bounds were asked for."""
        worst = (self.place.quick if self.at_root else self.state).worst
        fine = (worst < self.place.largest) & ~self.place.unusable[self.inputs]
        return np.asarray(fine[[self._at[index] for index in inputs]])

    def plain(self, entries: list[Entry]) -> NDArray[np.bool_]:
        """Which entries cannot be met, by bounds of all triggers; on the whole box intervals alone settle most."""
        met = np.zeros(len(entries), dtype=bool)
        for quick in (True, False) if self.at_root else (False,):
            left = np.flatnonzero(~met)
            if len(left):
                state, group = self.place.quick if quick else self.state, [entries[number] for number in left]
                where = self._where(group)
                crossed = [np.any(bounds.lower > bounds.upper, axis=1)[where] for bounds in state.layers]
                met[left] = np.any([*crossed, self._below(state, where, group, not quick)], axis=0)
        return met

    def clipped(self, entries: list[Entry]) -> NDArray[np.bool_]:
        """Which entries cannot be met, by bounds of the triggers that could meet them."""
        met = np.zeros(len(entries), dtype=bool)
        for numbers, state, gone in self.clip(entries):
            group = [entries[number] for number in numbers]
            for place, entry in enumerate(group):
                self._choose(state, place, entry.slopes)
            met[numbers] = gone | self._below(state, np.arange(len(group)), group, True)
        return met

    def clip(self, entries: list[Entry]) -> Iterator[Clipped]:
        """Clipped bounds, for the entries with equally many rounds together."""
        rounds = np.array([len(entry.planes) for entry in entries], dtype=np.int64)
        for count in np.unique(rounds):
            numbers = np.flatnonzero(rounds == count)
            group = [entries[number] for number in numbers]
            state, gone = self.state.take(self._where(group)), np.zeros(len(group), dtype=bool)
            for number in range(count):
                cut = self.planes(state, np.arange(len(group)), [entry.planes[number] for entry in group])
                gone |= self.bounder.clip(state, cut)
            yield Clipped(numbers, state, gone)

    def _choose(self, state: State, place: int, slopes: Sequence[str]) -> None:
        """Puts the chosen lower slopes into the lines of one entry, where its neurons bend and any slope is sound."""
        for layer, bounds, text in zip(self.bounder.chain, state.layers, slopes, strict=False):
            least = None if layer.function is None else layer.function.least
            chosen = np.frombuffer(bytes.fromhex(text), dtype=np.uint8) / 255
            if least is not None and chosen.shape == bounds.lower[place].shape:
                bends = (bounds.lower[place] < 0) & (bounds.upper[place] > 0)
                bends[: layer.linear] = False
                slope = bounds.lines.low_slope[place]
                slope[bends] = np.maximum(chosen, least)[bends]

    def planes(self, state: State, where: Integers, rows: Sequence[int]) -> Planes:
        """Upper planes of rows of entries of a state."""
        return self.bounder.output_rows(state, where, self._rows(rows))

    def _rows(self, rows: Sequence[int]) -> OutputRows:
        numbers = np.asarray(rows, dtype=np.int64)
        return OutputRows(self.claim.rows.weight[numbers], self.claim.rows.constant[numbers])

    def _where(self, entries: list[Entry]) -> Integers:
        return np.array([self._at[entry.input] for entry in entries], dtype=np.int64)

    def _below(self, state: State, where: Integers, entries: list[Entry], others: bool) -> NDArray[np.bool_]:
        """Whether the named row of each entry cannot be met on the whole region; if not, perhaps one of the others."""
        found = np.zeros(len(entries), dtype=bool)
        self._mark(state, where, [(n, entry.row) for n, entry in enumerate(entries) if entry.row is not None], found)
        missing = map(int, np.flatnonzero(~found)) if others else ()
        self._mark(state, where, [(n, row) for n in missing for row in entries[n].alternative], found)
        return found

    def _mark(self, state: State, where: Integers, tries: list[tuple[int, int]], found: NDArray[np.bool_]) -> None:
        if tries:
            numbers, rows = np.array(tries, dtype=np.int64).T
            planes, by_ends = self.planes(state, where[numbers], rows), self._rows(rows)
            most = planes.value + self.bounder.reach.spread(planes.slope)
            most = np.minimum(most, self.bounder.output_most(state, where[numbers], by_ends))
            found[numbers[np.where(self.claim.closed[rows], most < 0, most <= 0)]] = True


def unproved(code: str, what: str, region: Region) -> CertificateError:
    """The error for a proof that does not hold on a region."""
    widths = ", ".join(f"{width:g}" for width in (region.upper - region.lower)[:16])
    return refused(code, f"the proof does not hold: {what}", f"a domain with widths {widths}")
