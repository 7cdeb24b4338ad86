"""What is true of a property of a tiny world: every trigger is tried on every input, straight from the definitions.

An input can violate surely (strictly, in every allowed evaluation) or maybe (strictly in some evaluation, as far as is
known), and likewise loosely, where a tie counts. What is certified must hold even if ties count; a trigger that refutes
must violate strictly.

Inputs of `where correct(m, x)` that are neither right nor wrong in every evaluation are in doubt: a claim must hold
for every choice among them.
"""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property, wraps
from typing import Any, NamedTuple

import numpy as np

from tests.certificate.forgery.networks import TIE, Ball, Net, Number
from tests.certificate.forgery.worlds import Part, Patch, Property, Values, World

IN, OUT, DOUBT = "", "not correct", "correct in some evaluations only"
OTHER_LABEL, NOT_SAMPLED = "label not selected", "not in the sample"
EVALUATIONS = 64
"""Sampled ones of an input whose class is not beyond doubt."""
ROOM = 8
"""How many times larger than Higham's the radius of a careful checker may be, for what it may call in doubt."""


class Met(NamedTuple):
    """Whether something is met: strictly or loosely (a tie counts), surely or as far as is known."""

    strict_sure: bool
    strict_maybe: bool
    loose_sure: bool
    loose_maybe: bool

    def __and__(self, other: Met) -> Met:  # type: ignore[override]
        return Met(*(a and b for a, b in zip(self, other, strict=True)))

    def __or__(self, other: Met) -> Met:
        return Met(*(a or b for a, b in zip(self, other, strict=True)))


NEVER, ALWAYS = Met(False, False, False, False), Met(True, True, True, True)


class Question(NamedTuple):
    """One question: is there one trigger at this place that makes enough inputs violate?

    Attributes:
        place: its number.
        violation: its number, that of a target.
        sure, doubtful: positions in the data file of the inputs that it is about.
    """

    place: int
    violation: int
    sure: tuple[int, ...]
    doubtful: tuple[int, ...]

    @property
    def selection(self) -> tuple[int, ...]:
        return tuple(sorted((*self.sure, *self.doubtful)))


class Counts(NamedTuple):
    """Of the inputs of a question how many violate under one trigger: sure ones and those in doubt."""

    sure: int
    doubtful: int


def remembered(method: Callable[..., Any]) -> Callable[..., Any]:
    """Keeps what a method of `Truth` found, as long as the object lives."""

    @wraps(method)
    def call(self: Truth, *key: Any) -> Any:
        place = (method.__name__, *key)
        if place not in self.memory:
            self.memory[place] = method(self, *key)
        return self.memory[place]

    return call


