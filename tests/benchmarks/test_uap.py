"""The benchmark of universal perturbations runs, and no method claims more than an attack leaves."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import bench_uap
from benchmarks.perturbed import batches
from benchmarks.shared_bounds import SharedBounds, most_by_program
from benchmarks.train import Digits


def few() -> Digits:
    """Bars at different places, ten classes, a hundred images."""
    images = np.zeros((100, 28, 28), dtype=np.uint8)
    labels = np.arange(100) % 10
    for number, label in enumerate(labels):
        images[number, 2 * label + 3 : 2 * label + 7, number % 7 : 20] = 255
    return Digits((images, labels), (images, labels), "bars")


def test_a_small_run_gives_all_records() -> None:
    records = {record.what: record.ours for record in bench_uap.run(True, few())}
    # All methods start from the bounds of single inputs, and none may claim more than an attack leaves.
    single, *others, attacked = list(records.values())[:6]
    assert len(others) == 4
    for claimed in others:
        assert single <= claimed <= attacked


def test_the_program_counts_what_planes_allow() -> None:
    """Two claims that want opposite signs of one value, and a third that is content with either."""
    slope = np.array([[1.0], [-1.0], [0.0]])
    bounds = SharedBounds(np.arange(3), np.arange(3), np.full(3, -0.5), slope, np.array([1.0, 1.0, 0.0]), np.ones(1))
    assert most_by_program(bounds, 10.0) == 1
    content = SharedBounds(np.arange(3), np.arange(3), np.array([-0.5, -0.5, 0.1]), slope, bounds.fall, bounds.half)
    assert most_by_program(content, 10.0) == 2
    one_input = SharedBounds(np.arange(1), np.zeros(3, dtype=np.int64), content.value, slope, bounds.fall, bounds.half)
    assert most_by_program(one_input, 10.0) == 1


def test_batches_hold_digits_that_are_right() -> None:
    data = few()
    trained = bench_uap.train_conv(data)
    problems = list(batches(trained.graph, data, 0.1, 2, 5))
    assert [len(problem.inputs) for problem in problems] == [5, 5]
    for problem in problems:
        assert np.array_equal(problem.graph.run(problem.inputs).argmax(1), problem.labels)
        assert problem.domain.upper.max() == pytest.approx(25.5)
        assert len(problem.domain.lower) == 784
