"""What the driver asks of a pool: take slices, give events back one by one, stop."""

from __future__ import annotations

from typing import Protocol

from verifluxa.dispatch.slices import Event, Slice
from verifluxa.question import Problem


class Pool(Protocol):
    """Works on slices of one problem at a time. Delivery is at least once; the driver keeps the first."""

    @property
    def workers(self) -> int:
        """How many slices are worked on at the same time."""
        ...

    @property
    def capacity(self) -> int:
        """How many slices may be handed in before the first one is done."""
        ...

    def load(self, problem: Problem) -> None:
        """Makes this the problem that the following slices point into."""
        ...

    def submit(self, slice: Slice) -> None:
        """Hands in a slice."""
        ...

    def next(self, timeout: float) -> Event | None:
        """Waits for the next event, at most `timeout` seconds; None when there was none."""
        ...

    def cancel(self) -> None:
        """Drops every slice that is not done; no event of theirs comes any more."""
        ...

    def close(self) -> None:
        """Ends the workers. May be called twice."""
        ...
