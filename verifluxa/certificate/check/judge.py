"""What cannot happen on one region: single alternatives of single inputs, by plain or by clipped bounds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from verifluxa.certificate.check.bounds import Bounder, Planes, Sign, State
from verifluxa.certificate.check.chain import chain_of
from verifluxa.certificate.check.functions import KEPT, SAME, Floats
from verifluxa.certificate.check.lower import Alternative, Claim
from verifluxa.certificate.check.network import Constants, Integers
from verifluxa.certificate.check.refuse import refused
from verifluxa.certificate.check.region import Region
from verifluxa.errors import CertificateError


class Entry(NamedTuple):
    """One alternative of one input by its number, the row that is said to be below zero (or None), the rows that clip.

    `slopes` and `pushes` are what the evidence chose, see `verifluxa.evidence.Dropped`.
    """

    input: int
    number: int
    row: int | None
    planes: tuple[int, ...]
    slopes: tuple[str, ...] = ()
    pushes: tuple[tuple[int, int, float], ...] = ()


class Part(NamedTuple):
    """What a node of the tree speaks of: a region, and cases of neurons."""

    region: Region
    signs: tuple[Sign, ...] = ()


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
        # The evidence counts what is kept for a maximum in the layer behind, and what is carried after all others.
        functions = [layer.function for layer in self.chain]
        self.hidden = [number for number, function in enumerate(functions[:-1], 1) if function not in (SAME, KEPT)]
        sizes = [layer.offset.shape[1] for layer in self.chain]
        self.kept = [sizes[n - 2] if n > 1 and functions[n - 2] is KEPT else 0 for n in self.hidden]
        self.usable = np.all([(ball.error < self.largest).all(axis=0) for ball in constants.balls], axis=0)

    @cached_property
    def quick(self) -> State:
        """On the whole box, by intervals alone, which settle most."""
        return self.root.state(self.everyone, planes=False)

    @cached_property
    def state(self) -> State:
        """On the whole box."""
        return self.root.state(self.everyone)

    def neuron(self, layer: int, neuron: int) -> tuple[int, int] | None:
        """The layer and the value in it that the evidence names; None where there is none."""
        if not 0 <= layer < len(self.hidden):
            return None
        number, at = self.hidden[layer], neuron - self.kept[layer]
        return (number, at) if 0 <= at < self.chain[number - 1].offset.shape[1] else None


class Judge:
    """A part of the domain, with cases of neurons, and the bounds of the inputs that its node speaks of."""

    def __init__(self, claim: Claim, place: Place, part: Part, inputs: Sequence[int]) -> None:
        self.claim, self.place, self.region = claim, place, part.region
        self.signs = [sign for sign in part.signs if sign.input in set(inputs)]
        region, whole = part.region, place.root.region
        same = (region.lower == whole.lower) & (region.upper == whole.upper)
        self.at_root = not region.cut and not self.signs and bool(same.all())
        self.bounder = place.root if self.at_root else Bounder(place.chain, region)
        self.inputs = place.everyone if self.at_root else np.array(inputs, dtype=np.int64)

    @cached_property
    def state(self) -> State:
        """Bounds of the inputs."""
        return self.place.state if self.at_root else self.bounder.state(self.inputs, signs=self.signs)

    def usable(self, inputs: Sequence[int]) -> NDArray[np.bool_]:
        """For which of the inputs no value can overflow."""
        worst = (self.place.quick if self.at_root else self.state).worst
        fine = (worst < self.place.largest) & self.place.usable[self.inputs]
        return np.asarray(fine[np.searchsorted(self.inputs, inputs)])

    def falls(self, entries: list[Entry]) -> NDArray[np.bool_]:
        """Which entries cannot be met on the whole region."""
        met = np.zeros(len(entries), dtype=bool)
        if self.at_root:
            plain = np.flatnonzero([not (entry.planes or entry.slopes or entry.pushes) for entry in entries])
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
            batches.setdefault((len(entry.planes), bool(entry.slopes or entry.pushes)), []).append(at)
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
                self._choose(state, place, entry)
            yield Group(np.array(numbers), state, places, gone)

    def planes(self, state: State, places: Integers, rows: Sequence[int] | Integers) -> Planes:
        """Upper planes of rows of entries of a state."""
        numbers = np.array(rows, dtype=np.int64)
        return self.bounder.rows(state, places, self.claim.weight[numbers], self.claim.constants[numbers, 2])

    def _choose(self, state: State, place: int, entry: Entry) -> None:
        """Chosen slopes for one entry, where its neurons bend and any slope is sound; pushes where signs are known."""
        for number, kept, text in zip(self.place.hidden, self.place.kept, entry.slopes, strict=False):
            lower, upper = (ends[place] for ends in state.layers[number - 1][1:3])
            function = self.place.chain[number - 1].function
            chosen = np.frombuffer(bytes.fromhex(text), dtype=np.uint8)[kept : kept + len(lower)] / 255
            if function is not None and function.least is not None and len(chosen) == len(lower):
                bends = (lower < 0) & (upper > 0)
                state.lines[number - 1].low_slope[place, bends] = np.maximum(chosen, function.least)[bends]
        for layer, neuron, multiplier in entry.pushes:
            at = self.place.neuron(layer, neuron)
            if at is None or Sign(entry.input, *at, multiplier > 0) not in self.signs:
                raise unproved("VF5054", f"input {entry.input} is pushed where no sign is known", self.region)
            pushes = state.pushes.setdefault(at[0], np.zeros_like(state.layers[at[0] - 1].lower))
            pushes[place, at[1]] += multiplier


@dataclass(frozen=True, eq=False)
class Asked:
    """One question: alternatives of each input of its selection, and the claim's rows by the evidence's numbers."""

    claim: Claim
    place: Place
    alternatives: dict[int, tuple[Alternative, ...]]
    need: int
    rows: tuple[int | None, ...]
    directions: Floats
    meanings: dict[tuple[object, ...], list[Entry]] = field(default_factory=dict)

    def row(self, number: int) -> int | None:
        """The claim's own row for a number of the evidence; None where there is none."""
        return self.rows[number] if 0 <= number < len(self.rows) else None

    def rows_of(self, numbers: Sequence[int], alternative: Alternative) -> tuple[int, ...] | None:
        """The claim's own rows where all of them are of one alternative, else None."""
        known = tuple(row for number in numbers if (row := self.row(number)) in alternative and row is not None)
        return known if len(known) == len(numbers) else None


def unproved(code: str, what: str, region: Region) -> CertificateError:
    """The error for a proof that does not hold on a region."""
    widths = ", ".join(f"{width:g}" for width in (region.upper - region.lower)[:16])
    return refused(code, f"the proof does not hold: {what}", f"a domain with widths {widths}")
