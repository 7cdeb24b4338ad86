"""The whole scan: read, invert, prove, attack, try known triggers, look at strange inputs, rank, say what is next."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from verifluxa import __version__
from verifluxa.data.load import load_dataset
from verifluxa.question import Floats
from verifluxa.result.result import FileUsed
from verifluxa.spec.spec import ClassOutput, ImageSpace, TokenSpace
from verifluxa.triage.scan.classes import LISTED_RATE, PATCH_RATE, ClassRow, Seen, class_rows
from verifluxa.triage.scan.inversion import CHANGE, MASK, InversionSettings, Inverted, Scene, invert, mask_shares
from verifluxa.triage.scan.probes import Swallowed, Tried, shuffled_columns, strange_images, swallowed, try_probes
from verifluxa.triage.scan.rates import Ends, Where, Word, found_ends, proved_ends, rank_words, with_triggers
from verifluxa.triage.scan.subject import MODEL, Loaded, Subject, load, next_spec

SHARES = {"invert": 0.35, "prove": 0.65, "attack": 0.85, "probes": 1.0}
"""When each part ends, as a share of the budget; what one leaves the next ones have."""

WHAT = {"image": "a patch of {side} x {side} px", "tokens": "a single word", "table": "another value in one column"}
"""The trigger families, in words."""
MOST_OTHER = 500
"""Inputs from elsewhere that are looked at."""


@dataclass(frozen=True)
class ScanSettings:
    """How much is done.

    Attributes:
        budget: seconds for all; without a limit what is searched depends on the settings alone.
        places: for each target the attack goes to so many of the places with most room.
        inversion: how triggers are inverted.
        seed: of all random choices.
        other: a file of inputs from elsewhere, or None; labels in it are not read.
    """

    budget: float = math.inf
    places: int = 2
    inversion: InversionSettings = field(default_factory=InversionSettings)
    seed: int = 0
    other: Path | None = None


@dataclass(frozen=True, eq=False)
class Scan:
    """What a scan found.

    Attributes:
        version: of the tool.
        model, data: the files.
        kind: `image`, `tokens`, `table` or `series`.
        what: the trigger family that was looked at, in words.
        inputs, right: inputs in the data, and those that the model gets right.
        arithmetic: that the proofs cover.
        rows: the classes, the most suspect first.
        ends: all places and targets.
        inverted: smallest masks and changes.
        probes: known triggers, the strongest first.
        words: single words or values, the strongest first.
        strange: what the model says of inputs that are none.
        next_spec: what to verify next, as a spec.
        unfinished: what the budget left out of the search, in words.
        seconds: by part.
        loaded: the model and the data.
    """

    version: str
    model: FileUsed
    data: FileUsed
    kind: str
    what: str
    inputs: int
    right: int
    arithmetic: str
    rows: tuple[ClassRow, ...]
    ends: tuple[Ends, ...]
    inverted: tuple[Inverted, ...]
    probes: tuple[Tried, ...]
    words: tuple[Word, ...]
    strange: tuple[Swallowed, ...]
    next_spec: str
    unfinished: tuple[str, ...]
    seconds: Mapping[str, float]
    loaded: Loaded = field(repr=False)

    @property
    def suspects(self) -> tuple[ClassRow, ...]:
        """The classes that are suspect."""
        return tuple(row for row in self.rows if row.reasons)

    @property
    def verdict(self) -> str:
        """`suspect`, `nothing found`, or `incomplete` where nothing was found in a search that did not finish."""
        if self.suspects:
            return "suspect"
        return "incomplete" if self.unfinished else "nothing found"


def scan(subject: Subject, settings: ScanSettings, tell: Callable[[str], None] = lambda part: None) -> Scan:
    """Scans a model.

    Args:
        subject: the model and its data.
        settings: how much is done.
        tell: is told each part as it begins.

    Raises:
        VerifluxaError: whatever the user can mend; see `subject.load`.
    """
    clock, unfinished = _Clock(tell), list[str]()
    clock.begin("read")
    loaded = load(subject)
    # Reading is not counted: a budget is for the search.
    started = time.monotonic()
    end = {part: started + share * settings.budget for part, share in SHARES.items()}
    clock.begin("invert")
    inverted = tuple(_inverted(loaded, settings, end["invert"]))
    unfinished += filter(None, map(_left_out, inverted))
    clock.begin("prove")
    ends = proved_ends(loaded.problem, end["prove"], unfinished.append)
    clock.begin("attack")
    where = _where(loaded, inverted, settings.places)
    ends = found_ends(loaded.problem, ends, where, end["attack"], unfinished.append)
    listed = [] if loaded.space.kind == "image" else rank_words(loaded.problem, end["attack"], unfinished.append)
    words = tuple(listed)
    ends = with_triggers(ends, words)
    clock.begin("probes")
    probes = tuple(_probes(loaded, end["probes"], unfinished.append))
    clock.begin("strange")
    strange = tuple(swallowed(loaded.graph, loaded.output, _strange(loaded, settings)))
    clock.end()
    names = tuple(loaded.class_name(target) for target in range(loaded.output.count))
    what = WHAT.get(loaded.space.kind, "a change of one value")
    what = what.format(side=subject.side)
    rate = PATCH_RATE if loaded.space.kind == "image" else LISTED_RATE
    rows = tuple(class_rows(Seen(names, ends, inverted, probes, what, rate)))
    return Scan(
        version=__version__,
        model=FileUsed(MODEL, subject.shown[0], loaded.inputs.models[MODEL].sha256),
        data=FileUsed(loaded.data.name, subject.shown[1], loaded.data.sha256),
        kind=loaded.space.kind,
        what=what,
        inputs=len(loaded.answers),
        right=len(loaded.problem.indices),
        arithmetic=loaded.problem.arithmetic,
        rows=rows,
        ends=tuple(ends),
        inverted=inverted,
        probes=probes,
        words=words,
        strange=strange,
        next_spec=next_spec(subject, loaded, rows, inverted),
        unfinished=tuple(unfinished),
        seconds=clock.laps,
        loaded=loaded,
    )


class _Clock:
    """Seconds by part."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.laps: dict[str, float] = {}
        self._tell = tell
        self._part: str | None = None
        self._last = 0.0

    def begin(self, part: str) -> None:
        """Ends the part before."""
        self.end()
        self._part, self._last = part, time.monotonic()
        self._tell(part)

    def end(self) -> None:
        if self._part is not None:
            self.laps[self._part] = time.monotonic() - self._last


