"""Ground truth on images: places, patterns, borders, and every kind of step that a digit model may have."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from tests.soundness.build import Ask, Family, dense, make_problem, mlp, patch, relu, replacing
from tests.soundness.cases import CERTIFIED, FALSIFIED, TIE, Case, around_count, around_peak, case, square
from verifluxa.graph.graph import Graph, build, chain
from verifluxa.graph.ops import (
    Activation,
    Add,
    Clip,
    Concat,
    Conv,
    Divide,
    Input,
    MaxPool,
    MeanPool,
    Op,
    Reshape,
    Scale,
    Shape,
    Shift,
)
from verifluxa.question import AffineInputMap, Placement, Problem
from verifluxa.verdict import Verdict

FIVE = square(2, 4)
Step = tuple[Op, tuple[int, ...]]


def cases() -> list[Case]:
    """All cases on images."""
    return [
        *_patterns(),
        *_detectors(),
        *_convolutions(),
        *_pools(),
        *_steps(),
        *_branches(),
        *_stamps(),
        *_windows(),
        *_unread(),
    ]


def pattern_detector(shape: Shape, pattern: ArrayLike, place: tuple[int, int], threshold: float) -> Graph:
    """Class 1 leads by `threshold - sum |x - pattern|` over the window at `place`."""
    wanted = np.array(pattern, dtype=float)
    flat = np.arange(int(np.prod(shape))).reshape(shape)[0]
    window = flat[place[0] : place[0] + wanted.shape[0], place[1] : place[1] + wanted.shape[1]].ravel()
    first = np.zeros((2 * wanted.size, flat.size))
    for k, pixel in enumerate(window):
        first[2 * k, pixel], first[2 * k + 1, pixel] = 1.0, -1.0
    bias = np.stack([-wanted.ravel(), wanted.ravel()], axis=1).ravel()
    second = np.zeros((2, 2 * wanted.size))
    second[1] = -1.0
    return mlp(shape, (first, bias), (second, [0.0, threshold]))


def _patterns() -> list[Case]:
    """An asymmetric 2 x 3 pattern at (1, 0) of a 3 x 4 image: rows and columns must not be swapped."""
    shape, pattern = (1, 3, 4), [[2.0, 0.0, 1.0], [0.0, 2.0, 0.0]]
    turned = np.array(pattern).T
    rows: list[tuple[str, ArrayLike, tuple[int, int], tuple[int, int], Verdict]] = [
        ("at its place", pattern, (1, 0), (1, 0), FALSIFIED),
        ("with row and column of the place swapped", pattern, (1, 0), (0, 1), CERTIFIED),
        ("turned over", turned, (0, 1), (1, 0), CERTIFIED),
        ("turned over at its own place", turned, (0, 1), (0, 1), CERTIFIED),
    ]
    found = []
    for name, wanted, where, place, verdict in rows:
        graph = pattern_detector(shape, wanted, where, 0.5)
        family = Family((patch(shape, (2, 3), place),), square(6, 2))
        problem = make_problem(graph, np.full((1, *shape), 1.0), [0], family, Ask(targets=(1,)))
        found.append(case(f"asymmetric pattern {name}", problem, verdict))
    graph = pattern_detector(shape, pattern, (1, 0), 0.5)
    places = tuple(patch(shape, (2, 3), place) for place in ((0, 1), (1, 0), (0, 0)))
    three = make_problem(
        graph, np.full((2, *shape), 1.0), [0, 0], Family(places, square(6, 2)), Ask(targets=(1,), need=2)
    )
    verdicts = (CERTIFIED, FALSIFIED, CERTIFIED)
    return found + [
        case(f"asymmetric pattern, placement {n} of three", three, v, number=n) for n, v in enumerate(verdicts)
    ]


def _two_pixels(first: ArrayLike, bias: ArrayLike, weights: Sequence[float], lead: float) -> Problem:
    graph = mlp((1, 1, 2), (first, bias), ([[0.0] * len(weights), list(weights)], [0.0, lead]))
    return make_problem(graph, [[0.0, 0.0]], [0], Family((replacing([0, 1]),), FIVE), Ask(targets=(1,)))


def _detectors() -> list[Case]:
    """Two pixels that must differ (exclusive or), or must agree on one value."""
    apart: ArrayLike = [[1.0, -1.0], [-1.0, 1.0]]
    found = [
        case(
            f"two pixels that differ by more than {limit}", _two_pixels(apart, [0.0, 0.0], [1.0, 1.0], -limit), verdict
        )
        for limit, verdict in ((3.5, FALSIFIED), (4.0, TIE), (4.5, CERTIFIED))
    ]
    found += [
        case(f"two pixels that agree within {limit}", _two_pixels(apart, [0.0, 0.0], [-1.0, -1.0], limit), verdict)
        for limit, verdict in ((0.5, FALSIFIED), (0.0, TIE), (-0.5, CERTIFIED))
    ]
    # relu(a + b - 3) - 2 relu(a + b - 4) + relu(a + b - 5) is 1 exactly where the sum is 4.
    ridge: ArrayLike = [[1.0, 1.0]] * 3
    found += [
        case(
            f"two pixels that sum to 4, over {limit}",
            _two_pixels(ridge, [-3.0, -4.0, -5.0], [1.0, -2.0, 1.0], -limit),
            verdict,
        )
        for limit, verdict in ((0.5, FALSIFIED), (1.0, TIE), (1.5, CERTIFIED))
    ]
    return found


def shifted(shape: Shape, ops: Sequence[Op], threshold: float) -> Graph:
    """A chain whose class 1 is lowered by a threshold at the end."""
    return chain(shape, [*ops, Shift(np.array([0.0, -threshold], np.float32))])


def _peaked(
    name: str, shape: Shape, ops: Sequence[Op], place: Placement, high: float = 2.0, fill: float = 1.0
) -> list[Case]:
    size = place.stamp.gain.shape[1]

    def make(threshold: float) -> Problem:
        family = Family((place,), square(size, high))
        image = np.arange(np.prod(shape)) % 3 * fill
        return make_problem(shifted(shape, ops, threshold), [image], [0], family, Ask(targets=(1,)))

    return around_peak(name, make)


def _integers(seed: int, *shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.random.default_rng(seed).integers(-2, 3, shape).astype(np.float32)


def conv(
    seed: int, shape: tuple[int, int, int, int], *, stride: int = 1, pad: int = 0, dilation: int = 1, groups: int = 1
) -> Conv:
    """A square convolution with small integer weights and bias, symmetric stride, padding and dilation."""
    sizes = (pad, pad)
    bias = _integers(seed + 1, shape[0])
    return Conv(_integers(seed, *shape), bias, (stride,) * 2, sizes, sizes, (dilation,) * 2, groups)


def _head(seed: int, features: int) -> list[Op]:
    return [Reshape((-1,)), dense(_integers(seed, 2, features), _integers(seed + 1, 2))]


def _convolutions() -> list[Case]:
    shape = (1, 4, 4)
    padded = [conv(1, (2, 1, 3, 3), pad=1), relu(), *_head(3, 32)]
    found: list[Case] = []
    for place in ((0, 0), (0, 2), (2, 0), (2, 2), (1, 1)):
        found += _peaked(f"padded convolution, patch at {place}", shape, padded, patch(shape, (2, 2), place))
    strided = [conv(5, (3, 1, 2, 2), stride=2), relu(), *_head(7, 12)]
    found += _peaked("convolution with stride 2", shape, strided, patch(shape, (2, 2), (1, 1)))
    dilated = [conv(9, (2, 1, 2, 2), dilation=2), relu(), *_head(11, 8)]
    found += _peaked("convolution with dilation 2", shape, dilated, patch(shape, (1, 3), (2, 1)))
    grouped = [conv(13, (4, 1, 2, 2), groups=2), relu(), *_head(15, 16)]
    found += _peaked("convolution in two groups, two channels", (2, 3, 3), grouped, patch((2, 3, 3), (1, 2), (1, 1)))
    uneven = Conv(_integers(17, 2, 1, 2, 3), None, (1, 2), (0, 1), (1, 0), (1, 1))
    found += _peaked(
        "convolution with uneven padding", shape, [uneven, relu(), *_head(19, 16)], patch(shape, (1, 3), (3, 0))
    )
    deep = [conv(21, (2, 1, 3, 3), pad=1), relu(), conv(23, (2, 2, 2, 2), stride=2), relu(), *_head(25, 8)]
    return found + _peaked("two convolutions", shape, deep, patch(shape, (2, 2), (0, 1)))


def _pools() -> list[Case]:
    shape, sizes = (1, 4, 4), (2, 2)
    largest = MaxPool(sizes, sizes, (0, 0), (0, 0))
    overlapping = MaxPool(sizes, (1, 1), (1, 0), (0, 1))
    mean = MeanPool(sizes, sizes, (0, 0), (0, 0))
    edged = MeanPool(sizes, sizes, (1, 1), (1, 1))
    where = patch(shape, (2, 2), (1, 1))
    found = _peaked("max pool of the image", shape, [largest, *_head(31, 4)], where)
    found += _peaked(
        "max pool after a convolution", shape, [conv(33, (2, 1, 3, 3), pad=1), largest, relu(), *_head(35, 8)], where
    )
    found += _peaked(
        "overlapping max pool with padding", shape, [conv(37, (1, 1, 1, 1)), overlapping, *_head(39, 16)], where
    )
    found += _peaked("mean pool", shape, [conv(41, (2, 1, 3, 3), pad=1), relu(), mean, *_head(43, 8)], where)
    return found + _peaked(
        "mean pool with padding", shape, [edged, conv(45, (2, 1, 2, 2)), relu(), *_head(47, 8)], where
    )


def _steps() -> list[Case]:
    """Encode, clip, leaky ReLU and the other single steps."""
    shape, where = (1, 2, 2), patch((1, 2, 2), (1, 2), (1, 0))
    body = [Reshape((-1,)), dense(_integers(51, 4, 4), _integers(52, 4)), relu(), dense(_integers(53, 2, 4))]
    encode: list[Op] = [
        Divide(np.array(4.0, np.float32)),
        Shift(np.array(-0.5, np.float32)),
        Scale(np.array(2.0, np.float32)),
    ]
    found = _peaked("encode before the layers", shape, [*encode, *body], where, high=4.0)
    by_pixel: list[Op] = [
        Divide(np.array([[[1.0, 2.0], [4.0, 8.0]]], np.float32)),
        Shift(np.array([[[0.0, 1.0], [-1.0, 0.5]]], np.float32)),
    ]
    found += _peaked("encode pixel by pixel", shape, [*by_pixel, *body], where, high=4.0)
    found += _peaked("clip of the input", shape, [Clip(0.5, 2.5), *body], where, high=4.0)
    hidden = [*body[:2], Clip(-1.0, 2.0), body[3]]
    found += _peaked("clip of a hidden layer", shape, hidden, where, high=4.0)
    leaky = [*body[:2], Activation("leakyrelu", 0.25), body[3]]
    found += _peaked("leaky ReLU", shape, leaky, where, high=4.0)
    negative: list[Op] = [*body[:2], Scale(np.array([-1.0, 1.0, -2.0, 0.0], np.float32)), relu(), body[3]]
    return found + _peaked("negative and zero factors", shape, negative, where, high=4.0)


def _branches() -> list[Case]:
    """A residual sum and a concatenation of branches that share an earlier step; a step that nobody reads."""
    first, last = dense(_integers(61, 3, 3), _integers(62, 3)), dense(_integers(63, 3, 3))
    shared: list[Step] = [(Input((3,)), ()), (first, (0,)), (relu(), (1,)), (last, (2,))]
    added: list[Step] = [*shared, (Add(), (3, 2)), (relu(), (4,)), (dense(_integers(64, 2, 3)), (5,))]
    joined: list[Step] = [*shared, (Concat(0), (3, 2)), (relu(), (4,)), (dense(_integers(64, 2, 6)), (5,))]
    skipped: list[Step] = [*shared[:3], (dense(_integers(65, 2, 3)), (1,))]
    rows = [("that meet in a sum", added), ("that meet in a concatenation", joined), ("of which one ends", skipped)]
    return [c for name, steps in rows for c in _branched(f"branches {name}", steps)]


def _branched(name: str, steps: list[Step]) -> list[Case]:
    def make(threshold: float) -> Problem:
        lowered: Step = (Shift(np.array([0.0, -threshold], np.float32)), (len(steps) - 1,))
        family = Family((replacing([0, 1]),), FIVE)
        return make_problem(build([*steps, lowered]), [[0.0, 0.0, 1.0]], [0], family, Ask(targets=(1,)))

    return around_peak(name, make)


def _stamps() -> list[Case]:
    """Stamps that do not simply replace: half blended, one parameter for two pixels, an offset."""
    body = [dense(_integers(71, 4, 3), _integers(72, 4)), relu(), dense(_integers(73, 2, 4))]
    places = np.array([0, 2], np.int64)
    stamps: dict[str, Callable[[], AffineInputMap]] = {
        "half blended": lambda: AffineInputMap(places, np.full(2, 0.5), 0.5 * np.eye(2), np.zeros(2)),
        "one parameter for two pixels": lambda: AffineInputMap(
            places, np.ones(2), np.array([[1.0], [-1.0]]), np.zeros(2)
        ),
        "added with an offset": lambda: AffineInputMap(
            places, np.ones(2), np.array([[1.0, 0.0], [1.0, 2.0]]), np.array([-1.0, 0.5])
        ),
    }
    found: list[Case] = []
    for name, stamp in stamps.items():
        placement = Placement((("row", 0), ("column", 0)), stamp())
        found += _peaked(f"stamp {name}", (3,), body, placement, high=4.0)
    return found


def _windows() -> list[Case]:
    """Five images under one patch of a small convolutional network, at their exact counts."""
    shape = (1, 3, 3)
    ops = [conv(81, (2, 1, 2, 2)), relu(), Reshape((-1,)), dense(_integers(83, 3, 8), _integers(84, 3))]
    images = np.random.default_rng(85).integers(0, 4, (5, *shape)).astype(float)
    family = Family((patch(shape, (2, 2), (0, 1)), patch(shape, (2, 2), (1, 0))), square(4, 3))
    problem = make_problem(chain(shape, ops), images, [0, 1, 2, 0, 1], family, Ask())
    found = [c for number in range(2) for c in around_count(f"images at placement {number}", problem, number)]
    constant = make_problem(chain(shape, ops), np.full((4, *shape), 2.0), [2] * 4, family, Ask(targets=(0,)))
    return found + around_count("constant images", constant)


def _unread() -> list[Case]:
    """A patch on pixels that no window reads, in the first step or in the second."""
    shape, corner = (1, 3, 3), patch((1, 3, 3), (1, 1), (2, 2))
    pools: list[Op] = [pool((2, 2), (2, 2), (0, 0), (0, 0)) for pool in (MaxPool, MeanPool)]
    found: list[Case] = []
    for pool in pools:
        found += _peaked(f"patch that the {pool.kind} leaves out", shape, [pool, relu(), *_head(91, 1)], corner)
        inner = [conv(93, (1, 1, 1, 1)), pool, relu(), *_head(95, 1)]
        found += _peaked(f"patch that the {pool.kind} after a convolution leaves out", shape, inner, corner)
    strided = [conv(97, (2, 1, 1, 1), stride=3), relu(), *_head(99, 2)]
    return found + _peaked("patch that a strided convolution leaves out", shape, strided, corner)
