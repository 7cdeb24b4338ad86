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
import torch

from tests.certificate.scenes import Scene, Shape, scene
from tests.certificate.steps import conflicts_of, edited, leaf_ends
from tests.certificate.test_check_spoiled import most_violations
from tests.search.small import with_thresholds
from verifluxa.certificate.check import conflicts, intermediate
from verifluxa.certificate.check.bound_checker import BoundChecker, KnownBounds, NodeCheck
from verifluxa.certificate.check.conflicts import _most
from verifluxa.certificate.check.intermediate import intermediate_bounds
from verifluxa.certificate.check.section import Section
from verifluxa.certificate.evidence_lines import Record, record_of
from verifluxa.errors import CertificateError
from verifluxa.evidence import Case, Conflict, Conflicts, Counted, IntermediateSlopes, Node, WeightedTerm
from verifluxa.search.workspace import workspace_of
from verifluxa.stages import CrossStage
from verifluxa.strategy.decide import decide
from verifluxa.strategy.load import Strategy, load_strategy
from verifluxa.verdict import Verdict

SCENES = {
    "several": (5, Shape(inputs=12, limit=Fraction(1, 2))),
    "single": (6, Shape("cnn", per_input=True, inputs=8, scale=0.9)),
    "pool": (4, Shape("pool", inputs=10, limit=Fraction(1, 2))),
    "ends": (6, Shape("cnn", per_input=True, inputs=8, scale=0.9)),
    "ends and pool": (2, Shape("pool", per_input=True, inputs=8)),
    "clipped": (6, Shape("cnn", per_input=True, inputs=8, scale=0.9)),
    "clipped and pool": (2, Shape("pool", per_input=True, inputs=8, scale=0.9)),
}
TIGHT = {"ends", "ends and pool", "clipped", "clipped and pool"}
"""Where each neuron's ends have slopes of their own as soon as one case was not enough."""


def crossing(name: str) -> Strategy:
    """Plain bounds, then conflicts, also for triggers of few values."""
    found = load_strategy("balanced")
    bounds = (stage for stage in found.stages if stage.kind == "bound")
    cross = with_thresholds(
        CrossStage(values=0, alone=0, seconds=60.0, cases=300),
        before_attack=1 if name in TIGHT else CrossStage.thresholds.before_attack,
        clipped_from=1 if name.startswith("clipped") else 1000,
    )
    return replace(found, stages=(*bounds, cross))


@cache
def proved(name: str) -> tuple[Scene, tuple[Record, ...]]:
    found, strategy = scene(*SCENES[name]), crossing(name)
    places = range(len(found.problem.placements))
    questions = [question for place in places for question in found.problem.questions(place)]
    return found, tuple(record_of(outcome) for outcome in decide(found.problem, questions, strategy))


def closed(records: tuple[Record, ...]) -> list[Record]:
    """Those that rest on conflicts."""
    return [record for record in records if conflicts_of(record.tree)]


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
    every = [conflict for name in SCENES for r in closed(proved(name)[1]) for conflict in conflicts_of(r.tree)]
    assert any(conflict.case.split for conflict in every)
    assert any(len(conflict.claims) > 1 for conflict in every)
    assert any(plane.betas for conflict in every for case in cases(conflict.case) for plane in case.planes)


def test_cases_are_clipped_where_they_should_be() -> None:
    clipped = {
        name
        for name in SCENES
        for record in closed(proved(name)[1])
        for conflict in conflicts_of(record.tree)
        for case in cases(conflict.case)
        if case.split and case.planes
    }
    assert clipped == {"clipped", "clipped and pool"}


def test_more_choices_than_can_be_tried_stay_unrechecked(monkeypatch: pytest.MonkeyPatch) -> None:
    found, records = proved("several")
    monkeypatch.setattr(conflicts, "MOST_INPUTS", 0)
    assert found.check(list(records)).unrechecked == len(closed(records))


def planes(change: Callable[[WeightedTerm], WeightedTerm]) -> Callable[[Conflict], Conflict]:
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
    "no pushes": planes(lambda plane: plane._replace(betas=())),
    "turned": planes(lambda plane: plane._replace(betas=tuple((a, b, -c) for a, b, c in plane.betas))),
    "swapped": swapped,
    "one case twice": one_case_twice,
    "no neuron": no_neuron,
}
ALWAYS = {"no weights", "negative weights", "row", "position", "input", "fewer claims", "no planes"}


def code_of(found: Scene, record: Record) -> str:
    section = copy.copy(sections(found))
    section.open = {record.question}
    try:
        section.records([record])
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
        changed = tuple(map(SPOILS[spoil], conflicts_of(record.tree)))
        other = replace(record, tree=edited(record.tree, conflicts=changed))
        code = code_of(found, other)
        assert code in {"", "VF5054", "VF5055"}
        if spoil in ALWAYS:
            assert code
        if not code:
            assert most_violations(found, other, 0) < record.question.threshold


