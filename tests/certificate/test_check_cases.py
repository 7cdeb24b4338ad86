"""Cases of which input is the first to violate: real proofs by them are accepted, spoiled and forged ones are not."""

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
from tests.certificate.test_check_prover import possible
from tests.search.test_cases_of_inputs import HOW, is_below_a_case
from tests.search.test_explore_further import begun, finished
from verifluxa.certificate.check.section import Section
from verifluxa.certificate.evidence_lines import Record, record_of
from verifluxa.dispatch.pieces import open_paths
from verifluxa.errors import CertificateError
from verifluxa.evidence import CONTRADICTED, OPEN, Counted, InputSplit, Node, PrunedDisjunct, Split
from verifluxa.verdict import Verdict


@cache
def by_cases(shape: Shape, seed: int, arithmetic: str) -> tuple[Scene, list[Record]]:
    """Proofs that try cases first."""
    found = possible(seed, shape, arithmetic)
    return found, found.prove(joint=True, clip_rounds=1, inherit=True, thin=1e9)


def split_by_cases(records: list[Record]) -> list[Node]:
    """The nodes that are split by cases, which hand clipped ends down."""
    every = [node for record in records if record.tree is not None for node in nodes(record.tree)]
    return [node for node in every if isinstance(node.split, InputSplit) and node.clips]


BOTH = pytest.mark.parametrize("arithmetic", ["float32", "real"])
OR = Shape(targeted=False)
"""Two alternatives for each input, of which one must have fallen before the input has a case."""
CONVOLVED = Shape("cnn", targeted=False), 14
PROVED = [(Shape(), 11), (OR, 13), (Shape("cnn"), 21), CONVOLVED, (Shape("pool", targeted=False), 12)]


@BOTH
@pytest.mark.parametrize(("shape", "seed"), PROVED, ids=str)
def test_proofs_by_cases_of_inputs_are_accepted(shape: Shape, seed: int, arithmetic: str) -> None:
    found, records = by_cases(shape, seed, arithmetic)
    assert found.check(records).unrechecked == 0
    assert split_by_cases(records)


@BOTH
@pytest.mark.parametrize(
    ("shape", "seed"),
    [(Shape(inputs=12), 15), (Shape(inputs=12), 21), (replace(OR, inputs=12), 11), (replace(OR, inputs=12), 13)],
    ids=str,
)
def test_proofs_that_others_finish_below_a_case_are_accepted(shape: Shape, seed: int, arithmetic: str) -> None:
    """One domain, then its open leaves piece by piece: each starts anew, and knows which inputs violate."""
    found, accepted = possible(seed, shape, arithmetic), 0
    section = Section(found.claim(), found.sources.models["net"], found.header)
    for question in found.problem.questions(0):
        first = begun(found.problem, question, 1, HOW)
        if first.cut_short and any(is_below_a_case(first.root, path) for path in open_paths(first.root)):
            outcome = finished(found.problem, first, 4, HOW).outcome
            if outcome.verdict is Verdict.CERTIFIED:
                assert outcome.tree is not None
                assert any(node.anew for node in nodes(outcome.tree))
                section.records([record_of(outcome)])
                accepted += 1
    assert accepted
    assert section.tally.unrechecked == 0


def without(at: int) -> Callable[[Node], None]:
    """A case is left out, with what closes it."""

    def change(node: Node) -> None:
        assert isinstance(node.split, InputSplit)
        kept = [number for number in range(len(node.children)) if number != at % len(node.children)]
        edit(node, partition=InputSplit(tuple(node.split.cases[number] for number in kept)))
        edit(node, children=[node.children[number] for number in kept])

    return change


def changed(at: int) -> Callable[[Node], None]:
    """The input (0) or the row (1) of a case becomes one that is not there."""

    def change(node: Node) -> None:
        assert isinstance(node.split, InputSplit)
        (number, row), *rest = node.split.cases
        edit(node, partition=InputSplit((((10_000, row), (number, 10_000))[at], *rest)))

    return change


SPOILS = [(without(-1), "VF5055"), (without(0), "VF5055"), (changed(0), r"VF505[45]"), (changed(1), "VF5054")]


@BOTH
@pytest.mark.parametrize(("spoil", "code"), SPOILS)
@pytest.mark.parametrize("named", [(Shape(), 11), (OR, 13), CONVOLVED], ids=str)
def test_no_case_may_be_left_out_or_clip_by_what_is_not_met(
    named: tuple[Shape, int], spoil: Callable[[Node], None], code: str, arithmetic: str
) -> None:
    found, records = by_cases(*named, arithmetic)
    records = copy.deepcopy(records)
    spoil(split_by_cases(records)[0])
    with pytest.raises(CertificateError, match=code):
        found.check(records)


@BOTH
@pytest.mark.parametrize("shape", [Shape(inputs=12), replace(OR, inputs=12)], ids=str)
def test_forged_cases_prove_nothing_that_is_false(shape: Shape, arithmetic: str) -> None:
    """Trees of a claim that a trigger refutes: whatever cases, clips and drops they name, the checker refuses them."""
    refused = 0
    for seed in range(8):
        if refused > 20:
            break
        found = scene(seed, shape, arithmetic)
        random = np.random.default_rng(seed)
        false = [record for record in found.prove() if record.witness is not None and record.question.threshold > 1]
        for record in false[:3]:
            for _ in range(6):
                tree = forged(random, found, record)
                assert record.question.threshold > 1
                with pytest.raises(CertificateError, match=r"VF505[45]"):
                    found.check([replace(record, verdict=Verdict.CERTIFIED, reason=None, witness=None, tree=tree)])
                refused += 1
    assert refused > 20


def forged(random: np.random.Generator, found: Scene, record: Record) -> Node:
    """Cases of enough inputs, each closed by drops of some claims, clipped by rows of their own."""
    problem, question = found.problem, record.question
    inputs = problem.selections[question.selection].tolist()
    rows = {k: problem.violations[question.violation].by_label[int(problem.labels[k])] for k in inputs}
    clips = [(k, at, (int(random.choice(own)),)) for k in inputs for at, own in enumerate(rows[k])]
    chosen = random.permutation(inputs)[: len(inputs) - question.threshold + 1].tolist()
    split = InputSplit(tuple((k, int(random.choice(rows[k][0]))) for k in chosen))
    children = [Node(drops(random, rows), Counted()) for _ in chosen]
    return Node(step=Split(split, children, tuple(clips) if random.random() < 0.8 else ()))


def drops(random: np.random.Generator, rows: dict[int, tuple[tuple[int, ...], ...]]) -> list[PrunedDisjunct]:
    records = []
    for k, alternatives in rows.items():
        for at, own in enumerate(alternatives):
            row = int(random.choice([*own, CONTRADICTED]))
            planes = tuple(int(random.choice(own)) for _ in range(random.integers(3)))
            records.append(PrunedDisjunct(k, (*[OPEN] * at, row), planes))
    return [record for record in records if random.random() < 0.9]
