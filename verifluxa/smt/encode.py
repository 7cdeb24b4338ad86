"""A question about a chain as SMT-LIB text in exact rationals: can `threshold` inputs violate under one trigger?

Every float of the chain is the rational that it stands for. A deployed pre-activation is `x = weight @ state +
offset` plus an error of at most r, the radius of the bounds (|state| at its largest, so that r is a number). The
functions are nondecreasing, so such an error exists for a value y exactly when `f(x - r) <= y <= f(x + r)`: the
error variables are eliminated, and a neuron costs one variable. Neurons without a bend between their bounds are
linear; for the others the triangle that the bounds span (Ehlers 2017, section 3.2) is a lemma. A query without a
solution says that no allowed evaluation violates; a solution is only a candidate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from torch import Tensor

from verifluxa.bounds import LayerBounds, Net
from verifluxa.question import Domain, OutputConstraints
from verifluxa.smt.neurons import Before, Neurons, Reading, Writer
from verifluxa.smt.pieces import ONE, ZERO, pieces_of
from verifluxa.smt.query import Axis, Query, axes_of
from verifluxa.smt.rational import Form, combined, number, term

CLEARLY = 2
"""See `Asked.sure`; without a margin the solver likes to answer with a tie."""

Sparse = list[list[tuple[int, Fraction]]]


@dataclass(frozen=True, eq=False)
class Member:
    """One input of a query.

    Attributes:
        input: index into the problem's inputs.
        alternatives: the rows of each alternative that is still open.
        pair: which pair of the bounds speaks of this input.
    """

    input: int
    alternatives: tuple[tuple[int, ...], ...]
    pair: int


@dataclass(frozen=True, eq=False)
class Asked:
    """What a query asks.

    Attributes:
        net: the placement's network.
        bounds: of all its layers on the domain, the outputs last; finite.
        domain: where tau lives.
        rows: the problem's rows.
        members: inputs that may violate.
        threshold: how many of them have to, together.
        sure: ask for a trigger that violates clearly instead: errors left out, and every row above zero by
            `CLEARLY` times the error of the outputs. This finds triggers and proves nothing.
        clipped: the bounds hold only where the one member violates, so they narrow the domain.
    """

    net: Net
    bounds: list[LayerBounds]
    domain: Domain
    rows: OutputConstraints
    members: Sequence[Member]
    threshold: int = 1
    sure: bool = False
    clipped: bool = False


def encode(asked: Asked) -> Query:
    """Writes a query.

    Raises:
        UnsupportedError: VF7002 for a network that is not piecewise linear.
    """
    writer = Writer()
    axes = axes_of(asked.domain)
    network = _Network(writer, asked, _trigger(writer, axes, asked.domain))
    flags = []
    for place, member in enumerate(asked.members):
        flag = writer.declare("Bool", f"v{place}")
        writer.require(f"(=> {flag} {network.violation(member)})")
        flags.append(flag)
    writer.require(
        f"((_ at-least {asked.threshold}) {' '.join(flags)})" if asked.threshold > 1 else f"(or {' '.join(flags)})"
    )
    return Query("\n".join(writer.lines) + "\n", axes)


def count_weights(net: Net) -> int:
    """How many weights one member's part of a query may hold."""
    return sum(int(layer.weight.count_nonzero()) for layer in net.layers)


def _trigger(writer: Writer, axes: tuple[Axis, ...], domain: Domain) -> list[Form]:
    """Declares tau and keeps it in its domain."""
    for axis in axes:
        if not axis.fixed:
            writer.declare("Int" if axis.step else "Real", axis.name)
            low, high = ("0", str(axis.count)) if axis.step else (number(axis.lower), number(axis.upper))
            writer.require(f"(<= {low} {axis.name} {high})")
    tau = [axis.form() for axis in axes]
    if domain.slabs is not None:
        slabs = domain.slabs
        ends = zip(slabs.directions.tolist(), slabs.lower.tolist(), slabs.upper.tolist(), strict=True)
        for direction, low_end, high_end in ends:
            along = term(combined(zip(map(Fraction, direction), tau, strict=True), ZERO))
            for sign, end in ((">=", low_end), ("<=", high_end)):
                if math.isfinite(end):
                    writer.require(f"({sign} {along} {number(Fraction(end))})")
    return tau


class _Network:
    """Writes the layers of one member after the other; what they share is written once."""

    def __init__(self, writer: Writer, asked: Asked, tau: list[Form]) -> None:
        self._writer = writer
        self._asked = asked
        self._weights = [_sparse(layer.weight) for layer in asked.net.layers]
        self._pieces = [pieces_of(layer) for layer in asked.net.hidden]
        self._first = self._moved(0, tau)
        if len(asked.members) > 1:
            self._first = [writer.define(form) for form in self._first]

    def _moved(self, number_: int, state: list[Form]) -> list[Form]:
        """`weight @ state` of one layer."""
        return [combined(((w, state[j]) for j, w in row), ZERO) for row in self._weights[number_]]

    def violation(self, member: Member) -> str:
        """The network of one input, and the condition that it violates: OR over alternatives of AND over rows."""
        moved = self._first
        for number_, pieces in enumerate(self._pieces):
            neurons = self._neurons(number_, member)
            moved = self._moved(number_ + 1, neurons.state(moved, pieces))
        last = self._neurons(len(self._pieces), member)
        outputs = [last.before(n, form) for n, form in enumerate(moved)]
        used = dict.fromkeys(row for alternative in member.alternatives for row in alternative)
        conditions = {row: self._row(row, outputs) for row in used}
        options = [f"(and {' '.join(conditions[r] for r in alternative)})" for alternative in member.alternatives]
        return f"(or {' '.join(options)})"

    def _neurons(self, number_: int, member: Member) -> Neurons:
        layer, bounds = self._asked.net.layers[number_], self._asked.bounds[number_]
        exact = self._asked.sure and number_ < len(self._pieces)
        return Neurons(self._writer, layer, bounds, Reading(member.input, member.pair, exact, self._asked.clipped))

    def _row(self, row: int, outputs: list[Before]) -> str:
        """The condition of one row: met by some deployed outputs, or clearly above zero where `sure`."""
        rows = self._asked.rows
        factors = [Fraction(c) for c in rows.coefficients[row].tolist()]
        used = [(c, output) for c, output in zip(factors, outputs, strict=True) if c]
        form = combined(((c, output.form) for c, output in used), Fraction(float(rows.constants[row])))
        error = sum((abs(c) * output.radius for c, output in used), ZERO)
        if self._asked.sure:
            return f"(> {term(form.scaled(ONE, -CLEARLY * error))} 0.0)"
        return f"({'>=' if rows.closed[row] else '>'} {term(form.scaled(ONE, error))} 0.0)"


def _sparse(weight: Tensor) -> Sparse:
    """The entries of a matrix that are not zero, row by row, as exact rationals."""
    return [[(j, Fraction(w)) for j, w in enumerate(row) if w] for row in weight.tolist()]