def _inverted(loaded: Loaded, settings: ScanSettings, deadline: float) -> Iterator[Inverted]:
    """Masks in the first half of the time, changes in the second."""
    if not isinstance(loaded.space, ImageSpace) or not isinstance(loaded.output, ClassOutput):
        return
    middle = (time.monotonic() + deadline) / 2
    for kind, end in ((MASK, middle), (CHANGE, deadline)):
        yield invert(_scene(loaded, loaded.space, end), kind, settings.inversion)


def _left_out(one: Inverted) -> str | None:
    """What the budget left out of an inversion."""
    done, wanted = one.steps
    if done < wanted:
        return f"smallest {one.kind.name}s: {done} of {wanted} steps"
    untried = int(np.isnan(one.success[~np.isnan(one.size)]).sum())
    return f"{untried} of the smallest {one.kind.name}s on all inputs" if untried else None


def _where(loaded: Loaded, inverted: tuple[Inverted, ...], places: int) -> Where:
    """The attack goes where the bounds leave most room, and where the masks lie."""
    masks = next((one for one in inverted if one.kind is MASK), None)
    if masks is None:
        return Where(places)
    return Where(places, mask_shares(masks, [place.stamp.positions for place in loaded.problem.placements]))


def _scene(loaded: Loaded, space: ImageSpace, deadline: float) -> Scene:
    """The inputs that the model gets right."""
    problem, levels = loaded.problem, (float(space.low), float(space.high))
    return Scene(loaded.graph, problem.inputs, loaded.data.labels[list(problem.indices)], levels, deadline)


def _probes(loaded: Loaded, deadline: float, unfinished: Callable[[str], None]) -> list[Tried]:
    """On all inputs, so that the accuracy is that of the model."""
    space = loaded.space
    if not isinstance(space, ImageSpace):
        return []
    levels = (float(space.low), float(space.high))
    return try_probes(Scene(loaded.graph, loaded.data.inputs, loaded.data.labels, levels, deadline), space, unfinished)


def _strange(loaded: Loaded, settings: ScanSettings) -> Mapping[str, Floats]:
    space, inputs = loaded.space, loaded.data.inputs
    if isinstance(space, ImageSpace):
        found = strange_images(inputs, float(space.low), float(space.high), settings.seed)
    elif isinstance(space, TokenSpace):
        found = shuffled_columns(inputs, settings.seed)
    else:
        found = {}
    return {**found, **_elsewhere(loaded, settings.other)}


def _elsewhere(loaded: Loaded, path: Path | None) -> Mapping[str, Floats]:
    """Inputs of the same space from another file.

    Raises:
        DataError: where they cannot be read, or are no inputs of the space.
    """
    if path is None:
        return {}
    declared = replace(loaded.inputs.spec.data[0], digest=None, take=None, labelled=False)
    return {path.name: load_dataset(declared, loaded.space, path).inputs[:MOST_OTHER]}


def most_found(scan: Scan, count: int) -> list[Ends]:
    """The places and targets where most was found, strongest first."""
    order = sorted(scan.ends, key=lambda one: (-one.found.rate, -one.room.rate, one.question))
    return [one for one in order if one.tried and one.found.count][:count]


def accuracy(scan: Scan) -> float:
    """The share of the data that the model gets right."""
    return float(np.mean(scan.loaded.answers == scan.loaded.data.labels))
