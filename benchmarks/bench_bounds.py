"""CROWN bounds: the native engine against auto-LiRPA on the same rows; throughput and tightness."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.bounds_case import BoundsCase, Floats
from benchmarks.nets import trained, trained_pools
from benchmarks.peers.client import LirpaPeer, PeerFailed
from benchmarks.peers.environment import ROOT, NotInstalled
from benchmarks.questions import Setting, digits, problem
from benchmarks.records import Record, interleaved, machine
from verifluxa.graph.graph import Graph

NAME = "bounds"
PEER = "auto-LiRPA 0.3"
FORMS = ("box", "stamp", "folded")
CLASSES = tuple(range(10))
PLACE = "({at}, {at})"
REPEATS = 3
MOST_REPEATS, SECONDS = 25, 3.0
"""Cases of milliseconds are repeated up to so often, within so many seconds: three times say little of them."""
SPEED = "inputs bounded per CPU second (all rows)"
FRESH = "the same, local networks of all places built anew each time (the peer's are given)"
TIGHT = "rows bounded less tightly than by the other side, in %"
LOOSER = 1e-6
"""A row counts as looser when its upper bound exceeds the peer's by more than this share of its size."""


@dataclass(frozen=True)
class Kind:
    """A network and what is asked of it: one place in a batch of 256 items, or many places."""

    net: str
    side: int
    targets: tuple[int, ...] = (7,)
    places: int = 1

    @property
    def label(self) -> str:
        """How the table calls it."""
        rows = "" if len(self.targets) == 1 else f", {len(self.targets)} targets"
        many = "" if self.places == 1 else f", {self.places} places"
        return f"{self.net} {self.side}x{self.side}{rows}{many}"


NETS = ("mlp-784-64-32-10", "mlp-784-256x3-10", "cnn-8-16-32-10", "cnn-pools-8-16-32-10")
SMOOTH_NETS = ("tanh-784-64-32-10", "sigmoid-784-64-32-10")
KINDS = (
    *(Kind(net, side) for net in NETS for side in (3, 5)),
    Kind(NETS[0], 3, CLASSES),
    *(Kind(net, 3) for net in SMOOTH_NETS),
    *(Kind(net, 3, places=8) for net in NETS[:3]),
)
SMALL = (Kind(NETS[0], 3), Kind(NETS[2], 3, places=2))


def run(
    small: bool = False, peer_of: Callable[[], LirpaPeer] = LirpaPeer, kinds: Sequence[Kind] | None = None
) -> list[Record]:
    """All cases, each with a peer of its own, which may run out of memory; without where it cannot be installed."""
    kinds, repeats = kinds or (SMALL if small else KINDS), 1 if small else REPEATS
    records: list[Record] = []
    missing = ""
    for kind in kinds:
        with ExitStack() as stack:
            try:
                peer = missing or stack.enter_context(peer_of())
            except NotInstalled as reason:
                peer = missing = f"{PEER}: peer not installed ({reason})"
            records += _measure(kind, peer, repeats)
    return records


def case(kind: Kind) -> BoundsCase:
    """The case of a kind: 128 digits at both halves of the box at one place, 100 at many; 16 for max pools."""
    corners = [25 * i // max(1, kind.places - 1) for i in range(kind.places)] if kind.places > 1 else [12]
    places = ", ".join(PLACE.format(at=min(at, 28 - kind.side)) for at in corners)
    setting = Setting("clean_cnn" if kind.net.startswith("cnn") else "clean", kind.side, places, inputs=150)
    own = {NETS[1]: _wide, NETS[3]: pools, **{name: partial(smooth, name) for name in SMOOTH_NETS}}.get(kind.net)
    asked = problem(setting, own() if own else None)
    images = np.arange(16 if kind.net == NETS[3] else 128 if kind.places == 1 else 100)
    return BoundsCase(asked, images, 2 if kind.places == 1 else 1, kind.targets)


def _wide() -> Graph:
    data = digits(200)
    return trained((256, 256, 256), data.inputs / 255, data.labels)


def smooth(net: str) -> Graph:
    """The network 784-64-32-10 with another function, trained on the example's digits."""
    data = digits(200)
    return trained((64, 32), data.inputs / 255, data.labels, net.split("-", maxsplit=1)[0])


def pools() -> Graph:
    """The convolutional network with max pools, trained on the example's digits."""
    data = digits(200)
    return trained_pools(data.inputs / 255, data.labels)


def _measure(kind: Kind, peer: LirpaPeer | str, repeats: int) -> list[Record]:
    native = case(kind)
    blank = Record(NAME, kind.label, SPEED, None, repeats=repeats, machine=machine())
    if isinstance(peer, str):
        (own,) = interleaved([native.native_seconds], repeats)
        return [replace(blank, ours=native.items / own, peer=peer)]
    path = ROOT / "build" / "bench" / "case.npz"
    native.save(path)
    records = [_speed(replace(blank, peer=f"{PEER}, {form}"), native, peer, (path, form)) for form in FORMS]
    if kind.places > 1:
        own = replace(blank, what=FRESH, peer=f"{PEER}, {FORMS[-1]}")
        records.append(_speed(own, replace(native, fresh=True), peer, (path, FORMS[-1])))
    return records + _tightness(kind, native, peer, path)


def _speed(blank: Record, native: BoundsCase, peer: LirpaPeer, of: tuple[Path, str]) -> Record:
    """In the peer's own float32: that is how it is used, and faster than its float64."""
    path, form = of
    try:
        peer.load(path, form, "float32")
        repeats = blank.repeats
        if repeats > 1:
            repeats = max(repeats, min(MOST_REPEATS, int(SECONDS / (native.native_seconds() + peer.seconds()))))
        own, their = interleaved([native.native_seconds, peer.seconds], repeats)
    except PeerFailed as reason:
        return replace(blank, peer=f"{blank.peer}: {reason}")
    return replace(blank, ours=native.items / own, theirs=native.items / their, ratio=their / own, repeats=repeats)


def _tightness(kind: Kind, native: BoundsCase, peer: LirpaPeer, path: Path) -> list[Record]:
    """Both sides in float64, row by row, against the peer's tightest form."""
    own = native.native_upper()
    uppers = []
    try:
        for form in FORMS:
            peer.load(path, form, "float64")
            uppers.append(peer.upper(path.with_name("upper.npz")))
    except PeerFailed as reason:
        return [Record(NAME, kind.label, TIGHT, None, f"{PEER}: {reason}", machine=machine())]
    return list(_compare(kind, own, np.minimum.reduce(uppers)))


def _compare(kind: Kind, own: Floats, theirs: Floats) -> tuple[Record, Record]:
    make = partial(Record, NAME, kind.label, peer=f"{PEER}, tightest of the forms", machine=machine())
    slack = LOOSER * (1 + np.abs(theirs))
    looser, tighter = 100 * float((own > theirs + slack).mean()), 100 * float((own < theirs - slack).mean())
    return (
        make(TIGHT, ours=looser, theirs=tighter),
        make("mean upper bound of a row (lower is tighter)", ours=float(own.mean()), theirs=float(theirs.mean())),
    )
