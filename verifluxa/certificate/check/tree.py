"""One question's split tree: the halves tile the domain, every recorded drop is recomputed, leaves are counted."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from verifluxa.certificate.check.joint import Open, check_joint
from verifluxa.certificate.check.judge import Asked, Entry, Judge, root_region, unproved
from verifluxa.certificate.check.lower import Alternative, Claim
from verifluxa.certificate.check.region import Region
from verifluxa.certificate.tree_codec import count_leaves
from verifluxa.evidence import CONTRADICTED, OPEN, BoxSplit, Dropped, NeuronSplit, Node, StripSplit

Fallen = frozenset[tuple[int, int]]
"""(input, number of an alternative) pairs that cannot be met."""


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
        if isinstance(node.split, NeuronSplit) or any(record.pushes for record in node.dropped):
            # Cases of neurons: not recomputed here, so nothing below is taken on trust.
            unrechecked += count_leaves(node)
            continue
        fallen |= _fallen(asked, node, region)
        if node.split is not None:
            halves = _halves(asked.claim, region, node.split)
            waiting += [(child, half, fallen) for child, half in zip(node.children, halves, strict=True)]
        elif node.smt or node.conflicts:
            unrechecked += 1
        else:
            proved, leaves = max(proved, _left(asked, node, region, fallen)), leaves + 1
    return Checked(proved, leaves, unrechecked)


def _left(asked: Asked, node: Node, region: Region, fallen: Fallen) -> int:
    """The most inputs that can violate together at a leaf, which must be fewer than needed."""
    still: Open = {}
    for index, alternatives in asked.alternatives.items():
        for number, item in enumerate(alternatives):
            if (index, number) not in fallen:
                still.setdefault(index, {})[number] = item
    if node.joint is not None:
        judge = Judge(asked.claim, asked.place, region, sorted(still))
        return 0 if judge.bounder.region.is_empty else check_joint(asked, judge, node, still)
    if not node.closed or len(still) >= asked.need:
        raise unproved("VF5055", f"a leaf leaves {len(still)} inputs, {asked.need} are needed", region)
    return len(still)


def _halves(claim: Claim, region: Region, split: BoxSplit | StripSplit) -> tuple[Region, Region]:
    """Both halves: those of a strip meet, and nothing of the grid lies between those of a box."""
    if isinstance(split, StripSplit):
        if split.direction >= len(region.directions):
            raise unproved("VF5055", f"a split of strip {split.direction}, which is not stored", region)
        at = np.arange(len(region.directions)) == split.direction
        high = np.where(at, np.minimum(region.high, split.cut), region.high)
        low = np.where(at, np.maximum(region.low, split.cut), region.low)
        return replace(region, high=high, cut=True), replace(region, low=low, cut=True)
    at, low_end, high_start = (
        np.arange(len(region.lower)) == split.coordinate,
        Fraction(split.low_end),
        Fraction(split.high_start),
    )
    inside = at.any() and region.lower[at][0] <= low_end and high_start <= region.upper[at][0]
    on_grid = not claim.step or (low_end - Fraction(claim.lower)) % claim.step == 0
    if not (inside and on_grid and high_start - low_end == claim.step):
        raise unproved("VF5055", f"a split of value {split.coordinate} does not cover its box", region)
    upper, lower = np.where(at, split.low_end, region.upper), np.where(at, split.high_start, region.lower)
    return replace(region, upper=upper), replace(region, lower=lower)


def _fallen(asked: Asked, node: Node, region: Region) -> Fallen:
    """The pairs that the node's records drop, each one recomputed."""
    entries = [entry for record in node.dropped for entry in _entries(asked, record, region)]
    judge = Judge(asked.claim, asked.place, region, sorted({entry.input for entry in entries}))
    if entries and not judge.bounder.region.is_empty:
        usable = judge.usable([entry.input for entry in entries])
        for why, fine in (("it may still violate there", judge.falls(entries)), ("its values might overflow", usable)):
            for at in np.flatnonzero(~fine)[:1]:
                raise unproved("VF5054", f"input {entries[at].input} is dropped, but {why}", region)
    return frozenset((entry.input, entry.number) for entry in entries)


def _entries(asked: Asked, record: Dropped, region: Region) -> list[Entry]:
    """What a record says of each alternative; those that it leaves out at the end stay open."""
    alternatives = asked.alternatives.get(record.input, ())
    if not alternatives or len(record.rows) > len(alternatives):
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
    planes = tuple(map(asked.row, record.planes))
    entries = []
    for number, (row, alternative) in enumerate(zip(record.rows, alternatives, strict=False)):
        if row != OPEN:
            named = asked.row(row)
            known = tuple(plane for plane in planes if plane is not None and plane in alternative)
            if (row != CONTRADICTED and named not in alternative) or len(known) < len(planes):
                return None
            entries.append(Entry(record.input, number, alternative, named, known, record.slopes))
    return entries
