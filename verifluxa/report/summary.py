"""The summary in the terminal: what was proved or found, in words, and what to do next."""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from verifluxa.question import Problem
from verifluxa.report.blocks import blocks
from verifluxa.result.result import Counterexample, PropertyResult, Result, Share
from verifluxa.verdict import Reason, Verdict

STYLES = {Verdict.CERTIFIED: "bold green", Verdict.FALSIFIED: "bold red", Verdict.UNKNOWN: "bold yellow"}
OPEN_CLAIM = "neither proved nor refuted"
CLAIM = {
    "assert": {Verdict.CERTIFIED: "proved", Verdict.FALSIFIED: "refuted", Verdict.UNKNOWN: OPEN_CLAIM},
    "measure": {
        Verdict.CERTIFIED: "measured, as closely as was asked",
        Verdict.FALSIFIED: "refuted",
        Verdict.UNKNOWN: "measured, less closely than was asked",
    },
    "compare": {Verdict.CERTIFIED: "proved", Verdict.FALSIFIED: "refuted", Verdict.UNKNOWN: OPEN_CLAIM},
    "search": {Verdict.CERTIFIED: "proved", Verdict.FALSIFIED: "found, which refutes", Verdict.UNKNOWN: OPEN_CLAIM},
}
"""What a verdict says of the statement, by kind of property."""

WIDTH = 100
OUTPUTS = "outputs"
"""The label of a violation that is a condition on outputs."""
MOST_NUMBERS = 3

HELP = {
    Reason.TIME: "give more time: a larger --budget, or a strategy with larger limits",
    Reason.NODES: "allow more domains per question: a strategy with a larger `boxes` limit",
    Reason.MEMORY: "use a machine with more memory, or a smaller `prove_slice` in the cluster file",
    Reason.PRECISION: "float32 rounding is too coarse here to tell; `--arithmetic real` shows the rest, labelled",
    Reason.REPRESENTABILITY: "the bounds reach points that no legal input reaches; a longer search may close them",
    Reason.UNSUPPORTED: "`verifluxa supports` lists what can be proved about",
    Reason.INTERRUPTED: "run it again and let it finish",
    Reason.LOST_WORKER: "look for what ends the workers (memory?); `--cluster laptop` works without them",
    Reason.STRATEGY: "this strategy cannot prove it; `--strategy balanced` goes further",
    Reason.DECIDED: "nothing: a counterexample had decided already",
}


class Line(NamedTuple):
    """One line of the summary and how it looks (a rich style, or empty)."""

    words: str = ""
    style: str = ""


def summary(result: Result, out: Path | None = None) -> list[Line]:
    """The lines of the summary.

    Args:
        result: what a run says.
        out: the folder that the result was written to, if any.
    """
    lines = [Line(f"{result.verdict.upper()}  {result.spec.path}", STYLES[result.verdict]), Line()]
    for item in result.properties:
        lines += [*_property(item), Line()]
    lines += _files(result)
    following = [Line(words) for words in _next(result, out)]
    return [*lines, Line(), *following] if following else lines


def in_words(share: Share) -> str:
    """A share as people say it: `97 of 100 (97.0 %)`."""
    return f"{share.count} of {share.total} ({percent(share)})"


def percent(share: Share) -> str:
    """The rate of a share with one decimal."""
    return f"{float(100 * share.rate):.1f} %"


def _property(item: PropertyResult) -> Iterator[Line]:
    yield Line(f"{item.name}: {item.verdict}" + (f" ({item.reason})" if item.reason else ""), STYLES[item.verdict])
    yield from _wrapped(f"{CLAIM[item.kind][item.verdict]}: {item.words}")
    if item.message is not None:
        yield from _wrapped(item.message)
    shown = item.counterexample or item.strongest
    if shown is not None:
        yield from _trigger(item, shown)
    yield from (Line(f"  {words}") for words in (*_numbers(item), *_open(item)))


def _trigger(item: PropertyResult, found: Counterexample) -> Iterator[Line]:
    yield Line()
    yield Line(f"  trigger at {place_words(found)}: {effect_words(item, found)}", "bold")
    yield from (Line(f"    {words}") for words in drawn(item, found))
    orders = "in every order of evaluation" if found.holds_in == "every order" else "in this replay only"
    yield Line(f"  replayed on the network; margin {found.margin:.4g}; it violates {orders}")
    yield Line()


def place_words(found: Counterexample) -> str:
    """`row 24, column 24`."""
    return ", ".join(f"{name} {value}" for name, value in found.placement)


def effect_words(item: PropertyResult, found: Counterexample) -> str:
    """What the trigger does: `100 of 100 (100.0 %) go to class 7, allowed are 50 %`."""
    words = goes(item.classes, found.target, item.condition)
    return effect(found.rate, found.inputs, words, allowed(item.kind, item.limit_of(found.target)))


def goes(classes: Sequence[str], target: int | None, condition: str | None) -> tuple[str, str]:
    """What happens to one input, and to several: `goes to class 7`, `go to class 7`."""
    if condition is not None:
        return f"gives {condition}", f"give {condition}"
    where = "another class" if target is None else f"class {class_name(classes, target)}"
    return f"goes to {where}", f"go to {where}"


def allowed(kind: str, limit: Fraction | None) -> str:
    """What the property says of the rate: `, allowed are 5 %`."""
    if limit is None:
        return ""
    return f", {'asked for' if kind == 'search' else 'allowed'} are {float(100 * limit):g} %"


