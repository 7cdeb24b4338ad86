"""The network as a function of one placement's trigger: only what the trigger reaches, layer by layer.

The state of layer 0 is the trigger. Each layer is affine in the state before it, `z = M h + c` with an error
of at most `R |h| + q`, followed by a function; `c` and `q` depend on the input, `M` and `R` do not.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from verifluxa.certificate.check.constants import Constants, Step
from verifluxa.certificate.check.functions import RELU, Function, Lines
from verifluxa.certificate.check.linear import Floats, Integers, Taps
from verifluxa.certificate.check.rounding import SAFETY


@dataclass(frozen=True, eq=False)
class Form:
    """Values that are affine in a state: `weight @ h + offset`, off by at most `relative @ |h| + absolute`.

    Attributes:
        weight, relative: shape (values, state).
        offset, absolute: shape (N, values).
    """

    weight: Floats
    offset: Floats
    relative: Floats
    absolute: Floats

    def take(self, index: Integers) -> Form:
        """Some of the values."""
        return Form(self.weight[index], self.offset[:, index], self.relative[index], self.absolute[:, index])

    def join(self, other: Form) -> Form:
        """These values, then those."""
        pairs = ((self.weight, other.weight, 0), (self.offset, other.offset, 1))
        errors = ((self.relative, other.relative, 0), (self.absolute, other.absolute, 1))
        return Form(*(np.concatenate([first, second], axis=axis) for first, second, axis in (*pairs, *errors)))


@dataclass(frozen=True, eq=False)
class Layer:
    """A form, and the function after it; None for the outputs. The first `linear` values stay as they are.

    `watched` keeps (relative, absolute) errors of the operations before the last one that make up the form,
    since a value may overflow in the middle and look harmless at the end.
    """

    form: Form
    function: Function | None
    linear: int = 0
    watched: tuple[tuple[Floats, Floats], ...] = ()

    def value(self, z: Floats) -> Floats:
        """The state after the function; the last axis counts values."""
        if self.function is None:
            return z
        return np.concatenate([z[..., : self.linear], self.function.value(z[..., self.linear :])], axis=-1)

    def lines(self, lower: Floats, upper: Floats) -> Lines:
        """Lines below and above each value's function."""
        assert self.function is not None
        # Infinite and missing ends must never become numbers: the lines are then no numbers either.
        nothing = (upper - lower)[..., self.linear :] * 0.0
        found = self.function.lines(lower[..., self.linear :], upper[..., self.linear :])
        bent = [part + nothing for part in found]
        ends = (np.ones_like, np.zeros_like, np.ones_like, np.zeros_like)
        straight = lower[..., : self.linear]
        pieces = [np.concatenate([end(straight), part], axis=-1) for end, part in zip(ends, bent, strict=True)]
        return Lines(*pieces)

    def undecided(self, lower: Floats, upper: Floats) -> NDArray[np.bool_]:
        """Which values planes can say more about."""
        assert self.function is not None
        mask = self.function.undecided(lower, upper)
        mask[..., : self.linear] = False
        return mask


def chain_of(constants: Constants, positions: Integers) -> tuple[Layer, ...]:
    """The layers of a placement whose trigger replaces the input values at `positions`."""
    size, nothing = len(positions), np.zeros((len(constants.values[0]), len(positions)))
    walk = _Walk(constants, positions, Form(np.eye(size), nothing, np.zeros((size, size)), nothing))
    for index, step in enumerate(constants.steps):
        walk.take(index, step)
    return (*walk.layers, Layer(walk.outputs(), None, 0, tuple(walk.watched)))