def random_levels(own: IntermediateSlopes) -> IntermediateSlopes:
    return own._replace(levels=np.random.default_rng(7).bytes(len(own.levels)))


FORGED: dict[str, Callable[[IntermediateSlopes], IntermediateSlopes]] = {
    "random": random_levels,
    "flat": lambda own: own._replace(levels=bytes(len(own.levels))),
    "backwards": lambda own: own._replace(levels=own.levels[::-1]),
    "other neurons": lambda own: own._replace(neurons=tuple(range(len(own.neurons)))),
    "steady neurons": lambda own: own._replace(bent=tuple(tuple(range(len(part))) for part in own.bent)),
    "input": lambda own: own._replace(input=50),
    "neuron": lambda own: own._replace(neurons=(*own.neurons[:-1], 999)),
    "slopes of a neuron": lambda own: own._replace(bent=((*own.bent[0][:-1], 999), *own.bent[1:])),
    "layer": lambda own: own._replace(layer=9, bent=(*own.bent, *((),) * (9 - own.layer))),
    "fewer levels": lambda own: own._replace(levels=own.levels[:-1]),
    "no neurons": lambda own: own._replace(neurons=(), levels=b""),
    "fewer layers": lambda own: own._replace(bent=own.bent[:-1], levels=b""),
}
NEVER = ("input", "neuron", "slopes of a neuron", "layer", "fewer levels", "no neurons", "fewer layers")


def of_splits(change: Callable[[WeightedTerm], WeightedTerm]) -> Callable[[Conflict], Conflict]:
    """A change of the planes that clip, and of no leaf's."""

    def changed(case: Case) -> Case:
        own = tuple(map(change, case.planes)) if case.split else case.planes
        return replace(case, planes=own, children=tuple(map(changed, case.children)))

    return lambda conflict: replace(conflict, case=changed(conflict.case))


