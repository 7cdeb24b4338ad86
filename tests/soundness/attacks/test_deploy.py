"""The named evaluations: exact where nothing is rounded, different as the papers say, and near the deployed run."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from tests.soundness.attacks.deploy import EVERY, ORDERS, Deployment, run
from tests.soundness.attacks.host import NAMES, host
from tests.soundness.build import dense, relu
from tests.soundness.exact import ExactNetwork, exact
from verifluxa.graph.graph import Graph, chain
from verifluxa.graph.ops import Conv, Reshape


def one_sum(weights: list[float], bias: float) -> Graph:
    """A single neuron over ones."""
    return chain((len(weights),), [dense([weights], [bias])])


def value(graph: Graph, how: Deployment) -> float:
    """What the neuron gives."""
    return float(run(graph, np.ones((1, *graph.input_shape)), how)[0, 0])


@pytest.mark.parametrize("how", EVERY)
def test_small_integers_are_exact_in_every_order(how: Deployment) -> None:
    random = np.random.default_rng(2)
    kernel = random.integers(-3, 4, (3, 2, 3, 3)).astype(np.float32)
    bias = random.integers(-3, 4, 3).astype(np.float32)
    convolution = Conv(kernel, bias, (2, 1), (1, 0), (0, 1), (1, 1))
    ops = [convolution, relu(), Reshape((-1,)), dense(random.integers(-3, 4, (2, 24)), [1.0, 2.0])]
    graph = chain((2, 5, 5), ops)
    inputs = random.integers(-4, 5, (3, 2, 5, 5)).astype(np.float64)
    wanted = ExactNetwork(graph).run(exact(inputs)).fractions()
    assert [[Fraction(float(v)) for v in row] for row in run(graph, inputs, how)] == wanted.tolist()


def test_precision_is_lost_in_the_default_order_of_binary32() -> None:
    assert value(one_sum([2.0**24, 1.0], -(2.0**24)), Deployment("forward")) == 0
    assert value(one_sum([2.0**24, 1.0], -(2.0**24)), Deployment("bias first")) == 1


def test_orders_of_the_paper() -> None:
    """Szasz et al. 2025, section 7: the values that they give for their detectors."""
    part = [2.0**22] * 4 + [1.0] + [-(2.0**22)] * 4
    assert value(one_sum(part * 15, 0.0), Deployment("forward")) == 0
    assert value(one_sum(part * 15, 0.0), Deployment("by size")) == 15
    for terms, plain in (([2.0 / 512] * 512, 2.0), ([1.0] * 512, 512.0)):
        neuron = one_sum([*terms, 2.0**24], -(2.0**24))
        assert value(neuron, Deployment("forward")) == plain
        assert value(neuron, Deployment("by size")) == 0


def test_fused_and_flushed() -> None:
    close = one_sum([1 + 2.0**-12], -1 - 2.0**-11)
    inputs = np.full((1, 1), 1 + 2.0**-12)
    assert run(close, inputs, Deployment("bias first", fused=False))[0, 0] == 0
    fused = chain((2,), [dense([[1.0, 1 + 2.0**-12]])])
    both = np.array([[-1 - 2.0**-11, 1 + 2.0**-12]])
    assert run(fused, both, Deployment(fused=True))[0, 0] == 2.0**-24
    assert run(fused, both, Deployment())[0, 0] == 0
    small = one_sum([2.0**-130], 0.0)
    assert value(small, Deployment()) == 2.0**-130
    assert value(small, Deployment(flush=True)) == 0
    assert run(small, np.full((1, 1), 2.0**20), Deployment(flush=True))[0, 0] == 0


@pytest.mark.parametrize("name", NAMES)
def test_every_order_is_near_the_deployed_run(name: str) -> None:
    trained = host(name)
    graph = trained.graph()
    plain = graph.run(trained.images)
    assert (plain.argmax(axis=1) == trained.labels).all()
    outputs = {how: run(graph, trained.images, how) for how in EVERY}
    for output in outputs.values():
        np.testing.assert_allclose(output, plain, rtol=0, atol=1e-4)
    assert len({outputs[Deployment(order)].tobytes() for order in ORDERS}) > 4


def test_hosts_are_picked_with_different_labels() -> None:
    for name in NAMES:
        trained = host(name)
        labels = trained.labels[trained.pick(4)]
        assert len(set(labels.tolist())) == 4
        assert trained.images[:, 0, 0, 0].max() == 0
