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
from dataclasses import dataclass

import numpy as np

from verifluxa.certificate.check.bounds import Planes, State
from verifluxa.certificate.check.functions import RELU
from verifluxa.certificate.check.judge import Entry, Judge, unproved
from verifluxa.certificate.check.lower import Alternative
from verifluxa.certificate.check.region import MARGIN
from verifluxa.evidence import Joint, Node, Weighted

Key = tuple[int, int]
"""An input and the number of one of its alternatives."""


@dataclass(frozen=True, eq=False)
class Open:
    """What may still happen at a leaf: open alternatives by input, the claim's rows by the evidence's numbers."""

    alternatives: dict[int, dict[int, Alternative]]
    rows: tuple[int | None, ...]
    need: int


def check_joint(judge: Judge, node: Node, left: Open) -> int:
    """Recomputes a joint closing.

    Returns:
        The most inputs that can violate together, fewer than `need`.

    Raises:
        CertificateError: VF5054 for a closing that does not follow.
    """
    assert node.joint is not None
    bound = _bound(_Table(judge, node, left), node.joint, {})
    if not bound < left.need:
        what = f"up to {bound:.3f} inputs may violate together, not fewer than {left.need}"
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

    def __init__(self, judge: Judge, node: Node, left: Open) -> None:
        self.judge = judge
        self.left = left
        self.point = np.array(node.point, dtype=np.float64)
        entries = [self._entry(index, number, rows) for index, number, rows in node.clips]
        self.states: dict[Key, tuple[State, int]] = {}
        self.gone: set[Key] = set()
        self.usable: set[Key] = set()
        for numbers, state, gone in judge.clip(entries):
            keys = [(entries[number].input, entries[number].number) for number in numbers]
            self.states |= {key: (state, place) for place, key in enumerate(keys)}
            usable = judge.usable([key[0] for key in keys])
            self.usable |= {key for key, fine in zip(keys, usable, strict=True) if fine}
            self.gone |= {key for key, out in zip(keys, gone & usable, strict=True) if out}
        self._planes: dict[tuple[Key, int, bool], Planes] = {}

    def dual(self, joint: Joint, fixed: dict[int, bool]) -> float:
        """The bound that the weights give, with some inputs taken to violate or not to."""
        totals: dict[Key, float] = {}
        value = size = 0.0
        slope = np.zeros(len(self.judge.region.lower))
        for item in joint.weights:
            used = self._scaled(item) if fixed.get(item.input, True) else None
            if used is not None:
                key, weight = (item.input, item.position), item.weight
                totals[key] = totals.get(key, 0.0) + weight
                value += weight * (1.0 + float(used.value[0]))
                slope = slope + weight * used.slope[0]
                size += weight * (1.0 + abs(float(used.value[0])))
        reach = self.judge.bounder.reach
        most = float(reach.spread(slope[None])[0])
        if len(joint.beta) == len(reach.directions) > 0:
            most = min(most, float(reach.dual(slope[None], np.array([joint.beta]))[0]))
        size += float(np.abs(slope) @ reach.half) + len(self.left.alternatives) + sum(totals.values())
        return value + most + self._inputs(totals, fixed) + MARGIN * size

    def _inputs(self, totals: dict[Key, float], fixed: dict[int, bool]) -> float:
        total = 0.0
        for index, alternatives in self.left.alternatives.items():
            possible = [number for number in alternatives if (index, number) not in self.gone]
            if possible and fixed.get(index, True):
                term = 1.0 - min(totals.get((index, number), 0.0) for number in possible)
                total += term if index in fixed else max(0.0, term)
        return total

    def _scaled(self, item: Weighted) -> Planes | None:
        """The plane divided by M, or None where it says nothing (then it is left out, which any weights may be)."""
        key = (item.input, item.position)
        if item.row >= len(self.left.rows) or key not in self.usable:
            return None
        row = self.left.rows[item.row]
        if row is None or row not in self.left.alternatives[item.input][item.position]:
            return None
        plane = self._plane(key, row, item.tangent)
        fall = float(self.judge.bounder.reach.spread(-plane.slope)[0])
        most = fall - float(plane.value[0]) + MARGIN * (fall + abs(float(plane.value[0])))
        return Planes(plane.value / most, plane.slope / most) if most > 0 else None

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
        value = self.point[None]
        for layer, bounds in zip(self.judge.bounder.chain, own.layers, strict=False):
            z = value @ layer.weight.T + layer.offset[own.inputs]
            if layer.function is RELU:
                open_ = layer.undecided(bounds.lower, bounds.upper)
                slope = np.where(open_, np.where(z > 0, 1.0, 0.0), bounds.lines.low_slope)
                bounds.lines = bounds.lines._replace(low_slope=slope)
            value = layer.ends(z, z)[0]
        return own

    def _entry(self, index: int, number: int, rows: tuple[int, ...]) -> Entry:
        alternative = self.left.alternatives.get(index, {}).get(number)
        planes = [self.left.rows[row] if row < len(self.left.rows) else None for row in rows]
        if alternative is None or any(plane not in alternative for plane in planes):
            raise unproved("VF5054", f"input {index} is clipped by what it need not meet", self.judge.region)
        return Entry(index, number, alternative, None, tuple(plane for plane in planes if plane is not None))
