"""Cases of neurons: proofs that rest on them are recomputed, and spoiled ones refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from tests.certificate.scenes import Scene, Shape, scene
from tests.certificate.spoils import nodes
from tests.certificate.steps import edit
from verifluxa.certificate.evidence_lines import Record, record_of
from verifluxa.errors import CertificateError
from verifluxa.evidence import Counted, NeuronSplit, Node, PrunedDisjunct, Split
from verifluxa.graph.ops import Activation, Affine, Reshape
from verifluxa.strategy.decide import decide
from verifluxa.strategy.load import BranchStage, Strategy, load_strategy
from verifluxa.verdict import Verdict


def splitting() -> Strategy:
    """Branches on neurons from the first one that bends."""
    found = load_strategy("thorough").without("attack")
    kept = (stage for stage in found.stages if stage.kind in ("bound", "branch"))
    stages = (replace(s, boxes=400, neurons=1) if isinstance(s, BranchStage) else s for s in kept)
    return replace(found, stages=tuple(stages))


SIZES = {"cnn": 8, "pool": 8, "branches": 5}
"""How many inputs."""


@cache
def proved(kind: str) -> tuple[Scene, tuple[Record, ...]]:
    """Questions about single inputs, and answers that rest on cases of neurons."""
    found = scene(2, Shape(kind, per_input=True, inputs=SIZES[kind], scale=0.9))
    problem = found.problem
    asked = [question for place in range(len(problem.placements)) for question in problem.questions(place)]
    return found, tuple(record_of(outcome) for outcome in decide(problem, asked, splitting()))


def splits_of(records: tuple[Record, ...]) -> list[tuple[int, Node]]:
    """The number of each certified record that splits neurons, and its tree, copied."""
    trees = (
        (at, record.tree) for at, record in enumerate(records) if record.tree and record.verdict is Verdict.CERTIFIED
    )
    return [
        (at, copy.deepcopy(tree)) for at, tree in trees if any(isinstance(n.split, NeuronSplit) for n in nodes(tree))
    ]


@pytest.mark.parametrize("kind", SIZES)
def test_cases_of_neurons_are_recomputed(kind: str) -> None:
    found, records = proved(kind)
    assert splits_of(records)
    tally = found.check(list(records))
    assert tally.unrechecked == 0
    assert tally.leaves == sum(record.leaves for record in records if record.verdict is Verdict.CERTIFIED)


def changed(node: Node, change: Callable[[PrunedDisjunct], PrunedDisjunct]) -> int:
    """Changes the records of a tree that push; how many there were."""
    count = sum(bool(record.betas) for record in node.dropped)
    node.dropped = [change(record) if record.betas else record for record in node.dropped]
    return count + sum(changed(child, change) for child in node.children)


def turned(record: PrunedDisjunct) -> PrunedDisjunct:
    return record._replace(betas=tuple((layer, neuron, -size) for layer, neuron, size in record.betas))


def elsewhere(record: PrunedDisjunct) -> PrunedDisjunct:
    return record._replace(betas=tuple((layer, neuron + 1, size) for layer, neuron, size in record.betas))


def nowhere(record: PrunedDisjunct) -> PrunedDisjunct:
    return record._replace(betas=tuple((layer + 99, neuron, size) for layer, neuron, size in record.betas))


@pytest.mark.parametrize("change", [turned, elsewhere, nowhere])
def test_pushes_need_a_known_sign(change: Callable[[PrunedDisjunct], PrunedDisjunct]) -> None:
    found, records = proved("cnn")
    at, tree = next((at, tree) for at, tree in splits_of(records) if changed(tree, lambda record: record))
    changed(tree, change)
    with pytest.raises(CertificateError) as caught:
        found.check([*records[:at], replace(records[at], tree=tree), *records[at + 1 :]])
    assert caught.value.code == "VF5054"


def swapped(node: Node) -> None:
    node.children.reverse()


def one_case_twice(node: Node) -> None:
    edit(node, children=[node.children[0], copy.deepcopy(node.children[0])])


def of_another_input(node: Node) -> None:
    assert isinstance(node.split, NeuronSplit)
    edit(node, partition=replace(node.split, input=node.split.input + 1))


def of_no_neuron(node: Node) -> None:
    assert isinstance(node.split, NeuronSplit)
    edit(node, partition=replace(node.split, neuron=10**6))


@pytest.mark.parametrize("spoil", [swapped, one_case_twice, of_another_input, of_no_neuron])
def test_other_cases_are_refused(spoil: Callable[[Node], None]) -> None:
    found, records = proved("cnn")
    at, tree = splits_of(records)[0]
    spoil(next(node for node in nodes(tree) if isinstance(node.split, NeuronSplit)))
    with pytest.raises(CertificateError) as caught:
        found.check([*records[:at], replace(records[at], tree=tree), *records[at + 1 :]])
    assert caught.value.code in {"VF5054", "VF5055"}


def one_value() -> Scene:
    """The second output rises where the trigger's only value is above 230; the first is that of another pixel."""
    weight, swapped = np.zeros((2, 64), np.float32), np.eye(2, dtype=np.float32)[::-1]
    weight[0, 0], weight[1, 63] = 1.0, 1 / 255
    first, last = Affine(weight, np.array([-230.0, 0.0], np.float32)), Affine(swapped, np.zeros(2, np.float32))
    layers = [Reshape((-1,)), first, Activation("relu"), last]
    shape = Shape(classes=2, patch=1, places=((0, 0),), inputs=9, per_input=True)
    return scene(1, shape, layers_of=lambda *_: layers, encode=())


@pytest.mark.parametrize("size", [1.0, 1e3, 1e300, 8e305, 1e306, 1.7e308])
def test_pushes_that_overflow_prove_nothing(size: float) -> None:
    """The value is >= 0 in the second case, so no multiple of it excludes anything, however its terms are summed."""
    found = one_value()
    outcomes = list(decide(found.problem, list(found.problem.all_questions()), load_strategy("balanced")))
    refuted = [
        item
        for item in outcomes
        if item.verdict is Verdict.FALSIFIED and not found.problem.labels[item.question.selection]
    ]
    assert refuted
    for outcome in refuted:
        ((index,), (row,)) = found.problem.selections[outcome.question.selection], (1,)
        cases = [
            Node([PrunedDisjunct(int(index), (row,), (), (), betas)], Counted()) for betas in ((), ((0, 0, size),))
        ]
        forged = Node(step=Split(NeuronSplit(int(index), 0, 0), cases))
        record = replace(record_of(outcome), verdict=Verdict.CERTIFIED, proved=0, tree=forged, witness=None)
        with pytest.raises(CertificateError) as caught:
            found.check([record])
        assert caught.value.code == "VF5054"
