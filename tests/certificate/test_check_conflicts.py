"""Leaves that conflicts close: the engine's are recomputed, spoiled ones refused or true; choices are enumerated."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import cache
from itertools import product

import numpy as np
import pytest

from tests.certificate.scenes import Scene, Shape, scene
from tests.certificate.test_check_spoiled import most_violations
from verifluxa.certificate.check import conflicts
from verifluxa.certificate.check.conflicts import _most
from verifluxa.certificate.check.section import Section
from verifluxa.certificate.evidence_lines import Record, record_of
from verifluxa.errors import CertificateError
from verifluxa.evidence import Case, Conflict, Node, Steered
from verifluxa.strategy.decide import decide
from verifluxa.strategy.load import CrossStage, Strategy, load_strategy

SCENES = {
    "several": (5, Shape(inputs=12, limit=Fraction(1, 2))),
    "single": (6, Shape("cnn", per_input=True, inputs=8, scale=0.9)),
    "pool": (4, Shape("pool", inputs=10, limit=Fraction(1, 2))),
}


def crossing() -> Strategy:
    """Plain bounds, then conflicts, also for triggers of few values."""
    found = load_strategy("balanced")
    bounds = (stage for stage in found.stages if stage.kind == "bound")
    return replace(found, stages=(*bounds, CrossStage(values=0, alone=0, seconds=60.0, cases=300)))


@cache
def proved(name: str) -> tuple[Scene, tuple[Record, ...]]:
    found = scene(*SCENES[name])
    places = range(len(found.problem.placements))
    questions = [question for place in places for question in found.problem.questions(place)]
    return found, tuple(record_of(outcome) for outcome in decide(found.problem, questions, crossing()))


def closed(records: tuple[Record, ...]) -> list[Record]:
    """Those that rest on conflicts."""
    return [record for record in records if record.tree is not None and record.tree.conflicts]


def cases(case: Case) -> Iterator[Case]:
    yield case
    for child in case.children:
        yield from cases(child)


@pytest.mark.parametrize("name", SCENES)
def test_conflicts_of_the_engine_are_recomputed(name: str) -> None:
    found, records = proved(name)
    assert closed(records)
    tally = found.check(list(records))
    assert tally.unrechecked == 0
    assert tally.leaves >= len(closed(records))


def test_they_have_cases_and_several_claims() -> None:
    every = [conflict for name in SCENES for r in closed(proved(name)[1]) if r.tree for conflict in r.tree.conflicts]
    assert any(conflict.case.split for conflict in every)
    assert any(len(conflict.claims) > 1 for conflict in every)
    assert any(plane.pushes for conflict in every for case in cases(conflict.case) for plane in case.planes)


def test_more_choices_than_can_be_tried_stay_unrechecked(monkeypatch: pytest.MonkeyPatch) -> None:
    found, records = proved("several")
    monkeypatch.setattr(conflicts, "MOST_INPUTS", 0)
    assert found.check(list(records)).unrechecked == len(closed(records))


def planes(change: Callable[[Steered], Steered]) -> Callable[[Conflict], Conflict]:
    """A change of every plane of a conflict."""

    def changed(case: Case) -> Case:
        return replace(case, planes=tuple(map(change, case.planes)), children=tuple(map(changed, case.children)))

    return lambda conflict: replace(conflict, case=changed(conflict.case))


def swapped(conflict: Conflict) -> Conflict:
    return replace(conflict, case=replace(conflict.case, children=conflict.case.children[::-1]))


def one_case_twice(conflict: Conflict) -> Conflict:
    return replace(conflict, case=replace(conflict.case, children=conflict.case.children[:1] * 2))


def no_neuron(conflict: Conflict) -> Conflict:
    split = conflict.case.split
    return conflict if split is None else replace(conflict, case=replace(conflict.case, split=replace(split, layer=9)))


SPOILS: dict[str, Callable[[Conflict], Conflict]] = {
    "no weights": planes(lambda plane: plane._replace(weight=0.0)),
    "negative weights": planes(lambda plane: plane._replace(weight=-plane.weight)),
    "row": planes(lambda plane: plane._replace(row=99)),
    "position": planes(lambda plane: plane._replace(position=plane.position + 1)),
    "input": planes(lambda plane: plane._replace(input=plane.input + 50)),
    "fewer claims": lambda conflict: replace(conflict, claims=conflict.claims[1:]),
    "no planes": lambda conflict: replace(conflict, case=Case()),
    "flat": planes(lambda plane: plane._replace(slopes=tuple("00" * (len(text) // 2) for text in plane.slopes))),
    "equal weights": planes(lambda plane: plane._replace(weight=1.0)),
    "no pushes": planes(lambda plane: plane._replace(pushes=())),
    "turned": planes(lambda plane: plane._replace(pushes=tuple((a, b, -c) for a, b, c in plane.pushes))),
    "swapped": swapped,
    "one case twice": one_case_twice,
    "no neuron": no_neuron,
}
ALWAYS = {"no weights", "negative weights", "row", "position", "input", "fewer claims", "no planes"}


def code_of(found: Scene, record: Record) -> str:
    section = copy.copy(sections(found))
    section.open = {record.question}
    try:
        section.record(record)
    except CertificateError as error:
        return error.code
    return ""


@cache
def sections(found: Scene) -> Section:
    return Section(found.claim(), found.sources.models["net"], found.header)


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("spoil", SPOILS)
def test_spoiled_conflicts_are_refused_or_hold(name: str, spoil: str) -> None:
    found, records = proved(name)
    for record in closed(records)[:3]:
        assert record.tree is not None
        changed = tuple(map(SPOILS[spoil], record.tree.conflicts))
        other = replace(record, tree=replace(record.tree, conflicts=changed))
        code = code_of(found, other)
        assert code in {"", "VF5054", "VF5055"}
        if spoil in ALWAYS:
            assert code
        if not code:
            assert most_violations(found, other, 0) < record.question.need


@pytest.mark.parametrize("name", SCENES)
def test_without_its_conflicts_a_leaf_leaves_too_many(name: str) -> None:
    found, records = proved(name)
    for record in closed(records)[:3]:
        assert record.tree is not None
        least = record.tree.conflicts[:1]
        left = code_of(found, replace(record, tree=replace(record.tree, conflicts=least)))
        assert left in {"", "VF5055", "VF5056"}
        assert left or len(record.tree.conflicts) == 1 or record.question.need > 1
        assert code_of(found, replace(record, tree=Node(record.tree.dropped, closed=True))) == "VF5055"


@pytest.mark.parametrize("seed", range(30))
def test_choices_agree_with_enumeration(seed: int) -> None:
    random = np.random.default_rng(seed)
    options = [[(i, k) for k in range(int(random.integers(1, 3)))] for i in range(6)]
    keys = [key for own in options for key in own]
    known = [
        frozenset(keys[int(at)] for at in random.permutation(len(keys))[: int(random.integers(1, 4))])
        for _ in range(int(random.integers(0, 9)))
    ]
    most = 0
    for choice in product(*([None, *own] for own in options)):
        taken = frozenset(key for key in choice if key is not None)
        if not any(conflict <= taken for conflict in known):
            most = max(most, len(taken))
    for need in range(1, 8):
        assert _most(options, known, need) == min(most, need)
