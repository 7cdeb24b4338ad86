"""Tiny networks over words with triggers that put words in, and their truth: every trigger is tried.

Weights are small whole numbers and lengths powers of two, so that the float32 network computes exactly.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verifluxa.graph.graph import Graph, build
from verifluxa.graph.ops import (
    Activation,
    Add,
    Affine,
    Concat,
    Conv,
    Embedding,
    Input,
    MaxPool,
    MeanPool,
    Op,
    Reshape,
    Transpose,
)
from verifluxa.question import (
    AffineInputMap,
    Domain,
    Listed,
    OutputConstraints,
    Placement,
    Problem,
    Question,
    Violation,
)

LENGTH, WORDS, FEATURES, CLASSES = 4, 6, 2, 3
Steps = list[tuple[Op, tuple[int, ...]]]


def whole(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    return rng.integers(-3, 4, shape).astype(np.float32)


def bag(rng: np.random.Generator) -> Steps:
    return [
        (Transpose((1, 0)), (1,)),
        (MeanPool((LENGTH,), (LENGTH,), (0,), (0,)), (2,)),
        (Reshape((FEATURES,)), (3,)),
        (Affine(whole(rng, 4, FEATURES), whole(rng, 4)), (4,)),
        (Activation("relu"), (5,)),
        (Affine(whole(rng, CLASSES, 4), whole(rng, CLASSES)), (6,)),
    ]


def convolution(rng: np.random.Generator) -> Steps:
    return [
        (Transpose((1, 0)), (1,)),
        (Conv(whole(rng, 3, FEATURES, 2), whole(rng, 3), (1,), (0,), (0,), (1,)), (2,)),
        (Activation("relu"), (3,)),
        (MaxPool((LENGTH - 1,), (LENGTH - 1,), (0,), (0,)), (4,)),
        (Reshape((3,)), (5,)),
        (Affine(whole(rng, CLASSES, 3), whole(rng, CLASSES)), (6,)),
    ]


def branches(rng: np.random.Generator) -> Steps:
    size = LENGTH * FEATURES
    return [
        (Reshape((size,)), (1,)),
        (Affine(whole(rng, size, size), None), (2,)),
        (Activation("relu"), (3,)),
        (Add(), (2, 4)),
        (Affine(whole(rng, 3, size), whole(rng, 3)), (5,)),
        (Concat(0), (4, 6)),
        (Activation("relu"), (7,)),
        (Affine(whole(rng, CLASSES, size + 3), whole(rng, CLASSES)), (8,)),
    ]


NETWORKS = {"bag": bag, "convolution": convolution, "branches": branches}


def network(kind: str, seed: int) -> Graph:
    rng = np.random.default_rng(seed)
    table = whole(rng, WORDS, FEATURES)
    return build([(Input((LENGTH,)), ()), (Embedding(table), (0,)), *NETWORKS[kind](rng)])


def inserted(place: int, count: int) -> AffineInputMap:
    positions = np.arange(place, LENGTH)
    gain = np.zeros((len(positions), count))
    gain[:count] = np.eye(count)
    keep = np.r_[np.zeros(count), np.ones(len(positions) - count)]
    source = np.r_[positions[:count], positions[: len(positions) - count]]
    return AffineInputMap(positions, keep, gain, np.zeros(len(positions)), source)


def replaced(place: int, count: int) -> AffineInputMap:
    return AffineInputMap(np.arange(place, place + count), np.zeros(count), np.eye(count), np.zeros(count))


@dataclass(frozen=True)
class Setting:
    kind: str
    seed: int
    count: int
    inserts: bool
    per_input: bool


def build_problem(setting: Setting) -> Problem:
    rng = np.random.default_rng(setting.seed + 1000)
    graph = network(setting.kind, setting.seed)
    inputs = rng.integers(0, WORDS, (6, LENGTH)).astype(np.float64)
    labels = graph.run(inputs).argmax(1).astype(np.int64)
    allowed = np.array([1.0, 2.0, 4.0, 5.0])[:, None]
    lists = tuple(Listed(np.array([k]), allowed) for k in range(setting.count))
    low, high = np.full(setting.count, 1.0), np.full(setting.count, 5.0)
    domain = Domain(low, high, np.ones(setting.count), None, lists)
    stamp = inserted if setting.inserts else replaced
    places = range(LENGTH - setting.count + 1)
    reaches = tuple(_row(1, j) for j in range(CLASSES) if j != 1)
    violations = (untargeted(), Violation("target 1", 1, ((reaches,),) * CLASSES))
    everything = np.arange(len(inputs))
    singles = tuple(everything[i : i + 1] for i in everything)
    pairs = tuple((0, i) for i in range(len(singles))) if setting.per_input else ((0, 0), (1, 0))
    return Problem(
        name="words",
        digest=f"sha256:{setting}",
        graph=graph,
        inputs=inputs,
        labels=labels,
        indices=tuple(range(len(inputs))),
        excluded=(),
        placements=tuple(Placement((("position", p),), stamp(p, setting.count)) for p in places),
        domain=domain,
        constraints=class_rows(),
        violations=violations,
        selections=singles if setting.per_input else (everything,),
        thresholds=(1,) * len(singles) if setting.per_input else (int(rng.integers(2, 6)),),
        pairs=pairs,
        per_input=setting.per_input,
        arithmetic="float32",
    )


def untargeted() -> Violation:
    """Any class but the label."""
    misses = [tuple((_row(j, label),) for j in range(CLASSES) if j != label) for label in range(CLASSES)]
    return Violation("untargeted", None, tuple(misses))


def class_rows() -> OutputConstraints:
    """Row of each ordered pair (j, k): y_j - y_k >= 0."""
    pairs = [(j, k) for j in range(CLASSES) for k in range(CLASSES) if j != k]
    coefficients = np.zeros((len(pairs), CLASSES))
    for row, (j, k) in enumerate(pairs):
        coefficients[row, j], coefficients[row, k] = 1.0, -1.0
    return OutputConstraints(coefficients, np.zeros(len(pairs)), np.ones(len(pairs), dtype=bool))


def _row(j: int, k: int) -> int:
    return j * (CLASSES - 1) + (k if k < j else k - 1)


Put = Callable[[Problem, int, tuple[float, ...]], NDArray[np.float64]]


def triggered(problem: Problem, placement: int, words_: tuple[float, ...]) -> NDArray[np.float64]:
    """The triggered texts, by the meaning of the words and not by the stamp."""
    inserts = problem.placements[placement].stamp.source is not None
    rows = []
    for row in problem.inputs:
        before, after = list(row[:placement]), list(row[placement:])
        rest = after if inserts else after[len(words_) :]
        rows.append((before + list(words_) + rest)[:LENGTH])
    return np.array(rows)


def truth(problem: Problem, question: Question, put: Put = triggered) -> tuple[int, int]:
    """The most inputs that one trigger makes violate: strictly, and with ties; `put` gives the triggered texts."""
    allowed = problem.domain.lists[0].points[:, 0]
    strict, loose = 0, 0
    for point in itertools.product(allowed, repeat=len(problem.domain.lower)):
        counts = violating(problem, question, put(problem, question.placement, point))
        strict, loose = max(strict, counts[0]), max(loose, counts[1])
    return strict, loose


def violating(problem: Problem, question: Question, inputs: NDArray[np.float64]) -> tuple[int, int]:
    """How many of the question's inputs violate as they are in `inputs`: strictly, and with ties."""
    chosen = problem.selections[question.selection]
    values = problem.graph.run(inputs).astype(np.float64)[chosen] @ problem.constraints.coefficients.T
    by_label = problem.violations[question.violation].by_label
    met = [
        [any(all(test(values[n, r]) for r in rows) for rows in by_label[problem.labels[i]]) for test in TESTS]
        for n, i in enumerate(chosen)
    ]
    strict, loose = np.array(met).sum(0).tolist()
    return strict, loose


TESTS = (lambda value: value > 0, lambda value: value >= 0)