@dataclass(frozen=True, eq=False)
class Truth:
    """A property in an arithmetic, with params in place."""

    world: World
    prop: Property
    arithmetic: str
    limit: Fraction
    memory: dict[Any, Any] = field(default_factory=dict, repr=False)

    @property
    def net(self) -> Net:
        return self.world.nets[self.prop.model]

    # Which inputs count.

    @cached_property
    def status(self) -> tuple[str, ...]:
        """Of each input why it does not count, or `IN`; by the best of what is known here."""
        return tuple(self._status(index)[0] for index in range(self.world.count))

    def may_be(self, index: int) -> set[str]:
        """What a certificate may say of an input without saying something false."""
        return self._status(index)[1]

    @remembered
    def _status(self, index: int) -> tuple[str, set[str]]:
        prop, label = self.prop, self.world.labels[index]
        if index not in self.world.drawn:
            return NOT_SAMPLED, {NOT_SAMPLED}
        if prop.labels is not None and label not in prop.labels:
            return OTHER_LABEL, {OTHER_LABEL}
        if prop.judge is None:
            return IN, {IN}
        judge, values = self.world.nets[prop.judge], self.world.values(index)
        met = right(judge.outputs(values, self.arithmetic), label, self._tie(judge))
        if self.arithmetic != "real" and not met.strict_sure and met.strict_maybe:
            random = np.random.default_rng(index)
            answers = [judge.sampled(values, random) for _ in range(EVALUATIONS)]
            hits = {all(answer[label] > y for n, y in enumerate(answer) if n != label) for answer in answers}
            return DOUBT, {DOUBT} if len(hits) == 2 else {DOUBT, IN if hits == {True} else OUT}
        known = IN if met.strict_sure else OUT
        # A checker computes what is exact in double precision.
        computed = "float64" if self.arithmetic == "real" else self.arithmetic
        wide = [Ball(y.center, ROOM * y.radius) for y in judge.outputs(values, computed, careful=True)]
        careful = right(wide, label, TIE[computed] if judge.ends_in_softmax else Fraction(0))
        return known, {known} if careful.strict_sure or not careful.strict_maybe else {known, DOUBT}

    def _tie(self, net: Net) -> Fraction:
        return TIE[self.arithmetic] if net.ends_in_softmax else Fraction(0)

    # What is asked.

    @cached_property
    def questions(self) -> tuple[Question, ...]:
        """All of them, as the definitions have them."""
        return self.questions_about(
            [n for n, s in enumerate(self.status) if s == IN], [n for n, s in enumerate(self.status) if s == DOUBT]
        )

    def questions_about(self, sure: Sequence[int], doubtful: Sequence[int]) -> tuple[Question, ...]:
        """All questions where these inputs count, and these may; placement by placement."""
        places = range(len(self.world.trigger.placements))
        if self.prop.kind == "each":
            each = [((n,), ()) if n in sure else ((), (n,)) for n in sorted((*sure, *doubtful))]
            return tuple(Question(place, 0, *one) for place in places for one in each)
        found = []
        for place, violation in itertools.product(places, range(len(self.prop.targets) or 1)):
            kept = [[n for n in some if self._is_victim(n, violation)] for some in (sure, doubtful)]
            found.append(Question(place, violation, tuple(kept[0]), tuple(kept[1])))
        return tuple(found)

    def _is_victim(self, index: int, violation: int) -> bool:
        return not self.prop.apart or self.world.labels[index] != self.prop.targets[violation]

    def target(self, violation: int) -> int | None:
        return self.prop.targets[violation] if self.prop.targets else None

    def need(self, violation: int, count: int) -> int:
        """How many of so many inputs that count break the claim when they violate together."""
        if self.prop.kind == "each":
            return 1
        target = self.target(violation)
        limit = dict(self.prop.limits).get(target, self.limit) if target is not None else self.limit
        if self.prop.below or self.prop.kind == "search":
            return math.ceil(limit * count)
        return math.floor(limit * count) + 1

    # What happens under a trigger.

    @remembered
    def alternatives(self, index: int, violation: int) -> tuple[tuple[Part, ...], ...]:
        """The ways in which an input violates; each a list of rows over the outputs that all hold."""
        if self.prop.condition is not None:
            return self.prop.condition.alternatives
        size = len(self.outputs(index, 0, next(iter(self.world.trigger.grid(0)))))
        target = self.target(violation)
        if target is not None:
            return (tuple(beats(size, target, other) for other in range(size) if other != target),)
        label = self.world.labels[index]
        return tuple((beats(size, other, label),) for other in range(size) if other != label)

    @remembered
    def traced(self, index: int, place: int, trigger: Values) -> tuple[list[list[Ball]], list[Ball]]:
        """What an input with a trigger gives, layer by layer; see `Net.trace`."""
        stamped = self.world.trigger.stamped(self.world.values(index), place, trigger, self.world.shape)
        return self.net.trace(stamped, self.arithmetic)

    def outputs(self, index: int, place: int, trigger: Values) -> list[Ball]:
        return self.traced(index, place, trigger)[1]

    def row(self, part: Part, index: int, place: int, trigger: Values) -> Ball:
        """The value of a row."""
        outputs = self.outputs(index, place, trigger)
        pairs = [(factor, y) for factor, y in zip(part.coefficients, outputs, strict=True) if factor]
        center = part.constant + sum(factor * y.center for factor, y in pairs)
        return Ball(center, sum(abs(factor) * y.radius for factor, y in pairs))

    @remembered
    def part_met(self, part: Part, index: int, place: int, trigger: Values) -> Met:
        """Whether a row is met."""
        center, radius = self.row(part, index, place, trigger)
        tie = self._tie(self.net) if self.prop.condition is None else 0
        strict_sure, strict_maybe = center - radius > tie, center + radius > -tie
        if not part.closed:
            return Met(strict_sure, strict_maybe, strict_sure, strict_maybe)
        return Met(strict_sure, strict_maybe, center - radius >= 0, center + radius >= -tie)

    def alternative_met(self, parts: Sequence[Part], index: int, place: int, trigger: Values) -> Met:
        met = ALWAYS
        for part in parts:
            met &= self.part_met(part, index, place, trigger)
        return met

    @remembered
    def violates(self, index: int, place: int, violation: int, trigger: Values) -> Met:
        """Whether an input violates under a trigger."""
        met = NEVER
        for parts in self.alternatives(index, violation):
            met |= self.alternative_met(parts, index, place, trigger)
        return met

    def fails_somewhere(self, inputs: Sequence[int], at: tuple[int, int, Values], need: int) -> bool:
        """Whether fewer inputs than needed violate in some evaluation, as far as that is known.

        Args:
            inputs: positions in the data file.
            at: the numbers of placement and violation, and the trigger.
            need: how many break the claim.
        """
        met = [self.violates(index, *at) for index in inputs]
        if sum(one.strict_sure for one in met) >= need or self.arithmetic == "real":
            return False
        if sum(one.strict_maybe for one in met) < need:
            return True
        place, violation, trigger = at
        random, kept = np.random.default_rng(place), 0
        for index in inputs:
            stamped = self.world.trigger.stamped(self.world.values(index), place, trigger, self.world.shape)
            answers = [self.net.sampled(stamped, random) for _ in range(EVALUATIONS)]
            parts = [[self.alternatives(index, violation), answer] for answer in answers]
            kept += all(any(all(_is_above(part, y) for part in some) for some in every) for every, y in parts)
        return kept < need

    @remembered
    def triggers(self, place: int) -> tuple[Values, ...]:
        """Triggers that show everything there is: the whole grid, or what `_line` finds along a continuous value."""
        trigger = self.world.trigger
        if isinstance(trigger, Patch) and trigger.continuous:
            if trigger.size != 1:
                raise ValueError("a continuous trigger has a single value here")
            return tuple((value,) for value in self._line(place, trigger))
        return tuple(trigger.grid(place))

    def _line(self, place: int, trigger: Patch) -> list[Number]:
        """Ends, all values at which some neuron or row of some input changes its sign, and one between each two."""
        found = {Fraction(trigger.low), Fraction(trigger.high)}
        for index in range(self.world.count):
            violations = range(len(self.prop.targets) or 1)
            parts = [part for v in violations for some in self.alternatives(index, v) for part in some]
            pieces = [(Fraction(trigger.low), Fraction(trigger.high))]
            while pieces:
                low, high = pieces.pop()
                inner = self._kinks(index, place, parts, (low, high))
                found.update(inner)
                if inner:
                    pieces += itertools.pairwise([low, *inner, high])
        ordered = sorted(found)
        return [*ordered, *((low + high) / 2 for low, high in itertools.pairwise(ordered))]

    def _kinks(self, index: int, place: int, parts: Sequence[Part], ends: tuple[Fraction, Fraction]) -> list[Fraction]:
        """Where between two values the first layer that bends at all bends; behind all layers, where rows are 0."""
        traces = [self.traced(index, place, (end,)) for end in ends]
        layers = [[[ball.center for ball in layer] for layer in before] for before, _ in traces]
        for low, high in zip(*layers, strict=True):
            if crossings := zeros(low, high, ends):
                return crossings
        rows = [[self.row(part, index, place, (end,)).center for part in parts] for end in ends]
        return zeros(*rows, ends)

    # Counts.

    def counts(self, question: Question, trigger: Values, kind: str) -> Counts:
        """How many inputs are met in a way of `Met` by its name."""
        place, violation = question.place, question.violation
        pair = (
            sum(getattr(self.violates(n, place, violation, trigger), kind) for n in some)
            for some in (question.sure, question.doubtful)
        )
        return Counts(*pair)

    @remembered
    def most(self, question: Question, kind: str) -> tuple[Counts, ...]:
        """The counts of all triggers, each once."""
        return tuple({self.counts(question, trigger, kind) for trigger in self.triggers(question.place)})

    def reached(self, question: Question, kind: str) -> bool:
        """Whether some trigger breaks the claim for some choice among the inputs in doubt."""
        base = len(question.sure)
        return any(
            found.sure + more >= self.need(question.violation, base + more) and base + more > 0
            for found in self.most(question, kind)
            for more in range(found.doubtful + 1)
        )

    def rates(self, question: Question, kind: str) -> Iterator[Fraction]:
        """The rates of all triggers for all choices."""
        base = len(question.sure)
        for found in self.most(question, kind):
            for more in range(found.doubtful + 1):
                if base + more:
                    yield Fraction(found.sure + more, base + more)

    def largest_rate(self, kind: str) -> Fraction:
        """Over all questions."""
        rates = (rate for question in self.questions for rate in self.rates(question, kind))
        return max(rates, default=Fraction(0))

    def may_certify(self, question: Question) -> bool:
        """Whether nothing contradicts that no trigger breaks the claim, in any evaluation."""
        return not self.reached(question, "loose_sure")

    def may_falsify(self, question: Question) -> bool:
        """Whether some trigger may break the claim."""
        return self.reached(question, "strict_maybe")


def _is_above(part: Part, outputs: Sequence[float]) -> bool:
    """Whether a row is strictly above zero."""
    return sum(map(operator.mul, map(Fraction, part.coefficients), map(Fraction, outputs))) + part.constant > 0


def right(outputs: Sequence[Ball], label: int, tie: Fraction) -> Met:
    """Whether the label is the class."""
    met, own = ALWAYS, outputs[label]
    for number, other in enumerate(outputs):
        if number != label:
            gap, radius = own.center - other.center, own.radius + other.radius
            met &= Met(gap - radius > tie, gap + radius > -tie, gap - radius >= 0, gap + radius >= -tie)
    return met


def beats(size: int, first: int, second: int) -> Part:
    """The row that one output is at least another."""
    return Part(tuple((n == first) - (n == second) for n in range(size)), 0, closed=True)


def zeros(low: Sequence[Number], high: Sequence[Number], ends: tuple[Fraction, Fraction]) -> list[Fraction]:
    """Where values that are linear between two ends cross 0 inside."""
    start, stop = ends
    crossing = [(Fraction(a), Fraction(b)) for a, b in zip(low, high, strict=True) if a * b < 0]
    return sorted({start + (stop - start) * a / (a - b) for a, b in crossing})
