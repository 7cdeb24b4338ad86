"""One question's split tree: the halves tile the domain, every recorded drop is recomputed, leaves are counted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from verifluxa.certificate.check.joint import Open, check_joint
from verifluxa.certificate.check.judge import Entry, Judge, Place, refused
from verifluxa.certificate.check.linear import Floats
from verifluxa.certificate.check.lower import Alternative, Claim, Pair
from verifluxa.certificate.check.region import Region
from verifluxa.evidence import CONTRADICTED, OPEN, BoxSplit, Dropped, Node, Split

WIDER = 1.01


@dataclass(frozen=True, eq=False)
class Asked:
    """One question: alternatives of each input of its selection, and the rows that the evidence numbers."""

    alternatives: dict[int, tuple[Alternative, ...]]
    need: int
    rows: tuple[Pair | None, ...]
    directions: Floats


@dataclass(frozen=True)
class Checked:
    """What a tree proves: at most `proved` inputs violate together; `leaves` were counted, `unrechecked` were not."""

    proved: int
    leaves: int
    unrechecked: int = 0


@dataclass(frozen=True, eq=False)
class _Visit:
    """A node with its region and what fell above it: (input, alternative) pairs."""

    node: Node
    region: Region
    fallen: frozenset[tuple[int, int]]


def root_region(claim: Claim, directions: Floats) -> Region:
    """The whole domain of the trigger; strips begin a little wider than the box reaches, and cut nothing."""
    size = claim.positions.shape[1]
    lower, upper = np.full(size, claim.lower), np.full(size, claim.upper)
    middle = directions @ (lower + upper) / 2
    extent = np.abs(directions) @ (upper - lower) / 2 * WIDER + 1e-6
    return Region(lower, upper, directions, middle - extent, middle + extent)


def check_tree(claim: Claim, place: Place, asked: Asked, root: Node) -> Checked:
    """Walks a tree. What an SMT solver closed cannot be decided again here: it is counted as not rechecked.

    Raises:
        CertificateError: VF5054 for a drop that does not follow, VF5055 for a split that leaves something
            out, an open leaf, or one with too many inputs left.
    """
    proved, leaves, unrechecked = 0, 0, 0
    waiting = [_Visit(root, root_region(claim, asked.directions), frozenset())]
    while waiting:
        visit = waiting.pop()
        fallen = visit.fallen | _fallen(claim, place, asked, visit)
        if visit.node.split is not None:
            halves = _halves(visit.region, visit.node.split, claim)
            waiting += [_Visit(n, half, fallen) for n, half in zip(visit.node.children, halves, strict=True)]
            continue
        if visit.node.smt:
            unrechecked += 1
            continue
        proved, leaves = max(proved, _left(claim, place, asked, visit, fallen)), leaves + 1
    return Checked(proved, leaves, unrechecked)


def _left(claim: Claim, place: Place, asked: Asked, visit: _Visit, fallen: frozenset[tuple[int, int]]) -> int:
    """The most inputs that can violate together at a leaf, which must be fewer than needed."""
    still = {
        index: {number: item for number, item in enumerate(alternatives) if (index, number) not in fallen}
        for index, alternatives in asked.alternatives.items()
    }
    still = {index: alternatives for index, alternatives in still.items() if alternatives}
    if visit.node.joint is not None:
        judge = Judge(claim, place, visit.region, sorted(still))
        return 0 if judge.empty else check_joint(judge, visit.node, Open(still, asked.rows, asked.need))
    if not visit.node.closed or len(still) >= asked.need:
        raise refused("VF5055", f"a leaf leaves {len(still)} inputs, {asked.need} are needed", visit.region)
    return len(still)


def _halves(region: Region, split: Split, claim: Claim) -> tuple[Region, Region]:
    if isinstance(split, BoxSplit):
        at = split.coordinate
        if at >= len(region.lower) or not _adjacent(region, split, claim):
            raise refused("VF5055", f"a split of value {at} does not cover its box", region)
        upper, lower = region.upper.copy(), region.lower.copy()
        upper[at], lower[at] = split.low_end, split.high_start
        return replace(region, upper=upper), replace(region, lower=lower)
    if split.direction >= len(region.directions):
        raise refused("VF5055", f"a split of strip {split.direction}, which is not stored", region)
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
    if not visit.node.dropped:
        return frozenset()
    plain: list[Entry] = []
    clipped: list[Entry] = []
    for record in visit.node.dropped:
        (clipped if record.planes else plain).extend(_entries(asked, record, visit.region))
    judge = Judge(claim, place, visit.region, sorted({record.input for record in visit.node.dropped}))
    if not judge.empty:
        for entries, holds in ((plain, judge.plain(plain)), (clipped, judge.clipped(clipped))):
            _demand(judge, entries, holds)
    return frozenset((entry.input, entry.number) for entry in (*plain, *clipped))


def _demand(judge: Judge, entries: list[Entry], holds: NDArray[np.bool_]) -> None:
    for entry, held in zip(entries, holds, strict=True):
        if not held:
            raise refused("VF5054", f"input {entry.input} is dropped, but it may still violate there", judge.region)
        if not judge.usable(entry.input):
            raise refused("VF5054", f"input {entry.input} is dropped, but its values might overflow", judge.region)


def _entries(asked: Asked, record: Dropped, region: Region) -> list[Entry]:
    """What a record says of each alternative; those that it leaves out at the end stay open."""
    alternatives = asked.alternatives.get(record.input)
    if alternatives is None or len(record.rows) > len(alternatives):
        raise refused("VF5054", f"input {record.input} is dropped with other alternatives than it has", region)
    planes = [asked.rows[item] if item < len(asked.rows) else None for item in record.planes]
    entries = []
    for number, (row, alternative) in enumerate(zip(record.rows, alternatives, strict=False)):
        if row == OPEN:
            continue
        named = None if row == CONTRADICTED or row >= len(asked.rows) else asked.rows[row]
        if (row != CONTRADICTED and named not in alternative) or any(pair not in alternative for pair in planes):
            raise refused("VF5054", f"input {record.input} is dropped by a row of another alternative", region)
        known = tuple(pair for pair in planes if pair is not None)
        entries.append(Entry(record.input, number, alternative, named, known))
    return entries
