"""The network as a function of one placement's trigger: only what the trigger reaches, layer by layer.

State 0 is the trigger, state k what the function of layer k gives. Each layer is affine in some states before it,
`z = sum_k M_k h_k + c` with an error of at most `sum_k R_k |h_k| + q`, followed by a function; `c` and `q` depend on
the input, `M_k` and `R_k` do not.

What a linear operation gives is counted from its values on the untouched inputs: what is not reached then drops out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from verifluxa.certificate.check.functions import LARGER, SAME, Floats, Function
from verifluxa.certificate.check.network import Ball, Constants, Integers, Step, Taps
from verifluxa.certificate.check.rounding import SAFETY

CONSTANT = -1
"""In the parts of a form: the constants, one for each input."""
Parts = dict[int, Floats]


class Form(NamedTuple):
    """Values that are affine in states, input by input.

    Attributes:
        value: coefficients by state, shape (values, size of the state), and constants, shape (values, N). Values that
            are those of a state itself, in order and up to a factor, have a vector of factors in place of a matrix.
        error: the deployed value is off by at most the sum of `error[k] @ |h_k|` and `error[CONSTANT]`.
    """

    value: Parts
    error: Parts


@dataclass(frozen=True, eq=False)
class Layer:
    """Affine values, and the function after them; None for the outputs.

    Attributes:
        weight, relative: by state, shape (values, size of the state).
        size: magnitudes of the weights.
        offset, absolute: shape (N, values).
    """

    weight: Parts
    size: Parts
    relative: Parts
    offset: Floats
    absolute: Floats
    function: Function | None


def chain_of(constants: Constants, positions: Integers) -> tuple[Layer, ...]:
    """The layers of a placement whose trigger replaces the input values at `positions`."""
    walk = _Walk(constants, positions)
    for number, step in enumerate(constants.steps, 1):
        walk.step(number, step)
    everything = np.arange(len(constants.balls[-1].value))
    walk.put(walk.all_of(len(constants.steps), everything), None)
    return tuple(walk.layers)


class _Walk:
    """The reached values of the steps that are still read, and the layers put down so far."""

    def __init__(self, constants: Constants, positions: Integers) -> None:
        self.constants = constants
        self.rounding = constants.rounding
        self.layers: list[Layer] = []
        self.live = {0: (positions, self._state(0, len(positions), 0.0, 0.0))}
        end = len(constants.steps)
        self.last_use = {at: number for number, step in enumerate(constants.steps, 1) for at in step.sources}
        self.last_use[end] = end + 1

    def step(self, number: int, step: Step) -> None:
        """Walks one step; what is read behind a function becomes a state of its own there."""
        if isinstance(step.kind, Taps):
            self.live[number] = self.linear(step.kind, step.sources, number)
        elif isinstance(step.kind, Function):
            reached, form = self.live[step.sources[0]]
            self.live[number] = reached, self.bend(form, step.kind)
        else:
            self.live[number] = self.pool(step.kind, step.sources[0])
        self.live = {at: item for at, item in self.live.items() if self.last_use.get(at, 0) > number}
        for at, (reached, form) in self.live.items() if not isinstance(step.kind, Taps) else ():
            if at < number and not all(part.ndim == 1 for state, part in form.value.items() if state != CONSTANT):
                self.live[at] = reached, self.bend(form, SAME)

    def _state(self, state: int, count: int, relative: float, absolute: float) -> Form:
        """The values of a state, within an error."""
        nothing = np.zeros((count, self.constants.balls[0].value.shape[1]))
        return Form(
            {state: np.ones(count), CONSTANT: nothing},
            {state: np.full(count, relative), CONSTANT: nothing + absolute},
        )

    def put(self, form: Form, function: Function | None) -> None:
        """Puts a layer down."""
        value, error = ({at: _matrix(part) for at, part in parts.items()} for parts in form)
        offset, absolute = (np.ascontiguousarray(parts.pop(CONSTANT).T) for parts in (value, error))
        size = {at: np.abs(part) for at, part in value.items()}
        self.layers.append(Layer(value, size, error, offset, absolute, function))

    def bend(self, form: Form, function: Function) -> Form:
        """Puts a layer down and returns its state, within the function's own error."""
        self.put(form, function)
        error, count = function.error_in(self.rounding.arithmetic), len(form.value[CONSTANT]) // function.blocks
        return self._state(len(self.layers), count, error, error + self.rounding.tiny())

    def linear(self, taps: Taps, sources: tuple[int, ...], number: int) -> tuple[Integers, Form]:
        """Over a linear operation: its untouched values, and what the reached ones differ by."""
        starts = np.cumsum([0, *(len(self.constants.balls[at].value) for at in sources)])
        reached = [self.live[at][0] + start for at, start in zip(sources, starts, strict=False)]
        rows, known, own = taps.reading(np.concatenate(reached)), self.constants.balls[number], self.rounding.own
        untouched = [Ball(*(part[self.live[at][0]] for part in self.constants.balls[at])) for at in sources]
        filled = np.sum([self.constants.filled[at] for at in sources], axis=0)
        # What is reached counts as if it were not 0.
        more = np.sum([(~gone.filled).sum(axis=0) for gone in untouched], axis=0)
        before, relative = (taps.relative(count, self.rounding) for count in (filled, filled + more))
        most, grown = relative.max(initial=0.0), relative / before
        counting = 1 + 4 * own  # covers the rounding of differences of radii
        # An untouched 0 may have no error at all; under the trigger it may be flushed.
        least = np.maximum(grown * known.error[rows], taps.flushed(self.rounding)[rows])
        value, error = {CONSTANT: known.value[rows]}, {CONSTANT: counting * least}
        carried = SAFETY if taps.terms else 1.0
        for at, inputs, gone in zip(sources, reached, untouched, strict=True):
            (_, form), weight = self.live[at], taps.local(rows, inputs)
            size, flushed = taps.magnitudes(weight)
            for state, part in form.value.items():
                if state == CONSTANT:
                    _add(value, state, weight, part - gone.value)
                    # Taking a value out again rounds too, so this checker's own share of its error stays in.
                    _add(error, state, size, relative * np.abs(part) - (relative - own) * np.abs(gone.value))
                    _add(error, state, flushed, np.abs(part) - np.abs(gone.value))
                else:
                    _add(value, state, weight, part)
                    _add(error, state, most * size + flushed, np.abs(part))
            for state, part in form.error.items():
                if state == CONSTANT:
                    _add(error, state, size, carried * (part - grown * gone.error) + relative * (part - gone.error))
                    _add(error, state, flushed, part - gone.error)
                else:
                    _add(error, state, (carried + most) * size + flushed, part)
        error[CONSTANT] = np.maximum(error[CONSTANT], 0.0) * counting
        return rows, Form(value, error)

    def pool(self, players: Integers, source: int) -> tuple[Integers, Form]:
        """A maximum over windows as a tournament: of a and b the larger one goes on, round by round."""
        touched = np.flatnonzero(np.isin(players, self.live[source][0]).any(axis=1))
        # Whoever stands in for the padding stands there again and again, behind all others.
        inside = np.diff(players[touched], axis=1, prepend=-1) != 0
        form, own = self.all_of(source, players[touched][inside]), self.rounding.own
        place = _numbered(inside)
        while (place[:, 1:] >= 0).any():
            first, second = place[:, ::2], np.pad(place[:, 1::2], [(0, 0), (0, place.shape[1] % 2)], constant_values=-1)
            stay, place = first >= 0, _numbered(first >= 0)
            # Who has no opponent meets itself.
            a, b = first[stay], np.where(second >= 0, second, first)[stay]
            meet = (a != b)[:, None]
            value, error = ({at: _matrix(part) for at, part in parts.items()} for parts in form)
            rows = Form(
                {at: np.concatenate([part[a], part[b], part[b] - part[a]]) for at, part in value.items()},
                {
                    at: np.concatenate([part[a], part[b], meet * (part[a] + part[b] + own * (size[a] + size[b]))])
                    for at, part, size in ((at, part, np.abs(value[at])) for at, part in error.items())
                },
            )
            reads = sum(np.count_nonzero(part, axis=1) for at, part in value.items() if at != CONSTANT)
            form = self.bend(rows, LARGER[bool(np.all(reads <= 1))])
        return touched, form

    def all_of(self, at: int, wanted: Integers) -> Form:
        """Values of a step, reached or not."""
        ball, (reached, form) = self.constants.balls[at], self.live[at]
        place = np.full(len(ball.value), -1)
        place[reached] = np.arange(len(reached))
        inside = np.flatnonzero(place[wanted] >= 0)

        def spread(state: int, part: Floats, known: Floats) -> Floats:
            matrix = _matrix(part)
            whole = known[wanted] if state == CONSTANT else np.zeros((len(wanted), matrix.shape[1]))
            whole[inside] = matrix[place[wanted[inside]]]
            return whole

        pairs = zip(form, ball, strict=True)
        return Form(*({state: spread(state, part, known) for state, part in parts.items()} for parts, known in pairs))


def _numbered(mask: NDArray[np.bool_]) -> Integers:
    """Numbers the places of a mask row by row; -1 elsewhere."""
    return np.where(mask, np.cumsum(mask).reshape(mask.shape) - 1, -1)


def _matrix(part: Floats) -> Floats:
    return np.diag(part) if part.ndim == 1 else part


def _add(parts: Parts, state: int, weight: Floats, part: Floats) -> None:
    parts[state] = parts.get(state, 0.0) + (weight * part if part.ndim == 1 else weight @ part)
