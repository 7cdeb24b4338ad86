"""Writes neurons as SMT-LIB: a value between f(x - r) and f(x + r), one variable for each neuron that bends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from verifluxa.bounds import LayerBounds, NetLayer, pair_count
from verifluxa.smt.pieces import ONE, ZERO, Pieces
from verifluxa.smt.rational import Form, combined, number, term, variable, widened


class Writer:
    """Collects declarations and assertions; hands out names."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._count = 0

    def declare(self, sort: str, name: str | None = None) -> str:
        """Declares a constant; without a name of its own it gets the next free one."""
        if name is None:
            name = f"x{self._count}"
            self._count += 1
        self.lines.append(f"(declare-const {name} {sort})")
        return name

    def require(self, condition: str) -> None:
        """Asserts a condition."""
        self.lines.append(f"(assert {condition})")

    def define(self, form: Form) -> Form:
        """A form of at most one variable that equals the given one."""
        if len(form.terms) <= 1:
            return form
        name = self.declare("Real")
        self.require(f"(= {name} {term(form)})")
        return variable(name)


@dataclass(frozen=True)
class Before:
    """A pre-activation: the deployed value lies within `radius` of `form`, and between `low` and `high`."""

    form: Form
    radius: Fraction
    low: Fraction
    high: Fraction

    @property
    def up(self) -> Form:
        """The largest deployed value."""
        return self.form.scaled(ONE, self.radius)

    @property
    def down(self) -> Form:
        """The smallest deployed value."""
        return self.form.scaled(ONE, -self.radius)


@dataclass(frozen=True)
class Reading:
    """How the numbers of a layer are read for one input.

    Attributes:
        input: index into the problem's inputs.
        pair: which pair of the bounds speaks of it.
        exact: leave the errors out.
        enforced: the bounds do not follow from the domain: where a neuron is taken for straight by its bounds,
            they are asserted.
    """

    input: int
    pair: int
    exact: bool = False
    enforced: bool = False


class Neurons:
    """The neurons of one layer for one input.

    Attributes:
        writer: where they are written.
        pairs: how many pairs of a max pool's round they are; 0 for other layers.
    """

    def __init__(self, writer: Writer, layer: NetLayer, bounds: LayerBounds, reading: Reading) -> None:
        """Reads one input's numbers.

        Args:
            writer: where they are written.
            layer: of the network.
            bounds: of this layer.
            reading: which input, and how.
        """
        input_, pair, exact = reading.input, reading.pair, reading.exact
        self.writer = writer
        self._enforced = reading.enforced
        self._offset = layer.offset[0 if len(layer.offset) == 1 else input_].tolist()
        self._lower = bounds.lower[pair].tolist()
        self._upper = bounds.upper[pair].tolist()
        self._radius = [0.0] * len(self._offset) if exact else bounds.radius[pair].tolist()
        self._linear = [False] * len(self._offset) if layer.linear is None else layer.linear.tolist()
        self.pairs = pair_count(layer.special)
        if self.pairs:
            self._linear = [not 2 * self.pairs <= n < 3 * self.pairs for n in range(len(self._offset))]

    def before(self, n: int, moved: Form) -> Before:
        """The pre-activation of neuron n, whose `weight @ state` is given; ends and radius are widened a little."""
        form = moved.scaled(ONE, Fraction(self._offset[n]))
        return Before(form, widened(self._radius[n]), -widened(-self._lower[n]), widened(self._upper[n]))

    def state(self, moved: Sequence[Form], pieces: Pieces) -> list[Form]:
        """What the layer hands on; of a pair a + relu(b - a)."""
        behind = 3 * self.pairs
        starts = (0, 2 * self.pairs)
        first, last = ([self.value(n, moved[n], pieces) for n in range(at, at + self.pairs)] for at in starts)
        pairs = [combined(((ONE, a), (ONE, d)), ZERO) for a, d in zip(first, last, strict=True)]
        return [*pairs, *(self.value(n, moved[n], pieces) for n in range(behind, len(moved)))]

    def value(self, n: int, moved: Form, pieces: Pieces) -> Form:
        """What neuron n hands on."""
        before = self.before(n, moved)
        line = (ONE, ZERO)
        if not self._linear[n]:
            found = pieces.line(Fraction(self._lower[n]), Fraction(self._upper[n]))
            if found is None:
                return self._bent(before, pieces)
            line = found
        if line[0]:
            z = self._straight(before)
            self._enforce(z, z, before)
            return z.scaled(*line)
        self._enforce(before.down, before.up, before)
        return Form({}, line[1])

    def _enforce(self, least: Form, most: Form, before: Before) -> None:
        """Keeps the pre-activation of a straight neuron between its bounds."""
        if self._enforced:
            self.writer.require(f"(<= {term(least)} {number(before.high)})")
            self.writer.require(f"(>= {term(most)} {number(before.low)})")

    def _straight(self, before: Before) -> Form:
        """A value within its radius of a form."""
        if not before.radius:
            return self.writer.define(before.form)
        z = variable(self.writer.declare("Real"))
        distance = term(combined([(ONE, z), (-ONE, before.form)], ZERO))
        self.writer.require(f"(<= {number(-before.radius)} {distance})")
        self.writer.require(f"(<= {distance} {number(before.radius)})")
        return z

    def _bent(self, before: Before, pieces: Pieces) -> Form:
        """A variable y with f(x - r) <= y <= f(x + r)."""
        before = Before(self.writer.define(before.form), before.radius, before.low, before.high)
        name = self.writer.declare("Real")
        least, most = pieces.value(before.low), pieces.value(before.high)
        self.writer.require(f"(<= {number(least)} {name} {number(most)})")
        self._below(name, before, pieces)
        self._above(name, before, pieces)
        return variable(name)

    def _below(self, name: str, before: Before, pieces: Pieces) -> None:
        """At most max(flat line, x) at x = up, and the chord above that bend; the cap is a bound of y already."""
        steep = f"(<= {name} {term(before.up)})"
        if before.low >= pieces.bend:
            self.writer.require(steep)
            return
        self.writer.require(f"(or (<= {name} {term(before.up.scaled(*pieces.flat))}) {steep})")
        low, bottom = before.low, pieces.value(before.low)
        top = before.high if pieces.cap is None else min(before.high, pieces.cap)
        constant = low * (top - bottom) - bottom * (top - low)
        chord = combined([(top - low, variable(name)), (bottom - top, before.up)], constant)
        self.writer.require(f"(<= {term(chord)} 0.0)")

    def _above(self, name: str, before: Before, pieces: Pieces) -> None:
        """At least min(cap, max(flat line, x)) at x = down, and the chord below the cap."""
        if before.low < pieces.bend:
            self.writer.require(f"(>= {name} {term(before.down.scaled(*pieces.flat))})")
        steep = f"(>= {name} {term(before.down)})"
        if pieces.cap is None or before.high <= pieces.cap:
            self.writer.require(steep)
            return
        self.writer.require(f"(or (>= {name} {number(pieces.cap)}) {steep})")
        high, base = before.high, max(before.low, pieces.bend)
        chord = combined([(high - base, variable(name)), (base - pieces.cap, before.down)], base * (pieces.cap - high))
        self.writer.require(f"(>= {term(chord)} 0.0)")
