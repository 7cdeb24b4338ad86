"""The pools of one machine: `laptop` works in this process, in order; `local` has one spawned process per core."""

from __future__ import annotations

import logging
import multiprocessing
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from verifluxa.dispatch.interrupts import interrupts_blocked
from verifluxa.dispatch.perform import Pace, perform
from verifluxa.dispatch.slices import (
    BEAT_SECONDS,
    NOT_LAST,
    SILENCE_SECONDS,
    Engine,
    Event,
    Lost,
    Slice,
    described,
)
from verifluxa.dispatch.worker import work
from verifluxa.question import Problem
from verifluxa.verdict import Verdict

log = logging.getLogger(__name__)


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

    def answered(self, counts: Mapping[Verdict, int]) -> None:
        """Nobody watches a pool of this machine but the run itself."""

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

    def __init__(self, engine: Engine, threads: int, beat: float) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection: Connection[Any, Any]
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=work, args=(theirs, threads, beat), daemon=True)
        with interrupts_blocked():
            self.process.start()
        theirs.close()
        self.engine = engine
        self.problem: Problem | None = None
        self.slice: Slice | None = None
        self.heard = time.monotonic()

    def give(self, problem: Problem, slice: Slice, patience: float) -> None:
        """Sends the slice, and before it what the worker does not have yet.

        A worker that was stopped while it was idle reads nothing, and a full pipe would hold us for ever: it is ended
        after `patience` seconds.

        Raises:
            OSError: when the worker is gone.
        """
        self.slice, self.heard = slice, time.monotonic()
        ending = threading.Timer(patience, self.process.kill)
        ending.daemon = True
        with interrupts_blocked():
            ending.start()
        try:
            if self.problem is None:
                self.connection.send(("engine", self.engine))
            if self.problem is not problem:
                self.connection.send(("problem", problem))
                self.problem = problem
            self.connection.send(("slice", slice))
        finally:
            ending.cancel()

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
    """Hands slices to idle workers; one that dies or falls silent is replaced, and its slice is reported as lost."""

    def __init__(
        self,
        engine: Engine,
        workers: int,
        threads: int = 1,
        silence: float = SILENCE_SECONDS,
        beat: float = BEAT_SECONDS,
    ) -> None:
        """A pool without a process yet.

        Args:
            engine: what the workers do.
            workers: how many.
            threads: numerical threads of each.
            silence: seconds without a sign of life after which a busy worker is replaced.
            beat: seconds between two signs of life.
        """
        super().__init__(engine)
        self._silence = silence
        self._beat = beat
        self._looked = time.monotonic()
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
                worker.give(self._problem, slice, self._silence)
            except OSError:
                self._bury(worker)

    def _idle(self) -> _Worker | None:
        for worker in self._workers:
            if worker.slice is None:
                return worker
        if len(self._workers) >= self._count:
            return None
        worker = _Worker(self._engine, self._threads, self._beat)
        self._workers.append(worker)
        return worker

    def _listen(self, timeout: float) -> None:
        by_connection = {worker.connection: worker for worker in self._workers if worker.slice is not None}
        if not by_connection:
            return
        for connection in wait(list(by_connection), timeout):
            assert isinstance(connection, Connection)
            self._read(by_connection[connection])
        self._bury_silent()

    def _bury_silent(self) -> None:
        """Ends the workers that are there and do nothing, not even say so.

        Only silence that we have listened to counts: when this process was itself stopped or busy, signs may lie in the
        pipes that nobody has read yet.
        """
        now = time.monotonic()
        was_away, self._looked = now - self._looked > self._silence / 2, now
        for worker in [worker for worker in self._workers if worker.slice is not None]:
            if was_away:
                worker.heard = now
            elif now - worker.heard > self._silence:
                assert worker.slice is not None
                log.warning("no sign of life for %.0f s with %s", self._silence, described(worker.slice))
                self._bury(worker)

    def _read(self, worker: _Worker) -> None:
        """Takes one message, an event or a sign of life; a broken pipe is how the death of a worker shows."""
        try:
            event: Event | None = worker.connection.recv()
        except (EOFError, OSError):
            self._bury(worker)
            return
        worker.heard = time.monotonic()
        if event is None:
            return
        if not isinstance(event, NOT_LAST):
            worker.slice = None
        self._events.append(event)

    def _bury(self, worker: _Worker) -> None:
        if worker.slice is not None:
            self._events.append(Lost(worker.slice))
        self._workers.remove(worker)
        worker.end()
