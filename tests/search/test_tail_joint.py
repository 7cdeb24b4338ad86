"""Words in front of products, attention and normalisations: each evaluation is the network's, within its radius."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.soundness.floats import evaluate as sampled
from verifluxa.bounds.constants import propagate
from verifluxa.graph.graph import Graph, build
from verifluxa.graph.ops import (
    Activation,
    Affine,
    Embedding,
    Input,
    MatMul,
    Multiply,
    Normalise,
    Op,
    Reshape,
    Softmax,
    Transpose,
)
from verifluxa.search.tail import evaluate, split_network

WORDS, PLACES, FEATURES = 7, 4, 3


def some(random: np.random.Generator, *shape: int) -> Any:
    return random.normal(size=shape).astype(np.float32)


def attention(random: np.random.Generator) -> Graph:
    """Scores of all pairs of words, softmax, a mean by them, a normalisation, a gate, three outputs."""
    steps: list[tuple[Op, tuple[int, ...]]] = [
        (Input((PLACES,)), ()),
        (Embedding(some(random, WORDS, FEATURES)), (0,)),
        (Affine(some(random, FEATURES, FEATURES), None), (1,)),
        (Transpose((1, 0)), (2,)),
        (MatMul(), (1, 3)),
        (Softmax(1), (4,)),
        (MatMul(), (5, 1)),
        (Normalise(1, 1e-5), (6,)),
        (Activation("sigmoid"), (6,)),
        (Multiply(), (7, 8)),
        (Reshape((-1,)), (9,)),
        (Affine(some(random, 3, PLACES * FEATURES), some(random, 3)), (10,)),
    ]
    return build(steps)


@pytest.mark.parametrize("places", [[1], [3, 0]])
def test_every_word_is_evaluated_as_by_the_network(places: list[int]) -> None:
    random = np.random.default_rng(2)
    graph = attention(random)
    cut = split_network(graph, -1)
    assert cut is not None
    inputs = random.integers(0, WORDS, (5, PLACES)).astype(float)
    blank = inputs.copy()
    blank[:, places] = -1
    constants = propagate(cut.tail, cut.rows(blank), "float32", cut.readout)
    triggers = np.stack(np.meshgrid(*[np.arange(WORDS)] * len(places)), -1).reshape(-1, len(places)).astype(float)
    columns, words = cut.put(np.array(places), triggers)
    found = evaluate(cut, constants, columns, words, slice(1, 4))
    assert found.values.shape == (3, len(triggers), 3)
    for number, trigger in enumerate(triggers):
        whole = inputs[1:4].copy()
        whole[:, places] = trigger
        for computed in (graph.run(whole), sampled(graph, whole, random)):
            assert (np.abs(computed - found.values[:, number]) <= found.radius).all()
    assert found.radius.max() < 0.2, "some words leave hardly any variance to divide by"
