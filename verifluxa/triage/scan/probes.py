"""The library of known triggers, tried one by one: what the model says with each, and without.

Inputs that are none (noise, constant images, scrambled data, data from elsewhere) are tried as well. A class that
swallows them is where the network sends whatever it does not know. That is common in models without a backdoor too, so
it is shown and does not enter the verdict.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from verifluxa.graph.graph import Graph
from verifluxa.lower.stamp import stamp_placements
from verifluxa.question import Floats, Integers, Placement
from verifluxa.spec.spec import ImageSpace, Output
from verifluxa.spec.triggers.probe import Probe, load_probes, probe_trigger
from verifluxa.triage.scan.inversion import Scene

FEW = 24
"""Inputs with which places are compared; the best place is then tried on all."""
MOST_PLACES = 1024
"""Of large images some of the places, evenly."""
ROWS = 4096
"""Inputs that run at once."""


@dataclass(frozen=True)
class Tried:
    """A known trigger at its strongest place.

    Attributes:
        name, title, source: of the probe.
        place: where it does most.
        target: the class that it sends most inputs of other classes to.
        success: share of those inputs that go there with the trigger.
        before: the same share without it.
        accuracy: share of all inputs that the model gets right with the trigger on them.
    """

    name: str
    title: str
    source: str
    place: tuple[tuple[str, int], ...]
    target: int
    success: float
    before: float
    accuracy: float


def try_probes(scene: Scene, space: ImageSpace, unfinished: Callable[[str], None]) -> list[Tried]:
    """Tries every probe that fits into the image, strongest first.

    Args:
        scene: all inputs, the network, and the deadline.
        space: of the images.
        unfinished: is told in words what the deadline left out.
    """
    tried = []
    before = scene.graph.run(scene.inputs).argmax(1)
    fitting = [probe for probe in load_probes() if fits(probe, space)]
    whole = 0
    for probe in fitting:
        if time.monotonic() > scene.deadline:
            break
        found, everywhere = _try(scene, probe, space, before)
        whole += everywhere
        tried += [] if found is None else [found]
    if whole < len(fitting):
        unfinished(f"{len(fitting) - whole} of {len(fitting)} known triggers")
    return sorted(tried, key=lambda one: -one.success)


def fits(probe: Probe, space: ImageSpace) -> bool:
    """Whether a drawing is no larger than the image."""
    from verifluxa.spec.triggers.probe import Drawing, size_of

    if not isinstance(probe.pattern, Drawing):
        return True
    height, width = size_of(probe.pattern)
    return height <= space.height and width <= space.width


def _try(scene: Scene, probe: Probe, space: ImageSpace, before: Integers) -> tuple[Tried | None, bool]:
    """The trigger at its strongest place; and whether it was tried at all of them before the deadline."""
    trigger = probe_trigger(probe, space)
    every = -(-len(trigger.places) // MOST_PLACES)
    placements = stamp_placements(replace(trigger, places=trigger.places[::every]), space)
    few = _few(scene.labels)
    best: tuple[float, Placement] | None = None
    everywhere = True
    for start in range(0, len(placements), max(1, ROWS // len(few))):
        if time.monotonic() > scene.deadline:
            everywhere = False
            break
        some = placements[start : start + max(1, ROWS // len(few))]
        shares = _shares(scene, some, few).max(1)
        if best is None or shares.max() > best[0]:
            best = float(shares.max()), some[int(shares.argmax())]
    if best is None:
        return None, everywhere
    everything = np.arange(len(scene.labels))
    answers = _answers(scene, [best[1]], everything)[0]
    shares = _rates(answers[None], scene.labels, scene.graph.output_shape[0])[0]
    target = int(shares.argmax())
    others = scene.labels != target
    tried = Tried(
        name=probe.name,
        title=probe.title,
        source=probe.source,
        place=best[1].label,
        target=target,
        success=float(shares[target]),
        before=float((before[others] == target).mean()),
        accuracy=float((answers == scene.labels).mean()),
    )
    return tried, everywhere


def _few(labels: Integers) -> Integers:
    """Inputs of all classes in turn: the first of each, then the second of each, and so on."""
    turn = np.zeros(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        turn[own] = np.arange(len(own))
    return np.argsort(turn, kind="stable")[:FEW]


def _shares(scene: Scene, placements: Sequence[Placement], inputs: Integers) -> Floats:
    """For each place and class the share of inputs of other classes that go there, shape (P, K)."""
    return _rates(_answers(scene, placements, inputs), scene.labels[inputs], scene.graph.output_shape[0])


def _answers(scene: Scene, placements: Sequence[Placement], inputs: Integers) -> Integers:
    """The class of each input with the trigger at each place, shape (P, n)."""
    chosen = scene.inputs[inputs]
    flat = chosen.reshape(len(inputs), -1)
    stamped = [place.stamp.applied(flat, place.domain.lower) for place in placements if place.domain is not None]
    levels = np.clip(np.concatenate(stamped), *scene.levels).reshape(-1, *chosen.shape[1:])
    answers = scene.graph.run(levels).argmax(1)
    return np.asarray(answers.reshape(len(placements), len(inputs)), dtype=np.int64)


def _rates(answers: Integers, labels: Integers, classes: int) -> Floats:
    shares = np.zeros((len(answers), classes))
    for target in range(classes):
        others = labels != target
        if others.any():
            shares[:, target] = (answers[:, others] == target).mean(1)
    return shares


COUNT = 100


@dataclass(frozen=True)
class Swallowed:
    """One kind of strange inputs.

    Attributes:
        kind: in words.
        count: how many there were.
        shares: of each class among the answers, shape (K,); they do not add up to 1 where some are of no class.
    """

    kind: str
    count: int
    shares: tuple[float, ...]

    @property
    def top(self) -> int:
        """The class that gets most of them."""
        return int(np.argmax(self.shares))


def strange_images(inputs: Floats, low: float, high: float, seed: int) -> Mapping[str, Floats]:
    """Strange images of the shape of these, by what they are; whole levels."""
    rng = np.random.default_rng(seed)
    shape = (COUNT, *inputs.shape[1:])
    constant = np.rint(np.linspace(low, high, 17))
    blank = np.broadcast_to(constant.reshape(-1, 1, 1, 1), (17, *inputs.shape[1:]))
    return {
        "noise, each level equally likely": np.rint(rng.uniform(low, high, shape)),
        "noise, black and white": np.where(rng.random(shape) < 0.5, low, high),
        "blank images, from darkest to brightest": np.ascontiguousarray(blank),
        "the data with its pixels scrambled": _scrambled(inputs[:COUNT], rng),
    }


def shuffled_columns(inputs: Floats, seed: int) -> Mapping[str, Floats]:
    """Rows whose values come from different inputs: each place keeps the values that it has in the data."""
    rng = np.random.default_rng(seed)
    flat = inputs[:COUNT].reshape(len(inputs[:COUNT]), -1).copy()
    for column in range(flat.shape[1]):
        flat[:, column] = rng.permutation(flat[:, column])
    return {"the data with its values shuffled among the inputs": flat.reshape(-1, *inputs.shape[1:])}


def swallowed(graph: Graph, output: Output, strange: Mapping[str, Floats]) -> list[Swallowed]:
    """Which classes the deployed network gives to strange inputs."""
    from verifluxa.lower.deploy import predictions

    found = []
    for kind, inputs in strange.items():
        answers = predictions(graph, inputs, output)
        shares = tuple(float((answers == target).mean()) for target in range(output.count))
        found.append(Swallowed(kind, len(inputs), shares))
    return found


def _scrambled(inputs: Floats, rng: np.random.Generator) -> Floats:
    flat = inputs.reshape(len(inputs), -1)
    return np.stack([rng.permutation(row) for row in flat]).reshape(inputs.shape)
