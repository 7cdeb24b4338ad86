"""What is scanned: the head of a spec says what an input is, the scan adds what it asks; and the spec to do next."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from verifluxa.asking import build_problem, describe_property
from verifluxa.data.dataset import Dataset
from verifluxa.errors import DataError, UsageError
from verifluxa.graph.graph import Graph
from verifluxa.inputs import Choice, Inputs, inputs_of
from verifluxa.lower.deploy import deploy, predictions
from verifluxa.question import Integers, Problem
from verifluxa.spec.check import parse_spec
from verifluxa.spec.format import format_spec
from verifluxa.spec.spec import ImageSpace, InputSpace, ModelDecl, Output
from verifluxa.triage.scan.classes import ClassRow
from verifluxa.triage.scan.inversion import MASK, Inverted

MODEL, DATA, SPACE, TRIGGER, WINDOW = "network", "eval", "item", "change", "window"
"""Names in the head, of the trigger family that the scan asks about, and of the parts of an input."""
STRONGEST, EACH = "strongest", "each_input"
MOST_PLACES, MOST_QUESTIONS = 1024, 2**16
"""Of a patch; and of its places times the classes."""


@dataclass(frozen=True)
class Subject:
    """A model and its data.

    Attributes:
        head: lines of a spec: the input space `item`, the model `network`, the data `eval`.
        trigger: lines of the body of a trigger family; of images it is replaced by a patch at every place.
        window: lines of the body of a family that changes one part of an input; likewise.
        path: of a spec that the files in the head lie beside; it need not exist.
        shown: the model and the data as the user called them.
        side: of the patch on images, in pixels.
    """

    head: tuple[str, ...]
    trigger: tuple[str, ...]
    window: tuple[str, ...]
    path: str
    shown: tuple[str, str]
    side: int = 3


@dataclass(frozen=True, eq=False)
class Loaded:
    """A subject that was read.

    Attributes:
        inputs: the spec with the files that it names.
        problem: the rate of every place and target, over the inputs that the model gets right.
        graph: the deployed network.
        trigger: lines of the trigger family that was asked about.
        answers: what the model says of each input of the data, shape (N,); -1 for no class.
    """

    inputs: Inputs
    problem: Problem
    graph: Graph
    trigger: tuple[str, ...]
    answers: Integers

    @property
    def space(self) -> InputSpace:
        """Of the inputs."""
        return self.inputs.spec.spaces[0]

    @property
    def model(self) -> ModelDecl:
        """The declaration of the model."""
        return self.inputs.models[MODEL].decl

    @property
    def output(self) -> Output:
        """How a class is read off."""
        return self.model.output

    @property
    def data(self) -> Dataset:
        """The data."""
        return self.inputs.data[DATA]

    def class_name(self, target: int) -> str:
        """What people call a class."""
        return self.output.labels[target] if self.output.labels else str(target)


def load(subject: Subject) -> Loaded:
    """Reads the model and the data, and puts the questions.

    Raises:
        UsageError: VF8003 where a patch does not fit into the image.
        DataError: VF8001 where all inputs that the model gets right are of one class, VF8002 where there are none.
        VerifluxaError: whatever is wrong with the files.
    """
    first = inputs_of(parse_spec(_text(subject), subject.path), Choice())
    space = first.spec.spaces[0]
    if isinstance(space, ImageSpace):
        patch = patch_lines(space, subject.side, first.models[MODEL].decl.output.count)
        subject = replace(subject, trigger=patch, window=patch)
    checked = parse_spec(_text(subject), subject.path)
    inputs = Inputs(checked.spec, tuple(checked.warnings), checked.spec.properties, first.models, first.data)
    loaded, data = inputs.models[MODEL], inputs.data[DATA]
    graph = deploy(loaded.lifted.graph, loaded.decl, space)
    answers = predictions(graph, data.inputs, loaded.decl.output)
    _has_classes(data, answers)
    prop = next(one for one in inputs.properties if one.name == STRONGEST)
    problem = build_problem(inputs, prop, describe_property(inputs, prop).digest, graph.dtype)
    return Loaded(inputs, problem, graph, subject.trigger, answers)


def patch_lines(space: ImageSpace, side: int, classes: int) -> tuple[str, ...]:
    """A patch of any levels: at every place, or where those or the classes are many on a grid of steps.

    Args:
        space: of the images.
        side: of the patch, in pixels.
        classes: of the model.

    Raises:
        UsageError: VF8003 where it does not fit into the image.
    """
    if not 1 <= side <= min(space.height, space.width):
        raise UsageError(
            "VF8003",
            f"a patch of {side} x {side} px does not fit into images of {space.height} x {space.width} px",
            expected=f"--patch 1 to {min(space.height, space.width)}",
        )
    rows, columns = space.height - side, space.width - side
    step, most = 1, max(1, min(MOST_PLACES, MOST_QUESTIONS // max(1, classes)))
    while (rows // step + 1) * (columns // step + 1) > most:
        step += 1
    at = "any" if step == 1 else f"rows 0..{rows} step {step}, columns 0..{columns} step {step}"
    return f"replace {side} px x {side} px", f"at {at}", f"with {space.low}..{space.high} level"


def declared(name: str, lines: Sequence[str]) -> list[str]:
    """The declaration of a trigger family."""
    return [f"trigger {name} : {SPACE} {{", *(f"  {line.strip()}" for line in lines), "}"]


def rate_of(trigger: str, target: str) -> str:
    """The rate at which a trigger drives inputs of other classes to a target, as a spec says it."""
    return f"rate(x in victims : class({MODEL}({trigger}(x))) == {target})"


def victims_of(target: str) -> str:
    """The inputs that count: the model gets them right, and they are of other classes."""
    return f"let victims = {DATA} where correct({MODEL}, x) and label(x) != {target}"


def _text(subject: Subject) -> str:
    lines = [
        *subject.head,
        *declared(TRIGGER, subject.trigger),
        *declared(WINDOW, subject.window),
        f"property {STRONGEST} {{",
        f"  {victims_of('target')}",
        f"  measure max {rate_of('t', 'target')} over t in {TRIGGER}, target in classes({MODEL})",
        "}",
        f"property {EACH} {{",
        f"  forall x in {DATA}, t in {WINDOW}",
        f"  assert class({MODEL}(t(x))) == label(x)",
        "}",
    ]
    return "\n".join(lines) + "\n"


def _has_classes(data: Dataset, answers: Integers) -> None:
    labels, right = np.unique(data.labels), np.unique(data.labels[answers == data.labels])
    if len(labels) == 1:
        raise DataError(
            "VF8001",
            f"all {len(data.labels)} inputs are of class {labels[0]}",
            place=data.path,
            expected="inputs of two classes at least: a trigger shows by moving inputs from one to another",
        )
    if len(right) < 2:
        raise DataError(
            "VF8002",
            f"the model is right on {int((answers == data.labels).sum())} of {len(answers)} inputs,"
            f" of {len(right)} {'class' if len(right) == 1 else 'classes'}",
            place=data.path,
            expected="a model that is right on inputs of two classes at least",
            remedy="check that model and data belong together; `verifluxa init` shows how they are read",
        )


LEAST_LIMIT, MOST_LIMIT = 5, 80
"""Of the rate in the spec, in percent."""
COVERED, MOST_PIXELS = 0.5, 32
"""Pixels that count have this share of the mask's largest value; more than so many make no family to prove."""


