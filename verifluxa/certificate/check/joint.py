"""Joint closings: fewer than `threshold` inputs can violate under ONE trigger of the region.

Input `i` violates only if one of its open alternatives `a` is met, and then each plane `g_p` of its rows is at
least 0. With `M_p >= -min g_p`, z_ia = 1 where it is met and 0 elsewhere, `z_ia <= 1 + g_p(t) / M_p` holds for
every trigger. For any weights w >= 0 (weak duality), with W_ia the sum of those of (i, a):

    count <= sum_p w_p (1 + g_p(t) / M_p) + sum_i max(0, 1 - min_a W_ia)

and the first sum is largest at most by its value at the center plus the spread of its slope. Where an input is
taken to violate, its term is `1 - min_a W_ia` itself; where it is taken not to, it has neither term nor weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from verifluxa.certificate.check.bound_checker import (
    BoundChecker,
    DisjunctCheck,
    Found,
    KnownBounds,
    NodeCheck,
    unproved,
)
from verifluxa.certificate.check.bounds import State
from verifluxa.certificate.check.functions import LARGER, RELU, Floats
from verifluxa.certificate.check.region import EACH, MARGIN, LinearBounds, pieces, sure
from verifluxa.evidence import InputSplit, Joint, JointClosing

Key = tuple[int, int, int]
"""A leaf's number, an input, and the number of one of its alternatives."""
Fixed = dict[int, bool]
"""Inputs that are taken to violate or not to."""
Places = dict[tuple[int, int], int]
"""Where in a state the bounds of an alternative are, by its input and number."""
End = tuple[NodeCheck, Joint, Fixed]
"""A leaf, weights, and what is taken for granted there."""


class _Scaled(NamedTuple):
    """Planes that carry weights, divided by M, by leaf, input, alternative, row and whether they touch the point."""

    numbers: dict[tuple[int, ...], int]
    value: Floats
    slope: Floats


def clips_of(leaf: NodeCheck) -> Iterator[DisjunctCheck]:
    """The alternatives of a leaf that carry weights, or those that a split node hands down, with the rows that clip.

    Raises:
        CertificateError: VF5054 for one that is not left there, or is clipped by what it need not meet.
    """
    weighted = {(item.input, item.position) for _, joint, _ in _ends(leaf, leaf.joint, {}) for item in joint.weights}
    if len({clip[:2] for clip in leaf.node.clips}) < len(leaf.node.clips):
        raise unproved("VF5054", "an alternative of an input is clipped twice", leaf.subdomain)
    for index, number, rows in leaf.node.clips:
        alternative = leaf.left.get(index, {}).get(number)
        planes = None if alternative is None else leaf.question.rows_of(rows, alternative)
        if planes is None:
            raise unproved("VF5054", f"input {index} is clipped by what it need not meet", leaf.subdomain)
        if leaf.node.split is not None or (index, number) in weighted or index in _cutting(leaf):
            yield DisjunctCheck(leaf.at, index, number, None, planes)


def _cutting(check: NodeCheck) -> set[int]:
    """The inputs by whose planes others are clipped at a node."""
    return {index for index, _ in check.node.shared}


def _ends(leaf: NodeCheck, joint: Joint | None, fixed: Fixed) -> Iterator[End]:
    """The ends of the branching of a closing."""
    if joint is not None and joint.branch_on < 0:
        yield leaf, joint, fixed
    elif joint is not None:
        if joint.branch_on in fixed or len(joint.children) != 2:
            raise unproved("VF5054", "a joint closing branches twice on one input", leaf.subdomain)
        for value, child in zip((False, True), joint.children, strict=True):
            yield from _ends(leaf, child, {**fixed, joint.branch_on: value})


def check_joints(
    checker: BoundChecker, leaves: Sequence[NodeCheck], clips: Sequence[DisjunctCheck], found: Found
) -> dict[int, int]:
    """Recomputes joint closings.

    Args:
        checker: of the subdomains of the leaves.
        leaves: the closings, and maybe other nodes.
        clips: the `clips_of` all of them, the last entries that were examined.
        found: what was found of all entries.

    Returns:
        The most inputs that can violate together at each of the leaves, by its number: fewer than needed.

    Raises:
        CertificateError: VF5054 for a closing that does not follow.
    """
    ends = [end for leaf in leaves for end in _ends(leaf, leaf.joint, {})]
    numbered = enumerate(clips, len(found.gone) - len(clips))
    known = {(clip.at, clip.input, clip.number): k for k, clip in numbered}
    gone = {key for key, k in known.items() if found.gone[k]}
    shut = _share(checker, leaves, known, found)
    if not ends:
        return {}
    planes = _planes(checker, ends, known, found)
    cuts = pieces(len(ends), len(planes.value))
    bounds = np.concatenate([_bounds(checker, ends[cut], planes, gone) for cut in cuts])
    for k, (leaf, _, _) in enumerate(ends):
        if leaf.node.shared:  # what was found speaks of all of them together: it says that one is not met, no more
            bounds[k] = leaf.question.threshold - 1 if leaf.at in shut else max(bounds[k], leaf.question.threshold - 1)
    most: dict[int, int] = {}
    for (leaf, _, _), bound in zip(ends, bounds.tolist(), strict=True):
        if not bound < leaf.question.threshold:
            what = f"up to {bound:.3f} inputs may violate together, not fewer than {leaf.question.threshold}"
            raise unproved("VF5054", what, leaf.subdomain)
        most[leaf.at] = max(most.get(leaf.at, 0), math.floor(bound))
    return most


