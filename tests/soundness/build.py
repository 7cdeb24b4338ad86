"""Small networks, triggers and problems for the soundness tests, put together without a spec or a file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import floor
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from verifluxa.graph.graph import Graph, chain
from verifluxa.graph.ops import Activation, Affine, Op, Reshape, Shape
from verifluxa.question import (
    AffineInputMap,
    Domain,
    Floats,
    Integers,
    OutputConstraints,
    Placement,
    Problem,
    Violation,
)


@dataclass(frozen=True, eq=False)
class Family:
    """A trigger family: where, and over which domain."""

    placements: tuple[Placement, ...]
    domain: Domain


@dataclass(frozen=True)
class Ask:
    """What is asked: targeted where `targets` are named, else untargeted; `need`, or the exact rate `limit`."""

    targets: tuple[int, ...] = ()
    need: int = 1
    limit: Fraction | None = None
    per_input: bool = False
    arithmetic: str = "real"

    def need_of(self, count: int) -> int:
        """How many of `count` inputs must violate together to refute: `floor(limit * count) + 1`."""
        return self.need if self.limit is None else floor(self.limit * count) + 1


def dense(weight: ArrayLike, bias: ArrayLike | None = None, dtype: str = "float32") -> Affine:
    """An affine step with float32 (or float64) arrays."""
    return Affine(np.array(weight, dtype), None if bias is None else np.array(bias, dtype))


def relu() -> Activation:
    """A ReLU step."""
    return Activation("relu")


def mlp(shape: Shape, *layers: tuple[ArrayLike, ArrayLike | None], dtype: str = "float32") -> Graph:
    """Flatten, then affine layers with ReLU between them."""
    ops: list[Op] = [Reshape((-1,))]
    for weight, bias in layers:
        ops += [dense(weight, bias, dtype), relu()]
    return chain(shape, ops[:-1], dtype)


def replacing(positions: Sequence[int], label: tuple[tuple[str, int], ...] = (("row", 0), ("column", 0))) -> Placement:
    """A trigger that copies its parameters to the given flat positions."""
    size = len(positions)
    stamp = AffineInputMap(np.array(positions, np.int64), np.zeros(size), np.eye(size), np.zeros(size))
    return Placement(label, stamp)


def patch(shape: Shape, size: tuple[int, int], place: tuple[int, int]) -> Placement:
    """A patch of `size` (rows, columns) with its top-left pixel at `place`, on a (channels, rows, columns) image."""
    flat = np.arange(int(np.prod(shape))).reshape(shape)
    (rows, columns), (row, column) = size, place
    window = flat[:, row : row + rows, column : column + columns]
    return replacing(window.ravel().tolist(), (("row", row), ("column", column)))


def levels(size: int, low: float, high: float, step: float = 1.0) -> Domain:
    """The same range in every coordinate; step 0 is continuous."""
    return Domain(np.full(size, float(low)), np.full(size, float(high)), np.full(size, float(step)))


def pair_row(classes: int, winner: int, loser: int) -> int:
    """The row `output[winner] - output[loser] >= 0` among `class_rows`."""
    return winner * (classes - 1) + (loser if loser < winner else loser - 1)


def class_rows(classes: int) -> OutputConstraints:
    """All comparisons of two classes, as closed rows: a tie violates."""
    pairs = [(j, k) for j in range(classes) for k in range(classes) if j != k]
    coefficients = np.zeros((len(pairs), classes))
    for row, (winner, loser) in enumerate(pairs):
        coefficients[row, winner], coefficients[row, loser] = 1.0, -1.0
    return OutputConstraints(coefficients, np.zeros(len(pairs)), np.ones(len(pairs), dtype=bool))


def targeted(classes: int, target: int) -> Violation:
    """The target beats every other class; inputs that carry the target's label are never selected."""
    rows = tuple(pair_row(classes, target, other) for other in range(classes) if other != target)
    return Violation(f"target {target}", target, tuple(() if c == target else (rows,) for c in range(classes)))


def untargeted(classes: int) -> Violation:
    """Some other class beats the label."""
    by_label = tuple(
        tuple((pair_row(classes, other, label),) for other in range(classes) if other != label)
        for label in range(classes)
    )
    return Violation("untargeted", None, by_label)


def _selection(violation: Violation, labels: Integers) -> Integers:
    keep = np.ones(len(labels), dtype=bool) if violation.target is None else labels != violation.target
    return np.flatnonzero(keep).astype(np.int64)


def make_problem(graph: Graph, inputs: ArrayLike, labels: Sequence[int], family: Family, ask: Ask) -> Problem:
    """A problem about classes: one violation per target, or one untargeted; selections as the semantics say."""
    classes = graph.output_shape[-1]
    violations = tuple(targeted(classes, t) for t in ask.targets) or (untargeted(classes),)
    marks = np.array(labels, np.int64)
    if ask.per_input:
        each = [(v, i) for v, violation in enumerate(violations) for i in _selection(violation, marks).tolist()]
        selections = tuple(np.array([i], np.int64) for _, i in each)
        pairs = tuple((v, place) for place, (v, _) in enumerate(each))
    else:
        selections = tuple(_selection(violation, marks) for violation in violations)
        pairs = tuple((v, v) for v in range(len(violations)))
    needs = tuple(ask.need_of(len(selection)) for selection in selections)
    return assemble(
        graph, inputs, marks, family, Statement(class_rows(classes), violations, selections, needs, pairs, ask)
    )


@dataclass(frozen=True, eq=False)
class Statement:
    """The statement's side of a problem."""

    rows: OutputConstraints
    violations: tuple[Violation, ...]
    selections: tuple[Integers, ...]
    needs: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]
    ask: Ask


def range_problem(graph: Graph, inputs: ArrayLike, family: Family, rows: OutputConstraints, ask: Ask) -> Problem:
    """A violation that is an OR of single rows (an output leaves its range), the same for every input."""
    values = np.array(inputs, np.float64)
    violation = Violation("range", None, (tuple((row,) for row in range(len(rows.constants))),))
    everyone = np.arange(len(values), dtype=np.int64)
    statement = Statement(rows, (violation,), (everyone,), (ask.need_of(len(values)),), ((0, 0),), ask)
    return assemble(graph, values, np.zeros(len(values), np.int64), family, statement)


def assemble(graph: Graph, inputs: ArrayLike, labels: Integers, family: Family, statement: Statement) -> Problem:
    """The problem, under a digest of everything in it."""
    values: Floats = np.array(inputs, np.float64).reshape(-1, *graph.input_shape)
    problem = Problem(
        name="table",
        digest="",
        graph=graph,
        inputs=values,
        labels=labels,
        indices=tuple(range(len(values))),
        excluded=(),
        placements=family.placements,
        domain=family.domain,
        constraints=statement.rows,
        violations=statement.violations,
        selections=statement.selections,
        thresholds=statement.needs,
        pairs=statement.pairs,
        per_input=statement.ask.per_input,
        arithmetic=statement.ask.arithmetic,
    )
    return digested(problem)


def digested(problem: Problem) -> Problem:
    """The problem under the digest of its present content (the engine may keep things by digest)."""
    return replace(problem, digest=_digest(problem))


def _digest(problem: Problem) -> str:
    parts: list[Any] = [problem.graph.digest, problem.inputs, problem.labels, problem.violations, problem.thresholds]
    parts += [
        *vars(problem.domain).values(),
        *vars(problem.constraints).values(),
        *problem.selections,
        problem.arithmetic,
    ]
    parts += [part for placement in problem.placements for part in (placement.label, *vars(placement.stamp).values())]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode())
    return "sha256:" + digest.hexdigest()