def next_spec(subject: Subject, loaded: Loaded, rows: Sequence[ClassRow], inverted: Sequence[Inverted]) -> str:
    """The text, formatted. What it asks of the first class is open; the others need no more than the scan proved.

    Args:
        subject, loaded: what was scanned.
        rows: the classes, the most suspect first.
        inverted: the smallest masks and changes.
    """
    head = [line for line in subject.head if not line.startswith("# A first spec")]
    lines = [*head, *_claims(loaded, rows)]
    measures = {reason.measure for reason in rows[0].reasons}
    for one in inverted:
        if one.kind.name in measures:
            lines += _masked(loaded, rows[0], one) if one.kind is MASK else _whole_image(loaded, rows[0], one)
    return format_spec("\n".join(lines) + "\n", "scan")


def limit_of(rows: Sequence[ClassRow]) -> int:
    """In percent: above what was found for the classes that are not suspect, in steps of five."""
    usual = [row.best.found.rate for row in rows if not row.reasons] or [Fraction(0)]
    return min(MOST_LIMIT, max(LEAST_LIMIT, 5 * (math.floor(max(usual) * 20) + 1)))


def _claims(loaded: Loaded, rows: Sequence[ClassRow]) -> Iterator[str]:
    target = _class(loaded, rows[0].target)
    others = [_class(loaded, row.target) for row in sorted(rows[1:], key=lambda row: row.target)]
    yield from ("", "# The family that the scan looked at.", *declared(TRIGGER, loaded.trigger))
    yield from ("", "# Above what the scan found for the classes that it does not suspect.")
    yield f"param max_rate : fraction = {limit_of(rows)} %"
    yield from ("", "property first_ranked {")
    yield f'  """No trigger sends more than max_rate of the inputs of other classes to {_plain(rows[0].name)}."""'
    yield f"  forall t in {TRIGGER}, target in {{{target}}}"
    yield from (f"  {victims_of('target')}", f"  assert {rate_of('t', 'target')} <= max_rate", "}")
    yield from ("", "property other_classes {", '  """The same for every other class."""')
    yield f"  forall t in {TRIGGER}, target in {{{', '.join(others)}}}"
    yield from (f"  {victims_of('target')}", f"  assert {rate_of('t', 'target')} <= max_rate", "}")


