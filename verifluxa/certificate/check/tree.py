"""One question's split tree: the halves tile the domain, every recorded drop is recomputed, leaves are counted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from verifluxa.certificate.check.bounds import Bounder, State, overflows
from verifluxa.certificate.check.chain import Layer
from verifluxa.certificate.check.clip import clip
from verifluxa.certificate.check.linear import Floats, Integers
from verifluxa.certificate.check.lower import Alternative, Claim, Pair
from verifluxa.certificate.check.region import MARGIN, Region
from verifluxa.errors import CertificateError
from verifluxa.evidence import CONTRADICTED, OPEN, BoxSplit, Dropped, Node, Split


@dataclass(frozen=True, eq=False)
class Place:
    """A placement: its chain, the bounds of all inputs on the whole box, and which inputs overflow anyway."""

    chain: tuple[Layer, ...]
    root: Bounder
    state: State
    unusable: NDArray[np.bool_]
    largest: float


@dataclass(frozen=True, eq=False)
class Asked:
    """One question: alternatives of each input of its selection, and the rows that the evidence numbers."""

    alternatives: dict[int, tuple[Alternative, ...]]
    need: int
    rows: tuple[Pair | None, ...]
    directions: Floats


@dataclass(frozen=True)
class Checked:
    """What a tree proves: at most `proved` inputs violate together; `leaves` were counted."""

    proved: int
    leaves: int


@dataclass(frozen=True, eq=False)
class _Visit:
    """A node with its region and what fell above it: (input, alternative) pairs."""

    node: Node
    region: Region
    fallen: frozenset[tuple[int, int]]


def root_region(claim: Claim, directions: Floats) -> Region:
    """The whole domain of the trigger."""
    size = claim.positions.shape[1]
    lower, upper = np.full(size, claim.lower), np.full(size, claim.upper)
    center, half = (lower + upper) / 2, (upper - lower) / 2
    middle, extent = directions @ center, np.abs(directions) @ half
    slack = MARGIN * (np.abs(directions) @ np.abs(center) + extent)
    return Region(lower, upper, directions, middle - extent - slack, middle + extent + slack)


def check_tree(claim: Claim, place: Place, asked: Asked, root: Node) -> Checked:
    """Walks a tree.

    Raises:
        CertificateError: VF5054 for a drop that does not follow, VF5055 for a split that leaves something
            out, an open leaf, or one with too many inputs left.
    """
    proved, leaves = 0, 0
    waiting = [_Visit(root, root_region(claim, asked.directions), frozenset())]
    while waiting:
        visit = waiting.pop()
        fallen = visit.fallen | _fallen(claim, place, asked, visit)
        if visit.node.split is not None:
            halves = _halves(visit.region, visit.node.split, claim)
            waiting += [_Visit(n, half, fallen) for n, half in zip(visit.node.children, halves, strict=True)]
            continue
        left = sum(
            any((index, number) not in fallen for number in range(len(alternatives)))
            for index, alternatives in asked.alternatives.items()
        )
        if not visit.node.closed or left >= asked.need:
            raise _refused("VF5055", f"a leaf leaves {left} inputs, which is not fewer than {asked.need}", visit.region)
        proved, leaves = max(proved, left), leaves + 1
    return Checked(proved, leaves)


def _halves(region: Region, split: Split, claim: Claim) -> tuple[Region, Region]:
    if isinstance(split, BoxSplit):
        at = split.coordinate
        if at >= len(region.lower) or not _adjacent(region, split, claim):
            raise _refused("VF5055", f"a split of value {at} does not cover its box", region)
        upper, lower = region.upper.copy(), region.lower.copy()
        upper[at], lower[at] = split.low_end, split.high_start
        return replace(region, upper=upper), replace(region, lower=lower)
    if split.direction >= len(region.directions):
        raise _refused("VF5055", f"a split of strip {split.direction}, which is not stored", region)
    high, low = region.high.copy(), region.low.copy()
    high[split.direction] = min(high[split.direction], split.cut)
    low[split.direction] = max(low[split.direction], split.cut)
    return replace(region, high=high, cut=True), replace(region, low=low, cut=True)


def _adjacent(region: Region, split: BoxSplit, claim: Claim) -> bool:
    """Nothing of the grid lies between the halves: neighbouring grid lines, or one point where continuous."""
    low, high = Fraction(split.low_end), Fraction(split.high_start)
    inside = region.lower[split.coordinate] <= low and high <= region.upper[split.coordinate]
    if not claim.step:
        return bool(inside and low == high)
    on_grid = (low - Fraction(claim.lower)) % claim.step == 0
    return bool(inside and on_grid and high - low == claim.step)


def _fallen(claim: Claim, place: Place, asked: Asked, visit: _Visit) -> frozenset[tuple[int, int]]:
    """The (input, alternative) pairs that the node's records drop, each one recomputed."""
    dropped = visit.node.dropped
    if not dropped:
        return frozenset()
    plain: list[_Entry] = []
    clipped: list[_Entry] = []
    for record in dropped:
        for entry in _entries(asked, record, visit.region):
            (clipped if record.planes else plain).append(entry)
    bounder, state, at = _bounds(place, visit.region, sorted({record.input for record in dropped}))
    if not bounder.reach.empty:
        _check_plain(claim, bounder, state, at, plain)
        _check_clipped(claim, bounder, state, at, clipped)
        if place.unusable[[record.input for record in dropped]].any() or overflows(state, place.largest).any():
            raise _refused("VF5054", "an input is dropped although its values might overflow", visit.region)
    return frozenset((entry.input, entry.number) for entry in (*plain, *clipped))


