"""Which alternatives of single inputs cannot be met on subdomains, by plain or by clipped bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from verifluxa.certificate.check.bounds import Bounder, IntermediateBounds, Sign, State
from verifluxa.certificate.check.chain import chain_of
from verifluxa.certificate.check.claim import Alternative, Claim
from verifluxa.certificate.check.functions import SAME, Floats
from verifluxa.certificate.check.network import Constants, Integers
from verifluxa.certificate.check.region import LinearBounds, Regions, sure
from verifluxa.certificate.refuse import refused
from verifluxa.errors import CertificateError
from verifluxa.evidence import Joint, JointClosing, Node

MORE_ROUNDS = 8
"""Of clipping, where the named ones are not enough: what is nearly excluded shrinks quickly, and the prover, whose
radii are others, may have been a round ahead."""
MOST_VALUES = 1 << 20
"""Of all layers, in the bounds that are computed together."""


class Subdomain(NamedTuple):
    """What a node of the tree speaks of: a box of triggers, bounds of strips, signs of neurons, inputs that violate.

    `must`: inputs that are taken to violate.
    """

    lower: Floats
    upper: Floats
    low: Floats
    high: Floats
    signs: tuple[Sign, ...] = ()
    must: tuple[int, ...] = ()


class DisjunctCheck(NamedTuple):
    """One alternative (by its number) of one input at a node (by its number), and what the evidence says of it.

    `row` is said to be below zero, or None; the rows `planes` clip; `signs` are those of values of the input that are
    known besides those of the subdomain, behind whose layers nothing is bounded anew. For the rest see
    `evidence.PrunedDisjunct`.
    """

    at: int
    input: int
    number: int
    row: int | None
    planes: tuple[int, ...]
    slopes: tuple[str, ...] = ()
    betas: tuple[tuple[int, int, float], ...] = ()
    signs: tuple[Sign, ...] = ()


def whole_domain(claim: Claim, directions: Floats) -> Subdomain:
    """The whole domain of the trigger; strips begin a little wider than the box reaches, and cut nothing."""
    size = claim.positions.shape[1]
    lower, upper = np.full(size, claim.lower), np.full(size, claim.upper)
    middle, reach = directions @ (lower + upper) / 2, np.abs(directions) @ (upper - lower) / 2 * 1.01 + 1e-6
    return Subdomain(lower, upper, middle - reach, middle + reach)


def regions_of(subdomains: Sequence[Subdomain], directions: Floats) -> Regions:
    """The subdomains without their signs of neurons."""
    lower, upper, low, high = (np.array(ends) for ends in list(zip(*subdomains, strict=True))[:4])
    return Regions(lower, upper, directions, low, high)


class PlacementBounds:
    """A placement: its chain, and the bounds of all inputs on the whole box."""

    def __init__(self, claim: Claim, constants: Constants, number: int) -> None:
        self.claim, self.chain = claim, chain_of(constants, claim.positions[number])
        self.root = self.roots(1)
        self.size = sum(layer.offset.shape[1] for layer in self.chain)
        # The evidence counts what is carried past a layer after all others.
        self.hidden = [number for number, layer in enumerate(self.chain[:-1], 1) if layer.function is not SAME]

    def roots(self, count: int) -> Bounder:
        """On the whole box, which stands there so many times."""
        nothing = np.zeros((0, self.claim.positions.shape[1]))
        return Bounder(self.chain, regions_of([whole_domain(self.claim, nothing)] * count, nothing))

    @cached_property
    def by_intervals(self) -> State:
        """On the whole box, by intervals alone, which settle most."""
        everyone = np.arange(len(self.claim.labels))
        return self.root.state(everyone, 0 * everyone, planes=False)

    def neuron(self, layer: int, neuron: int) -> tuple[int, int] | None:
        """The layer and the value in it that the evidence names; None where there is none."""
        if not 0 <= layer < len(self.hidden):
            return None
        number = self.hidden[layer]
        return (number, neuron) if 0 <= neuron < self.chain[number - 1].offset.shape[1] else None


@dataclass(frozen=True, eq=False)
class QuestionCheck:
    """One question: alternatives of each input of its selection, and the claim's rows by the evidence's numbers."""

    claim: Claim
    placement: PlacementBounds
    alternatives: dict[int, tuple[Alternative, ...]]
    threshold: int
    rows: tuple[int | None, ...]
    directions: Floats
    meanings: dict[tuple[object, ...], list[tuple[Any, ...]]] = field(default_factory=dict)

    def row(self, number: int) -> int | None:
        """The claim's own row for a number of the evidence; None where there is none."""
        return self.rows[number] if 0 <= number < len(self.rows) else None

    def rows_of(self, numbers: Sequence[int], alternative: Alternative) -> tuple[int, ...] | None:
        """The claim's own rows where all of them are of one alternative, else None."""
        known = tuple(row for number in numbers if (row := self.row(number)) in alternative and row is not None)
        return known if len(known) == len(numbers) else None