def _share(checker: BoundChecker, leaves: Sequence[NodeCheck], known: dict[Key, int], found: Found) -> set[int]:
    """Clips what is open at nodes by planes of each other, in place; the nodes where they cannot all be met.

    As many inputs are left there as are needed, each with one alternative: where they violate, each row is at least 0.

    Raises:
        CertificateError: VF5054 where more are left, or by a row of none of them.
    """
    shut: set[int] = set()
    sharing = [leaf for leaf in leaves if leaf.node.shared]
    own: dict[int, Places] = {leaf.at: {} for leaf in sharing}
    for (at, index, number), k in known.items():
        if at in own:
            own[at][index, number] = int(found.places[k])
    for leaf in sharing:
        if len(leaf.left) != leaf.question.threshold or any(len(several) > 1 for several in leaf.left.values()):
            raise unproved(
                "VF5054", "inputs are clipped by others, though not all of them must violate", leaf.subdomain
            )
    for number in range(max((len(leaf.node.shared) for leaf in sharing), default=0)):
        still = [leaf for leaf in sharing if number < len(leaf.node.shared)]
        cutting = np.array([_cut(leaf, *leaf.node.shared[number], own[leaf.at]) for leaf in still])
        places, of = np.array([(place, k) for k, leaf in enumerate(still) for place in own[leaf.at].values()]).T
        planes = checker.planes(found.state, *cutting.T)
        gone = checker.bounder.clip(found.state, places, LinearBounds(planes.value[of], planes.slope[of]))
        shut |= {still[k].at for k in of[gone].tolist()}
    return shut


def _cut(check: NodeCheck, index: int, row: int, own: Places) -> tuple[int, int]:
    """The place in the state and the row of a plane that clips all of a node: of an input with one alternative.

    Args:
        own: where the bounds are of what is clipped.
    """
    named = check.question.row(row)
    alternatives = check.left.get(index, {})
    place = own.get((index, next(iter(alternatives), -1)))
    if len(alternatives) != 1 or place is None or named is None or named not in next(iter(alternatives.values())):
        raise unproved("VF5054", f"inputs are clipped by row {row}, which input {index} need not meet", check.subdomain)
    return place, named


def hand_down(
    checker: BoundChecker, checks: Sequence[NodeCheck], handed: Sequence[DisjunctCheck], found: Found, drops: int
) -> None:
    """Gives the children of split nodes the ends of what is handed down; in cases of inputs those that hold there.

    Args:
        visits: the nodes.
        handed: their `clips_of`, the entries that were examined behind the drops.
        found: what was found of all entries, clipped by what is shared.
        drops: how many entries stood before.

    Raises:
        CertificateError: VF5054 for a case whose input is not handed down, or need not meet the row that clips.
    """
    places: dict[int, Places] = {check.at: {} for check in checks}
    for entry, place in zip(handed, found.places[drops:].tolist(), strict=False):
        places[entry.at][entry.input, entry.number] = place
    cuts: list[tuple[int, int]] = []
    wanted: list[tuple[KnownBounds, tuple[int, int], int, int]] = []
    for check in checks:
        split, several = check.node.split, places[check.at].items()
        for ends in check.for_children:  # what is not handed down stays within the ends from above
            ends.update(check.known)
        if isinstance(split, InputSplit) and several:
            cuts += [_cut(check, *case, places[check.at]) for case in split.cases]
            first = len(cuts) - len(split.cases)
            wanted += [(ends, *item, first + k) for k, ends in enumerate(check.for_children) for item in several]
        for key, place in several:
            check.for_children[0][key] = [(layer.lower[place], layer.upper[place]) for layer in found.state.layers]
    if cuts:
        planes, of = checker.planes(found.state, *np.array(cuts).T), np.array([k for *_, k in wanted])
        clipped = found.state.take(np.array([place for _, _, place, _ in wanted]))
        gone = checker.bounder.clip(clipped, np.arange(len(wanted)), LinearBounds(planes.value[of], planes.slope[of]))
        for k, (ends, key, _, _) in enumerate(wanted):
            # What cannot be met in a case has ends that exclude each other.
            own = ((layer.lower[k], layer.upper[k]) for layer in clipped.layers)
            ends[key] = [(lower, lower - 1 if gone[k] else upper) for lower, upper in own]


