"""Problems for the benchmarks, put by the real road: the text of a spec, a lifted model, a data set, lowering."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from verifluxa.asking import untouched
from verifluxa.data.dataset import Dataset
from verifluxa.data.load import load_dataset
from verifluxa.graph.graph import Graph
from verifluxa.inputs import Choice, load_model_of
from verifluxa.lower import Given, deploy, lower, predictions
from verifluxa.question import Problem
from verifluxa.spec.check import parse_spec
from verifluxa.spec.digest import property_digest
from verifluxa.spec.spec import Spec

ROOT = Path(__file__).parents[1]
DIGITS = ROOT / "examples" / "digits"
SPEC = """spec 1

input digit : image(28 px, 28 px, 1 ch) of 0..255 level

model digits : digit -> class(10) {{
  file         = "{model}.jld2"
  architecture = "{architecture}.txt"
  layout       = whcn
  encode       = level / 255
}}

data eval : digit {{
  file = "mnist_eval.npz"
}}

trigger patch : digit {{
  replace {side} px x {side} px
  at {places}
  with 0..255 level
}}

property no_universal_trigger {{
  forall t in patch, target in classes(digits)
  let victims = eval where correct(digits, x) and label(x) != target
  assert rate(x in victims : class(digits(t(x))) == target) <= {rate}
}}
"""


@dataclass(frozen=True)
class Setting:
    """What a benchmark asks.

    Attributes:
        model: a file of the digit example, without its ending.
        side: of the patch, in pixels.
        places: as a spec says it.
        rate: the limit, as a spec says it.
        inputs: how many digits; beyond the 200 of the example come the same ones moved by a pixel.
        arithmetic: `real` or `float32`.
    """

    model: str = "clean"
    side: int = 3
    places: str = "any"
    rate: str = "50 %"
    inputs: int = 100
    arithmetic: str = "real"


def spec_of(setting: Setting) -> Spec:
    """The checked spec of a setting."""
    architecture = "architecture_cnn" if setting.model.endswith("_cnn") else "architecture"
    text = SPEC.format(
        model=setting.model, architecture=architecture, side=setting.side, places=setting.places, rate=setting.rate
    )
    return parse_spec(text, str(DIGITS / "bench.vfx")).spec


def digits(inputs: int) -> Dataset:
    """The example's first digits; beyond 200 the same ones moved one and two pixels to the right, then down."""
    spec = spec_of(Setting())
    whole = load_dataset(spec.data[0], spec.spaces[0], DIGITS / "mnist_eval.npz")
    moves = ((0, 0), (0, 1), (0, 2), (1, 0), (2, 0))
    copies = -(-inputs // len(whole.inputs))
    images = np.concatenate([np.roll(whole.inputs, move, axis=(2, 3)) for move in moves[:copies]])
    labels = np.concatenate([whole.labels] * copies)
    return replace(whole, inputs=images[:inputs], labels=labels[:inputs])


@cache
def lifted(model: str) -> Graph:
    """A network of the digit example."""
    spec = spec_of(Setting(model))
    return load_model_of(spec, spec.models[0], Choice()).lifted.graph


def problem(setting: Setting, graph: Graph | None = None) -> Problem:
    """The questions of a setting; `graph` in place of the example's network where one is given."""
    spec = spec_of(setting)
    prop = spec.properties[0]
    data = digits(setting.inputs)
    digest = property_digest(spec, prop, {data.name: data.sha256})
    return lower(
        spec, prop, Given(graph or lifted(setting.model), data, digest, setting.arithmetic, untouched=untouched)
    )


def known(setting: Setting, graph: Graph, count: int) -> Setting:
    """The setting with as many digits as give `count` correctly classified ones.

    Raises:
        ValueError: when there are not that many.
    """
    spec = spec_of(setting)
    data = digits(1000)
    deployed = deploy(graph, spec.models[0], spec.spaces[0])
    right = np.flatnonzero(predictions(deployed, data.inputs) == data.labels)
    if len(right) < count:
        raise ValueError(f"only {len(right)} digits are classified correctly")
    return replace(setting, inputs=int(right[count - 1]) + 1)
