"""Decides queries within a wall-clock and a memory limit: z3 runs in a process of its own, killed at the limit."""

from __future__ import annotations

import json
import math
import os
import queue
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import IO

from verifluxa.smt.query import Point, Query
from verifluxa.verdict import Reason

WORKER = Path(__file__).with_name("worker.py")
GRACE_SECONDS = 2.0
REASONS = {"memory": Reason.MEMORY, "timeout": Reason.TIME, "canceled": Reason.TIME, "interrupted": Reason.TIME}
"""What the words mean that the solver gives for an `unknown`; any other word: it has no way to decide this."""
LEAST_MEMORY_MB = 64
"""Below this the solver cannot even start."""


@dataclass(frozen=True)
class Unsat:
    """No trigger of the domain makes `threshold` of the members violate, in any allowed evaluation."""


@dataclass(frozen=True)
class Sat:
    """A trigger that may do so, in exact numbers; only a replay says whether it does."""

    point: Point


@dataclass(frozen=True)
class Unknown:
    """Not decided, and why; `detail` is the solver's own word."""

    reason: Reason
    detail: str = ""


Answer = Unsat | Sat | Unknown


class Solver:
    """A solver process, started by the first query and again after it was lost. Use it in a `with` block.

    Args:
        memory_mb: that it may use.
        worker: the program that it runs.
        grace: seconds after its own limit that it may take to say so; then it is killed.
    """

    def __init__(self, memory_mb: int, worker: Path = WORKER, grace: float = GRACE_SECONDS) -> None:
        self._memory = max(memory_mb, LEAST_MEMORY_MB)
        self._worker, self._grace = worker, grace
        self._process: _Process | None = None

    def __enter__(self) -> Solver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def decide(self, query: Query, seconds: float) -> Answer:
        """Decides one query; an answer comes within about `seconds`, whatever the solver does.

        Raises:
            ValueError: for text that is not SMT-LIB: a mistake of the caller.
        """
        if seconds <= 0:
            return Unknown(Reason.TIME)
        started = time.monotonic()
        if self._process is None:
            self._process = _Process(self._worker, self._memory)
        line = json.dumps({"text": query.text, "names": query.names, "milliseconds": math.ceil(seconds * 1000)})
        reply = self._process.ask(line, started + seconds + self._grace)
        answer = _answer(json.loads(reply), query) if isinstance(reply, str) else reply
        if not isinstance(reply, str) or (isinstance(answer, Unknown) and answer.reason is Reason.MEMORY):
            self._end()  # z3 does not give back what a query that ran out of memory has taken
        return answer

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.end()


def _answer(reply: dict[str, object], query: Query) -> Answer:
    kind, detail = reply["answer"], str(reply.get("reason", ""))
    if kind == "malformed":
        raise ValueError(f"the solver does not understand the query: {detail}")
    if kind == "unsat":
        return Unsat()
    if kind == "sat":
        values = reply["values"]
        assert isinstance(values, dict)
        return Sat(query.point({name: Fraction(value) for name, value in values.items()}))
    return Unknown(next((reason for word, reason in REASONS.items() if word in detail), Reason.STRATEGY), detail)


class _Process:
    """One process and a thread that reads its answers."""

    def __init__(self, worker: Path, memory_mb: int) -> None:
        # Started by file name: the child loads z3 alone. It finds it where this process finds its packages.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        command = [sys.executable, "-P", str(worker), str(memory_mb)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            text=True,
            encoding="utf-8",
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input: IO[str] = self._process.stdin
        self._replies: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    def _read(self, output: IO[str]) -> None:
        for line in output:
            self._replies.put(line)
        self._replies.put("")

    def ask(self, line: str, deadline: float) -> str | Unknown:
        """Sends one line and waits for one."""
        with suppress(BrokenPipeError):  # it is gone: the reader says so, too
            self._input.write(line + "\n")
            self._input.flush()
        try:
            reply = self._replies.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            return Unknown(Reason.TIME, "killed at the limit")
        return reply or Unknown(Reason.LOST_WORKER, "the solver's process ended")

    def end(self) -> None:
        """Kills the process and waits for it."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        with suppress(BrokenPipeError):
            self._input.close()
        if self._process.stdout is not None:
            self._process.stdout.close()
