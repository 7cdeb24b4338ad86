"""Networks for colour pictures: is a picture safe from any 3x3 patch at one position; how many pictures together.

Questions about single pictures go to vibecheck-nn too, as exported files. Questions about rates, of 100 pictures at one
position, have no peer: certified and falsified targets, and CPU seconds.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.bench_peers import PEERS, compared
from benchmarks.records import Record, machine
from benchmarks.train_colour import NETS, graph, tests, train
from verifluxa.asking import untouched
from verifluxa.data.load import load_dataset
from verifluxa.graph.graph import Graph
from verifluxa.lower import Given, lower
from verifluxa.question import Problem
from verifluxa.spec.check import parse_spec
from verifluxa.spec.digest import property_digest
from verifluxa.strategy.decide import decide
from verifluxa.strategy.load import Strategy, load_strategy
from verifluxa.verdict import Verdict

NAME = "scale"
PICTURES, SINGLE = 100, 24
RATES = ("50 %", "20 %")
SPEC = """spec 1

input picture : image(32 px, 32 px, 3 ch) of 0..255 level

model net : picture -> class(10) {{
  file   = "net.onnx"
  encode = level / 255
}}

data eval : picture {{
  file = "eval.npz"
}}

trigger patch : picture {{
  replace 3 px x 3 px
  at (14, 14)
  with 0..255 level
}}

property asked {{
{claim}
}}
"""
EACH = """  forall x in (eval where correct(net, x)), t in patch
  assert class(net(t(x))) == label(x)"""
TOGETHER = """  forall t in patch, target in classes(net)
  let victims = eval where correct(net, x) and label(x) != target
  assert rate(x in victims : class(net(t(x))) == target) <= {rate}"""


def run(small: bool = False) -> list[Record]:
    """Each network; `small`: the first one alone, a few pictures, without a peer."""
    records: list[Record] = []
    strategy = load_strategy("quick" if small else "balanced")
    for name in list(NETS)[: 1 if small else None]:
        net, accuracy = train(name, epochs=1 if small else None)
        made, label = graph(net), f"{name}, accuracy {accuracy:.0%}"
        if not small:
            single = f"{label}, {SINGLE} questions about single pictures"
            records += compared(NAME, single, problem(made, EACH, PICTURES, "real"), SINGLE, PEERS[:1])
        for rate in RATES:
            pictures = 60 if small else PICTURES
            asked = problem(made, TOGETHER.format(rate=rate), pictures, "float32")
            records += _together(
                f"{label}, {rate} of {pictures} pictures, one position", asked, strategy, 1 if small else None
            )
    return records


def _together(label: str, asked: Problem, strategy: Strategy, count: int | None) -> list[Record]:
    verdicts, seconds = [], []
    for question in list(asked.all_questions())[:count]:
        started = time.process_time()
        (outcome,) = decide(asked, [question], strategy)
        seconds.append(time.process_time() - started)
        verdicts.append(outcome.verdict)
        print(f"{label}: {outcome.verdict.value}, {seconds[-1]:.1f} s", file=sys.stderr, flush=True)
    return [
        Record(NAME, label, "targets decided", sum(one is not Verdict.UNKNOWN for one in verdicts), machine=machine()),
        Record(NAME, label, "targets asked", len(verdicts), machine=machine()),
        Record(NAME, label, "median CPU seconds", statistics.median(seconds), machine=machine()),
    ]


def problem(made: Graph, claim: str, pictures: int, arithmetic: str) -> Problem:
    """The questions of a claim about the first test pictures."""
    spec = parse_spec(SPEC.format(claim=claim), "scale.vfx").spec
    (prop,), known = spec.properties, tests()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "eval.npz"
        np.savez(file, x=known.inputs[:pictures], y=known.labels[:pictures])
        data = load_dataset(spec.data[0], spec.spaces[0], file)
    digest = property_digest(spec, prop, {data.name: data.sha256})
    return lower(spec, prop, Given(made, data, digest, arithmetic, untouched=untouched))
