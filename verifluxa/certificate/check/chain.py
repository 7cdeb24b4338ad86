"""The network as a function of one placement's trigger: only what the trigger reaches, layer by layer.

The state of layer 0 is the trigger. Each layer is affine in the state before it, `z = M h + c` with an error
of at most `R |h| + q`, followed by a function; `c` and `q` depend on the input, `M` and `R` do not. Branches are
carried along in the state, as values that the function leaves alone, until they are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from verifluxa.certificate.check.functions import RELU, Function, Lines
from verifluxa.certificate.check.network import Constants, Floats, Form, Integers, Taps, joined
from verifluxa.certificate.check.rounding import SAFETY


@dataclass(frozen=True, eq=False)
class Layer:
    """Affine values, and the function after them; None for the outputs. The first `linear` values stay as they are.

    Attributes:
        weight, relative: shape (values, state).
        offset, absolute: shape (N, values).
        watched: the largest error coefficients of the operations before the last one, per state and per input:
            a value may overflow in the middle and look harmless at the end.
    """

    weight: Floats
    relative: Floats
    offset: Floats
    absolute: Floats
    watched: tuple[Floats, Floats]
    function: Function | None = None
    linear: int = 0

    def ends(self, lower: Floats, upper: Floats) -> tuple[Floats, Floats]:
        """Least and largest state after the function; the last axis counts values."""
        if self.function is None:
            return lower, upper
        bent = self.function.ends(lower[..., self.linear :], upper[..., self.linear :])
        pairs = zip((lower, upper), bent, strict=True)
        low, high = (np.concatenate([z[..., : self.linear], end], axis=-1) for z, end in pairs)
        return low, high

    def lines(self, lower: Floats, upper: Floats) -> Lines:
        """Lines below and above each value's function."""
        assert self.function is not None
        # Infinite and missing ends must never become numbers: the lines are then no numbers either.
        nothing = (upper - lower)[..., self.linear :] * 0.0
        bent = self.function.lines(lower[..., self.linear :], upper[..., self.linear :])
        straight = lower[..., : self.linear]
        ends = (np.ones_like, np.zeros_like, np.ones_like, np.zeros_like)
        pairs = zip(ends, bent, strict=True)
        return Lines(*(np.concatenate([end(straight), part + nothing], axis=-1) for end, part in pairs))

    def undecided(self, lower: Floats, upper: Floats) -> NDArray[np.bool_]:
        """Which values planes can say more about."""
        assert self.function is not None
        mask = self.function.undecided(lower, upper)
        mask[..., : self.linear] = False
        return mask


def chain_of(constants: Constants, positions: Integers) -> tuple[Layer, ...]:
    """The layers of a placement whose trigger replaces the input values at `positions`."""
    return _Walk(constants, positions).layers_of()


