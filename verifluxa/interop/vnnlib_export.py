"""Questions about one input at one placement for other verifiers: ONNX of `tau -> outputs`, and VNN-LIB.

The network: the stamp and `encode` as one affine operation (the input's untouched values are its constants), then
the model. `sat` means that a trigger exists. Universal questions become those about their single inputs.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from verifluxa.errors import UsageError
from verifluxa.graph.graph import Graph, build
from verifluxa.graph.ops import Affine, Divide, Embedding, Input, Op, Reshape, Scale, Shift
from verifluxa.interop.onnx_export import onnx_bytes
from verifluxa.interop.onnx_file import onnx_package
from verifluxa.question import Domain, Floats, Problem


class Single(NamedTuple):
    """A question about one input: indices into the problem's placements, violations and inputs."""

    placement: int
    violation: int
    input: int


@dataclass(frozen=True)
class Carried:
    """What an answer to an exported question says about ours. `unsat` always carries over.

    Attributes:
        losses: why `sat` need not be a trigger of ours; empty where it is one.
    """

    losses: tuple[str, ...]


def count_singles(problem: Problem) -> int:
    """How many questions about single inputs a problem holds."""
    return len(problem.placements) * sum(len(problem.selections[s]) for _, s in problem.pairs)


def singles(problem: Problem, most: int) -> Iterator[Single]:
    """The questions about single inputs; where there are more than `most`, that many, evenly spread."""
    total = count_singles(problem)
    ends = np.cumsum([len(problem.selections[s]) for _, s in problem.pairs])
    for number in range(min(most, total)):
        position = number if total <= most else number * total // most
        placement, rest = divmod(position, int(ends[-1]))
        pair = int(np.searchsorted(ends, rest, side="right"))
        violation, selection = problem.pairs[pair]
        chosen = problem.selections[selection]
        yield Single(placement, violation, int(chosen[rest - (int(ends[pair]) - len(chosen))]))


def check_sayable(problem: Problem) -> None:
    """Looks whether a problem's questions can be said in ONNX and VNN-LIB.

    Raises:
        UsageError: VF4521 where the network reads words, inputs stand for all around them, or a trigger has no value.
    """
    why = None
    if any(isinstance(node.op, Embedding) for node in problem.graph.nodes):
        why = "the network reads words, and VNN-LIB speaks of boxes of numbers"
    elif any(placement.stamps for placement in problem.placements):
        why = "the place depends on the input"
    elif problem.spread:
        why = "inputs stand for all inputs around them, under one trigger"
    elif any(not len(problem.domain_of(p).lower) for p in range(len(problem.placements))):
        why = "the trigger has no value that is free"
    if why is not None:
        raise UsageError(
            "VF4521",
            f"property {problem.name!r} cannot be exported: {why}",
            remedy="choose other properties with --property NAME",
        )


def triggered(problem: Problem, single: Single) -> Graph:
    """The network that reads the trigger: from tau (d,) to the values that the rows speak of.

    The stamp and the elementwise steps behind it, as of `encode`, are one affine operation, computed in float64 and
    rounded once: many verifiers have no division.
    """
    graph, stamp = problem.graph, problem.placements[single.placement].stamp
    size, free, dtype = math.prod(graph.input_shape), stamp.gain.shape[1], np.dtype(graph.dtype)
    weight = np.zeros((size, free))
    weight[stamp.positions] = stamp.gain
    bias = stamp.applied(problem.inputs[single.input].reshape(1, size), np.zeros(free))[0]
    slopes, offset = weight.T.reshape(free, *graph.input_shape), bias.reshape(graph.input_shape)
    folded = _elementwise(graph)
    for node in graph.nodes[1 : folded + 1]:
        slopes, offset = _through(node.op, slopes), _through(node.op, offset)
        if isinstance(node.op, Shift):
            offset = offset + node.op.value
    affine = Affine(slopes.reshape(free, size).T.astype(dtype), offset.reshape(size).astype(dtype))
    front: list[Op] = [affine, Reshape(graph.input_shape)]
    steps: list[tuple[Op, tuple[int, ...]]] = [(Input((free,)), ())]
    steps += [(op, (number,)) for number, op in enumerate(front)]
    moved, last = len(front) - folded, problem.readout % len(graph.nodes)
    steps += [(n.op, tuple(source + moved for source in n.inputs)) for n in graph.nodes[folded + 1 : last + 1]]
    return build(steps, graph.dtype)


def _elementwise(graph: Graph) -> int:
    """How many steps in front shift, scale or divide each value, and are read by the next step alone."""
    count = 0
    for number, node in enumerate(graph.nodes[1:], 1):
        if not isinstance(node.op, Shift | Scale | Divide) or node.inputs != (number - 1,):
            break
        count = number
    while count and any(source < count for node in graph.nodes[count + 1 :] for source in node.inputs):
        count -= 1
    return count


def _through(op: Op, values: Floats) -> Floats:
    """What a factor makes of values; a shift leaves slopes alone."""
    if isinstance(op, Scale):
        return values * op.factor.astype(np.float64)
    return values / op.divisor.astype(np.float64) if isinstance(op, Divide) else values