def _bounds(checker: BoundChecker, ends: Sequence[End], planes: _Scaled, gone: set[Key]) -> Floats:
    """The bound that each end's weights give, with some inputs taken to violate or not to."""
    region, at = checker.bounder.regions, np.array([leaf.at for leaf, _, _ in ends]) - checker.first
    total, size, weight = np.zeros(len(ends)), np.zeros(len(ends)), np.zeros((len(ends), len(planes.value)))
    for k, (leaf, joint, fixed) in enumerate(ends):
        totals: dict[Key, float] = {}
        for item in joint.weights:
            plane, key = planes.numbers.get((leaf.at, *item[:4])), (leaf.at, item.input, item.position)
            if plane is not None and fixed.get(item.input, True):
                totals[key] = totals.get(key, 0.0) + item.weight
                weight[k, plane] += item.weight
        total[k], size[k] = _inputs(leaf, totals, fixed, gone), len(leaf.left)
    total, size = total + weight @ (1 + planes.value), size + weight @ (2 + np.abs(planes.value))
    slope = weight @ planes.slope
    most, size = region.spread(slope[:, None], at)[0], size + (np.abs(slope) * region.half[at]).sum(axis=1)
    nothing = (0.0,) * len(region.directions)
    beta = np.array([joint.beta if len(joint.beta) == len(nothing) else nothing for _, joint, _ in ends])
    most = np.minimum(most, sum(region.dual(slope[:, None], at, beta[:, None])))
    terms = np.array([len(joint.weights) + len(leaf.left) for leaf, joint, _ in ends])
    return sure(total + most[:, 0] + (MARGIN + EACH * terms) * size)


def _inputs(leaf: NodeCheck, totals: dict[Key, float], fixed: Fixed, gone: set[Key]) -> float:
    """What is added for the inputs themselves."""
    total = 0.0
    for index, alternatives in leaf.left.items():
        possible = [key for number in alternatives if (key := (leaf.at, index, number)) not in gone]
        if possible and fixed.get(index, True):
            term = 1.0 - min(totals.get(key, 0.0) for key in possible)
            total += term if index in fixed else max(0.0, term)
    return total


def _planes(checker: BoundChecker, ends: Sequence[End], known: dict[Key, int], found: Found) -> _Scaled:
    """Those that say something. Without a plane the bound is that of other weights, which holds too."""
    wanted: dict[tuple[int, ...], tuple[int, int, NodeCheck]] = {}
    for leaf, joint, _ in ends:
        for item in joint.weights:
            k, row = known.get((leaf.at, item.input, item.position), -1), leaf.question.row(item.row)
            if k >= 0 and row is not None and row in leaf.left[item.input][item.position]:
                wanted[leaf.at, *item[:4]] = int(found.places[k]), row, leaf
    places, rows, leaves = zip(*wanted.values(), strict=True) if wanted else ((), (), ())
    state = found.state.take(np.array(places, dtype=np.int64))
    _touch(checker, state, np.array([key[4] for key in wanted], dtype=bool), leaves)
    value, slope = checker.planes(state, np.arange(len(wanted)), rows)
    fall = checker.bounder.regions.spread(slope[:, None], state.at)[1][:, 0]
    most = fall - value + MARGIN * (fall + np.abs(value))
    says = np.isfinite(most) & np.isfinite(value) & (most > 0)
    numbers = {key: k for k, key in enumerate(wanted) if says[k]}
    return _Scaled(numbers, np.where(says, value / most, 0.0), np.where(says[:, None], slope / most[:, None], 0.0))


def _touch(checker: BoundChecker, state: State, tangent: NDArray[np.bool_], leaves: Sequence[NodeCheck]) -> None:
    """Lays lower lines along the side of relu or of a maximum that the closing's point is on, for entries that ask."""
    points = np.zeros((len(leaves), checker.bounder.regions.half.shape[1]))
    for k in np.flatnonzero(tangent).tolist():
        step = leaves[k].node.step
        point = step.point if isinstance(step, JointClosing) else ()
        if len(point) != points.shape[1]:
            raise unproved("VF5054", "the point of a joint closing is of another size", leaves[k].subdomain)
        points[k] = point
    values = {0: points}
    for number, (layer, own) in enumerate(zip(checker.bounder.chain, state.layers, strict=False), 1):
        z = layer.offset[state.inputs] + sum(values[at] @ part.T for at, part in layer.weight.items())
        assert layer.function is not None
        if layer.function in (RELU, *LARGER.values()):
            open_ = tangent[:, None] & layer.function.unstable(own.lower, own.upper)
            own.lines.low_slope[open_] = (z > 0)[open_]
        values[number] = layer.function.value(z)
