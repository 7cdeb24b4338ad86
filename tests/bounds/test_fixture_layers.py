"""Every layer file of Flux that lifts: the bounds of a small trigger box hold at what the network computes there."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from tests.bounds.test_joint_operations import bounded, points, replacing, stamped
from tests.conformance.cases import NEWEST, ROOT, expected, index
from verifluxa.errors import ModelError
from verifluxa.flux.load import lift
from verifluxa.graph.graph import Graph
from verifluxa.graph.ops import Embedding, Input

NAMES = list(index("layers"))
NOT_PROVABLE = {
    "parallel_two_inputs": "a trigger is in one input, this network reads two",
    "bilinear": "a trigger is in one input, this network reads two",
}
"""Layers that lift and have no bounds here, and why."""
LOOSE = 4.0
"""A box of hundredths may not give bounds wider than this times the largest output."""


@cache
def lifted(name: str) -> Graph | None:
    """The whole model of a fixture, or None where it is refused."""
    folder = ROOT / "layers" / name
    try:
        shapes = tuple(array.shape[1:] for array in expected(folder)[0])
        return lift(folder / "model.bson", None, NEWEST, shapes).graph
    except (ModelError, KeyError):
        return None


PROVABLE = [name for name in NAMES if name not in NOT_PROVABLE and lifted(name) is not None]
JOINT = [*("lstm", "gru", "gruv3", "attention", "layernorm_2d", "groupnorm", "instancenorm_default")]
"""Layers whose operations are no functions of one value: on a wide box too."""


@pytest.mark.parametrize(("name", "size"), [*((name, 0.02) for name in PROVABLE), *((name, 0.8) for name in JOINT)])
def test_bounds_of_a_layer_hold_where_it_is_computed(name: str, size: float) -> None:
    graph = lifted(name)
    assert graph is not None
    inputs = expected(ROOT / "layers" / name)[0][0][:3].astype(np.float64)
    words = isinstance(graph.nodes[1].op, Embedding)
    random = np.random.default_rng(len(name))
    flat = inputs.reshape(len(inputs), -1)
    positions = sorted(random.choice(flat.shape[1], min(2, flat.shape[1]), replace=False).tolist())
    middle = flat[0, positions]
    # Ends that float32 holds: a point that is rounded stays inside.
    ends = ((middle - size).astype(np.float32).astype(float), (middle + size).astype(np.float32).astype(float))
    if words:
        ends = (np.zeros(len(positions)), np.full(len(positions), 2.0))
    _, outputs = bounded(graph, inputs, replacing(positions), ends, graph.dtype)
    lower, upper = outputs.lower.numpy(), outputs.upper.numpy()
    assert np.isfinite(lower).all()
    assert np.isfinite(upper).all()
    largest = 0.0
    for point in points(random, ends, 25).round() if words else points(random, ends, 25):
        computed = graph.run(stamped(inputs, positions, point)).reshape(len(inputs), -1).astype(np.float64)
        largest = max(largest, float(np.abs(computed).max()))
        assert (lower <= computed).all()
        assert (computed <= upper).all()
    assert words or size > 0.1 or (upper - lower).max() < LOOSE * (0.1 + largest)


def test_what_has_no_bounds_is_listed() -> None:
    assert set(NOT_PROVABLE) <= set(NAMES)
    refused = {name for name in NAMES if lifted(name) is None}
    promised = {name for name, entry in index("layers").items() if entry["verdict"] == "lift"}
    assert refused & promised == {"dense_f16"}, "half precision is no arithmetic of the prover"
    for name in PROVABLE:
        graph = lifted(name)
        assert graph is not None
        assert sum(isinstance(node.op, Input) for node in graph.nodes) == 1