def effect(rate: Share | None, inputs: Sequence[int], words: tuple[str, str], limit: str) -> str:
    """The same from its parts: the share, or None where the property speaks of single inputs."""
    if rate is None:
        return f"input {', '.join(str(index) for index in inputs)} {words[0]}"
    return f"{in_words(rate)} {words[1]}{limit}"


def answers(problem: Problem, violation: int, outputs: NDArray[np.floating], classes: Sequence[str]) -> list[str]:
    """What the network says, for each row of outputs: the class, or the numbers where the property is about them."""
    if outputs.shape[1] > 1 and problem.violations[violation].label != OUTPUTS:
        return [class_name(classes, int(number)) for number in outputs.argmax(axis=1)]
    more = ", ..." if outputs.shape[1] > MOST_NUMBERS else ""
    return [", ".join(f"{value:.4g}" for value in row[:MOST_NUMBERS]) + more for row in outputs]


def class_name(classes: Sequence[str], number: int) -> str:
    """A class by its name where the spec gives one, else by its number."""
    return classes[number] if number < len(classes) else str(number)


def drawn(item: PropertyResult, found: Counterexample) -> list[str]:
    """The trigger in words, in block characters where it is a patch of pixels, else its values."""
    if found.words:
        return [", ".join(found.words)]
    levels = np.asarray(found.trigger, dtype=np.float64)
    place = dict(found.placement)
    if item.problem is None or levels.ndim < 2 or not {"row", "column"} <= set(place):
        return [" ".join(f"{level:.6g}" for level in levels.reshape(-1))]
    image = levels[None] if levels.ndim == 2 else levels.transpose(2, 0, 1)
    domain = item.problem.domain_of(found.placement_index)
    return blocks(image, (place["row"], place["column"]), (float(domain.lower.min()), float(domain.upper.max())))


def _numbers(item: PropertyResult) -> Iterator[str]:
    counts = item.counts
    words = f"{counts.certified:,} of {counts.total:,} questions certified"
    if counts.falsified:
        words += f", {counts.falsified:,} falsified"
    if counts.skipped:
        words += f", {counts.skipped:,} not asked once a counterexample had decided"
    yield words
    if item.gap is not None and item.found is not None and item.proved is not None:
        yield f"the largest rate lies in {percent(item.found)} .. {percent(item.proved)} (found .. proved)"
        shown = None if item.strongest is None else item.strongest.rate
        if shown is not None and shown.rate > item.found.rate:
            yield f"this replay alone shows {in_words(shown)}"
    elif item.found is not None and item.proved is not None:
        yield f"strongest trigger found: {in_words(item.found)}"
        if item.proved.count < item.proved.total:
            yield f"no trigger does more than: {in_words(item.proved)}"
    if item.compared is not None:
        other = item.compared
        yield f"that of {other.model} lies in {percent(other.found)} .. {percent(other.proved)} (found .. proved)"
    if item.per_input:
        tally = Counter(verdict for _, verdict in item.per_input)
        parts = [f"{tally[verdict]:,} {verdict}" for verdict in Verdict if tally[verdict]]
        yield f"of {len(item.per_input):,} inputs: {', '.join(parts)}"
    if item.population is not None:
        yield from _population(*item.population, "flipped" if item.condition is None else "made to violate")
    stages = "; ".join(f"{stage} {seconds:.1f} s{_closed(item, stage)}" for stage, seconds in item.stages.items())
    yield f"{item.seconds:.1f} s" + (f" ({stages})" if stages else "")


def _closed(item: PropertyResult, stage: str) -> str:
    """How many questions a stage decided, where it decided any."""
    return f", {item.closed[stage]:,} decided" if item.closed.get(stage) else ""


def _population(bound: str, confidence: str, done: str) -> Iterator[str]:
    """What follows for inputs that were not in the data; rounded up, and never without its assumptions."""
    share = math.ceil(Fraction(bound) * 1000) / 10
    yield f"at most {share:g} % of the population can be {done} ({float(100 * Fraction(confidence)):g} % confidence),"
    yield "  if the inputs were drawn independently, and used neither for training nor for choosing the model"


def _wrapped(words: str) -> Iterator[Line]:
    for line in textwrap.wrap(words, WIDTH, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False):
        yield Line(line)


def _open(item: PropertyResult) -> Iterator[str]:
    """Why questions are open, most frequent first, and what would help."""
    for reason, count in Counter(reason for _, reason in item.unknown).most_common():
        yield f"{count:,} unknown ({reason}): {HELP[reason]}"


def _files(result: Result) -> Iterable[Line]:
    for model in result.models:
        yield Line(f"model {model.file.name}: {model.file.path} ({model.file.sha256[:19]}...)")
    for data in result.data:
        words = f"data {data.file.name}: {data.file.path}, {data.counted:,} inputs count"
        reasons = Counter(reason for _, reason in data.excluded)
        words += "".join(f", {count:,} do not ({reason})" for reason, count in reasons.most_common())
        yield Line(words)
    params = ", ".join(f"{name} = {value}" for name, value in result.params)
    yield Line(f"strategy {result.strategy[0]}, arithmetic {result.arithmetic}" + (f", {params}" if params else ""))


def _next(result: Result, out: Path | None) -> Iterator[str]:
    if out is None:
        if result.verdict is Verdict.FALSIFIED:
            yield "next: run it with --out DIR to keep the trigger with its pictures"
        return
    yield f"written: {out / 'result.json'}"
    if result.verdict is Verdict.FALSIFIED:
        yield f"pictures: {out / 'pictures'}"
        yield f"next: verifluxa replay {out / 'result.json'}"
    elif result.verdict is Verdict.CERTIFIED:
        yield f"next: verifluxa cert check {out / 'certificate.json'}"
