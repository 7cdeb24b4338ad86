"""Small random problems: hypothesis chooses the structure, a seed the numbers; the domain can be enumerated.

Weights are halves, so that ties happen. Thresholds are put at the peak of one of the inputs, and needs at
the exact count, where every question is hardest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.soundness.build import Ask, Family, digested, make_problem, patch, range_problem
from tests.soundness.truth import Oracle, Truth
from verifluxa.graph.graph import Graph, build
from verifluxa.graph.ops import (
    Activation,
    Add,
    Affine,
    BatchNorm,
    Clip,
    Concat,
    Conv,
    Divide,
    Input,
    MaxPool,
    MeanPool,
    Op,
    Reshape,
    Shape,
    Shift,
)
from verifluxa.question import Domain, OutputConstraints, Placement, Problem, Question

LEVELS = {1: 8, 2: 5, 3: 3, 4: 2}
"""The highest level by the number of pixels: at most 81 points."""
SHAPES = [(1, 1, 2), (1, 2, 2), (1, 2, 3), (2, 2, 2), (1, 3, 3), (2, 1, 3)]
OTHERS: list[Op] = [Activation("leakyrelu", 0.25), Clip(-1.0, 2.0)]


@dataclass(frozen=True, eq=False)
class Numbers:
    """Where weights and pixels come from."""

    random: np.random.Generator

    def halves(self, *shape: int) -> NDArray[np.float32]:
        """Halves from -2 to 2."""
        return np.array(self.random.integers(-4, 5, shape) / 2, np.float32)

    def norm(self, channels: int) -> BatchNorm:
        """A batch normalisation with deviations of 1, 2 and 4, which keeps numbers short."""
        variance = np.array(self.random.choice([0.75, 3.75, 15.75], channels), np.float32)
        return BatchNorm(self.halves(channels), variance, 0.25, self.halves(channels), self.halves(channels))

    def images(self, count: int, shape: Shape) -> NDArray[np.float64]:
        """Levels from 0 to 4."""
        return self.random.integers(0, 5, (count, *shape)).astype(np.float64)

    def labels(self, count: int, classes: int) -> list[int]:
        """Classes."""
        return [int(label) for label in self.random.integers(0, classes, count)]


NUMBERS = st.integers(0, 2**32 - 1).map(lambda seed: Numbers(np.random.default_rng(seed)))


@st.composite
def convolutions(draw: st.DrawFn, channels: int, numbers: Numbers) -> Conv:
    """A convolution with stride, uneven padding, and perhaps no bias."""
    outputs, window = draw(st.integers(1, 2)), (draw(st.integers(1, 2)), draw(st.integers(1, 3)))
    low = draw(st.tuples(st.integers(0, 1), st.integers(0, 1)))
    bias = numbers.halves(outputs) if draw(st.booleans()) else None
    stride = (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
    return Conv(numbers.halves(outputs, channels, *window), bias, stride, low, (1, 1), (1, 1))


class Steps:
    """The steps of a graph as they are put together, and the shape after the last one."""

    def __init__(self, shape: Shape) -> None:
        self.steps: list[tuple[Op, tuple[int, ...]]] = [(Input(shape), ())]
        self.shape = shape

    def then(self, *ops: Op) -> None:
        """One operation after the other, each reading the one before."""
        for op in ops:
            self.join(op, len(self.steps) - 1)

    def join(self, op: Op, *sources: int) -> None:
        """An operation that reads the given steps."""
        self.steps.append((op, sources))
        self.shape = build(self.steps).output_shape

    @property
    def last(self) -> int:
        """The latest step."""
        return len(self.steps) - 1

    @property
    def width(self) -> int:
        """Number of values after the last step."""
        return int(np.prod(self.shape))

    def graph(self, *more: Op) -> Graph:
        """The graph, with some operations at its end."""
        steps = [*self.steps, *((op, (self.last + n,)) for n, op in enumerate(more))]
        return build(steps)


@st.composite
def bodies(draw: st.DrawFn, shape: Shape, classes: int, numbers: Numbers) -> Steps:
    """Perhaps encode, a convolution, a pool; up to three hidden dense layers, perhaps with branches; the outputs."""
    activation = st.sampled_from([*[Activation("relu")] * 5, *OTHERS])
    body = Steps(shape)
    if draw(st.booleans()):
        body.then(Divide(np.array(4.0, np.float32)), Shift(numbers.halves()))
    if draw(st.booleans()):
        body.then(draw(convolutions(shape[0], numbers)))
        if draw(st.booleans()):
            body.then(numbers.norm(body.shape[0]))
        body.then(draw(activation))
    if min(body.shape[1:]) >= 2 and draw(st.booleans()):
        pool = draw(st.sampled_from([MaxPool, MeanPool]))
        body.then(pool((2, 2), (1, draw(st.integers(1, 2))), (0, 0), (0, 0)))
    body.then(Reshape((-1,)))
    for _ in range(draw(st.integers(0, 3))):
        size = draw(st.integers(2, 5))
        body.then(Affine(numbers.halves(size, body.width), numbers.halves(size)), draw(activation))
        if draw(st.integers(0, 3)) == 3:
            start = body.last
            body.then(Affine(numbers.halves(size, size), None), draw(activation))
            body.join(draw(st.sampled_from([Add(), Concat(0)])), body.last, start)
    body.then(Affine(numbers.halves(classes, body.width), numbers.halves(classes)))
    return body


@st.composite
def places(draw: st.DrawFn, shape: Shape) -> Placement:
    """A patch of one to four values."""
    sizes = [(2, 2), (1, 3), (1, 2), (2, 1), (1, 1)]
    fitting = [(r, c) for r, c in sizes if r <= shape[1] and c <= shape[2] and r * c * shape[0] <= max(LEVELS)]
    rows, columns = draw(st.sampled_from(fitting))
    place = (draw(st.integers(0, shape[1] - rows)), draw(st.integers(0, shape[2] - columns)))
    return patch(shape, (rows, columns), place)


@st.composite
def domains(draw: st.DrawFn, size: int) -> Domain:
    """Integer levels; sometimes one coordinate is continuous, sometimes one has no width."""
    high = LEVELS[size]
    lower, upper, step = np.zeros(size), np.full(size, float(high)), np.ones(size)
    if draw(st.integers(0, 3)) == 3:
        step[draw(st.integers(0, size - 1))] = 0.0
    if draw(st.integers(0, 3)) == 3:
        lower[draw(st.integers(0, size - 1))] = float(high)
    return Domain(lower, upper, step)


def spread(classes: int, limit: float, closed: bool) -> OutputConstraints:
    """The first output lies outside -limit..limit."""
    coefficients = np.zeros((2, classes))
    coefficients[:, 0] = 1.0, -1.0
    return OutputConstraints(coefficients, np.array([-limit, -limit]), np.array([closed, closed]))


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """A network, its inputs and a statement, targeted, untargeted or about a range."""
    numbers = draw(NUMBERS)
    shape, classes = draw(st.sampled_from(SHAPES)), draw(st.integers(2, 3))
    body = draw(bodies(shape, classes, numbers))
    place = draw(places(shape))
    family = Family((place,), draw(domains(len(place.stamp.positions))))
    images = numbers.images(draw(st.integers(2, 6)), shape)
    kind = draw(st.sampled_from(["targeted", "targeted", "untargeted", "range"]))
    above = Fraction(draw(st.integers(-1, 1)), 8)
    if kind == "untargeted":
        return make_problem(body.graph(), images, numbers.labels(len(images), classes), family, Ask())
    if kind == "range":
        closed = draw(st.booleans())
        problem = range_problem(body.graph(), images, family, spread(classes, 0.0, closed), Ask())
        limit = float(threshold(problem) + above)
        return digested(replace(problem, constraints=spread(classes, max(limit, 0.0), closed)))
    labels = [0, *(label % classes for label in numbers.labels(len(images) - 1, classes))]
    problem = make_problem(body.graph(), images, labels, family, Ask(targets=(1,)))
    lowered = np.zeros(classes, np.float32)
    lowered[1] = -float(threshold(problem) + above)
    return digested(replace(problem, graph=body.graph(Shift(lowered))))


@st.composite
def crowds(draw: st.DrawFn) -> Problem:
    """Many questions that share bounds: several places, all targets or every input alone."""
    numbers, shape, classes = draw(NUMBERS), draw(st.sampled_from(SHAPES[2:])), 3
    size = draw(st.sampled_from([(1, 1), (1, 2)]))
    fitting = [(r, c) for r in range(shape[1]) for c in range(shape[2] - size[1] + 1)]
    spots = draw(st.lists(st.sampled_from(fitting), min_size=2, max_size=3, unique=True))
    stamps = tuple(patch(shape, size, spot) for spot in spots)
    pixels = len(stamps[0].stamp.positions)
    family = Family(stamps, Domain(np.zeros(pixels), np.full(pixels, float(LEVELS[pixels])), np.ones(pixels)))
    images = numbers.images(draw(st.integers(3, 6)), shape)
    labels = [0, 1, *numbers.labels(len(images) - 2, classes)]
    ask = Ask(targets=draw(st.sampled_from([(), (0, 1, 2), (2, 0)])), need=draw(st.integers(1, 3)))
    ask = replace(ask, per_input=draw(st.booleans()))
    return make_problem(draw(bodies(shape, classes, numbers)).graph(), images, labels, family, ask)


def threshold(problem: Problem) -> Fraction:
    """The middle one of the inputs' peaks: the most that the best alternative's least row reaches anywhere."""
    (question,) = problem.all_questions()
    oracle = Oracle(problem)
    values = oracle.answers(question, list(oracle.points(question))).values
    chosen = problem.selections[question.selection]
    peaks: list[int] = []
    for place, label in enumerate(problem.labels[chosen]):
        options = problem.violations[0].by_label[int(label)]
        rows = values.numerators[:, place]
        peaks.append(max(int(rows[:, list(option)].min(axis=1).max()) for option in options))
    return Fraction(sorted(peaks)[len(peaks) // 2], values.denominator)


def hardest(problem: Problem, shift: int) -> tuple[Question, Truth]:
    """The question whose need lies `shift` above the exact count (0 to refute, 1 to certify), and its truth."""
    (question,) = problem.all_questions()
    truth = Oracle(problem).truth(question)
    inputs = len(problem.selections[question.selection])
    need = min(max(truth.most + shift, 1), inputs + 1)
    return question._replace(threshold=need), replace(truth, need=need)
