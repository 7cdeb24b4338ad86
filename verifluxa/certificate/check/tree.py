"""One question's split tree: the halves tile the domain, every recorded drop is recomputed, leaves are counted."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from verifluxa.certificate.check.bounds import Sign
from verifluxa.certificate.check.joint import Open, check_joint
from verifluxa.certificate.check.judge import Asked, Entry, Judge, Part, root_region, unproved
from verifluxa.certificate.check.lower import Alternative
from verifluxa.certificate.check.region import Region
from verifluxa.evidence import CONTRADICTED, OPEN, Dropped, NeuronSplit, Node, Split, StripSplit

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
    waiting: list[tuple[Node, Part, Fallen]] = [(root, Part(root_region(asked.claim, asked.directions)), frozenset())]
    while waiting:
        node, part, fallen = waiting.pop()
        fallen |= _fallen(asked, node, part)
        if node.split is not None:
            halves = _halves(asked, part, node.split)
            waiting += [(child, half, fallen) for child, half in zip(node.children, halves, strict=True)]
        elif node.smt or node.conflicts:
            unrechecked += 1
        else:
            proved, leaves = max(proved, _left(asked, node, part, fallen)), leaves + 1
    return Checked(proved, leaves, unrechecked)


def _left(asked: Asked, node: Node, part: Part, fallen: Fallen) -> int:
    """The most inputs that can violate together at a leaf, which must be fewer than needed."""
    still: Open = {}
    for index, alternatives in asked.alternatives.items():
        for number, item in enumerate(alternatives):
            if (index, number) not in fallen:
                still.setdefault(index, {})[number] = item
    if node.joint is not None:
        judge = Judge(asked.claim, asked.place, part, sorted(still))
        return 0 if judge.bounder.region.is_empty else check_joint(asked, judge, node, still)
    if not node.closed or len(still) >= asked.need:
        raise unproved("VF5055", f"a leaf leaves {len(still)} inputs, {asked.need} are needed", part.region)
    return len(still)


def _halves(asked: Asked, part: Part, split: Split) -> tuple[Part, Part]:
    """Both halves: those of a strip meet, nothing of the grid lies between those of a box, a value has some sign."""
    claim, region = asked.claim, part.region
    if isinstance(split, NeuronSplit):
        neuron = asked.place.neuron(split.layer, split.neuron)
        if neuron is None:
            raise unproved(
                "VF5055", f"a split of neuron {split.neuron} of layer {split.layer}, which bends not", region
            )
        low, high = (Sign(split.input, *neuron, positive) for positive in (False, True))
        return part._replace(signs=(*part.signs, low)), part._replace(signs=(*part.signs, high))
    if isinstance(split, StripSplit):
        if split.direction >= len(region.directions):
            raise unproved("VF5055", f"a split of strip {split.direction}, which is not stored", region)
        at = np.arange(len(region.directions)) == split.direction
        first = replace(region, high=np.where(at, np.minimum(region.high, split.cut), region.high), cut=True)
        second = replace(region, low=np.where(at, np.maximum(region.low, split.cut), region.low), cut=True)
        return part._replace(region=first), part._replace(region=second)
    at, low_end, high_start = (
        np.arange(len(region.lower)) == split.coordinate,
        Fraction(split.low_end),
        Fraction(split.high_start),
    )
    inside = at.any() and region.lower[at][0] <= low_end and high_start <= region.upper[at][0]
    on_grid = not claim.step or (low_end - Fraction(claim.lower)) % claim.step == 0
    if not (inside and on_grid and high_start - low_end == claim.step):
        raise unproved("VF5055", f"a split of value {split.coordinate} does not cover its box", region)
    first = replace(region, upper=np.where(at, split.low_end, region.upper))
    second = replace(region, lower=np.where(at, split.high_start, region.lower))
    return part._replace(region=first), part._replace(region=second)


def _fallen(asked: Asked, node: Node, part: Part) -> Fallen:
    """The pairs that the node's records drop, each one recomputed."""
    region = part.region
    entries = [entry for record in node.dropped for entry in _entries(asked, record, region)]
    judge = Judge(asked.claim, asked.place, part, sorted({entry.input for entry in entries}))
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
        asked.meanings[key] = _meaning(asked, record, alternatives, region)
    return [Entry(record.input, *entry[1:]) for entry in asked.meanings[key]]


def _meaning(asked: Asked, record: Dropped, alternatives: tuple[Alternative, ...], region: Region) -> list[Entry]:
    entries = []
    for number, (row, alternative) in enumerate(zip(record.rows, alternatives, strict=False)):
        if row != OPEN:
            named, planes = asked.row(row), asked.rows_of(record.planes, alternative)
            if planes is None or (row != CONTRADICTED and named not in alternative):
                what = f"input {record.input} is dropped by a row of another alternative"
                raise unproved("VF5054", what, region)
            entries.append(Entry(record.input, number, named, planes, record.slopes, record.pushes))
    return entries
