"""A VNN-LIB question about a network as problems: one input that the whole trigger replaces, `need` 1."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np

from verifluxa.errors import DataError
from verifluxa.graph.graph import Graph, build
from verifluxa.graph.ops import Embedding, Reshape
from verifluxa.interop.vnnlib_placed import placed
from verifluxa.interop.vnnlib_read import LARGEST, Condition, Query, Region
from verifluxa.interop.vnnlib_syntax import too_large
from verifluxa.question import AffineInputMap, Domain, Floats, Placement, Problem, Rows, Violation

LARGEST_FACTOR = 2**53


@dataclass(frozen=True, eq=False)
class Asked:
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


def ask(graph: Graph, query: Query, arithmetic: str, name: str) -> tuple[Asked, ...]:
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
    return tuple(Asked(region, _problem(graph, region, arithmetic, name)) for region in query.regions)


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
        rows=rows,
        violations=(Violation("the conditions on the outputs", None, (alternatives,)),),
        selections=(np.zeros(1, dtype=np.int64),),
        needs=(1,),
        pairs=((0, 0),),
        per_input=True,
        arithmetic=arithmetic,
    )


def _rows(alternatives: Sequence[Sequence[Condition]], outputs: int) -> tuple[Rows, tuple[tuple[int, ...], ...]]:
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
    rows = Rows(
        np.array([row for row, _, _ in lines]),
        np.array([_upward(constant) for _, constant, _ in lines]),
        np.array([closed for _, _, closed in lines]),
        replayed=inner,
        sure=inner,
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
