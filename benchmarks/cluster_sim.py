"""A cluster on paper: one driver, many workers, service times from recorded ledgers; discrete events.

A worker that is free asks the driver; the driver answers one after the other, `driver` seconds each; a message takes
`latency` seconds each way. Ray's actors have one slice in hand at a time, as in `dispatch/ray_pool.py`, so a worker
idles from the end of a slice until the next one comes. The costs are those that `bench_cluster` has just measured.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from verifluxa.dispatch.ledger import Ledger

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Costs:
    """Seconds: of the driver for each slice, of a message one way, of starting a worker."""

    driver: float
    latency: float
    start: float = 3.0


@dataclass(frozen=True)
class Run:
    """What a simulated run came to.

    Attributes:
        seconds: until the last slice is back.
        efficiency: work / (workers x seconds).
        driver: share of the time in which the driver was busy.
        slices: handed out.
    """

    seconds: float
    efficiency: float
    driver: float
    slices: int


def service_times(ledger: Path) -> Floats:
    """Seconds that each answered question took, from a ledger."""
    with Ledger.watch(ledger) as opened:
        return np.array([row[0] for row in opened.rows("SELECT seconds FROM outcome WHERE seconds > 0")])


def slices_of(services: Floats, questions: int, length: float, seed: int = 0) -> Floats:
    """Slices of about `length` seconds: questions drawn from recorded ones, long ones cut into pieces."""
    drawn = np.random.default_rng(seed).choice(services, questions)
    whole = np.floor(drawn / length).astype(np.int64)
    pieces = np.full(int(whole.sum()), length)
    rest = drawn - whole * length
    ends = np.floor(np.cumsum(rest) / length).astype(np.int64)
    sums = np.bincount(ends, rest)
    return np.concatenate([pieces, sums[sums > 0]])


def simulate(slices: Floats, workers: int, costs: Costs) -> Run:
    """Plays a run; slices go out in the order given."""
    waiting = [(costs.start, worker) for worker in range(workers)]
    heapq.heapify(waiting)
    driver_free = busy = last = 0.0
    for seconds in slices.tolist():
        asked, worker = heapq.heappop(waiting)
        driver_free = max(driver_free, asked) + costs.driver
        busy += costs.driver
        back = driver_free + 2 * costs.latency + seconds
        last = max(last, back)
        heapq.heappush(waiting, (back, worker))
    return Run(last, float(slices.sum()) / (workers * last), busy / last, len(slices))


def saturation(length: float, costs: Costs) -> float:
    """How many workers keep the driver busy all the time, with slices of this length."""
    return (length + 2 * costs.latency) / costs.driver