class _Walk:
    """The reached values of the step that was walked to, as a form in the newest state."""

    def __init__(self, constants: Constants, reached: Integers, form: Form) -> None:
        self.constants = constants
        self.rounding = constants.rounding
        self.reached = reached
        self.form = form
        self.layers: list[Layer] = []
        self.watched: list[tuple[Floats, Floats]] = []

    def take(self, index: int, step: Step) -> None:
        """Goes on over step `index`, which reads values `index` and gives values `index + 1`."""
        if step.taps is not None:
            self.reached, self.form = self._linear(index, step.taps, step.small)
            self.watched.append((self.form.relative, self.form.absolute))
        elif step.function is not None:
            self._bend(step.function, self.form, 0, step.function.error[self.rounding.arithmetic])
        elif step.pool is not None:
            self._pool(index, step.pool)

    def outputs(self) -> Form:
        """All values of the last step; those that are not reached do not depend on the state."""
        return self._all_of(len(self.constants.steps), np.arange(self.constants.values[-1].shape[1]))

    def _linear(self, index: int, taps: Taps, small: Taps | None) -> tuple[Integers, Form]:
        value, radius = self.constants.values[index], self.constants.radii[index + 1]
        everything = len(self.reached) == taps.inputs
        rows, local = taps.local(self.reached)
        form, size, own = self.form, np.abs(local), self.rounding.own
        coefficient = self.rounding.coefficient(taps.terms)
        safety = SAFETY if taps.terms else 1.0
        weight, relative = local @ form.weight, safety * size @ form.relative
        relative += coefficient * (size @ (np.abs(form.weight) + form.relative))
        absolute = (safety * form.absolute + coefficient * (np.abs(form.offset) + form.absolute)) @ size.T
        if taps.terms:
            absolute += SAFETY * self.rounding.tiny() * size.sum(axis=1)
        if small is not None:
            flushed = SAFETY * np.abs(small.local(self.reached)[1])
            relative += flushed @ (np.abs(form.weight) + form.relative)
            absolute += (np.abs(form.offset) + form.absolute) @ flushed.T
        if everything:
            offset = form.offset @ local.T + taps.bias[rows]
            absolute += coefficient * np.abs(taps.bias[rows]) + self.rounding.tiny(taps.terms)
        else:
            offset = self.constants.values[index + 1][:, rows] + (form.offset - value[:, self.reached]) @ local.T
            if taps.terms:  # an output that is only moved reads nothing but its one, reached, input
                absolute += safety * radius[:, rows] + own * (np.abs(value[:, self.reached]) @ size.T)
        return rows, Form(weight, offset, relative, absolute)

    def _bend(self, function: Function, form: Form, linear: int, error: float) -> None:
        """Puts a layer down; the values are now its state, with the function's own error."""
        self.layers.append(Layer(form, function, linear, tuple(self.watched)))
        self.watched = []
        size = len(form.weight)
        count = len(form.offset)
        absolute = np.full((count, size), error + self.rounding.tiny())
        self.form = Form(np.eye(size), np.zeros((count, size)), error * np.eye(size), absolute)

    def _pool(self, index: int, pool: Integers) -> None:
        """A maximum over windows as a tournament: max(a, b) = a + relu(b - a), round by round."""
        touched = np.flatnonzero(np.isin(pool, self.reached).any(axis=1))
        groups = [[int(item) for item in window if item >= 0] for window in pool[touched]]
        members = np.array([item for group in groups for item in group], dtype=np.int64)
        form = self._all_of(index, members)
        starts = np.cumsum([0, *(len(group) for group in groups)])
        places = [list(range(start, stop)) for start, stop in pairwise(starts)]
        while any(len(group) > 1 for group in places):
            form, places = self._round(form, places)
        self.form = form.take(np.array([group[0] for group in places], dtype=np.int64))
        self.reached = touched

    def _round(self, form: Form, places: list[list[int]]) -> tuple[Form, list[list[int]]]:
        kept = np.array([item for group in places for item in group[::2]], dtype=np.int64)
        pairs = [pair for group in places for pair in zip(group[::2], group[1::2], strict=False)]
        first, second = (np.array([pair[side] for pair in pairs], dtype=np.int64) for side in (0, 1))
        a, b, own = form.take(first), form.take(second), self.rounding.own
        difference = Form(
            b.weight - a.weight,
            b.offset - a.offset,
            a.relative + b.relative + own * (np.abs(a.weight) + np.abs(b.weight)),
            a.absolute + b.absolute + own * (np.abs(a.offset) + np.abs(b.offset)),
        )
        self._bend(RELU, form.take(kept).join(difference), len(kept), 0.0)
        weight = np.eye(len(kept), len(kept) + len(pairs))
        place_of = {int(item): place for place, item in enumerate(kept)}
        for number, item in enumerate(first):
            weight[place_of[int(item)], len(kept) + number] = 1.0
        count = len(form.offset)
        absolute = np.full((count, len(kept)), self.rounding.tiny())
        winners = Form(weight, np.zeros((count, len(kept))), own * weight, absolute)
        ends = np.cumsum([0, *((len(group) + 1) // 2 for group in places)])
        return winners, [list(range(start, stop)) for start, stop in pairwise(ends)]

    def _all_of(self, index: int, wanted: Integers) -> Form:
        """Values of a step, reached or not, as one form in the newest state."""
        values, radii = self.constants.values[index], self.constants.radii[index]
        shape = (len(wanted), self.form.weight.shape[1])
        weight, relative = np.zeros(shape), np.zeros(shape)
        offset, absolute = values[:, wanted].copy(), radii[:, wanted].copy()
        place = np.full(values.shape[1], -1)
        place[self.reached] = np.arange(len(self.reached))
        inside = np.flatnonzero(place[wanted] >= 0)
        taken = self.form.take(place[wanted[inside]])
        weight[inside], relative[inside] = taken.weight, taken.relative
        offset[:, inside], absolute[:, inside] = taken.offset, taken.absolute
        return Form(weight, offset, relative, absolute)