def onnx_of(graph: Graph) -> bytes:
    """The ONNX bytes of a network for one sample: verifiers want a fixed number of samples.

    Raises:
        UsageError: VF4411 when the `onnx` package is not installed.
    """
    onnx = onnx_package()
    model = onnx.load_model_from_string(onnx_bytes(graph))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def carried(problem: Problem, single: Single, version: int) -> Carried:
    """What `sat` is worth; strict conditions come with version 2 of VNN-LIB."""
    domain = problem.domain_of(single.placement)
    losses = []
    if (domain.step > 0).any() or domain.lists:
        losses.append("the trigger has steps or listed values; the box has all values between")
    if domain.slabs is not None:
        losses.append("the trigger keeps further linear limits; the box does not")
    rows = sorted({row for case in _alternatives(problem, single) for row in case})
    if version == 1 and not problem.constraints.closed[rows].all():
        losses.append("a condition is strict, and VNN-LIB 1.0 has >= alone")
    inner = problem.constraints.replayed
    if inner is not None and (inner[rows] != problem.constraints.constants[rows]).any():
        losses.append("a limit is rounded outwards")
    return Carried(tuple(losses))


def described(problem: Problem, single: Single) -> str:
    """A question in words: `input 17, row 3, column 5, target 7`."""
    place = [f"{name} {value}" for name, value in problem.placements[single.placement].label]
    return ", ".join([f"input {problem.indices[single.input]}", *place, problem.violations[single.violation].label])


def question_text(problem: Problem, single: Single, version: int) -> str:
    """The VNN-LIB file of a question.

    Args:
        problem: that it belongs to.
        single: the question.
        version: 1 or 2.
    """
    outputs, domain = problem.constraints.coefficients.shape[1], problem.domain_of(single.placement)
    names = _Names(version, "float32" if problem.graph.dtype == "float32" else "float64")
    lines = [f"; {_comment(problem.name)}: {_comment(described(problem, single))}"]
    lines += [f"; sat need not be a trigger: {loss}" for loss in carried(problem, single, version).losses]
    lines += names.declared(len(domain.lower), outputs)
    lines += _bounds(domain, names)
    cases = [
        "(and " + " ".join(_condition(problem, row, names) for row in case) + ")"
        for case in _alternatives(problem, single)
    ]
    lines += ["(assert (or", *(f"    {case}" for case in cases), "))"]
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class _Names:
    version: int
    dtype: str

    def declared(self, inputs: int, outputs: int) -> list[str]:
        if self.version == 1:
            pairs = (("X", inputs), ("Y", outputs))
            return [f"(declare-const {kind}_{i} Real)" for kind, count in pairs for i in range(count)]
        return [
            "(vnnlib-version <2.0>)",
            "(declare-network triggered",
            f"    (declare-input X {self.dtype} [1,{inputs}])",
            f"    (declare-output Y {self.dtype} [1,{outputs}])",
            ")",
        ]

    def one(self, kind: str, index: int) -> str:
        return f"{kind}_{index}" if self.version == 1 else f"{kind}[0,{index}]"


def _bounds(domain: Domain, names: _Names) -> Iterator[str]:
    for index, (low, high) in enumerate(zip(domain.lower, domain.upper, strict=True)):
        yield f"(assert (>= {names.one('X', index)} {_number(low)}))"
        yield f"(assert (<= {names.one('X', index)} {_number(high)}))"


def _alternatives(problem: Problem, single: Single) -> Sequence[tuple[int, ...]]:
    return problem.violations[single.violation].by_label[int(problem.labels[single.input])]


def _condition(problem: Problem, row: int, names: _Names) -> str:
    """`row @ y + constant >= 0`, in the plainest form: verifiers read few others."""
    factors, constant = problem.constraints.coefficients[row], float(problem.constraints.constants[row])
    used = np.flatnonzero(factors)
    values = factors[used].tolist()
    end = "=" if problem.constraints.closed[row] or names.version == 1 else ""
    if values in ([1.0], [-1.0]):
        sign = (">" if values == [1.0] else "<") + end
        return f"({sign} {names.one('Y', int(used[0]))} {_number(-constant * values[0])})"
    if sorted(values) == [-1.0, 1.0] and constant == 0:
        more, less = (names.one("Y", int(used[values.index(sign)])) for sign in (1.0, -1.0))
        return f"(>{end} {more} {less})"
    terms = " ".join(f"(* {_number(value)} {names.one('Y', int(i))})" for i, value in zip(used, values, strict=True))
    return f"(>{end} (+ {terms} {_number(0.0)}) {_number(-constant)})"


def _number(value: float) -> str:
    """A number without an exponent, which VNN-LIB 2.0 does not have; the digits that say which double it is."""
    text = format(Decimal(repr(float(value) + 0.0)), "f")
    return text if "." in text else text + ".0"


def _comment(text: str) -> str:
    return "".join(c if " " <= c <= "~" else "?" for c in text)
