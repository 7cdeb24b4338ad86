"""Cases that start from clipped ends: these hold wherever the claim and the signs of a case do; nothing else closes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.certificate.scenes import Scene, Shape, scene
from tests.certificate.steps import conflicts_of, edited
from tests.certificate.test_check_conflicts import closed, code_of, proved
from verifluxa.certificate.check import clipped_cases
from verifluxa.certificate.check.bound_checker import BoundChecker, Subdomain
from verifluxa.certificate.check.bounds import State
from verifluxa.certificate.evidence_lines import Record
from verifluxa.evidence import BoxSplit, Case, Conflict, Conflicts, NeuronSplit, Node, Split, WeightedTerm
from verifluxa.search.workspace import workspace_of
from verifluxa.verdict import Verdict

PLAIN = Shape(per_input=True, inputs=8, scale=0.9, places=((3, 3),))
SHAPES = [PLAIN, replace(PLAIN, kind="cnn", inputs=6), replace(PLAIN, kind="pool", inputs=6)]
Values = list[NDArray[np.float64]]
Signs = tuple[tuple[int, int, bool], ...]
Met = tuple[int, int, tuple[int, ...], Values]
"""A claim that a witness meets: its input, its number, its rows in the evidence, and what the layers sum there."""


def asked(shape: Shape, arithmetic: str) -> Iterator[tuple[Scene, Record, Met]]:
    """What triggers refute."""
    for seed in range(8):
        found = scene(seed, shape, arithmetic)
        problem, work = found.problem, workspace_of(found.problem)
        for record in [record for record in found.prove() if record.witness is not None][:3]:
            (index,) = (int(one) for one in problem.selections[record.question.selection])
            every = problem.violations[record.question.violation].by_label[int(problem.labels[index])]
            assert record.witness is not None
            point, at = torch.as_tensor(record.witness.trigger)[None], torch.tensor([index])
            sums: Values = []
            for layer in work.net(record.question.placement).layers:
                sums.append((point @ layer.weight.T + layer.offset_of(at)).numpy()[0])
                point = layer.apply(torch.as_tensor(sums[-1])[None])
            worst = [min(float(problem.constraints.coefficients[row] @ sums[-1]) for row in rows) for rows in every]
            number = int(np.argmax(worst))
            if worst[number] > 0:
                yield found, record, (index, number, tuple(every[number]), sums)


def forged(record: Record, claim: tuple[int, int], case: Case) -> Record:
    tree = Node(step=Conflicts((Conflict((claim,), case),)))
    return replace(record, verdict=Verdict.CERTIFIED, reason=None, witness=None, tree=tree)


def grown(
    random: np.random.Generator, met: Met, sizes: Sequence[int], signs: tuple[tuple[int, int, bool], ...]
) -> Case:
    """Splits of any neurons, three below each other, whose planes are of any slopes and of multipliers that may be."""
    index, number, rows, _ = met
    planes = []
    for row in random.choice(rows, 2):
        betas = [(layer, neuron, (1.0 if up else -1.0) * float(random.exponential())) for layer, neuron, up in signs]
        some = tuple(push for push in betas if random.random() < 0.5)
        slopes = tuple(random.bytes(size).hex() for size in sizes) if random.random() < 0.5 else ()
        planes.append(WeightedTerm(index, number, int(row), float(random.random()) + 0.1, slopes, some))
    if len(signs) == 3:
        return Case(tuple(planes))
    layer = int(random.integers(len(sizes)))
    neuron = int(random.integers(sizes[layer]))
    children = tuple(grown(random, met, sizes, (*signs, (layer, neuron, up))) for up in (False, True))
    return Case(tuple(planes), NeuronSplit(index, layer, neuron), children)


PLACED = [(PLAIN, "float32"), (PLAIN, "real"), (SHAPES[1], "float32"), (SHAPES[2], "real")]
MORE = [(SHAPES[1], "real"), (SHAPES[2], "float32")]


@pytest.mark.parametrize(
    ("shape", "arithmetic"),
    [*PLACED, *(pytest.param(*one, marks=pytest.mark.soak) for one in MORE)],
    ids=lambda subdomain: subdomain.kind if isinstance(subdomain, Shape) else subdomain,
)
def test_what_cases_start_from_holds_where_the_claim_and_their_signs_do(
    shape: Shape, arithmetic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    below, levels = clipped_cases._below, []

    def watch(checker: BoundChecker, nodes: Any, state: State, subdomain: Subdomain) -> Iterator[Any]:
        for level in below(checker, nodes, state, subdomain):
            levels.append((level[0], level[1].take(np.arange(len(level[0]))), level[1]))
            yield level

    monkeypatch.setattr(clipped_cases, "_below", watch)
    random, inside, narrower = np.random.default_rng(0), 0, 0
    for found, record, met in asked(shape, arithmetic):
        index, number, _, sums = met
        sizes = [len(layer.weight) for layer in workspace_of(found.problem).net(record.question.placement).hidden]
        for _ in range(4):
            levels.clear()
            assert code_of(found, forged(record, (index, number), grown(random, met, sizes, ()))) == "VF5054"
            for place, signs, given, clipped in (
                (k, signs, given, clipped) for nodes, given, clipped in levels for k, (_, signs) in enumerate(nodes)
            ):
                if all((sums[sign.layer - 1][sign.neuron] >= 0) == sign.positive for sign in signs):
                    inside += holds(sums, place, given) and holds(sums, place, clipped)
                for sign in signs:
                    own = given.layers[sign.layer - 1]
                    end = (own.lower if sign.positive else own.upper)[place, sign.neuron]
                    assert (end >= 0) if sign.positive else (end <= 0)
                    narrower += 1
    assert inside > 20
    assert narrower > 100


def holds(sums: Values, place: int, state: State) -> bool:
    for values, own in zip(sums, state.layers, strict=False):
        assert (values >= own.lower[place] - 1e-9).all()
        assert (values <= own.upper[place] + 1e-9).all()
    return True


@pytest.mark.parametrize("arithmetic", ["float32", "real"])
def test_each_case_of_a_claim_that_is_met_needs_its_own_planes(arithmetic: str) -> None:
    """Whichever neuron is split, one of the two cases may be met, though the other may be empty."""
    for found, record, (index, number, rows, _) in asked(PLAIN, arithmetic):
        leaf = Case((WeightedTerm(index, number, rows[0], 1.0),))
        for layer, neuron in [*((0, k) for k in range(12)), *((1, k) for k in range(8))]:
            case = Case((), NeuronSplit(index, layer, neuron), (leaf, leaf))
            assert code_of(found, forged(record, (index, number), case)) == "VF5054"


@pytest.mark.parametrize("arithmetic", ["float32", "real"])
def test_conflicts_are_looked_at_in_the_box_of_their_leaf(arithmetic: str) -> None:
    """A witness lies in one of two halves, and a claim may well be impossible in the other."""
    for found, record, (index, *_) in asked(PLAIN, arithmetic):
        every = found.problem.violations[record.question.violation].by_label[int(found.problem.labels[index])]
        named = [(number, WeightedTerm(index, number, rows[0], 1.0)) for number, rows in enumerate(every)]
        conflicts = tuple(Conflict(((index, number),), Case((plane,))) for number, plane in named)
        for coordinate, low in [(at, low) for at in range(4) for low in (0.0, 30.0, 120.0)]:
            halves = [Node(step=Conflicts(conflicts)) for _ in range(2)]
            tree = Node(step=Split(BoxSplit(coordinate, low, low + 1), halves))
            other = replace(record, verdict=Verdict.CERTIFIED, reason=None, witness=None, tree=tree)
            assert code_of(found, other) == "VF5054"


@pytest.mark.parametrize("arithmetic", ["float32", "real"])
def test_a_conflict_has_no_row_of_another_alternative(arithmetic: str) -> None:
    """Which may well be below 0 everywhere."""
    for found, record, (index, number, rows, _) in asked(PLAIN, arithmetic):
        for row in set(range(len(found.problem.constraints.constants))) - set(rows):
            case = Case((WeightedTerm(index, number, row, 1.0),))
            assert code_of(found, forged(record, (index, number), case)) == "VF5054"


def trees(record: Record) -> Iterator[Conflict]:
    """The conflicts of a record whose cases are clipped."""
    assert record.tree is not None
    return (conflict for conflict in conflicts_of(record.tree) if clipped_cases.clips(conflict.case))


def spoiled(case: Case, how: str) -> Case:
    """Each split, or each leaf, in another way than it may be."""
    if case.split is None:
        return replace(case, planes=() if how == "no planes" else case.planes)
    children = tuple(spoiled(child, how) for child in case.children)
    split = replace(case.split, input=case.split.input + 1) if how == "input" else case.split
    if how == "neuron":
        split = replace(case.split, neuron=999)
    return replace(case, split=split, children=children[: 1 if how == "one case" else 2])


@pytest.mark.parametrize("name", ["clipped", "clipped and pool"])
@pytest.mark.parametrize("how", ["no planes", "input", "neuron", "one case"])
def test_every_split_has_two_cases_of_its_claim_and_every_leaf_planes(name: str, how: str) -> None:
    found, records = proved(name)
    codes = []
    for record in closed(records):
        for conflict in trees(record):
            assert record.tree is not None
            other = replace(conflict, case=spoiled(conflict.case, how))
            others = tuple(other if one is conflict else one for one in conflicts_of(record.tree))
            codes.append(code_of(found, replace(record, tree=edited(record.tree, conflicts=others))))
    assert codes
    assert set(codes) == {"VF5054"}


def bared(case: Case, side: bool = False) -> Iterator[tuple[bool, Case]]:
    """The tree without the planes of one of its leaves, and on which side of its split that one is."""
    if case.split is None:
        yield side, replace(case, planes=())
    for number, child in enumerate(case.children):
        for own, changed in bared(child, bool(number)):
            children = tuple(changed if k == number else other for k, other in enumerate(case.children))
            yield own, replace(case, children=children)


@pytest.mark.parametrize("name", ["clipped", "clipped and pool"])
def test_each_leaf_of_each_side_is_looked_at(name: str) -> None:
    """Without planes it is not closed, unless nothing is left of it."""
    found, records = proved(name)
    refused: dict[bool, int] = {False: 0, True: 0}
    every = [(record, conflict) for record in closed(records) for conflict in trees(record)]
    for record, conflict in every[:2]:
        for side, case in bared(conflict.case):
            tree = edited(record.tree, conflicts=(replace(conflict, case=case),))
            refused[side] += code_of(found, replace(record, tree=tree)) == "VF5054"
    assert min(refused.values()) > 0


@pytest.mark.parametrize("name", ["clipped", "clipped and pool"])
def test_cases_close_however_few_are_bounded_at_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found, records = proved(name)
    assert any(True for record in closed(records) for _ in trees(record))
    monkeypatch.setattr(clipped_cases, "MOST_VALUES", 1)
    assert [code_of(found, record) for record in closed(records)] == [""] * len(closed(records))
