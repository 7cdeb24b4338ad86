"""One question's split tree: the halves tile the domain, every recorded drop is recomputed, leaves are counted."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import chain, count
from typing import Any

import numpy as np

from verifluxa.certificate.check.bound_checker import (
    MOST_VALUES,
    BoundChecker,
    DisjunctCheck,
    KnownBounds,
    NodeCheck,
    QuestionCheck,
    Subdomain,
    unproved,
    whole_domain,
)
from verifluxa.certificate.check.bounds import Sign
from verifluxa.certificate.check.claim import Alternative
from verifluxa.certificate.check.conflicts import check_conflicts
from verifluxa.certificate.check.joint import check_joints, clips_of, hand_down
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


def check_trees(questions: Sequence[tuple[QuestionCheck, Node]], tally: Tally) -> list[int]:
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
    walks = [_checks(question, root, number, len(questions)) for number, (question, root) in enumerate(questions)]
    # The bounds of the whole domain do not depend on the question.
    batches = _batches(next(walk) for walk in walks)
    proved = [most for roots in batches for most in _checked(roots, tally, at_roots=True)]
    below = ([most for checks in _batches(walk) for most in _checked(checks, tally)] for walk in walks)
    return [max([own, *rest]) for own, rest in zip(proved, below, strict=True)]


def _checks(question: QuestionCheck, root: Node, top: int, first: int) -> Iterator[NodeCheck]:
    """Every node after its parent, the root first; level by level, unless too many wait with ends from above.

    Args:
        top: the number of the root.
        first: that of the first node below it.
    """
    whole = whole_domain(question.claim, question.directions)
    waiting: deque[tuple[Node, Subdomain, Fallen, int, KnownBounds]] = deque([(root, whole, (), -1, {})])
    numbers, size = chain([top], count(first)), question.placement.size * sum(map(len, question.alternatives.values()))
    while waiting:
        at, from_either = next(numbers), waiting.popleft if len(waiting) * size <= MOST_HELD else waiting.pop
        node, subdomain, fallen, above, known = from_either()
        drops = [entry for record in node.dropped for entry in _entries(question, record, subdomain, at)]
        fallen = (*fallen, _falling(drops, fallen, subdomain)) if drops else fallen
        left: Left = {}
        if node.split is None or node.clips or isinstance(node.split, InputSplit):
            gone = frozenset().union(*fallen)
            for index, alternatives in question.alternatives.items():
                for number, item in enumerate(alternatives):
                    if (index, number) not in gone:
                        left.setdefault(index, {})[number] = item
        subdomains = [] if node.split is None else _child_subdomains(question, subdomain, fallen, left, node.split)
        # Halves are given the same ends.
        for_children: tuple[KnownBounds, ...] = (
            tuple({} for _ in subdomains) if isinstance(node.split, InputSplit) else ({},) * len(subdomains)
        )
        for child, (half, below), own in zip(node.children, subdomains, for_children, strict=True):
            given = (-1, {}) if child.anew else (at, own) if node.clips else (above, known)
            waiting.append((child, half, below, *given))
        yield NodeCheck(question, at, node, subdomain, drops, left, above, known, for_children)


def _falling(drops: Sequence[DisjunctCheck], fallen: Fallen, subdomain: Subdomain) -> frozenset[tuple[int, int]]:
    """What falls at a node, once on its path: so nothing makes a node longer than the question is."""
    falling = frozenset((entry.input, entry.number) for entry in drops)
    if len(falling) < len(drops) or not all(falling.isdisjoint(above) for above in fallen):
        raise unproved("VF5054", "an alternative of an input falls twice", subdomain)
    return falling


def _batches(checks: Iterator[NodeCheck]) -> Iterator[list[NodeCheck]]:
    """As many together as fit memory, none with the one above whose ends it starts from."""
    batch: list[NodeCheck] = []
    values = 0
    for check in checks:
        if batch and (values >= MOST_VALUES or check.above >= batch[0].at):
            yield batch
            batch, values = [], 0
        batch.append(check)
        copies = len(check.for_children) if isinstance(check.node.split, InputSplit) else 1
        values += check.question.placement.size * (1 + len(check.drops) + copies * len(check.node.clips))
    if batch:
        yield batch


def _checked(checks: Sequence[NodeCheck], tally: Tally, at_roots: bool = False) -> list[int]:
    """Recomputes what falls at some nodes, and what their leaves rest on; the most inputs that can violate at each."""
    checker = BoundChecker(checks, at_roots)
    some = [check for check, empty in zip(checks, checker.bounder.regions.is_empty, strict=True) if not empty]
    drops = [entry for check in some for entry in check.drops]
    handed = [entry for check in some if check.node.split is not None for entry in clips_of(check)]
    clips = [entry for check in some if check.joint is not None for entry in clips_of(check)]
    found = checker.examine([*drops, *handed, *clips], len(drops))
    for k in np.flatnonzero(~found.gone[: len(drops)])[:1]:
        what = f"input {drops[k].input} is dropped, but it may still violate there"
        raise unproved("VF5054", what, checker.subdomains[drops[k].at - checker.first])
    closed = check_joints(checker, some, [*handed, *clips], found)
    hand_down(checker, [check for check in some if check.node.split is not None], handed, found, len(drops))
    proved = []
    for check in checks:
        most = closed.get(check.at, 0)
        if check.node.shared or isinstance(check.node.split, InputSplit):  # what falls below may not fall elsewhere
            most = max(most, check.question.threshold - 1)
        if check.node.split is None:
            left = _most(checker, check)
            tally.unrechecked, tally.leaves = tally.unrechecked + (left is None), tally.leaves + (left is not None)
            most = max(most, left or 0)
        proved.append(most)
    return proved


def _most(checker: BoundChecker, leaf: NodeCheck) -> int | None:
    """The most inputs that can violate together at a leaf that is not closed jointly; None where nobody can say."""
    if isinstance(leaf.node.step, Unrecorded | JointClosing):
        return None if isinstance(leaf.node.step, Unrecorded) else 0
    if isinstance(leaf.node.step, Conflicts):
        return check_conflicts(checker, leaf, leaf.node.step)
    threshold = leaf.question.threshold
    if leaf.node.step is None or (len(leaf.left) >= threshold and leaf.left.keys() >= set(leaf.subdomain.must)):
        what = f"a leaf leaves {len(leaf.left)} inputs, {threshold} are needed"
        raise unproved("VF5055", what, leaf.subdomain)
    return min(len(leaf.left), threshold - 1)


def _child_subdomains(
    question: QuestionCheck, subdomain: Subdomain, fallen: Fallen, left: Left, split: Partition
) -> list[tuple[Subdomain, Fallen]]:
    """The children's subdomains and what has been dropped there: halves, or cases of the first input to violate.

    Raises:
        CertificateError: VF5055 where something is left out: as many inputs as are needed, none of which has a case.
    """
    if not isinstance(split, InputSplit):
        return [(half, fallen) for half in _halves(question, subdomain, split)]
    inputs = [index for index, _ in split.cases]
    if len(left.keys() - set(inputs)) >= question.threshold:
        raise unproved("VF5055", f"{len(left)} inputs are left, and cases are made of {len(inputs)}", subdomain)
    subdomains = []
    for index in inputs:
        subdomains.append((subdomain._replace(must=(*subdomain.must, index)), fallen))
        fallen = (*fallen, frozenset((index, number) for number in left.get(index, ())))
    return subdomains


def _halves(
    question: QuestionCheck, subdomain: Subdomain, split: BoxSplit | SlabSplit | NeuronSplit
) -> tuple[Subdomain, Subdomain]:
    """Both halves: those of a strip meet, nothing of the grid lies between those of a box, a value has some sign."""
    claim = question.claim
    if isinstance(split, NeuronSplit):
        neuron = question.placement.neuron(split.layer, split.neuron)
        if neuron is None:
            what = f"a split of neuron {split.neuron} of layer {split.layer}, which is not a neuron of the network"
            raise unproved("VF5055", what, subdomain)
        low, high = (Sign(split.input, *neuron, positive) for positive in (False, True))
        return subdomain._replace(signs=(*subdomain.signs, low)), subdomain._replace(signs=(*subdomain.signs, high))
    if isinstance(split, SlabSplit):
        if split.direction >= len(subdomain.low):
            raise unproved("VF5055", f"a split of strip {split.direction}, which is not stored", subdomain)
        at = np.arange(len(subdomain.low)) == split.direction
        below, above = np.minimum(subdomain.high, split.cut), np.maximum(subdomain.low, split.cut)
        return subdomain._replace(high=np.where(at, below, subdomain.high)), subdomain._replace(
            low=np.where(at, above, subdomain.low)
        )
    at, low_end, high_start = (
        np.arange(len(subdomain.lower)) == split.coordinate,
        Fraction(split.low_end),
        Fraction(split.high_start),
    )
    inside = at.any() and subdomain.lower[at][0] <= low_end and high_start <= subdomain.upper[at][0]
    on_grid = not claim.step or (low_end - Fraction(claim.lower)) % claim.step == 0
    if not (inside and on_grid and high_start - low_end == claim.step):
        raise unproved("VF5055", f"a split of value {split.coordinate} does not cover its box", subdomain)
    upper, lower = np.where(at, split.low_end, subdomain.upper), np.where(at, split.high_start, subdomain.lower)
    return subdomain._replace(upper=upper), subdomain._replace(lower=lower)


def _entries(question: QuestionCheck, record: PrunedDisjunct, subdomain: Subdomain, at: int) -> list[DisjunctCheck]:
    """What a record says of each alternative; those that it leaves out at the end stay open."""
    alternatives = question.alternatives.get(record.input, ())
    if not alternatives or len(record.rows) > len(alternatives):
        raise unproved("VF5054", f"input {record.input} is dropped with other alternatives than it has", subdomain)
    key = (*record[1:], alternatives)
    if key not in question.meanings:  # most records of a question say the same of many inputs
        question.meanings[key] = list(_meanings(question, record, alternatives, subdomain))
    return [DisjunctCheck(at, record.input, *meaning) for meaning in question.meanings[key]]


def _meanings(
    question: QuestionCheck, record: PrunedDisjunct, alternatives: tuple[Alternative, ...], subdomain: Subdomain
) -> Iterator[Any]:
    for number, (row, alternative) in enumerate(zip(record.rows, alternatives, strict=False)):
        if row != OPEN:
            named, planes = question.row(row), question.rows_of(record.planes, alternative)
            if planes is None or (row != CONTRADICTED and named not in alternative):
                what = f"input {record.input} is dropped by a row of another alternative"
                raise unproved("VF5054", what, subdomain)
            yield number, named, planes, record.slopes, record.betas
