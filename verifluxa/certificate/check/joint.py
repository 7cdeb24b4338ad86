"""Joint closings: fewer than `need` inputs can violate under ONE trigger of the region.

Input `i` violates only if one of its open alternatives `a` is met, and then each plane `g_p` of its rows is at
least 0. With `M_p >= -min g_p`, z_ia = 1 where it is met and 0 elsewhere, `z_ia <= 1 + g_p(t) / M_p` holds for
every trigger. For any weights w >= 0 (weak duality), with W_ia the sum of those of (i, a):

    count <= sum_p w_p (1 + g_p(t) / M_p) + sum_i max(0, 1 - min_a W_ia)

and the first sum is largest at most by its value at the center plus the spread of its slope. Where an input is
taken to violate, its term is `1 - min_a W_ia` itself; where it is taken not to, it has neither term nor weights.
"""

from __future__ import annotations

import math

import numpy as np

from verifluxa.certificate.check.bounds import Planes, State
from verifluxa.certificate.check.functions import RELU, Floats
from verifluxa.certificate.check.judge import Asked, Entry, Judge, unproved
from verifluxa.certificate.check.lower import Alternative
from verifluxa.certificate.check.region import MARGIN
from verifluxa.evidence import Joint, Node, Weighted

Key = tuple[int, int]
"""An input and the number of one of its alternatives."""
Open = dict[int, dict[int, Alternative]]
"""Alternatives that may still be met, by input and number."""


def check_joint(asked: Asked, judge: Judge, node: Node, left: Open) -> int:
    """Recomputes a joint closing.

    Returns:
        The most inputs that can violate together, fewer than needed.

    Raises:
        CertificateError: VF5054 for a closing that does not follow.
    """
    assert node.joint is not None
    bound = _bound(_Table(asked, judge, node, left), node.joint, {})
    if not bound < asked.need:
        what = f"up to {bound:.3f} inputs may violate together, not fewer than {asked.need}"
        raise unproved("VF5054", what, judge.region)
    return max(0, math.floor(bound))


def _bound(table: _Table, joint: Joint, fixed: dict[int, bool]) -> float:
    if joint.branch_on < 0:
        return table.dual(joint, fixed)
    if joint.branch_on in fixed or len(joint.children) != 2:
        raise unproved("VF5054", "a joint closing branches twice on one input", table.judge.region)
    bounds = [_bound(table, joint.children[value], {**fixed, joint.branch_on: bool(value)}) for value in (0, 1)]
    return float(np.max(bounds))


class _Table:
    """The planes of the open claims of a leaf, each computed when it is first asked for."""

    def __init__(self, asked: Asked, judge: Judge, node: Node, left: Open) -> None:
        self.asked, self.judge, self.left = asked, judge, left
        self.point = np.array(node.point, dtype=np.float64)
        self.states: dict[Key, tuple[State, int]] = {}
        self.gone: set[Key] = set()
        self._planes: dict[tuple[Key, int, bool], Planes] = {}
        entries = [self._entry(index, number, rows) for index, number, rows in node.clips]
        usable = judge.usable([entry.input for entry in entries])
        for numbers, state, places, gone in judge.groups(entries):
            for at, place, out in zip(numbers, places, gone, strict=True):
                if usable[at]:
                    key = (entries[at].input, entries[at].number)
                    self.states[key] = (state, int(place))
                    self.gone |= {key} if out else set()

    def _entry(self, index: int, number: int, rows: tuple[int, ...]) -> Entry:
        alternative = self.left.get(index, {}).get(number)
        planes = None if alternative is None else self.asked.rows_of(rows, alternative)
        if planes is None:
            raise unproved("VF5054", f"input {index} is clipped by what it need not meet", self.judge.region)
        return Entry(index, number, None, planes)

    def dual(self, joint: Joint, fixed: dict[int, bool]) -> float:
        """The bound that the weights give, with some inputs taken to violate or not to."""
        totals: dict[Key, float] = {}
        value = size = 0.0
        slope = np.zeros((1, len(self.judge.region.lower)))
        for item in joint.weights:
            used = self._scaled(item) if fixed.get(item.input, True) else None
            if used is not None:
                key, weight = (item.input, item.position), item.weight
                totals[key] = totals.get(key, 0.0) + weight
                value += weight * (1.0 + float(used.value[0]))
                slope = slope + weight * used.slope
                size += weight * (1.0 + abs(float(used.value[0])))
        region = self.judge.bounder.region
        most = float(region.spread(slope)[0])
        if region.cut and len(joint.beta) == len(region.directions):
            most = min(most, float(region.dual(slope, np.array([joint.beta]))[0]))
        size += float((np.abs(slope) @ region.half)[0]) + len(self.left) + sum(totals.values())
        return value + most + self._inputs(totals, fixed) + MARGIN * size

    def _inputs(self, totals: dict[Key, float], fixed: dict[int, bool]) -> float:
        total = 0.0
        for index, alternatives in self.left.items():
            possible = [number for number in alternatives if (index, number) not in self.gone]
            if possible and fixed.get(index, True):
                term = 1.0 - min(totals.get((index, number), 0.0) for number in possible)
                total += term if index in fixed else max(0.0, term)
        return total

    def _scaled(self, item: Weighted) -> Planes | None:
        """The plane divided by M, or None where it says nothing (then it is left out, which any weights may be)."""
        key, row = (item.input, item.position), self.asked.row(item.row)
        if row is None or key not in self.states or row not in self.left[item.input][item.position]:
            return None
        plane, region = self._plane(key, row, item.tangent), self.judge.bounder.region
        fall = region.spread(-plane.slope)
        most = fall - plane.value + MARGIN * (fall + np.abs(plane.value))
        return Planes(plane.value / most, plane.slope / most) if most[0] > 0 else None

    def _plane(self, key: Key, row: int, tangent: bool) -> Planes:
        if (key, row, tangent) not in self._planes:
            state, place = self.states[key]
            if tangent:
                state, place = self._touching(state.take(np.array([place]))), 0
            self._planes[key, row, tangent] = self.judge.planes(state, np.array([place]), [row])
        return self._planes[key, row, tangent]

    def _touching(self, own: State) -> State:
        """The bounds of one entry, with relu's lower lines along the side that the closing's point is on."""
        if self.point.shape != self.judge.region.lower.shape:
            raise unproved("VF5054", "the point of a joint closing is of another size", self.judge.region)
        values: dict[int, Floats] = {0: self.point[None]}
        for number, layer in enumerate(self.judge.bounder.chain[:-1]):
            z = layer.offset[own.inputs] + sum(values[at] @ part.T for at, part in layer.weight.items())
            assert layer.function is not None
            if layer.function is RELU:
                open_ = layer.function.undecided(own.layers[number].lower, own.layers[number].upper)
                own.lines[number].low_slope[open_] = (z > 0)[open_]
            values[number + 1] = layer.function.value(z)
        return own
