"""Cases of one claim that start from clipped bounds: where the claim is met, a sum of planes of its rows is >= 0.

Level by level: the planes of a case stand on what it starts from, those of a leaf refute it, and those of a split clip
what both of its cases start from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from verifluxa.certificate.check.bound_checker import MOST_VALUES, BoundChecker, DisjunctCheck, Subdomain, unproved
from verifluxa.certificate.check.bounds import Sign, State
from verifluxa.certificate.check.functions import Floats
from verifluxa.certificate.check.network import Integers
from verifluxa.certificate.check.region import EACH, MARGIN, LinearBounds, sure
from verifluxa.evidence import Case

LEAST = 2.0**-1022
"""More than a product below the normal numbers can lose."""
Plane = tuple[DisjunctCheck, int, float]
"""What it is about, its row, its weight."""
Node = tuple[Case, tuple[Sign, ...]]
Read = Callable[[Node], Sequence[Plane]]


def clips(case: Case) -> bool:
    """Whether some split of a tree has planes."""
    return case.split is not None and (bool(case.planes) or any(map(clips, case.children)))


def check_clipped_cases(
    checker: BoundChecker, start: DisjunctCheck, root: Case, read: Read, subdomain: Subdomain
) -> None:
    """Recomputes a tree of cases of one claim.

    Args:
        checker: of the leaf.
        start: the claim, without any case.
        root: the tree.
        read: the planes of a case, once they are known to be those of the claim.
        subdomain: of the leaf, for messages.

    Raises:
        CertificateError: VF5054 for a case that does not follow.
    """
    found = checker.examine([start], 0)
    waiting: list[tuple[Sequence[Node], State]] = [] if found.gone[0] else [([(root, ())], found.state)]
    while waiting:
        nodes, state = waiting.pop()
        cut_by, most, gone = _sums(checker, state, [read(node) for node in nodes])
        split = np.array([case.split is not None for case, _ in nodes])
        if not (gone | split | (most < 0)).all():
            raise unproved("VF5054", "a case of an alternative that is said to be impossible may be met", subdomain)
        cut = np.flatnonzero(split & ~gone & [bool(case.planes) for case, _ in nodes])
        gone[cut] = checker.bounder.clip(state, cut, LinearBounds(cut_by.value[cut], cut_by.slope[cut]))
        left = np.flatnonzero(split & ~gone)
        waiting += _below(checker, [nodes[k] for k in left.tolist()], state.take(left), subdomain) if len(left) else ()


def _sums(
    checker: BoundChecker, state: State, cases: Sequence[Sequence[Plane]]
) -> tuple[LinearBounds, Floats, NDArray[np.bool_]]:
    """The weighted sums of the planes of cases with their largest values, and which cases cannot be met."""
    every, number = [plane for case in cases for plane in case], np.repeat(np.arange(len(cases)), [*map(len, cases)])
    each = state.take(number)
    for place, (entry, _, _) in enumerate(every):
        checker.choose(each, place, entry)
    planes = checker.planes(each, np.arange(len(every)), [row for _, row, _ in every])
    return *summed(checker, planes, np.array([weight for _, _, weight in every]), number, state.at), state.infeasible


def summed(
    checker: BoundChecker, planes: LinearBounds, weight: Floats, number: Integers, at: Integers
) -> tuple[LinearBounds, Floats]:
    """Weighted sums of planes, with a margin for their rounding, and their largest values.

    The evidence says how many there are and of which size: each adds a rounding, and its products may vanish.

    Args:
        weight: of each plane.
        number: that of the sum of each plane.
        at: the region of each sum.
    """
    regions = checker.bounder.regions
    slope = np.zeros((len(at), planes.slope.shape[1]))
    np.add.at(slope, number, weight[:, None] * planes.slope)
    size = weight * (np.abs(planes.value) + (np.abs(planes.slope) * regions.half[at[number]]).sum(axis=1))
    value, size = (np.bincount(number, subdomain, len(at)).astype(float) for subdomain in (weight * planes.value, size))
    count = np.bincount(number, minlength=len(at))
    value = value + (MARGIN + count * EACH) * size + count * LEAST * (1 + regions.half[at].sum(axis=1))
    return LinearBounds(value, slope), sure(value + regions.spread(slope[:, None], at)[0][:, 0])


def _below(
    checker: BoundChecker, nodes: Sequence[Node], state: State, subdomain: Subdomain
) -> Iterator[tuple[Sequence[Node], State]]:
    """Both cases of some splits with what they start from, as many together as fit memory."""
    after, children = state.take(np.repeat(np.arange(len(nodes)), 2)), []
    for place, (case, signs) in enumerate(nodes):
        neuron = checker.placement.neuron(case.split.layer, case.split.neuron) if case.split else None
        if case.split is None or neuron is None or len(case.children) != 2 or case.split.input != state.inputs[0]:
            raise unproved("VF5054", "a conflict splits a neuron that the network does not have", subdomain)
        for side, child in enumerate(case.children):
            sign = Sign(case.split.input, *neuron, bool(side))
            after.know(2 * place + side, sign)
            children.append((child, (*signs, sign)))
    for number in {sign.layer for _, signs in children for sign in signs[-1:]}:
        checker.bounder.close(after, number, slice(None))
    step = max(1, MOST_VALUES // (4 * checker.placement.size))
    for at in range(0, len(children), step):
        yield children[at : at + step], after.take(np.arange(at, min(at + step, len(children))))