@dataclass(frozen=True)
class _Entry:
    """One alternative of one input that a record drops, by a row below zero or (None) by contradiction."""

    input: int
    number: int
    alternative: Alternative
    row: Pair | None
    planes: tuple[Pair, ...]


def _entries(asked: Asked, record: Dropped, region: Region) -> list[_Entry]:
    alternatives = asked.alternatives.get(record.input)
    if alternatives is None or len(record.rows) > len(alternatives):
        raise _refused("VF5054", f"input {record.input} is dropped with other alternatives than it has", region)
    entries = []
    for number, (row, alternative) in enumerate(zip(record.rows, alternatives, strict=False)):
        if row == OPEN:
            continue
        named = [asked.rows[item] if item < len(asked.rows) else None for item in record.planes]
        chosen = None if row == CONTRADICTED or row >= len(asked.rows) else asked.rows[row]
        if (row != CONTRADICTED and chosen not in alternative) or any(item not in alternative for item in named):
            raise _refused("VF5054", f"input {record.input} is dropped by a row of another alternative", region)
        entries.append(
            _Entry(record.input, number, alternative, chosen, tuple(item for item in named if item is not None))
        )
    return entries


def _bounds(place: Place, region: Region, inputs: list[int]) -> tuple[Bounder, State, dict[int, int]]:
    """Bounds of the inputs on the region; those of the whole box are kept with the placement."""
    whole = place.root.region
    if not region.cut and (region.lower == whole.lower).all() and (region.upper == whole.upper).all():
        return place.root, place.state, {index: index for index in range(len(place.state.inputs))}
    bounder = Bounder(place.chain, region)
    state = bounder.state(np.array(inputs, dtype=np.int64))
    return bounder, state, {index: place for place, index in enumerate(inputs)}


def _check_plain(claim: Claim, bounder: Bounder, state: State, at: dict[int, int], entries: list[_Entry]) -> None:
    where = np.array([at[entry.input] for entry in entries], dtype=np.int64)
    crossed = np.zeros(len(where), dtype=bool)
    for bounds in state.layers:
        crossed |= np.asarray((bounds.lower > bounds.upper).any(axis=1))[where]
    _demand(entries, crossed | _below(claim, bounder, state, where, entries), bounder.region)


def _check_clipped(claim: Claim, bounder: Bounder, state: State, at: dict[int, int], entries: list[_Entry]) -> None:
    """Entries with equally many rounds go together."""
    for rounds in sorted({len(entry.planes) for entry in entries}):
        group = [entry for entry in entries if len(entry.planes) == rounds]
        own = state.take(np.array([at[entry.input] for entry in group], dtype=np.int64))
        everyone = np.arange(len(group))
        gone = np.zeros(len(group), dtype=bool)
        for layer, bounds in zip(bounder.chain, own.layers, strict=False):
            bounds.lines = layer.lines(bounds.lower, bounds.upper)
        for number in range(rounds):
            rows = _rows(claim, [entry.planes[number] for entry in group])
            planes = bounder.output_rows(own, everyone, rows, np.full(len(group), claim.gap))
            gone |= clip(bounder, own, planes)
        _demand(group, gone | _below(claim, bounder, own, everyone, group), bounder.region)


def _below(claim: Claim, bounder: Bounder, state: State, where: Integers, entries: list[_Entry]) -> NDArray[np.bool_]:
    """Whether the named row of each entry is below zero on the whole region; else, whether any of its rows is."""
    found = np.zeros(len(entries), dtype=bool)
    named = [(number, entry.row) for number, entry in enumerate(entries) if entry.row is not None]
    _mark(claim, bounder, state, where, named, found)
    missing = [(number, pair) for number in np.flatnonzero(~found) for pair in entries[number].alternative]
    _mark(claim, bounder, state, where, missing, found)
    return found


def _mark(
    claim: Claim,
    bounder: Bounder,
    state: State,
    where: Integers,
    tries: list[tuple[int, Pair]],
    found: NDArray[np.bool_],
) -> None:
    if not tries:
        return
    numbers = np.array([number for number, _ in tries], dtype=np.int64)
    rows, gaps = _rows(claim, [pair for _, pair in tries]), np.full(len(tries), claim.gap)
    planes = bounder.output_rows(state, where[numbers], rows, gaps)
    most = np.minimum(
        planes.value + bounder.reach.spread(planes.slope), bounder.output_most(state, where[numbers], rows, gaps)
    )
    found[numbers[most < 0]] = True


def _rows(claim: Claim, pairs: list[Pair]) -> Floats:
    rows = np.zeros((len(pairs), claim.classes))
    at = np.arange(len(pairs))
    rows[at, [first for first, _ in pairs]] = 1.0
    rows[at, [second for _, second in pairs]] = -1.0
    return rows


def _demand(entries: list[_Entry], holds: NDArray[np.bool_], region: Region) -> None:
    if not holds.all():
        entry = entries[int(np.argmin(holds))]
        raise _refused("VF5054", f"input {entry.input} is dropped, but it may still violate there", region)


def _refused(code: str, what: str, region: Region) -> CertificateError:
    widths = region.upper - region.lower
    return CertificateError(
        code,
        f"the proof does not hold: {what}",
        place=f"a domain with widths {', '.join(f'{width:g}' for width in widths[:16])}",
        expected="every drop recomputed, every leaf with fewer inputs than needed, no part of the domain left out",
        remedy="do not trust this certificate; verify the model again",
    )
