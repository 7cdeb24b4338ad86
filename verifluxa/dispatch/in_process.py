"""The pool of the `laptop` cluster: slices are worked on in this process, in order, batched by the engine."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from verifluxa.dispatch.perform import perform
from verifluxa.dispatch.slices import Engine, Event, Slice
from verifluxa.question import Problem


class InProcessPool:
    """Works on a slice while the driver waits for the next event."""

    workers = 1
    capacity = 1

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._problem: Problem | None = None
        self._queue: deque[Slice] = deque()
        self._running: Iterator[Event] = iter(())

    def load(self, problem: Problem) -> None:
        """Makes this the problem that the following slices point into."""
        self.cancel()
        self._problem = problem

    def submit(self, slice: Slice) -> None:
        """Hands in a slice.

        Raises:
            RuntimeError: when no problem is loaded.
        """
        if self._problem is None:
            raise RuntimeError("a slice was handed in before its problem")
        self._queue.append(slice)

    def next(self, timeout: float) -> Event | None:
        """Works until the next event; the timeout cannot be kept, since nobody else does the work."""
        while True:
            event = next(self._running, None)
            if event is not None:
                return event
            if not self._queue or self._problem is None:
                return None
            self._running = perform(self._engine, self._problem, self._queue.popleft())

    def cancel(self) -> None:
        """Drops what is not done."""
        self._queue.clear()
        self._running = iter(())

    def close(self) -> None:
        """Drops what is not done."""
        self.cancel()
