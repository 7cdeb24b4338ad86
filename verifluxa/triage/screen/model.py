"""The penultimate activations of a model on training data, without a spec: tries the usual ways to read an input."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from verifluxa.errors import ModelError
from verifluxa.graph.graph import Graph
from verifluxa.triage.screen.activations import penultimate
from verifluxa.triage.screen.examples import Examples, Floats

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
