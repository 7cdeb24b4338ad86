"""Spec + lifted network + data to a Problem: the deployed graph, placements, rows, violations, selections."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from verifluxa.data.dataset import Dataset
from verifluxa.data.select import select
from verifluxa.errors import DataError, ModelError, UsageError
from verifluxa.graph.graph import Graph, build, resized
from verifluxa.graph.ops import Divide, Input, LogSoftmax, Op, Scale, Shift, Softmax, Transpose
from verifluxa.question import Domain, Integers, Placement, Problem, Rows, Stamp, Violation
from verifluxa.spec.spec import (
    EncodeStep,
    ImageSpace,
    ModelDecl,
    PatchTrigger,
    PerInput,
    Property,
    Selection,
    Spec,
    Statement,
)

SOFTMAX_GAP = {
    ("softmax", "float32"): 2.0**-20,
    ("logsoftmax", "float32"): 2.0**-19,
    ("softmax", "float64"): 2.0**-49,
    ("logsoftmax", "float64"): 2.0**-48,
}
"""Logit gaps at or below this may tie after a float32 softmax: one unit in the last place of a probability
near 1 is 2^-24, exp and the division are within a few; logsoftmax rounds at the size of log(sum)."""


@dataclass(frozen=True, eq=False)
class _Asked:
    """What the statement becomes: violations, selections, needs and the pairs that are asked."""

    violations: tuple[Violation, ...]
    selections: tuple[Integers, ...]
    needs: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class Given:
    """What a property is asked of.

    Attributes:
        graph: the lifted network, which reads encoded inputs.
        data: the data set that the property speaks of.
        digest: the property digest.
        arithmetic: `float32`, `float64` or `real`.
        judge: the lifted network of the model that `correct` names, where that is another one.
    """

    graph: Graph
    data: Dataset
    digest: str
    arithmetic: str
    judge: Graph | None = None


def lower(spec: Spec, prop: Property, given: Given) -> Problem:
    """Puts one property's question together.

    Args:
        spec: the checked spec.
        prop: one of its properties.
        given: the network, the data, the digest and the arithmetic.

    Raises:
        ModelError: VF2201 when the network's outputs are not the declared classes.
        DataError: VF3201 when no input is left to prove anything about.
        UsageError: VF4011 when the arithmetic is not the model's.
    """
    statement = prop.statement
    model = next(m for m in spec.models if m.name == statement.model)
    space = next(s for s in spec.spaces if s.name == model.space)
    data, arithmetic = given.data, given.arithmetic
    _fits(arithmetic, given.graph.dtype)
    deployed = deploy(given.graph, model, space)
    classes = model.output.count
    if deployed.output_shape != (classes,):
        raise ModelError(
            "VF2201",
            f"model {model.name!r} gives outputs of shape {deployed.output_shape}, the spec says class({classes})",
            place=model.span,
            remedy="write the number of classes that the network's last layer has",
        )
    judge = deployed if given.judge is None else _judge(spec, statement.selection, given.judge)
    positions, excluded = _counted(statement, judge, data)
    readout, gap = _readout(deployed, arithmetic)
    labels = data.labels[positions]
    _are_classes(labels, positions, classes, data)
    asked = _ask(statement, labels, classes, prop.name)
    trigger = statement.trigger
    return Problem(
        name=prop.name,
        digest=given.digest,
        graph=deployed,
        inputs=np.ascontiguousarray(data.inputs[positions]),
        labels=labels,
        indices=tuple(int(p) for p in positions),
        excluded=excluded,
        placements=tuple(_placement(trigger, place, space) for place in trigger.places),
        domain=_domain(trigger, space),
        rows=_rows(classes, gap),
        violations=asked.violations,
        selections=asked.selections,
        needs=asked.needs,
        pairs=asked.pairs,
        per_input=isinstance(statement, PerInput),
        arithmetic=arithmetic,
        readout=readout,
    )


def _judge(spec: Spec, selection: Selection, graph: Graph) -> Graph:
    """The deployed form of the model that says which inputs are correct."""
    model = next(m for m in spec.models if m.name == selection.correct)
    return deploy(graph, model, next(s for s in spec.spaces if s.name == model.space))


def _fits(arithmetic: str, dtype: str) -> None:
    if arithmetic in ("real", dtype):
        return
    raise UsageError(
        "VF4011",
        f"the model computes in {dtype}, so a proof in {arithmetic} says nothing about it",
        expected=f"--arithmetic {dtype} (or real)",
    )


def deploy(graph: Graph, model: ModelDecl, space: ImageSpace) -> Graph:
    """The deployed operation sequence: layout, `encode`, then the network, unsimplified."""
    shape = (space.channels, space.height, space.width)
    front: list[Op] = [_encode(step, graph.dtype) for step in model.encode]
    if model.layout == "hwcn":
        front.append(Transpose((0, 2, 1)))
        network_shape = (space.channels, space.width, space.height)
    else:
        network_shape = shape
    network = graph if graph.input_shape == network_shape else resized(graph, network_shape)
    steps: list[tuple[Op, tuple[int, ...]]] = [(Input(shape), ())]
    steps += [(op, (number,)) for number, op in enumerate(front)]
    moved = len(front)
    steps += [(node.op, tuple(source + moved for source in node.inputs)) for node in network.nodes[1:]]
    return build(steps, graph.dtype)


def _encode(step: EncodeStep, dtype: str) -> Op:
    values = np.array([_rounded(value, dtype) for value in step.values], dtype=dtype)
    constant = values.reshape(()) if len(values) == 1 else values.reshape(-1, 1, 1)
    if step.kind == "divide":
        return Divide(constant)
    if step.kind == "multiply":
        return Scale(constant)
    # The negative of an array without axes is a NumPy scalar, which has no canonical form.
    return Shift(constant if step.kind == "add" else np.asarray(-constant))


def _rounded(value: Fraction, dtype: str) -> np.floating:
    """The nearest number of a float type, ties to even: by way of float64 a tie could be met that is none."""
    near = np.dtype(dtype).type(float(value))
    around = (near, np.nextafter(near, near.dtype.type(-np.inf)), np.nextafter(near, near.dtype.type(np.inf)))
    closest: np.floating = min(around, key=lambda v: (abs(Fraction(float(v)) - value), _is_odd(v)))
    return closest


def _is_odd(value: np.floating) -> bool:
    """Whether the last place of the significand is 1."""
    return bool(int(value.view(f"u{value.itemsize}")) & 1)


def predictions(graph: Graph, inputs: NDArray[np.float64]) -> Integers:
    """The class of each input as deployed: the strict maximum, -1 where there is none (a tie, or NaN)."""
    outputs = graph.run(inputs)
    top = outputs.argmax(1)
    best = outputs[np.arange(len(outputs)), top]
    unique = (outputs >= best[:, None]).sum(1) == 1
    return np.where(unique & np.isfinite(best), top, -1).astype(np.int64)


def _counted(statement: Statement, judge: Graph, data: Dataset) -> tuple[Integers, tuple[tuple[int, str], ...]]:
    predicted = predictions(judge, data.inputs) if statement.selection.correct is not None else None
    positions, excluded = select(data, statement.selection, predicted, None)
    return np.asarray(positions, dtype=np.int64), tuple(excluded)


def _are_classes(labels: Integers, positions: Integers, classes: int, data: Dataset) -> None:
    """Data may be checked against another model of its space, which has more classes."""
    wrong = np.flatnonzero(labels >= classes)
    if len(wrong):
        raise DataError(
            "VF3017",
            f"label {positions[wrong[0]]} is {labels[wrong[0]]}, which is no class of the model",
            place=data.path,
            expected=f"classes 0..{classes - 1}, counted from 0",
            remedy="`where label(x) in ...` or `where correct(model, x)` leaves such inputs out",
        )


def _readout(graph: Graph, arithmetic: str) -> tuple[int, float]:
    """Which node the rows speak of, and the gap below which the values behind it may tie."""
    last = graph.nodes[-1]
    if not isinstance(last.op, Softmax | LogSoftmax):
        return -1, 0.0
    return last.inputs[0], SOFTMAX_GAP.get((last.op.kind, arithmetic), 0.0)


def _rows(classes: int, gap: float) -> Rows:
    """Row of each ordered pair (j, k), j != k, in lexicographic order: y_j - y_k + gap >= 0, closed."""
    pairs = [(j, k) for j in range(classes) for k in range(classes) if j != k]
    coefficients = np.zeros((len(pairs), classes))
    for row, (j, k) in enumerate(pairs):
        coefficients[row, j], coefficients[row, k] = 1.0, -1.0
    return Rows(coefficients, np.full(len(pairs), gap), np.ones(len(pairs), dtype=bool))


def _row(j: int, k: int, classes: int) -> int:
    return j * (classes - 1) + (k if k < j else k - 1)


def _reaches(target: int, classes: int) -> tuple[int, ...]:
    return tuple(_row(target, j, classes) for j in range(classes) if j != target)


def _misses(label: int, classes: int) -> tuple[tuple[int, ...], ...]:
    return tuple((_row(j, label, classes),) for j in range(classes) if j != label)


def _ask(statement: Statement, labels: Integers, classes: int, name: str) -> _Asked:
    everything = np.arange(len(labels))
    if isinstance(statement, PerInput):
        _not_empty(len(labels), name, None)
        violation = _per_input_violation(statement, classes)
        single = tuple(np.array([i]) for i in everything)
        return _Asked((violation,), single, (1,) * len(single), tuple((0, i) for i in range(len(single))))
    violations, selections, needs = [], [], []
    for target in statement.targets or (None,):
        others = statement.selection.label_is_not_target and target is not None
        chosen = np.flatnonzero(labels != target) if others else everything
        _not_empty(len(chosen), name, target)
        violations.append(_targeted(target, classes) if target is not None else _untargeted(classes))
        selections.append(chosen)
        needs.append(math.floor(statement.limit * len(chosen)) + 1)
    return _Asked(tuple(violations), tuple(selections), tuple(needs), tuple((t, t) for t in range(len(violations))))


def _targeted(target: int, classes: int) -> Violation:
    return Violation(f"target {target}", target, ((_reaches(target, classes),),) * classes)


def _untargeted(classes: int) -> Violation:
    return Violation("untargeted", None, tuple(_misses(label, classes) for label in range(classes)))


def _per_input_violation(statement: PerInput, classes: int) -> Violation:
    if statement.targets:
        reached = tuple(_reaches(target, classes) for target in statement.targets)
        return Violation("reaches " + ", ".join(map(str, statement.targets)), None, (reached,) * classes)
    if statement.expected is not None:
        return Violation(f"not {statement.expected}", None, (_misses(statement.expected, classes),) * classes)
    return _untargeted(classes)


def _not_empty(count: int, name: str, target: int | None) -> None:
    if count:
        return
    about = "" if target is None else f" for target {target}"
    raise DataError(
        "VF3201",
        f"property {name!r} has no input left{about}, so there is nothing to prove",
        expected="at least one input that meets the conditions",
        remedy="loosen `where`, raise `take`, or check that model and data belong together",
    )


def _placement(trigger: PatchTrigger, place: tuple[int, int], space: ImageSpace) -> Placement:
    row, column = place
    shape = (space.channels, trigger.height, trigger.width)
    channel, down, right = (axis.ravel() for axis in np.indices(shape))
    positions = (channel * space.height + row + down) * space.width + column + right
    size = len(positions)
    stamp = Stamp(positions.astype(np.int64), np.zeros(size), np.eye(size), np.zeros(size))
    return Placement((("row", row), ("column", column)), stamp)


def _domain(trigger: PatchTrigger, space: ImageSpace) -> Domain:
    size = space.channels * trigger.height * trigger.width
    step = 0.0 if trigger.step is None else float(trigger.step)
    low, high = float(trigger.low), float(trigger.high)
    # The ends of a continuous range may lie between floats: outward, so that nothing of it is left out.
    low = math.nextafter(low, -math.inf) if Fraction(low) > trigger.low else low
    high = math.nextafter(high, math.inf) if Fraction(high) < trigger.high else high
    return Domain(np.full(size, low), np.full(size, high), np.full(size, step))
