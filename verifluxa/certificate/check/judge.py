"""What cannot happen on one region: single alternatives of single inputs, by plain or by clipped bounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from verifluxa.certificate.check.bounds import Bounder, Planes, State
from verifluxa.certificate.check.chain import Layer
from verifluxa.certificate.check.clip import clip
from verifluxa.certificate.check.linear import Floats, Integers
from verifluxa.certificate.check.lower import Alternative, Claim, Pair
from verifluxa.certificate.check.region import Region
from verifluxa.errors import CertificateError


@dataclass(frozen=True, eq=False)
class Place:
    """A placement: its chain, the bounds of all inputs on the whole box, and which inputs might overflow there.

    Attributes:
        chain: the layers.
        root: bounds on the whole box.
        quick: of all inputs on the whole box, by intervals alone.
        unusable: inputs whose values might overflow without a trigger.
        largest: the radius from which on a value might overflow.
    """

    chain: tuple[Layer, ...]
    root: Bounder
    quick: State
    unusable: NDArray[np.bool_]
    largest: float

    @cached_property
    def state(self) -> State:
        """Of all inputs on the whole box, with planes."""
        return self.root.state(np.arange(len(self.unusable)))


@dataclass(frozen=True)
class Entry:
    """One alternative of one input, the row that is said to be below zero (or None), the rows that clip."""

    input: int
    number: int
    alternative: Alternative
    row: Pair | None
    planes: tuple[Pair, ...]


class Judge:
    """A region with the bounds of the inputs that its node speaks of."""

    def __init__(self, claim: Claim, place: Place, region: Region, inputs: Sequence[int]) -> None:
        self.claim = claim
        self.region = region
        whole = place.root.region
        self.at_root = bool(
            not region.cut and (region.lower == whole.lower).all() and (region.upper == whole.upper).all()
        )
        self.place = place
        self.inputs = np.arange(len(place.unusable)) if self.at_root else np.array(inputs, dtype=np.int64)
        self.bounder = place.root if self.at_root else Bounder(place.chain, region)
        self._at = {int(index): at for at, index in enumerate(self.inputs)}

    @cached_property
    def state(self) -> State:
        """Bounds with planes of the inputs."""
        return self.place.state if self.at_root else self.bounder.state(self.inputs)

    @property
    def empty(self) -> bool:
        """No point is in the region."""
        return self.bounder.reach.empty

    def usable(self, index: int) -> bool:
        """Whether no value of the input can overflow, by whichever bounds were asked for."""
        worst = (self.place.quick if self.at_root else self.state).worst[self._at[index]]
        return bool(not self.place.unusable[index] and worst < self.place.largest)

    def plain(self, entries: list[Entry]) -> NDArray[np.bool_]:
        """Which entries cannot be met, by bounds of all triggers.

        On the whole box intervals alone settle most; planes are computed only where they do not.
        """
        met = np.zeros(len(entries), dtype=bool)
        for state in self._states():
            left = np.flatnonzero(~met)
            if len(left):
                group = [entries[number] for number in left]
                met[left] = self._plain(state(), group)
        return met

    def _states(self) -> list[Callable[[], State]]:
        quick: list[Callable[[], State]] = [lambda: self.place.quick] if self.at_root else []
        return [*quick, lambda: self.state]

    def _plain(self, state: State, entries: list[Entry]) -> NDArray[np.bool_]:
        where = self._where(entries)
        crossed = np.zeros(len(where), dtype=bool)
        for bounds in state.layers:
            crossed |= np.asarray((bounds.lower > bounds.upper).any(axis=1))[where]
        return np.asarray(crossed | self._below(state, where, entries))

    def clipped(self, entries: list[Entry]) -> NDArray[np.bool_]:
        """Which entries cannot be met, by bounds of the triggers that could meet them."""
        met = np.zeros(len(entries), dtype=bool)
        for numbers, state, gone in self.clip(entries):
            group = [entries[number] for number in numbers]
            met[numbers] = gone | self._below(state, np.arange(len(group)), group)
        return met

    def clip(self, entries: list[Entry]) -> list[tuple[Integers, State, NDArray[np.bool_]]]:
        """Clipped bounds, for the entries with equally many rounds together: which, their bounds, contradicted."""
        rounds = np.array([len(entry.planes) for entry in entries], dtype=np.int64)
        return [self._clip(entries, np.flatnonzero(rounds == count), int(count)) for count in np.unique(rounds)]

    def planes(self, state: State, where: Integers, pairs: Sequence[Pair]) -> Planes:
        """Upper planes of rows of entries of a state."""
        return self.bounder.output_rows(state, where, self._rows(pairs), np.full(len(pairs), self.claim.gap))

    def _clip(self, entries: list[Entry], numbers: Integers, rounds: int) -> tuple[Integers, State, NDArray[np.bool_]]:
        group = [entries[number] for number in numbers]
        state, everyone = self.state.take(self._where(group)), np.arange(len(group))
        for layer, bounds in zip(self.bounder.chain, state.layers, strict=False):
            bounds.lines = layer.lines(bounds.lower, bounds.upper)
        gone = np.zeros(len(group), dtype=bool)
        for number in range(rounds):
            planes = self.planes(state, everyone, [entry.planes[number] for entry in group])
            gone |= clip(self.bounder, state, planes)
        return numbers, state, gone

    def _where(self, entries: list[Entry]) -> Integers:
        return np.array([self._at[entry.input] for entry in entries], dtype=np.int64)

    def _rows(self, pairs: Sequence[Pair]) -> Floats:
        rows, at = np.zeros((len(pairs), self.claim.classes)), np.arange(len(pairs))
        rows[at, [first for first, _ in pairs]] = 1.0
        rows[at, [second for _, second in pairs]] = -1.0
        return rows

    def _below(self, state: State, where: Integers, entries: list[Entry]) -> NDArray[np.bool_]:
        """Whether the named row of each entry is below zero on the whole region; else, whether any of its rows is."""
        found = np.zeros(len(entries), dtype=bool)
        named = [(number, entry.row) for number, entry in enumerate(entries) if entry.row is not None]
        self._mark(state, where, named, found)
        missing = [number for number in range(len(entries)) if not found[number]]
        self._mark(state, where, [(n, pair) for n in missing for pair in entries[n].alternative], found)
        return found

    def _mark(self, state: State, where: Integers, tries: list[tuple[int, Pair]], found: NDArray[np.bool_]) -> None:
        numbers = np.array([number for number, _ in tries], dtype=np.int64)
        pairs = [pair for _, pair in tries]
        planes = self.planes(state, where[numbers], pairs)
        by_ends = self.bounder.output_most(
            state, where[numbers], self._rows(pairs), np.full(len(pairs), self.claim.gap)
        )
        most = np.minimum(planes.value + self.bounder.reach.spread(planes.slope), by_ends)
        found[numbers[most < 0]] = True


def refused(code: str, what: str, region: Region) -> CertificateError:
    """The error for a proof that does not hold on a region."""
    widths = region.upper - region.lower
    return CertificateError(
        code,
        f"the proof does not hold: {what}",
        place=f"a domain with widths {', '.join(f'{width:g}' for width in widths[:16])}",
        expected="every drop recomputed, every leaf with fewer inputs than needed, no part of the domain left out",
        remedy="do not trust this certificate; verify the model again",
    )
