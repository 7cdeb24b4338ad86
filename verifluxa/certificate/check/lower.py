"""From a checked spec to what exactly is claimed: the checker's own lowering."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from verifluxa.certificate.check.constants import constants_or_none
from verifluxa.certificate.check.linear import Floats, Integers
from verifluxa.certificate.check.rounding import SOFTMAX_GAP
from verifluxa.data.dataset import Dataset
from verifluxa.errors import CertificateError
from verifluxa.graph import ops
from verifluxa.graph.graph import Graph, build
from verifluxa.spec.spec import EncodeStep, ImageSpace, ModelDecl, PatchTrigger, RateBound, Selection, Statement

Pair = tuple[int, int]
"""The row `y_first - y_second >= 0`."""
Alternative = tuple[Pair, ...]
"""All of its rows together are one way to violate."""


@dataclass(frozen=True, eq=False)
class Claim:
    """What a property claims.

    Attributes:
        indices: positions of the counted inputs in the data file.
        excluded: the other positions.
        doubtful: those for which `correct` lies within the error of evaluation; either answer is allowed.
        inputs, labels: the counted inputs, shape (N, *input shape), and their labels.
        places: (row, column) of each placement.
        positions: for each placement the flat input values that the trigger replaces, shape (P, d).
        lower, upper: ends of each trigger value; `step` 1 on the grid of levels, 0 where continuous.
        targets: the class of each violation, None where there is no single one.
        violations: for each violation and label the alternatives.
        selections: inputs (indices into `inputs`) of each selection.
        needs: how many of a selection must violate together.
        pairs: (violation, selection) asked at each placement.
        gap: what two outputs in front of a softmax may differ by and still tie.
        classes: number of outputs.
    """

    indices: tuple[int, ...]
    excluded: tuple[int, ...]
    doubtful: tuple[int, ...]
    inputs: Floats
    labels: Integers
    places: tuple[Pair, ...]
    positions: Integers
    lower: float
    upper: float
    step: int
    targets: tuple[int | None, ...]
    violations: tuple[tuple[tuple[Alternative, ...], ...], ...]
    selections: tuple[tuple[int, ...], ...]
    needs: tuple[int, ...]
    pairs: tuple[Pair, ...]
    gap: float
    classes: int


def deployed(decl: ModelDecl, space: ImageSpace, lifted: Graph) -> Graph:
    """`encode` in front of the lifted network, operation by operation, reading pixel levels."""
    shape = (space.channels, space.height, space.width)
    front: list[ops.Op] = [ops.Input(shape)]
    if decl.layout == "hwcn":
        front.append(ops.Transpose((0, 2, 1)))
    front += [_encode(step, lifted.dtype) for step in decl.encode]
    steps: list[tuple[ops.Op, tuple[int, ...]]] = [(op, (i - 1,) if i else ()) for i, op in enumerate(front)]
    moved = len(front) - 1
    steps += [(node.op, tuple(source + moved for source in node.inputs)) for node in lifted.nodes[1:]]
    return build(steps, lifted.dtype)


def _encode(step: EncodeStep, dtype: str) -> ops.Op:
    values = [-value if step.kind == "subtract" else value for value in step.values]
    array = np.array([rounded(value, dtype) for value in values], dtype=dtype)
    array = array.reshape(()) if len(values) == 1 else array.reshape(len(values), 1, 1)
    if step.kind == "divide":
        return ops.Divide(array)
    return ops.Scale(array) if step.kind == "multiply" else ops.Shift(array)


def rounded(value: Fraction, dtype: str) -> float:
    """An exact constant rounded once to a float type, to nearest."""
    kind = np.float32 if dtype == "float32" else np.float64
    guess = kind(float(value))
    near = [np.nextafter(guess, kind(-math.inf)), guess, np.nextafter(guess, kind(math.inf))]
    even = {float(item): int(item.view(np.uint32 if dtype == "float32" else np.uint64)) & 1 for item in near}
    return min(even, key=lambda item: (abs(Fraction(item) - value), even[item]))


@dataclass(frozen=True, eq=False)
class Sources:
    """What a property speaks of: its input space, its data, the deployed graphs by model name, the arithmetic."""

    space: ImageSpace
    data: Dataset
    models: Mapping[str, Graph]
    arithmetic: str


def claim_of(statement: Statement, sources: Sources, frozen: tuple[int, ...]) -> Claim:
    """Works out what is claimed.

    Args:
        statement: the property's statement.
        sources: what it speaks of.
        frozen: the counted positions as the evidence gives them; used only where `correct` is in doubt.
    """
    selection, trigger = statement.selection, statement.trigger
    graph = sources.models[statement.model]
    indices, doubtful = _counted(selection, sources, frozen)
    labels = sources.data.labels[list(indices)]
    selections = _selections(statement, labels)
    universal = isinstance(statement, RateBound)
    return Claim(
        indices=indices,
        excluded=tuple(index for index in range(len(sources.data.labels)) if index not in set(indices)),
        doubtful=doubtful,
        inputs=sources.data.inputs[list(indices)],
        labels=labels,
        places=trigger.places,
        positions=_positions(trigger, sources.space),
        lower=_outward(trigger.low, -1),
        upper=_outward(trigger.high, 1),
        step=trigger.step or 0,
        targets=statement.targets if universal and statement.targets else (None,),
        violations=_violations(statement, graph.output_shape[0]),
        selections=selections,
        needs=tuple(_need(statement, len(items)) for items in selections),
        pairs=tuple((index if universal else 0, index) for index in range(len(selections))),
        gap=_gap(graph, sources.arithmetic),
        classes=graph.output_shape[0],
    )


def _outward(value: Fraction, direction: int) -> float:
    """The nearest double that is not inside the range."""
    near = float(value)
    inside = Fraction(near) > value if direction < 0 else Fraction(near) < value
    return math.nextafter(near, direction * math.inf) if inside else near


def _counted(
    selection: Selection, sources: Sources, frozen: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    data = sources.data
    keep = np.ones(len(data.labels), dtype=bool)
    if selection.labels is not None:
        keep &= np.isin(data.labels, selection.labels)
    doubtful = np.zeros(len(keep), dtype=bool)
    if selection.correct is not None:
        right, doubtful = _correct(sources.models[selection.correct], data)
        listed = np.isin(np.arange(len(keep)), frozen)
        doubtful &= keep
        keep &= np.where(doubtful, listed, right)
    return tuple(map(int, np.flatnonzero(keep))), tuple(map(int, np.flatnonzero(doubtful)))


def _correct(graph: Graph, data: Dataset) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether the label is the strict maximum in every allowed evaluation; whether evaluations may disagree."""
    constants = constants_or_none(graph, data.inputs, graph.dtype)
    if constants is None:
        return np.zeros(len(data.labels), dtype=bool), np.ones(len(data.labels), dtype=bool)
    value, radius = constants.values[-1], constants.radii[-1]
    at = np.arange(len(value))
    others = value.copy()
    others[at, data.labels] = -np.inf
    best = others.argmax(axis=1)
    surely = (others + radius).max(axis=1) + _gap(graph, graph.dtype) < value[at, data.labels] - radius[at, data.labels]
    never = value[at, best] - radius[at, best] >= value[at, data.labels] + radius[at, data.labels]
    return surely, np.asarray(~surely & ~never)