CLIPS: dict[str, Callable[[Conflict], Conflict]] = {
    "heavy": of_splits(lambda plane: plane._replace(weight=1e300)),
    "light": of_splits(lambda plane: plane._replace(weight=1e-300)),
    "no pushes": of_splits(lambda plane: plane._replace(betas=())),
    "flat": of_splits(lambda plane: plane._replace(slopes=tuple("00" * (len(text) // 2) for text in plane.slopes))),
    "steep": of_splits(lambda plane: plane._replace(slopes=tuple("ff" * (len(text) // 2) for text in plane.slopes))),
    "negative": of_splits(lambda plane: plane._replace(weight=-1.0)),
    "row": of_splits(lambda plane: plane._replace(row=99)),
    "position": of_splits(lambda plane: plane._replace(position=plane.position + 1)),
    "input": of_splits(lambda plane: plane._replace(input=plane.input + 50)),
    "turned": of_splits(lambda plane: plane._replace(betas=tuple((a, b, -c) for a, b, c in plane.betas))),
    "two claims": lambda conflict: replace(conflict, claims=(*conflict.claims, (99, 0))),
    "other claim": lambda conflict: replace(conflict, claims=((99, 0),)),
}
WRONG = ("negative", "row", "position", "input", "two claims", "other claim")


@pytest.mark.parametrize("name", ["clipped", "clipped and pool"])
@pytest.mark.parametrize("forge", CLIPS)
def test_forged_clips_are_refused_or_hold(name: str, forge: str) -> None:
    found, records = proved(name)
    seen = 0
    for record in closed(records):
        assert record.tree is not None
        every = [case for conflict in conflicts_of(record.tree) for case in cases(conflict.case)]
        if not any(case.split and case.planes for case in every):
            continue
        seen += 1
        changed = tuple(map(CLIPS[forge], conflicts_of(record.tree)))
        other = replace(record, tree=edited(record.tree, conflicts=changed))
        code = code_of(found, other)
        assert code in ({"VF5054"} if forge in WRONG else {"", "VF5054"})
        if not code:
            assert most_violations(found, other, 0) < record.question.threshold
    assert seen


@pytest.mark.parametrize("name", ["clipped", "clipped and pool"])
def test_cases_rest_on_what_clips_them(name: str) -> None:
    found, records = proved(name)
    codes = set()
    for record in closed(records):
        assert record.tree is not None
        bare = tuple(replace(conflict, case=without(conflict.case)) for conflict in conflicts_of(record.tree))
        codes.add(code_of(found, replace(record, tree=edited(record.tree, conflicts=bare))))
    assert "VF5054" in codes


def without(case: Case) -> Case:
    return replace(case, planes=() if case.split else case.planes, children=tuple(map(without, case.children)))


@pytest.mark.parametrize("name", sorted(TIGHT))
@pytest.mark.parametrize("forge", FORGED)
def test_forged_slopes_of_ends_are_refused_or_hold(name: str, forge: str) -> None:
    """Whatever is said of slopes, ends are recomputed from them: what is accepted is true."""
    found, records = proved(name)
    for record in closed(records)[:3]:
        assert record.tree is not None
        other = replace(record, tree=edited(record.tree, ends=tuple(map(FORGED[forge], leaf_ends(record.tree)))))
        code = code_of(found, other)
        assert code in ({"VF5054"} if forge in NEVER else {"", "VF5054"})
        if not code:
            assert most_violations(found, other, 0) < record.question.threshold


@pytest.mark.parametrize("name", sorted(TIGHT))
def test_ends_are_the_same_however_few_are_bounded_at_once(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found, records = proved(name)
    seen: list[KnownBounds] = []

    def twice(checker: BoundChecker, check: NodeCheck) -> KnownBounds:
        whole = intermediate_bounds(checker, check)
        with monkeypatch.context() as patched:
            patched.setattr(intermediate, "MOST_VALUES", 1)
            seen.append(intermediate_bounds(checker, check))
        for key, pairs in whole.items():
            for pair, other in zip(pairs, seen[-1][key], strict=True):
                np.testing.assert_allclose(pair, other, rtol=1e-12)
        return whole

    monkeypatch.setattr(conflicts, "intermediate_bounds", twice)
    assert [code_of(found, record) for record in closed(records)] == [""] * len(closed(records))
    assert seen


@pytest.mark.parametrize("name", sorted(TIGHT))
def test_ends_of_any_slopes_hold_all_values(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found, records = proved(name)
    seen: list[KnownBounds] = []

    def recorded(checker: BoundChecker, check: NodeCheck) -> KnownBounds:
        seen.append(intermediate_bounds(checker, check))
        return seen[-1]

    monkeypatch.setattr(conflicts, "intermediate_bounds", recorded)
    work, random, inside = workspace_of(found.problem), np.random.default_rng(3), 0
    for record in closed(records):
        assert record.tree is not None
        code_of(
            found, replace(record, tree=edited(record.tree, ends=tuple(map(random_levels, leaf_ends(record.tree)))))
        )
        placed, domain = work.at(record.question.placement), found.problem.domain
        points = torch.as_tensor(random.choice([0.0, 0.3, 0.7, 1.0], (500, len(domain.lower))))
        points = placed.lower + points * (placed.upper - placed.lower)
        for (number, _), held in seen.pop().items():
            state, at = points, torch.full((len(points),), number)
            for layer, (lower, upper) in zip(placed.net(record.question.placement).hidden, held, strict=True):
                z = state @ layer.weight.T + layer.offset_of(at)
                assert bool(((z >= torch.as_tensor(lower) - 1e-9) & (z <= torch.as_tensor(upper) + 1e-9)).all())
                inside += int(np.isfinite(lower).sum())
                state = layer.apply(z)
    assert inside


@pytest.mark.parametrize("name", sorted(TIGHT))
def test_conflicts_rest_on_the_slopes_of_ends(name: str) -> None:
    found, records = proved(name)
    bare = [replace(r, tree=edited(r.tree, ends=())) for r in closed(records) if r.tree is not None]
    assert all(leaf_ends(record.tree) for record in closed(records) if record.tree is not None)
    assert "VF5054" in {code_of(found, record) for record in bare}


@pytest.mark.parametrize("name", SCENES)
def test_without_its_conflicts_a_leaf_leaves_too_many(name: str) -> None:
    found, records = proved(name)
    for record in closed(records)[:3]:
        assert record.tree is not None
        least = edited(record.tree, conflicts=conflicts_of(record.tree)[:1])
        # Whoever claims less, that enough inputs may be left, has no proof either.
        left = code_of(found, replace(record, tree=least, proved=record.question.threshold))
        assert left in {"", "VF5055"}
        assert left or len(conflicts_of(record.tree)) == 1 or record.question.threshold > 1
        assert code_of(found, replace(record, tree=Node(record.tree.dropped, Counted()))) == "VF5055"


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


@pytest.mark.parametrize("weight", [5e-324, 1e-323, 1e-300])
def test_weights_whose_products_vanish_prove_nothing(weight: float) -> None:
    """A plane's slopes were rounded to 0 and its value to the least number below it."""
    for seed in (6, 21, 33):
        found = scene(seed, Shape(per_input=True, inputs=8, scale=0.9, places=((3, 3),)), "real")
        for record in [record for record in found.prove() if record.witness is not None]:
            (index,) = found.problem.selections[record.question.selection]
            violation = found.problem.violations[record.question.violation]
            options = violation.by_label[int(found.problem.labels[index])]
            for size in (1, 2, 3, 7):
                named = [(at, WeightedTerm(int(index), at, rows[0], weight * size)) for at, rows in enumerate(options)]
                conflicts_ = tuple(Conflict(((int(index), at),), Case((plane,))) for at, plane in named)
                tree = Node(step=Conflicts(conflicts_))
                assert code_of(found, replace(record, verdict=Verdict.CERTIFIED, witness=None, tree=tree)) == "VF5054"
