"""A VNN-LIB question about a network as problems: one input that the whole trigger replaces, `threshold` 1."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import NamedTuple

import numpy as np

from verifluxa.errors import DataError
from verifluxa.graph.graph import Graph, Node, build
from verifluxa.graph.ops import Affine, Embedding, Input, Op, Reshape, Shift
from verifluxa.interop.vnnlib_read import LARGEST, Condition, Query, Region, too_large
from verifluxa.question import AffineInputMap, Domain, Floats, OutputConstraints, Placement, Problem, Violation

# A network whose first step only puts its variables into an input: that step as a stamp, which keeps bounds local.

Step = tuple[Op, tuple[int, ...]]
"""An operation, and the steps that it reads."""


class _Front(NamedTuple):
    """The steps in front, 1 to `last`: they read variables by `gain`, shape (m, d), and add `offset`, shape (m,)."""

    last: int
    gain: Floats
    offset: Floats


def placed(problem: Problem) -> Problem:
    """The same question about the network behind its first step, where each value of that reads one variable or none.

    Exported questions about patches begin so. What reads no variable is a constant of the input, so that bounds follow
    only what the patch reaches. A product and a sum are within the error of a stamp in every arithmetic. A point
    that violates must be replayed on the network as it is. Where the network begins otherwise, `problem` itself.
    """
    nodes = problem.graph.nodes
    front = _front(nodes)
    if front is None:
        return problem
    written = np.flatnonzero(front.gain.any(axis=1))
    stamp = AffineInputMap(written, np.zeros(len(written)), front.gain[written], front.offset[written])
    moved = _joined([(n.op, tuple(source - front.last for source in n.inputs)) for n in nodes[front.last + 1 :]])
    return replace(
        problem,
        digest="sha256:" + hashlib.sha256(f"placed {problem.digest}".encode()).hexdigest(),
        graph=build([(Input(nodes[front.last].shape), ()), *moved], problem.graph.dtype),
        inputs=front.offset.reshape(1, *nodes[front.last].shape),
        placements=(Placement((), stamp),),
    )


def _joined(steps: list[Step]) -> list[Step]:
    """Products and the sums right behind them as one step each: no sum has more roundings than before."""
    uses = Counter(source for _, sources in steps for source in sources)
    joined: list[Step] = []
    # Steps are numbered from 1, behind the input.
    place = {0: 0}
    for number, (op, sources) in enumerate(steps, 1):
        before = joined[-1][0] if joined and sources == (number - 1,) and uses[number - 1] == 1 else None
        if isinstance(before, Affine) and before.bias is None and isinstance(op, Shift) and op.value.ndim <= 1:
            bias = np.broadcast_to(op.value, (len(before.weight),))
            joined[-1] = (Affine(before.weight, bias), joined[-1][1])
        else:
            joined.append((op, tuple(place[source] for source in sources)))
        place[number] = len(joined)
    return joined


def _front(nodes: Sequence[Node]) -> _Front | None:
    if len(nodes) < 3 or not isinstance(nodes[1].op, Affine) or len(nodes[0].shape) != 1:
        return None
    gain = nodes[1].op.weight.astype(np.float64)
    offset = np.zeros(len(gain)) if nodes[1].op.bias is None else nodes[1].op.bias.astype(np.float64)
    last = 1
    if nodes[1].op.bias is None and isinstance(nodes[2].op, Shift) and nodes[2].inputs == (1,):
        last, offset = 2, np.broadcast_to(nodes[2].op.value, nodes[1].shape).astype(np.float64)
    known = bool(np.isfinite(gain).all() and np.isfinite(offset).all())
    local = bool(((gain != 0).sum(axis=1) <= 1).all()) and not gain.any(axis=1).all()
    others = any(source < last for node in nodes[last + 1 :] for source in node.inputs)
    return _Front(last, gain, offset) if known and local and last < len(nodes) - 1 and not others else None


# The problem

LARGEST_FACTOR = 2**53


@dataclass(frozen=True, eq=False)
class RegionQuery:
    """One region as a problem with one question. Its box is the region's, rounded outwards.

    Attributes:
        region: what is asked; a counterexample must lie inside exactly.
        problem: the same as a problem.
    """

    region: Region
    problem: Problem

    @cached_property
    def placed(self) -> Problem:
        """The problem as it is best proved, see `vnnlib_placed`."""
        return placed(self.problem)


def ask(graph: Graph, query: Query, arithmetic: str, name: str) -> tuple[RegionQuery, ...]:
    """The problems of a question, one per region: the answer is yes where one of them has a trigger.

    Args:
        graph: the network.
        query: the question.
        arithmetic: `float32`, `float64` or `real`.
        name: of the file, for messages.

    Raises:
        DataError: VF3403 where network and question do not fit.
    """
    sizes = (("inputs", query.inputs, graph.input_shape), ("outputs", query.outputs, graph.output_shape))
    for what, count, shape in sizes:
        if count != math.prod(shape):
            raise _misfit(f"the question has {count} {what}, the network has {math.prod(shape)}", name)
    if any(isinstance(node.op, Embedding) for node in graph.nodes):
        raise _misfit("the network reads words, which have no box", name)
    if len(graph.output_shape) != 1:
        steps = [(node.op, node.inputs) for node in graph.nodes]
        graph = build([*steps, (Reshape((query.outputs,)), (len(steps) - 1,))], graph.dtype)
    return tuple(RegionQuery(region, _problem(graph, region, arithmetic, name)) for region in query.regions)


def inward(region: Region, point: Floats, dtype: str) -> Floats:
    """A point with each value moved to a near number of a float type inside the region, where there is one."""
    number = np.dtype(dtype).type
    moved = []
    for low, value, high in zip(region.lower, point, region.upper, strict=True):
        near = number(value)
        if Fraction(float(near)) < low:
            near = np.nextafter(near, number(np.inf))
        elif Fraction(float(near)) > high:
            near = np.nextafter(near, number(-np.inf))
        moved.append(float(near) if low <= Fraction(float(near)) <= high else float(value))
    return np.array(moved)


def _misfit(message: str, name: str) -> DataError:
    remedy = "take the network and the question of one benchmark instance"
    return DataError("VF3403", message, place=name, remedy=remedy)


def _problem(graph: Graph, region: Region, arithmetic: str, name: str) -> Problem:
    size = len(region.lower)
    lower = np.array([_downward(end) for end in region.lower])
    upper = np.array([_upward(end) for end in region.upper])
    stamp = AffineInputMap(np.arange(size), np.zeros(size), np.eye(size), np.zeros(size))
    rows, alternatives = _rows(region.alternatives, math.prod(graph.output_shape))
    return Problem(
        name=name,
        digest="sha256:" + hashlib.sha256(repr((graph.digest, region)).encode()).hexdigest(),
        graph=graph,
        inputs=((lower + upper) / 2).reshape(1, *graph.input_shape),
        labels=np.zeros(1, dtype=np.int64),
        indices=(0,),
        excluded=(),
        placements=(Placement((), stamp),),
        domain=Domain(lower, upper, np.zeros(size)),
        constraints=rows,
        violations=(Violation("the conditions on the outputs", None, (alternatives,)),),
        selections=(np.zeros(1, dtype=np.int64),),
        thresholds=(1,),
        pairs=((0, 0),),
        per_input=True,
        arithmetic=arithmetic,
    )


def _rows(
    alternatives: Sequence[Sequence[Condition]], outputs: int
) -> tuple[OutputConstraints, tuple[tuple[int, ...], ...]]:
    """The rows of all conditions, each once, and the alternatives as row numbers."""
    known: dict[object, int] = {}
    lines: list[tuple[Floats, Fraction, bool]] = []
    numbered = []
    for alternative in alternatives:
        chosen = []
        for condition in alternative:
            key = (tuple(sorted(condition.value.factors.items())), condition.value.constant, condition.closed)
            if key not in known:
                known[key] = len(lines)
                lines.append(_row(condition, outputs))
            chosen.append(known[key])
        numbered.append(tuple(dict.fromkeys(chosen)))
    inner = np.array([_downward(constant) for _, constant, _ in lines])
    rows = OutputConstraints(
        np.array([row for row, _, _ in lines]),
        np.array([_upward(constant) for _, constant, _ in lines]),
        np.array([closed for _, _, closed in lines]),
        replayed=inner,
        certain=inner,
    )
    return rows, tuple(numbered)


def _row(condition: Condition, outputs: int) -> tuple[Floats, Fraction, bool]:
    """A condition times a positive number, so that its factors are whole numbers, which doubles hold exactly.

    Raises:
        DataError: VF3403 where they would be too large for that.
    """
    factors = condition.value.factors
    scale = 1 if _held(factors.values()) else math.lcm(*(value.denominator for value in factors.values()))
    scale = scale if scale <= LARGEST_FACTOR else 0
    row = np.zeros(outputs)
    for (_, index), value in factors.items():
        scaled = value * scale
        if not scaled or not _held([scaled]):
            raise DataError(
                "VF3403",
                "the factors of this condition have too many digits",
                place=condition.place.span,
                expected="factors that become whole numbers up to 2^53 when multiplied by their common denominator",
                remedy="round the factors",
            )
        row[index] = float(scaled)
    constant = condition.value.constant * scale
    if abs(constant) > LARGEST * LARGEST_FACTOR:
        raise too_large("the constant of this condition is too large", condition.place, "numbers up to 1e30")
    return row, constant, condition.closed


def _held(values: Iterable[Fraction]) -> bool:
    """Whether doubles hold numbers exactly, with room to sum them up."""
    return all(abs(value) <= LARGEST_FACTOR and Fraction(float(value)) == value for value in values)


def _upward(value: Fraction) -> float:
    near = float(value)
    return math.nextafter(near, math.inf) if Fraction(near) < value else near


def _downward(value: Fraction) -> float:
    return -_upward(-value)