KnownBounds = dict[tuple[int, int], IntermediateBounds]
"""Ends that hold wherever an alternative is met, by its input and number."""


class NodeCheck(NamedTuple):
    """A node of a question's tree, its number, its subdomain, what is said to be dropped there.

    `left` has what may still be met behind that, by input and number; only at leaves, cases and where there are clips.
    `known` are those `for_children` of the node above that are this child's (the node's number is `above`, or -1 where
    this one starts anew): they are found before this node is checked, and hold here since whatever is met in a part of
    a region is met in the region.
    """

    question: QuestionCheck
    at: int
    node: Node
    subdomain: Subdomain
    drops: list[DisjunctCheck]
    left: dict[int, dict[int, Alternative]]
    above: int
    known: KnownBounds
    for_children: tuple[KnownBounds, ...]

    @property
    def joint(self) -> Joint | None:
        """The joint closing of a leaf that rests on it."""
        return self.node.step.joint if isinstance(self.node.step, JointClosing) else None


class Found(NamedTuple):
    """Of disjuncts: which cannot be met anywhere on their subdomain.

    `state` has the bounds of each where it can be met, at the number in `places`; -1: they were not needed.
    """

    gone: NDArray[np.bool_]
    state: State
    places: Integers


class BoundChecker:
    """Bounds on the subdomains of nodes with successive numbers.

    The nodes are of one tree, or the roots of several trees about one placement.
    """

    def __init__(self, checks: Sequence[NodeCheck], at_roots: bool) -> None:
        question, self.first, self.at_roots = checks[0].question, checks[0].at, at_roots
        self.claim, self.placement = question.claim, question.placement
        self.subdomains, self.known = [check.subdomain for check in checks], [check.known for check in checks]
        if at_roots:
            self.bounder = self.placement.roots(len(checks))
        else:
            self.bounder = Bounder(self.placement.chain, regions_of(self.subdomains, question.directions).tightened())

    def examine(self, entries: Sequence[DisjunctCheck], drops: int) -> Found:
        """What follows for each entry from what the evidence says of it.

        Args:
            entries: the first `drops` are said to fall.
            drops: how many.

        Raises:
            CertificateError: VF5054 for a push where no sign is known.
        """
        gone, inputs = np.zeros(len(entries), dtype=bool), np.array([entry.input for entry in entries], dtype=np.int64)
        if self.at_roots:
            plain = [not (entry.planes or entry.slopes or entry.betas) for entry in entries]
            self._below(self.placement.by_intervals, inputs, entries, gone, np.flatnonzero(plain))
        left = np.flatnonzero(~gone)
        bounded, numbers = [entries[k] for k in left.tolist()], np.full(len(entries), -1)
        base, places = self._base(bounded, inputs[left])
        state, numbers[left] = base.take(places), np.arange(len(left))
        state.at = np.array([entry.at for entry in bounded], dtype=np.int64) - self.first
        gone[left] = self._clipped(state, bounded)
        self._below(state, numbers, entries, gone, left)
        for _ in range(MORE_ROUNDS):
            still = np.array([k for k in np.flatnonzero(~gone[:drops]).tolist() if entries[k].planes], dtype=np.int64)
            rows = [entries[k].planes[-1] if (row := entries[k].row) is None else row for k in still.tolist()]
            for own in state.layers:  # what was decided here may have been open to the prover, and found to be crossed
                own.open[numbers[still]] = True
            if rows:
                gone[still] |= self.bounder.clip(state, numbers[still], self.planes(state, numbers[still], rows))
                self._below(state, numbers, entries, gone, still)
        return Found(gone, state, numbers)

    def _base(self, entries: Sequence[DisjunctCheck], inputs: Integers) -> tuple[State, Integers]:
        """Bounds of each input on each subdomain that the entries speak of, and the number of each entry in them.

        They are of an alternative alone where something is known of it. Roots are all the same subdomain.
        """
        if not entries:
            return self.placement.by_intervals, inputs
        keys = [(entry.at - self.first, entry.input, entry.number) for entry in entries]
        keys = [key if key[1:] in self.known[key[0]] else (0 if self.at_roots else key[0], key[1], -1) for key in keys]
        distinct, places = np.unique(np.array(keys, dtype=np.int64).reshape(-1, 3), axis=0, return_inverse=True)
        at, of, number = distinct.T
        cases = ((k, sign) for k, subdomain in enumerate(at) for sign in self.subdomains[subdomain].signs)
        signs = [(k, sign) for k, sign in cases if sign.input == of[k]]
        known = {k: self.known[at[k]][of[k], number[k]] for k in np.flatnonzero(number >= 0).tolist()}
        return self.bounder.state(of, at, signs=signs, known=known), places.reshape(-1)

    def _clipped(self, state: State, entries: Sequence[DisjunctCheck]) -> NDArray[np.bool_]:
        """Clips and chooses as each entry says, in place; which of them are contradicted."""
        for number in range(1, len(self.placement.chain)):
            known = [(k, sign) for k, entry in enumerate(entries) for sign in entry.signs if sign.layer == number]
            for k, sign in known:
                state.know(k, sign)
            if known:
                self.bounder.close(state, number, np.unique([k for k, _ in known]))
        gone, rounds = state.infeasible, np.array([len(entry.planes) for entry in entries])
        for number in range(max(rounds, default=0)):
            some = np.flatnonzero(rounds > number)
            cut = self.planes(state, some, [entries[k].planes[number] for k in some.tolist()])
            gone[some] |= self.bounder.clip(state, some, cut)
        for place, entry in enumerate(entries):
            if entry.slopes or entry.betas:
                self.choose(state, place, entry)
        return gone

    def _below(
        self, state: State, places: Integers, entries: Sequence[DisjunctCheck], gone: NDArray[np.bool_], among: Integers
    ) -> None:
        """Marks those among the entries whose named row cannot be met."""
        named = [(k, row) for k in among.tolist() if (row := entries[k].row) is not None]
        if named:
            at, rows = np.array(named).T
            planes = self.planes(state, places[at], rows)
            spread = self.bounder.regions.spread(planes.slope[:, None], state.at[places[at]])
            most = sure(planes.value + spread[0][:, 0])
            gone[at] |= np.where(self.claim.closed[rows], most < 0, most <= 0)

    def planes(self, state: State, places: Integers, rows: Sequence[int] | Integers) -> LinearBounds:
        """Upper planes of rows of entries of a state."""
        entries, of = np.unique(places, return_inverse=True)
        order = np.argsort(of, kind="stable")
        nth = np.zeros(len(of), dtype=np.int64)
        nth[order] = np.arange(len(of)) - np.searchsorted(of[order], of[order])
        # As many rows of each entry as the one with most has; others stand in where there are fewer.
        table = np.zeros((len(entries), nth.max(initial=0) + 1), dtype=np.int64)
        table[of, nth] = rows
        planes = self.bounder.rows(state, entries, self.claim.weight[table], self.claim.constants[table, 2])
        return LinearBounds(planes.value[of, nth], planes.slope[of, nth])

    def choose(self, state: State, place: int, entry: DisjunctCheck) -> None:
        """Takes the slopes and multipliers of one disjunct, where its neurons are unstable or their signs are known."""
        for number, text in zip(self.placement.hidden, entry.slopes, strict=False):
            own, function = state.layers[number - 1], self.placement.chain[number - 1].function
            lower, upper = own.lower[place], own.upper[place]
            levels = np.frombuffer(bytes.fromhex(text), dtype=np.uint8)[: len(lower)]
            if function is None or len(levels) < len(lower):
                continue
            if function.least is not None:
                unstable = function.unstable(lower, upper)
                own.lines.low_slope[place, unstable] = np.maximum(levels / 255, function.least)[unstable]
            elif function.along is not None:
                some = np.flatnonzero(levels)
                lines = function.along(lower[some], upper[some], (levels[some] - 1) / 254)
                for line, new in zip(own.lines, lines, strict=True):
                    line[place, some] = new
        for layer, neuron, multiplier in entry.betas:
            at, subdomain = self.placement.neuron(layer, neuron), self.subdomains[entry.at - self.first]
            if at is None or Sign(entry.input, *at, multiplier > 0) not in (*subdomain.signs, *entry.signs):
                raise unproved("VF5054", f"input {entry.input} is pushed where no sign is known", subdomain)
            betas = state.betas.setdefault(at[0], np.zeros_like(state.layers[at[0] - 1].lower))
            betas[place, at[1]] += multiplier


def unproved(code: str, what: str, subdomain: Subdomain) -> CertificateError:
    """The error for a proof that does not hold on a part of the domain."""
    widths = ", ".join(f"{width:g}" for width in (subdomain.upper - subdomain.lower)[:16])
    return refused(code, f"the proof does not hold: {what}", f"a domain with widths {widths}")
