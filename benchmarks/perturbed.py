"""Full-image universal perturbations: batches of digits, one perturbation of all pixels for all of a batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from benchmarks.questions import DIGITS, digits
from benchmarks.train import LEVELS, Digits
from verifluxa.asking import untouched
from verifluxa.graph.graph import Graph
from verifluxa.lower import Given, lower, predictions
from verifluxa.question import Problem
from verifluxa.spec.check import parse_spec
from verifluxa.spec.digest import property_digest

SPEC = """spec 1

input digit : image(28 px, 28 px, 1 ch) of 0..255 level

model digits : digit -> class(10) {{
  file   = "clean.jld2"
  encode = level / 255
}}

data eval : digit {{
  file = "mnist_eval.npz"
}}

trigger perturbation : digit {{
  add image
  with -{size}..{size} level continuous unclipped
}}

property no_universal_perturbation {{
  forall t in perturbation
  assert rate(x in eval : class(digits(t(x))) != label(x)) <= 50 %
}}
"""


def batches(graph: Graph, data: Digits, size: float, count: int, each: int) -> Iterator[Problem]:
    """Problems about `each` of the first correctly classified test digits, one after the other.

    Args:
        graph: reads encoded images.
        data: digits.
        size: of the perturbation in each pixel, in units of encoded pixels.
        count: of batches.
        each: digits in a batch.
    """
    text = SPEC.format(size=f"{size * LEVELS:g}")
    spec = parse_spec(text, str(DIGITS / "bench.vfx")).spec
    prop, known = spec.properties[0], digits(1)
    digest = property_digest(spec, prop, {known.name: known.sha256})
    whole = lower(spec, prop, Given(graph, known, digest, "real", untouched=untouched))
    images, labels = data.test
    inputs = images[:, None].astype(np.float64)
    right = np.flatnonzero(predictions(whole.graph, inputs) == labels)
    for number in range(count):
        chosen = right[number * each : (number + 1) * each]
        yield replace(
            whole,
            inputs=inputs[chosen],
            labels=labels[chosen],
            indices=tuple(int(i) for i in chosen),
            excluded=(),
            selections=(np.arange(each),),
            thresholds=(1,),
            pairs=((0, 0),),
        )
