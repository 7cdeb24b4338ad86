"""Looks at what a trained model makes of its training data: spectral signatures and activation clustering."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from verifluxa.errors import ModelError
from verifluxa.graph.graph import Graph
from verifluxa.triage.screen.examples import Examples, Floats
from verifluxa.triage.screen.suspicion import Suspicion, split

BATCH = 1000
COMPONENTS = 10
ROUNDS = 20
LARGEST = 0.45
"""Share of a class that a cluster may have and still be the smaller, planted one (Chen et al. 2018, section 5)."""
MIDDLE = 4.4
"""Distance along the first direction that counts as one half: up to 3.8 in clean classes (benchmark `triage`)."""
SILHOUETTE, WIDTH, WEIGHT = 0.35, 0.03, 0.3
"""Clean classes have silhouettes of up to 0.42, planted ones of 0.2 to 0.4: clusters only support other looks."""
MEASURED = 1000
"""Examples of a class from which the silhouette is computed."""


def penultimate(graph: Graph, inputs: Floats) -> Floats:
    """What goes into the last affine step, flat: shape (N, d).

    Args:
        graph: the deployed network.
        inputs: samples first.

    Raises:
        ModelError: VF8064 when the network has no affine step behind another one.
    """
    last = max((at for at, node in enumerate(graph.nodes) if node.op.kind == "affine"), default=0)
    source = graph.nodes[last].inputs[0] if last else 0
    if source == 0:
        raise ModelError(
            "VF8064",
            "the network has no layer in front of its last one, so there are no activations to look at",
            expected="at least two layers",
            remedy="screen the data without --model",
        )
    front = Graph(graph.nodes[: source + 1], graph.dtype)
    parts = [front.run(inputs[start : start + BATCH]) for start in range(0, len(inputs), BATCH)]
    return np.concatenate(parts).reshape(len(inputs), -1).astype(np.float64)


def look_at_activations(examples: Examples, activations: Floats) -> list[Suspicion]:
    """All suspicions from activations, shape (N, d), class by class."""
    found: list[Suspicion] = []
    for label in np.unique(examples.labels):
        own = np.flatnonzero(examples.labels == label)
        centred = activations[own] - activations[own].mean(0)
        if len(own) < 2 * COMPONENTS or not np.isfinite(centred).all() or not centred.any():
            continue
        _, _, directions = np.linalg.svd(centred, full_matrices=False)
        along = centred @ directions[:COMPONENTS].T
        name = examples.names[label]
        found += [Suspicion(look, words.format(name), own[where], score) for look, words, where, score in _looks(along)]
    return found


Look = tuple[str, str, np.ndarray[tuple[int], np.dtype[np.bool_]], Floats]


def _looks(along: Floats) -> Iterator[Look]:
    """Spectral signatures (Tran et al. 2018, algorithm 1), cut where the first direction splits; clusters."""
    first = along[:, 0]
    first = first if (first > 0).sum() <= len(first) / 2 else -first
    cut = split(first)
    if cut is not None and cut.upper.mean() <= LARGEST:
        words = f"{int(cut.upper.sum())} examples of {{}} lie apart along the first direction of the activations"
        own = first[cut.upper] - first[cut.upper].min()
        score = cut.score(MIDDLE) * (0.8 + 0.2 * own / max(float(own.max()), 1e-12))
        yield "spectral", f"{words} (distance {cut.distance:.1f})", cut.upper, score
    small, silhouette = clusters(along)
    if 0 < small.mean() <= LARGEST:
        score = WEIGHT / (1 + np.exp((SILHOUETTE - silhouette) / WIDTH))
        words = f"{int(small.sum())} examples of {{}} form a cluster of their own in the activations"
        yield "clusters", f"{words} (silhouette {silhouette:.2f})", small, np.full(int(small.sum()), score)


def clusters(points: Floats) -> tuple[np.ndarray[tuple[int], np.dtype[np.bool_]], float]:
    """Two means (Lloyd): which points are in the smaller cluster, and the mean silhouette (Rousseeuw 1987).

    The start is the cut of the first component, so that nothing is drawn at random.
    """
    side = points[:, 0] > np.median(points[:, 0])
    for _ in range(ROUNDS):
        if side.all() or not side.any():
            break
        centres = np.stack([points[~side].mean(0), points[side].mean(0)])
        now = ((points[:, None] - centres) ** 2).sum(2).argmin(1) == 1
        if (now == side).all():
            break
        side = now
    if side.all() or not side.any():
        return np.zeros(len(points), dtype=bool), 0.0
    small = side if side.mean() <= 0.5 else ~side
    return small, _silhouette(points, small)


def _silhouette(points: Floats, small: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> float:
    kept = np.random.default_rng(0).permutation(len(points))[:MEASURED]
    points, small = points[kept], small[kept]
    if small.sum() < 2 or (~small).sum() < 2:
        return 0.0
    gaps = np.sqrt(np.maximum(((points[:, None] - points) ** 2).sum(2), 0))
    inner = np.where(small, gaps[:, small].sum(1) / (small.sum() - 1), gaps[:, ~small].sum(1) / ((~small).sum() - 1))
    outer = np.where(small, gaps[:, ~small].mean(1), gaps[:, small].mean(1))
    # The mean over both clusters alike: a small one must not drown in the large one.
    each = (outer - inner) / np.maximum(np.maximum(inner, outer), 1e-12)
    return float((each[small].mean() + each[~small].mean()) / 2)


# The penultimate activations of a model on training data, without a spec: tries the usual ways to read an input.

TRIED = 500


def activations_of(graph: Graph, examples: Examples) -> tuple[Floats, float]:
    """What goes into the last layer, shape (N, d), and the share of examples whose label the model gives.

    Images are read as levels over 255 or as they are, with rows and columns as Flux has them or transposed, whichever
    gives the most labels.

    Raises:
        ModelError: VF8064 when the model does not read such inputs, or says another number of classes.
    """
    best: tuple[float, Floats] | None = None
    for way in _ways(examples):
        fits = way[0].size == np.prod(graph.input_shape)
        inputs = way.reshape(-1, *graph.input_shape) if fits else way
        try:
            right = _right(graph, inputs[:TRIED], examples)
        except ModelError:
            continue
        if best is None or right > best[0]:
            best = (right, inputs)
    if best is None:
        shape = "words only" if examples.numbers is None and examples.images is None else "of another shape"
        raise ModelError(
            "VF8064",
            f"the model does not read these data: the inputs are {shape}",
            place=examples.path,
            expected=f"inputs of shape {graph.input_shape} and at most {int(np.prod(graph.output_shape))} classes",
            remedy="give the numbers that the model reads as an .npz file, or screen without --model",
        )
    return penultimate(graph, best[1]), best[0]


def _ways(examples: Examples) -> Iterator[Floats]:
    if examples.images is not None:
        images = examples.images.astype(np.float64)
        for turned in (images, images.transpose(0, 1, 3, 2)):
            for divided in dict.fromkeys((examples.top, 1.0)):
                yield turned / divided
    elif examples.numbers is not None:
        yield examples.numbers


def _right(graph: Graph, inputs: Floats, examples: Examples) -> float:
    outputs = graph.run(inputs)
    classes = outputs.reshape(len(outputs), -1)
    if classes.shape[1] <= int(examples.labels.max()):
        raise ModelError("VF8064", "fewer outputs than classes")
    return float((classes.argmax(1) == examples.labels[: len(inputs)]).mean())