def _masked(loaded: Loaded, row: ClassRow, mask: Inverted) -> Iterator[str]:
    """A search among all values of the pixels that the smallest mask covers."""
    cover = mask.mask[row.target, 0]
    covered = np.argwhere(cover >= COVERED * cover.max())
    if not 0 < len(covered) <= MOST_PIXELS:
        return
    low, high = loaded.problem.domain.lower.min(), loaded.problem.domain.upper.max()
    pixels = ", ".join(f"({at}, {column})" for at, column in covered)
    yield from ("", "# The pixels of the smallest mask, wherever they lie.")
    yield from declared("masked", [f"replace pixels {pixels}", f"with {low:g}..{high:g} level"])
    yield from _search("masked", "Is there one setting of these pixels", _class(loaded, row.target), row.name)


def _whole_image(loaded: Loaded, row: ClassRow, change: Inverted) -> Iterator[str]:
    """A search among changes of all pixels that are no larger than the one that was found."""
    levels = max(1, math.ceil(float(np.abs(change.pattern[row.target]).max())))
    target = _class(loaded, row.target)
    yield from ("", "# A faint change of the whole image, as a blended trigger makes it.")
    yield from declared("faint", ["add image", f"with -{levels}..{levels} level"])
    yield from _search("faint", "Is there one change of all pixels", target, row.name)


def _search(trigger: str, words: str, target: str, name: str) -> Iterator[str]:
    yield from ("", f"property {trigger}_trigger {{")
    yield f'  """{words} that sends half of the inputs of other classes to {_plain(name)}?"""'
    yield f"  {victims_of(target)}"
    yield f"  search exists t in {trigger} : {rate_of('t', target)} >= 50 %"
    yield "}"


def _class(loaded: Loaded, target: int) -> str:
    """A class as a spec names it."""
    if not loaded.output.labels:
        return str(target)
    return '"' + loaded.output.labels[target].replace("\\", "\\\\").replace('"', '\\"') + '"'


def _plain(name: str) -> str:
    """A name inside a doc text."""
    return name.replace('"', "'")
