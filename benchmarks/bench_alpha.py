"""Optimised slopes: the native engine against auto-LiRPA's CROWN-Optimized, both seconds and tightness."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

from benchmarks.bench_bounds import PEER, SMOOTH_NETS, Kind, case
from benchmarks.bounds_case import BoundsCase
from benchmarks.peers.client import LirpaPeer, PeerFailed
from benchmarks.peers.environment import ROOT, NotInstalled
from benchmarks.records import Record, interleaved, machine

NAME = "alpha"
METHOD = "CROWN-Optimized"
STEPS = ((20, 0), (20, 10), (40, 20))
"""Steps on the slopes of a row, and before on those of each neuron's ends; auto-LiRPA takes 20 on all of them."""
REPEATS = 3
KINDS = (
    *(Kind("mlp-784-64-32-10", side) for side in (3, 5)),
    *(Kind(net, side) for net, side in zip(SMOOTH_NETS, (5, 3), strict=True)),
)
SMALL = KINDS[:1]


def run(small: bool = False) -> list[Record]:
    """All cases; without the peer where it cannot be installed."""
    with ExitStack() as stack:
        try:
            peer: LirpaPeer | None = stack.enter_context(LirpaPeer())
        except NotInstalled:
            peer = None
        kinds, repeats = (SMALL, 1) if small else (KINDS, REPEATS)
        return [record for kind in kinds for record in _measure(kind, peer, repeats)]


def _measure(kind: Kind, peer: LirpaPeer | None, repeats: int) -> list[Record]:
    native = replace(case(kind), images=case(kind).images[:32])
    path = ROOT / "build" / "bench" / "alpha.npz"
    native.save(path)
    label = f"{kind.label}, {native.items} items"
    records = []
    for steps in STEPS:
        blank = Record(
            NAME,
            f"{label}, {steps[0]} steps, {steps[1]} for neurons",
            "CPU seconds",
            None,
            repeats=repeats,
            machine=machine(),
        )
        records += _compare(blank, native, steps, (peer, path))
    return records


def _compare(
    blank: Record, native: BoundsCase, steps: tuple[int, int], against: tuple[LirpaPeer | None, Path]
) -> list[Record]:
    peer, path = against
    side = partial(_seconds, native, steps)
    tight = replace(blank, what="mean upper bound of a row (lower is tighter)", repeats=1)
    tight = replace(tight, ours=float(native.alpha_upper(*steps).mean()))
    if peer is None:
        (own,) = interleaved([side], blank.repeats)
        return [replace(blank, ours=own, peer=f"{PEER}: peer not installed"), tight]
    named = f"{PEER}, folded, {METHOD}"
    try:
        peer.load(path, "folded", "float32", METHOD)
        own, their = interleaved([side, peer.seconds], blank.repeats)
        peer.load(path, "folded", "float64", METHOD)
        upper = peer.upper(ROOT / "build" / "bench" / "upper.npz")
    except PeerFailed as reason:
        return [replace(blank, peer=f"{named}: {reason}"), tight]
    speed = replace(blank, ours=own, theirs=their, ratio=their / own, peer=named)
    return [speed, replace(tight, theirs=float(upper.mean()), peer=named)]


def _seconds(native: BoundsCase, steps: tuple[int, int]) -> float:
    started = time.process_time()
    native.alpha_upper(*steps)
    return time.process_time() - started
