"""Works on one slice and tells what happened as events. It never raises: errors come back as records."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from verifluxa.dispatch.slices import (
    AttackDone,
    AttackSlice,
    Crashed,
    Decided,
    Engine,
    Event,
    HandedBack,
    OutOfMemory,
    Pairs,
    PieceDone,
    PieceSlice,
    ProofDone,
    ProofSlice,
    Refused,
    Slice,
    described,
)
from verifluxa.errors import VerifluxaError
from verifluxa.evidence import Outcome
from verifluxa.question import Problem
from verifluxa.strategy.work import Checkpoint
from verifluxa.verdict import Verdict

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pace:
    """How often a worker says what it has.

    Attributes:
        gathered: seconds for which decided questions are gathered before they are sent: few messages, live progress.
        silent: seconds without an answer after which a sign of life is sent.
        clock: seconds.
    """

    gathered: float = 0.1
    silent: float = 1.0
    clock: Callable[[], float] = time.monotonic


def perform(engine: Engine, problem: Problem, slice: Slice, pace: Pace | None = None) -> Iterator[Event]:
    """Yields the events of one slice; the last one says how it ended."""
    pace = pace or Pace()
    log.debug("begins %s", described(slice))
    try:
        if isinstance(slice, AttackSlice):
            yield _attack(engine, problem, slice, pace)
        elif isinstance(slice, PieceSlice):
            yield PieceDone(slice, engine.further(problem, slice))
        else:
            yield from _prove(engine, problem, slice, pace)
    except VerifluxaError as error:
        yield Refused(slice, error)
    except Exception as error:  # noqa: BLE001 - nothing is hidden: the driver raises it with this traceback
        if _is_memory(error):
            yield OutOfMemory(slice, str(error))
        else:
            yield Crashed(slice, "".join(traceback.format_exception(error)))
    log.debug("ended %s", described(slice))


def _attack(engine: Engine, problem: Problem, slice: AttackSlice, pace: Pace) -> AttackDone:
    started = pace.clock()
    attacked = tuple(engine.attack(problem, slice))
    return AttackDone(slice, attacked, pace.clock() - started)


def _prove(engine: Engine, problem: Problem, slice: ProofSlice, pace: Pace) -> Iterator[Event]:
    if slice.pairs is not None:
        problem = _narrowed(problem, slice.pairs)
    batch: list[Outcome] = []
    sent = pace.clock()
    try:
        for fallen in engine.prove(problem, slice):
            for answer in fallen:
                if isinstance(answer, Checkpoint):
                    yield HandedBack(slice, answer)
                else:
                    batch.append(answer)
            if _is_due(batch, pace.clock() - sent, pace):
                yield Decided(slice, tuple(batch))
                batch, sent = [], pace.clock()
    except Exception:
        if batch:  # what was decided before stays so
            yield Decided(slice, tuple(batch))
        raise
    if batch:
        yield Decided(slice, tuple(batch))
    yield ProofDone(slice)


def _is_due(batch: list[Outcome], waited: float, pace: Pace) -> bool:
    """Whether to send what was decided; at once a counterexample, whatever the clock says: it may end all work."""
    refuted = any(outcome.verdict is Verdict.FALSIFIED for outcome in batch)
    return refuted or waited >= (pace.gathered if batch else pace.silent)


@lru_cache(maxsize=1)
def _narrowed(problem: Problem, pairs: Pairs) -> Problem:
    """The problem with fewer pairs; the same object for the same pairs, since engines keep things by identity."""
    return replace(problem, pairs=pairs)


def _is_memory(error: Exception) -> bool:
    """Python's own, and the two ways in which torch says it (by name: this room does not import torch)."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