def _gap(graph: Graph, arithmetic: str) -> float:
    size, last = SOFTMAX_GAP[arithmetic], graph.nodes[-1].op
    return size if isinstance(last, ops.Softmax) else 2 * size if isinstance(last, ops.LogSoftmax) else 0.0


def _positions(trigger: PatchTrigger, space: ImageSpace) -> Integers:
    """Channel by channel, row by row, as the trigger's values are counted."""
    channel, row, column = np.indices((space.channels, trigger.height, trigger.width)).reshape(3, -1)
    places = np.array(trigger.places, dtype=np.int64).reshape(-1, 2)
    rows, columns = places[:, :1] + row, places[:, 1:] + column
    if places.min(initial=0) < 0 or rows.max(initial=0) >= space.height or columns.max(initial=0) >= space.width:
        raise CertificateError("VF5052", "a placement lies outside the picture", remedy="verify the model again")
    return np.asarray((channel * space.height + rows) * space.width + columns)


def _violations(statement: Statement, classes: int) -> tuple[tuple[tuple[Alternative, ...], ...], ...]:
    def becomes(target: int) -> Alternative:
        return tuple((target, other) for other in range(classes) if other != target)

    def leaves(expected: int) -> tuple[Alternative, ...]:
        return tuple(((other, expected),) for other in range(classes) if other != expected)

    every = range(classes)
    if isinstance(statement, RateBound) and statement.targets:
        return tuple(tuple((becomes(target),) for _ in every) for target in statement.targets)
    if not isinstance(statement, RateBound) and statement.targets:
        return (tuple(tuple(becomes(target) for target in statement.targets) for _ in every),)
    expected = None if isinstance(statement, RateBound) else statement.expected
    return (tuple(leaves(label if expected is None else expected) for label in every),)


def _selections(statement: Statement, labels: Integers) -> tuple[tuple[int, ...], ...]:
    everyone = tuple(range(len(labels)))
    if not isinstance(statement, RateBound):
        return tuple((index,) for index in everyone)
    if not statement.targets:
        return (everyone,)
    apart = statement.selection.label_is_not_target
    return tuple(tuple(i for i in everyone if not apart or int(labels[i]) != target) for target in statement.targets)


def _need(statement: Statement, count: int) -> int:
    return math.floor(statement.limit * count) + 1 if isinstance(statement, RateBound) else 1
