"""A network whose local layers would fill the memory is given up for memory, not tried."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bounds.test_joint_operations import bounded, replacing
from verifluxa.bounds import walk
from verifluxa.bounds.walk import ARRAYS, check_fits
from verifluxa.graph.graph import chain
from verifluxa.graph.ops import Activation, Conv, Normalise, Op, Scale

NEURONS, STATES = 500, 400
NEEDED = 8 * ARRAYS * NEURONS * STATES


def test_a_quarter_of_all_memory_is_never_too_much() -> None:
    check_fits(NEURONS, STATES)
    check_fits(NEURONS, STATES, free=NEEDED, everything=NEEDED)
    check_fits(NEURONS, STATES, free=0, everything=4 * NEEDED)
    with pytest.raises(MemoryError, match="500 neurons that read 400 does not fit into memory"):
        check_fits(NEURONS, STATES, free=NEEDED - 1, everything=4 * NEEDED - 1)


def test_a_layer_that_does_not_fit_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = np.ones((4, 1, 3, 3), np.float32)
    ops: list[Op] = [Conv(kernel, None, (1, 1), (1, 1), (1, 1), (1, 1)), Normalise(2, 1e-5)]
    ops += [Scale(np.full((4, 1, 1), 1.5, np.float32)), Activation("relu")]
    graph, inputs = chain((1, 12, 12), ops), np.random.default_rng(0).normal(size=(1, 1, 12, 12))
    ends = (np.zeros(1), np.ones(1))
    _, outputs = bounded(graph, inputs, replacing([14]), ends, "float32", "interval")
    assert outputs.upper.isfinite().all()
    monkeypatch.setattr(walk, "ARRAYS", 2**40)
    with pytest.raises(MemoryError, match="does not fit into memory"):
        bounded(graph, inputs, replacing([14]), ends, "float32", "interval")