class _Walk:
    """Forms, in the newest state, of the reached values of every step that is still to be read."""

    def __init__(self, constants: Constants, positions: Integers) -> None:
        self.constants = constants
        self.rounding = constants.rounding
        self.count = constants.forms[0].value.shape[1]
        self.last_use = constants.last_use()
        self.number = 0
        self.layers: list[Layer] = []
        self.watched: list[Floats] = []
        self.live = {0: (positions, self._picked(0, len(positions), len(positions)))}

    def layers_of(self) -> tuple[Layer, ...]:
        """Walks all steps."""
        for step in self.constants.steps:
            self.number += 1
            if isinstance(step.kind, Taps):
                self.live[self.number] = self._linear(step.kind, step.sources)
            elif isinstance(step.kind, Function):
                reached, form = self.live[step.sources[0]]
                self.live[self.number] = reached, self._bend(form, step.kind)
            else:
                self.live[self.number] = self._pool(step.kind, step.sources[0])
            self.live = {at: item for at, item in self.live.items() if self.last_use.get(at, 0) > self.number}
        outputs = np.arange(len(self.constants.forms[-1].value))
        self._put(self._all_of(self.number, outputs), None, 0)
        return tuple(self.layers)

    def _picked(self, start: int, count: int, states: int) -> Form:
        """Values of the state themselves, exactly."""
        value = np.zeros((count, states + self.count))
        value[np.arange(count), start + np.arange(count)] = 1.0
        return Form(value, np.zeros_like(value))

    def _put(self, form: Form, function: Function | None, linear: int) -> None:
        states = form.value.shape[1] - self.count
        watched = np.max([error.max(axis=0, initial=0.0) for error in (form.error, *self.watched)], axis=0)
        offset, absolute = (np.ascontiguousarray(part[:, states:].T) for part in form)
        weight, relative = (part[:, :states] for part in form)
        parts = watched[:states], watched[states:]
        self.layers.append(Layer(weight, relative, offset, absolute, parts, function, linear))
        self.watched = []

    def _bend(self, form: Form, function: Function, linear: int = 0) -> Form:
        """Puts a layer down, with what is carried past it in front; returns the state's values behind that.

        The first `linear` values of the form stay as they are; all others get the function's own error.
        """
        carried = [at for at in self.live if self.last_use.get(at, 0) > self.number]
        sizes = [len(self.live[at][0]) for at in carried]
        start, own = sum(sizes), len(form.value)
        self._put(joined([*(self.live[at][1] for at in carried), form]), function, start + linear)
        for at, place in zip(carried, np.cumsum([0, *sizes]), strict=False):
            self.live[at] = self.live[at][0], self._picked(int(place), len(self.live[at][0]), start + own)
        after = self._picked(start, own, start + own)
        error = function.error_in(self.rounding.arithmetic)
        after.error[linear:] = error * after.value[linear:]
        after.error[linear:, start + own :] = error + self.rounding.tiny()
        return after

    def _linear(self, taps: Taps, sources: tuple[int, ...]) -> tuple[Integers, Form]:
        """Over a linear operation; what is not reached comes in as a constant of the input."""
        starts = np.cumsum([0, *(len(self.constants.forms[at].value) for at in sources)])
        reached = np.concatenate([self.live[at][0] + start for at, start in zip(sources, starts, strict=False)])
        rows = np.arange(len(taps.weight)) if len(reached) == taps.inputs else taps.reading(reached)
        if len(sources) > 1:
            assert taps.index is not None
            reached = np.unique(taps.index[rows])
            spans = [reached[(reached >= low) & (reached < high)] - low for low, high in pairwise(starts)]
            form = joined(self._all_of(at, span) for at, span in zip(sources, spans, strict=True))
        else:
            form = self.live[sources[0]][1]
        local, complete = taps.local(rows, reached)
        after = local.push(form, self.rounding)
        states = form.value.shape[1] - self.count
        value, error = after.value[:, states:], after.error[:, states:]
        error += local.flushed(self.rounding)
        if complete:
            value += local.bias[:, None]
            error += local.own_error(self.rounding)
        else:  # the untouched values of what is reached are taken out again; their error stays in
            untouched, whole = self.constants.forms[sources[0]].value[reached], self.constants.forms[self.number]
            value += whole.value[rows] - local.times(untouched)
            error += SAFETY * whole.error[rows]
            error += self.rounding.own * local.times(np.abs(untouched), np.abs(local.weight))
        self.watched.append(after.error.max(axis=0, initial=0.0)[None])
        return rows, after

    def _pool(self, pool: Integers, source: int) -> tuple[Integers, Form]:
        """A maximum over windows as a tournament: max(a, b) = a + relu(b - a), round by round."""
        touched = np.flatnonzero(np.isin(pool, self.live[source][0]).any(axis=1))
        groups = [[int(item) for item in window if item >= 0] for window in pool[touched]]
        members = np.array([item for group in groups for item in group], dtype=np.int64)
        form = self._all_of(source, members)
        ends = np.cumsum([0, *(len(group) for group in groups)])
        while (np.diff(ends) > 1).any():
            form, ends = self._round(form, ends)
        return touched, form

    def _round(self, form: Form, ends: Integers) -> tuple[Form, Integers]:
        """One round: of each group the values 0, 2, .. stay, and their successors' lead over them is bent."""
        groups = [range(low, high) for low, high in pairwise(ends)]
        kept = [place for group in groups for place in group[::2]]
        first = [place for group in groups for place in group[:-1:2]]
        a, b, own = form.take(np.array(first)), form.take(np.array(first) + 1), self.rounding.own
        lead = Form(b.value - a.value, a.error + b.error + own * (np.abs(a.value) + np.abs(b.value)))
        after = self._bend(joined([form.take(np.array(kept)), lead]), RELU, len(kept))
        winners = after.take(np.arange(len(kept)))
        met = np.searchsorted(kept, first)
        winners.value[met] += after.value[len(kept) :]
        winners.error[:] = own * winners.value
        states = winners.value.shape[1] - self.count
        winners.error[:, states:] = self.rounding.tiny()
        return winners, np.cumsum([0, *((len(group) + 1) // 2 for group in groups)])

    def _all_of(self, at: int, wanted: Integers) -> Form:
        """Values of a step, reached or not, as one form in the newest state."""
        constant = self.constants.forms[at]
        reached, form = self.live[at]
        place = np.full(len(constant.value), -1)
        place[reached] = np.arange(len(reached))
        inside = np.flatnonzero(place[wanted] >= 0)
        whole = Form(*(np.zeros((len(wanted), form.value.shape[1])) for _ in form))
        for part, known, own in zip(whole, constant, form, strict=True):
            part[:, form.value.shape[1] - self.count :] = known[wanted]
            part[inside] = own[place[wanted[inside]]]
        return whole
