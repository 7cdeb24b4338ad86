"""The pools of one machine: `laptop` works in this process, in order; `local` has one spawned process per core."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from verifluxa.dispatch.interrupts import interrupts_blocked
from verifluxa.dispatch.perform import Pace, perform
from verifluxa.dispatch.slices import NOT_LAST, Engine, Event, Lost, Slice
from verifluxa.dispatch.worker import work
from verifluxa.question import Problem


class _Queue:
    """The problem of a pool of this machine, and the slices of it that nobody works on yet."""

    def __init__(self, engine: Engine, pace: Pace | None = None) -> None:
        self._engine = engine
        self._pace = pace
        self._problem: Problem | None = None
        self._queue: deque[Slice] = deque()

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

    def cancel(self) -> None:
        """Drops what is not done."""
        self._queue.clear()


class InProcessPool(_Queue):
    """Works on a slice while the driver waits for the next event."""

    workers = 1
    capacity = 1

    def __init__(self, engine: Engine, pace: Pace | None = None) -> None:
        super().__init__(engine, pace)
        self._running: Iterator[Event] = iter(())

    def next(self, timeout: float) -> Event | None:
        """Works until the next event; the timeout cannot be kept, since nobody else does the work."""
        while True:
            event = next(self._running, None)
            if event is not None:
                return event
            if not self._queue or self._problem is None:
                return None
            self._running = perform(self._engine, self._problem, self._queue.popleft(), self._pace)

    def cancel(self) -> None:
        """Drops what is not done."""
        super().cancel()
        self._running = iter(())

    def close(self) -> None:
        """Drops what is not done."""
        self.cancel()


FAREWELL_SECONDS = 2.0


class _Worker:
    """One process, our end of its pipe, and the slice that it works on."""

    def __init__(self, engine: Engine, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection: Connection[Any, Any]
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=work, args=(theirs, threads), daemon=True)
        with interrupts_blocked():
            self.process.start()
        theirs.close()
        self.engine = engine
        self.problem: Problem | None = None
        self.slice: Slice | None = None

    def give(self, problem: Problem, slice: Slice) -> None:
        """Sends the slice, and before it what the worker does not have yet.

        Raises:
            OSError: when the worker is gone.
        """
        self.slice = slice
        if self.problem is None:
            self.connection.send(("engine", self.engine))
        if self.problem is not problem:
            self.connection.send(("problem", problem))
            self.problem = problem
        self.connection.send(("slice", slice))

    def end(self) -> None:
        """Ends the process, gently when it is idle."""
        if self.slice is None and self.process.is_alive():
            with suppress(OSError):  # it may have gone away by itself, which is what we want
                self.connection.send(("stop", None))
            self.process.join(FAREWELL_SECONDS)
        if self.process.is_alive():
            self.process.kill()
        self.process.join()
        self.connection.close()
        self.process.close()


class ProcessPool(_Queue):
    """Hands slices to idle workers; a worker that dies is replaced, and its slice is reported as lost."""

    def __init__(self, engine: Engine, workers: int, threads: int = 1) -> None:
        super().__init__(engine)
        self._threads = threads
        self._count = workers
        self._workers: list[_Worker] = []
        self._events: deque[Event] = deque()

    @property
    def workers(self) -> int:
        """How many slices are worked on at the same time."""
        return self._count

    @property
    def capacity(self) -> int:
        """Twice the workers, so that none of them waits for the driver."""
        return 2 * self._count

    def submit(self, slice: Slice) -> None:
        """Hands in a slice; processes are started when there is work for them.

        Raises:
            RuntimeError: when no problem is loaded.
        """
        super().submit(slice)
        self._feed()

    def next(self, timeout: float) -> Event | None:
        """Waits for the next event, at most `timeout` seconds; None when there was none."""
        self._feed()
        if not self._events:
            self._listen(timeout)
        return self._events.popleft() if self._events else None

    def cancel(self) -> None:
        """Drops what is not done; a busy worker is ended, since native code cannot be interrupted."""
        super().cancel()
        self._events.clear()
        busy = [worker for worker in self._workers if worker.slice is not None]
        self._workers = [worker for worker in self._workers if worker.slice is None]
        for worker in busy:
            worker.end()

    def close(self) -> None:
        """Ends the workers."""
        self.cancel()
        idle, self._workers = self._workers, []
        for worker in idle:
            worker.end()

    def _feed(self) -> None:
        while self._queue and self._problem is not None:
            worker = self._idle()
            if worker is None:
                return
            slice = self._queue.popleft()
            try:
                worker.give(self._problem, slice)
            except OSError:
                self._bury(worker)

    def _idle(self) -> _Worker | None:
        for worker in self._workers:
            if worker.slice is None:
                return worker
        if len(self._workers) >= self._count:
            return None
        worker = _Worker(self._engine, self._threads)
        self._workers.append(worker)
        return worker

    def _listen(self, timeout: float) -> None:
        by_connection = {worker.connection: worker for worker in self._workers if worker.slice is not None}
        if not by_connection:
            return
        for connection in wait(list(by_connection), timeout):
            assert isinstance(connection, Connection)
            self._read(by_connection[connection])

    def _read(self, worker: _Worker) -> None:
        """Takes one message; a broken pipe is how the death of a worker shows."""
        try:
            event: Event = worker.connection.recv()
        except (EOFError, OSError):
            self._bury(worker)
            return
        if not isinstance(event, NOT_LAST):
            worker.slice = None
        self._events.append(event)

    def _bury(self, worker: _Worker) -> None:
        if worker.slice is not None:
            self._events.append(Lost(worker.slice))
        self._workers.remove(worker)
        worker.end()
