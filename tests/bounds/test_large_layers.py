"""A network whose local layers would fill the memory is given up for memory, not tried."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bounds.test_joint_operations import bounded, replacing
from verifluxa.bounds import walk
from verifluxa.graph.graph import chain
from verifluxa.graph.ops import Activation, Conv, Normalise, Op, Scale


def test_a_layer_that_does_not_fit_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = np.ones((4, 1, 3, 3), np.float32)
    ops: list[Op] = [Conv(kernel, None, (1, 1), (1, 1), (1, 1), (1, 1)), Normalise(2, 1e-5)]
    ops += [Scale(np.full((4, 1, 1), 1.5, np.float32)), Activation("relu")]
    graph, inputs = chain((1, 12, 12), ops), np.random.default_rng(0).normal(size=(1, 1, 12, 12))
    ends = (np.zeros(1), np.ones(1))
    _, outputs = bounded(graph, inputs, replacing([14]), ends, "float32", "interval")
    assert outputs.upper.isfinite().all()
    monkeypatch.setattr(walk, "free_bytes", lambda: 12 * 8 * 500 * 500)
    bounded(graph, inputs, replacing([14]), ends, "float32", "interval")
    monkeypatch.setattr(walk, "all_bytes", lambda: 4 * 12 * 8 * 500 * 500)
    with pytest.raises(MemoryError, match="does not fit into memory"):
        bounded(graph, inputs, replacing([14]), ends, "float32", "interval")
