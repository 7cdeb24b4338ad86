"""One question's split tree: the halves tile the domain, every recorded drop is recomputed, leaves are counted."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from verifluxa.certificate.check.joint import Open, check_joint
from verifluxa.certificate.check.judge import Entry, Judge, Place, root_region, unproved
from verifluxa.certificate.check.lower import Alternative, Claim
from verifluxa.certificate.check.network import Floats
from verifluxa.certificate.check.region import Region
from verifluxa.certificate.tree_codec import count_leaves
from verifluxa.evidence import CONTRADICTED, OPEN, BoxSplit, Dropped, Node, StripSplit

Fallen = frozenset[tuple[int, int]]
"""(input, number of an alternative) pairs that cannot be met."""


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

    def unknown(self, record: Dropped) -> bool:
        """Whether a record rests on more than is recomputed; branches are numbered otherwise than by the prover."""
        return any(record[4:]) or (self.place.branches and any(record[3:]))


class Checked(NamedTuple):
    """What a tree proves: at most `proved` inputs violate together; `leaves` were counted, `unrechecked` were not."""

    proved: int
    leaves: int
    unrechecked: int = 0


def check_tree(asked: Asked, root: Node) -> Checked:
    """Walks a tree. What an SMT solver closed cannot be decided again here: it is counted as not rechecked.

    Raises:
        CertificateError: VF5054 for a drop that does not follow, VF5055 for a split that leaves something
            out, an open leaf, or one with too many inputs left.
    """
    proved, leaves, unrechecked = 0, 0, 0
    waiting: list[tuple[Node, Region, Fallen]] = [(root, root_region(asked.claim, asked.directions), frozenset())]
    while waiting:
        node, region, fallen = waiting.pop()
        if not isinstance(node.split, BoxSplit | StripSplit | None) or any(map(asked.unknown, node.dropped)):
            # Cases of neurons: not recomputed here, so nothing below is taken on trust.
            unrechecked += count_leaves(node)
            continue
        fallen |= _fallen(asked, node, region)
        if node.split is not None:
            halves = _halves(asked, region, node.split)
            waiting += [(child, half, fallen) for child, half in zip(node.children, halves, strict=True)]
        elif node.smt or node.conflicts:
            unrechecked += 1
        else:
            proved, leaves = max(proved, _left(asked, node, region, fallen)), leaves + 1
    return Checked(proved, leaves, unrechecked)


def _left(asked: Asked, node: Node, region: Region, fallen: Fallen) -> int:
    """The most inputs that can violate together at a leaf, which must be fewer than needed."""
    still: dict[int, dict[int, Alternative]] = {}
    for index, alternatives in asked.alternatives.items():
        for number, item in enumerate(alternatives):
            if (index, number) not in fallen:
                still.setdefault(index, {})[number] = item
    if node.joint is not None:
        judge = Judge(asked.claim, asked.place, region, sorted(still))
        return 0 if judge.empty else check_joint(judge, node, Open(still, asked.rows, asked.need))
    if not node.closed or len(still) >= asked.need:
        raise unproved("VF5055", f"a leaf leaves {len(still)} inputs, {asked.need} are needed", region)
    return len(still)


def _halves(asked: Asked, region: Region, split: BoxSplit | StripSplit) -> tuple[Region, Region]:
    if isinstance(split, StripSplit):
        at = split.direction
        if at >= len(region.directions):
            raise unproved("VF5055", f"a split of strip {at}, which is not stored", region)
        high, low = region.high.copy(), region.low.copy()
        high[at], low[at] = min(high[at], split.cut), max(low[at], split.cut)
        return replace(region, high=high, cut=True), replace(region, low=low, cut=True)
    at = split.coordinate
    if at >= len(region.lower) or not _adjacent(asked.claim, region, split):
        raise unproved("VF5055", f"a split of value {at} does not cover its box", region)
    upper, lower = region.upper.copy(), region.lower.copy()
    upper[at], lower[at] = split.low_end, split.high_start
    return replace(region, upper=upper), replace(region, lower=lower)


def _adjacent(claim: Claim, region: Region, split: BoxSplit) -> bool:
    """Nothing of the grid lies between the halves: neighbouring grid lines, or one point where continuous."""
    low, high = Fraction(split.low_end), Fraction(split.high_start)
    inside = bool(region.lower[split.coordinate] <= low and high <= region.upper[split.coordinate])
    on_grid = not claim.step or (low - Fraction(claim.lower)) % claim.step == 0
    return inside and on_grid and high - low == claim.step


def _fallen(asked: Asked, node: Node, region: Region) -> Fallen:
    """The pairs that the node's records drop, each one recomputed."""
    entries = [entry for record in node.dropped for entry in _entries(asked, record, region)]
    plain, clipped = ([e for e in entries if bool(e.planes or e.slopes) is own] for own in (False, True))
    judge = Judge(asked.claim, asked.place, region, sorted({entry.input for entry in entries}))
    if entries and not judge.empty:
        holds = np.concatenate([judge.plain(plain), judge.clipped(clipped)])
        usable = judge.usable([entry.input for entry in (*plain, *clipped)])
        for why, fine in (("it may still violate there", holds), ("its values might overflow", usable)):
            for at in np.flatnonzero(~fine)[:1]:
                raise unproved("VF5054", f"input {(*plain, *clipped)[at].input} is dropped, but {why}", region)
    return frozenset((entry.input, entry.number) for entry in entries)


def _entries(asked: Asked, record: Dropped, region: Region) -> list[Entry]:
    """What a record says of each alternative; those that it leaves out at the end stay open."""
    alternatives = asked.alternatives.get(record.input)
    if alternatives is None or len(record.rows) > len(alternatives):
        raise unproved("VF5054", f"input {record.input} is dropped with other alternatives than it has", region)
    key = (*record[1:], alternatives)
    if key not in asked.meanings:  # most records of a question say the same of many inputs
        asked.meanings[key] = _meaning(asked, record, alternatives)
    meaning = asked.meanings[key]
    if meaning is None:
        raise unproved("VF5054", f"input {record.input} is dropped by a row of another alternative", region)
    return [Entry(record.input, *entry[1:]) for entry in meaning]


def _meaning(asked: Asked, record: Dropped, alternatives: tuple[Alternative, ...]) -> list[Entry] | None:
    """The entries; None where one names a row of another alternative."""
    planes = tuple(asked.rows[item] if item < len(asked.rows) else None for item in record.planes)
    entries = []
    for number, (row, alternative) in enumerate(zip(record.rows, alternatives, strict=False)):
        if row != OPEN:
            named = None if row == CONTRADICTED or row >= len(asked.rows) else asked.rows[row]
            known = tuple(plane for plane in planes if plane is not None and plane in alternative)
            if (row != CONTRADICTED and named not in alternative) or len(known) < len(planes):
                return None
            entries.append(Entry(record.input, number, alternative, named, known, record.slopes))
    return entries
