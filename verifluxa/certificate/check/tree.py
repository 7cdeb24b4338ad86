"""One question's split tree: the halves tile the domain, every recorded drop is recomputed, leaves are counted."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import chain, count
from typing import Any

import numpy as np

from verifluxa.certificate.check.bounds import Sign
from verifluxa.certificate.check.conflicts import check_conflicts
from verifluxa.certificate.check.joint import check_joints, clips_of, hand_down
from verifluxa.certificate.check.judge import MOST_VALUES, Asked, Entry, Judge, Known, Part, Visit, unproved, whole_part
from verifluxa.certificate.check.lower import Alternative
from verifluxa.certificate.check.report import Tally
from verifluxa.evidence import (
    CONTRADICTED,
    OPEN,
    BoxSplit,
    Conflicts,
    InputSplit,
    JointClosing,
    NeuronSplit,
    Node,
    Partition,
    PrunedDisjunct,
    SlabSplit,
    Unrecorded,
)

Left = dict[int, dict[int, Alternative]]
Fallen = tuple[frozenset[tuple[int, int]], ...]
"""(input, number of an alternative) pairs that cannot be met, node by node from the root."""
MOST_HELD = 1 << 26
"""Values whose ends the nodes that wait may hold, before the walk goes on with those that came last."""


def check_trees(questions: Sequence[tuple[Asked, Node]], tally: Tally) -> list[int]:
    """Walks trees. What an SMT solver closed cannot be decided again here: it is counted as not rechecked.

    Args:
        questions: about one placement, each with the root of its tree; roots are judged together.
        tally: counts the leaves.

    Returns:
        Of each the most inputs that violate together, as far as it was recomputed.

    Raises:
        CertificateError: VF5054 for a drop that does not follow, VF5055 for a split that leaves something
            out, an open leaf, or one with too many inputs left.
    """
    walks = [_visits(asked, root, number, len(questions)) for number, (asked, root) in enumerate(questions)]
    # The bounds of the whole domain do not depend on the question.
    batches = _batches(next(walk) for walk in walks)
    proved = [most for roots in batches for most in _judged(roots, tally, at_roots=True)]
    below = ([most for visits in _batches(walk) for most in _judged(visits, tally)] for walk in walks)
    return [max([own, *rest]) for own, rest in zip(proved, below, strict=True)]


def _visits(asked: Asked, root: Node, top: int, first: int) -> Iterator[Visit]:
    """Every node after its parent, the root first; level by level, unless too many wait with ends from above.

    Args:
        top: the number of the root.
        first: that of the first node below it.
    """
    whole = whole_part(asked.claim, asked.directions)
    waiting: deque[tuple[Node, Part, Fallen, int, Known]] = deque([(root, whole, (), -1, {})])
    numbers, size = chain([top], count(first)), asked.place.size * sum(map(len, asked.alternatives.values()))
    while waiting:
        at, from_either = next(numbers), waiting.popleft if len(waiting) * size <= MOST_HELD else waiting.pop
        node, part, fallen, above, known = from_either()
        drops = [entry for record in node.dropped for entry in _entries(asked, record, part, at)]
        fallen = (*fallen, _falling(drops, fallen, part)) if drops else fallen
        left: Left = {}
        if node.split is None or node.clips or isinstance(node.split, InputSplit):
            gone = frozenset().union(*fallen)
            for index, alternatives in asked.alternatives.items():
                for number, item in enumerate(alternatives):
                    if (index, number) not in gone:
                        left.setdefault(index, {})[number] = item
        parts = [] if node.split is None else _parts(asked, (part, fallen), left, node.split)
        # Halves are given the same ends.
        ends: tuple[Known, ...] = tuple({} for _ in parts) if isinstance(node.split, InputSplit) else ({},) * len(parts)
        for child, (half, below), own in zip(node.children, parts, ends, strict=True):
            given = (-1, {}) if child.anew else (at, own) if node.clips else (above, known)
            waiting.append((child, half, below, *given))
        yield Visit(asked, at, node, part, drops, left, above, known, ends)


def _falling(drops: Sequence[Entry], fallen: Fallen, part: Part) -> frozenset[tuple[int, int]]:
    """What falls at a node, once on its path: so nothing makes a node longer than the question is."""
    falling = frozenset((entry.input, entry.number) for entry in drops)
    if len(falling) < len(drops) or not all(falling.isdisjoint(above) for above in fallen):
        raise unproved("VF5054", "an alternative of an input falls twice", part)
    return falling


def _batches(visits: Iterator[Visit]) -> Iterator[list[Visit]]:
    """As many together as fit memory, none with the one above whose ends it starts from."""
    batch: list[Visit] = []
    values = 0
    for visit in visits:
        if batch and (values >= MOST_VALUES or visit.above >= batch[0].at):
            yield batch
            batch, values = [], 0
        batch.append(visit)
        copies = len(visit.ends) if isinstance(visit.node.split, InputSplit) else 1
        values += visit.asked.place.size * (1 + len(visit.drops) + copies * len(visit.node.clips))
    if batch:
        yield batch


def _judged(visits: Sequence[Visit], tally: Tally, at_roots: bool = False) -> list[int]:
    """Recomputes what falls at some nodes, and what their leaves rest on; the most inputs that can violate at each."""
    judge = Judge(visits, at_roots)
    some = [visit for visit, empty in zip(visits, judge.bounder.regions.is_empty, strict=True) if not empty]
    drops = [entry for visit in some for entry in visit.drops]
    handed = [entry for visit in some if visit.node.split is not None for entry in clips_of(visit)]
    clips = [entry for visit in some if visit.joint is not None for entry in clips_of(visit)]
    found = judge.examine([*drops, *handed, *clips], len(drops))
    for k in np.flatnonzero(~found.gone[: len(drops)])[:1]:
        what = f"input {drops[k].input} is dropped, but it may still violate there"
        raise unproved("VF5054", what, judge.parts[drops[k].at - judge.first])
    closed = check_joints(judge, some, [*handed, *clips], found)
    hand_down(judge, [visit for visit in some if visit.node.split is not None], handed, found, len(drops))
    proved = []
    for visit in visits:
        most = closed.get(visit.at, 0)
        if visit.node.shared or isinstance(visit.node.split, InputSplit):  # what falls below may not fall elsewhere
            most = max(most, visit.asked.need - 1)
        if visit.node.split is None:
            left = _most(judge, visit)
            tally.unrechecked, tally.leaves = tally.unrechecked + (left is None), tally.leaves + (left is not None)
            most = max(most, left or 0)
        proved.append(most)
    return proved


def _most(judge: Judge, leaf: Visit) -> int | None:
    """The most inputs that can violate together at a leaf that is not closed jointly; None where nobody can say."""
    if isinstance(leaf.node.step, Unrecorded | JointClosing):
        return None if isinstance(leaf.node.step, Unrecorded) else 0
    if isinstance(leaf.node.step, Conflicts):
        return check_conflicts(judge, leaf, leaf.node.step)
    need = leaf.asked.need
    if leaf.node.step is None or (len(leaf.left) >= need and leaf.left.keys() >= set(leaf.part.must)):
        what = f"a leaf leaves {len(leaf.left)} inputs, {need} are needed"
        raise unproved("VF5055", what, leaf.part)
    return min(len(leaf.left), need - 1)


def _parts(asked: Asked, at: tuple[Part, Fallen], left: Left, split: Partition) -> list[tuple[Part, Fallen]]:
    """The children's parts and what has fallen there: halves, or cases of which input is the first to violate.

    Raises:
        CertificateError: VF5055 where something is left out: as many inputs as are needed, none of which has a case.
    """
    part, fallen = at
    if not isinstance(split, InputSplit):
        return [(half, fallen) for half in _halves(asked, part, split)]
    inputs = [index for index, _ in split.cases]
    if len(left.keys() - set(inputs)) >= asked.need:
        raise unproved("VF5055", f"{len(left)} inputs are left, and cases are made of {len(inputs)}", part)
    parts = []
    for index in inputs:
        parts.append((part._replace(must=(*part.must, index)), fallen))
        fallen = (*fallen, frozenset((index, number) for number in left.get(index, ())))
    return parts


def _halves(asked: Asked, part: Part, split: BoxSplit | SlabSplit | NeuronSplit) -> tuple[Part, Part]:
    """Both halves: those of a strip meet, nothing of the grid lies between those of a box, a value has some sign."""
    claim = asked.claim
    if isinstance(split, NeuronSplit):
        neuron = asked.place.neuron(split.layer, split.neuron)
        if neuron is None:
            what = f"a split of neuron {split.neuron} of layer {split.layer}, which bends not"
            raise unproved("VF5055", what, part)
        low, high = (Sign(split.input, *neuron, positive) for positive in (False, True))
        return part._replace(signs=(*part.signs, low)), part._replace(signs=(*part.signs, high))
    if isinstance(split, SlabSplit):
        if split.direction >= len(part.low):
            raise unproved("VF5055", f"a split of strip {split.direction}, which is not stored", part)
        at = np.arange(len(part.low)) == split.direction
        below, above = np.minimum(part.high, split.cut), np.maximum(part.low, split.cut)
        return part._replace(high=np.where(at, below, part.high)), part._replace(low=np.where(at, above, part.low))
    at, low_end, high_start = (
        np.arange(len(part.lower)) == split.coordinate,
        Fraction(split.low_end),
        Fraction(split.high_start),
    )
    inside = at.any() and part.lower[at][0] <= low_end and high_start <= part.upper[at][0]
    on_grid = not claim.step or (low_end - Fraction(claim.lower)) % claim.step == 0
    if not (inside and on_grid and high_start - low_end == claim.step):
        raise unproved("VF5055", f"a split of value {split.coordinate} does not cover its box", part)
    upper, lower = np.where(at, split.low_end, part.upper), np.where(at, split.high_start, part.lower)
    return part._replace(upper=upper), part._replace(lower=lower)


def _entries(asked: Asked, record: PrunedDisjunct, part: Part, at: int) -> list[Entry]:
    """What a record says of each alternative; those that it leaves out at the end stay open."""
    alternatives = asked.alternatives.get(record.input, ())
    if not alternatives or len(record.rows) > len(alternatives):
        raise unproved("VF5054", f"input {record.input} is dropped with other alternatives than it has", part)
    key = (*record[1:], alternatives)
    if key not in asked.meanings:  # most records of a question say the same of many inputs
        asked.meanings[key] = list(_meanings(asked, record, alternatives, part))
    return [Entry(at, record.input, *meaning) for meaning in asked.meanings[key]]


def _meanings(asked: Asked, record: PrunedDisjunct, alternatives: tuple[Alternative, ...], part: Part) -> Iterator[Any]:
    for number, (row, alternative) in enumerate(zip(record.rows, alternatives, strict=False)):
        if row != OPEN:
            named, planes = asked.row(row), asked.rows_of(record.planes, alternative)
            if planes is None or (row != CONTRADICTED and named not in alternative):
                what = f"input {record.input} is dropped by a row of another alternative"
                raise unproved("VF5054", what, part)
            yield number, named, planes, record.slopes, record.betas
