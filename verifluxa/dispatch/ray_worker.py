"""What a worker on another machine does with a slice: clocks differ there, and the slice need not travel back."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from verifluxa.dispatch.perform import perform
from verifluxa.dispatch.slices import Engine, Event, Slice
from verifluxa.question import Problem


@dataclass(frozen=True, eq=False)
class Work:
    """A slice on its way.

    Attributes:
        problem: number of the problem that it points into.
        slice: the slice; its deadline is on the driver's clock.
        left: seconds until then, or None.
    """

    problem: int
    slice: Slice
    left: float | None


@dataclass(frozen=True, eq=False)
class Told:
    """An event without its slice, which the driver has."""

    event: Event

    def of(self, slice: Slice) -> Event:
        """The event with the driver's slice."""
        changed: Any = replace(self.event, slice=slice)  # type: ignore[arg-type]
        return changed  # type: ignore[no-any-return]


def work_on(engine: Engine, problem: Problem, task: Work) -> list[Told]:
    """Works on a slice and gives its events back."""
    slice = task.slice
    if task.left is not None:
        slice = replace(slice, deadline=time.monotonic() + task.left)
    return [Told(replace(event, slice=None)) for event in perform(engine, problem, slice)]  # type: ignore[arg-type]
