"""Spoiled proofs are refused, or proved by something else in them."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from functools import cache
from types import ModuleType

import numpy as np
import pytest

from tests.certificate.scenes import Scene, Shape, narrowed, scene
from tests.certificate.spoils import (
    SPOILS,
    Spoil,
    certify,
    drop_leaf,
    move_box,
    nodes,
    other_need,
    other_question,
    trigger_off_the_grid,
)
from tests.certificate.steps import joint_of
from verifluxa.certificate.check import region, section, tree
from verifluxa.certificate.check.report import Tally
from verifluxa.certificate.check.section import Section
from verifluxa.certificate.evidence_lines import Record
from verifluxa.errors import CertificateError
from verifluxa.evidence import BoxSplit, SlabSplit
from verifluxa.verdict import Verdict

HARD = Shape("pool", limit=Fraction(1, 2), places=((3, 3),))


@pytest.fixture(scope="module")
def proved() -> tuple[Scene, list[Record]]:
    """A scene whose proofs split boxes and strips, clip, and close leaves jointly, with branching."""
    found = scene(1, HARD)
    records = found.prove(joint=True)
    every = [node for record in records if record.tree for node in nodes(record.tree)]
    assert any(isinstance(node.split, BoxSplit) for node in every)
    assert any(isinstance(node.split, SlabSplit) for node in every)
    assert any(drop.planes for node in every for drop in node.dropped)
    assert any(joint.branch_on >= 0 for joint in map(joint_of, every) if joint is not None)
    assert any(record.witness for record in records)
    return found, records


@pytest.mark.parametrize(
    ("module", "name"),
    [(tree, "MOST_VALUES"), (region, "_MOST_VALUES"), (section, "MOST_TOGETHER"), (section, "MOST_BYTES")],
)
def test_what_is_computed_together_changes_nothing(
    proved: tuple[Scene, list[Record]], monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str
) -> None:
    """Nodes one by one, then values one by one, then records: in place of as many as fit memory and cache."""
    found, records = proved
    together = found.check(records)
    monkeypatch.setattr(module, name, 1)
    assert found.check(records) == together
    assert together.unrechecked == 0


ALWAYS_REFUSED = {drop_leaf, move_box, certify, trigger_off_the_grid, other_question, other_need}
CODES = {"VF5053", "VF5054", "VF5055", "VF5056", "VF5057"}


@cache
def prepared(found: Scene) -> Section:
    """A section with its constants, which is never written to; the bounds of its placements are kept too."""
    return Section(found.claim(), found.sources.models["net"], found.header)


def judged_alone(found: Scene, *records: Record) -> str:
    """The code with which one record is refused, or one of several; or nothing."""
    one = copy.copy(prepared(found))
    one.tally, one.open, one.shown = Tally(), set(one.open), []
    one._by_selection = {}
    try:
        one.records(records)
    except CertificateError as error:
        return error.code
    return ""


def judged(found: Scene, records: list[Record]) -> str:
    try:
        found.check(records)
    except CertificateError as error:
        return error.code
    return ""


def spoiled(records: list[Record], spoil: Spoil, seed: int) -> Record | None:
    """One of the records, spoiled; None where there is nothing to spoil in that way."""
    random = np.random.default_rng(seed)
    for at in random.permutation(len(records)):
        changed = spoil(copy.deepcopy(records[at]), random)
        if changed is not None:
            return changed
    return None


@pytest.mark.parametrize("spoil", SPOILS, ids=lambda item: item.__name__)
def test_spoiled_proofs_are_refused_or_hold_anyway(proved: tuple[Scene, list[Record]], spoil: Spoil) -> None:
    """An edit that is accepted must be a proof: sampled triggers of its question never reach `need`."""
    found, records = proved
    tried, refused = try_spoils(found, records, spoil, range(1, 2))
    assert tried
    if spoil in ALWAYS_REFUSED:
        assert refused == tried


def try_spoils(found: Scene, records: list[Record], spoil: Spoil, seeds: Iterable[int]) -> tuple[int, int]:
    """How many edits were tried, and how many of them refused; the others are looked at with triggers."""
    tried = refused = 0
    for seed in seeds:
        change = spoiled(records, spoil, seed)
        if change is None:
            continue
        tried += 1
        code, company = judged_alone(found, change), [one for one in records if one.question != change.question]
        assert judged_alone(found, *company, change) == judged_alone(found, change, *company) == code
        assert code in CODES | {""}
        refused += code != ""
        if not code and change.verdict is Verdict.CERTIFIED:
            assert most_violations(found, change, seed) < change.question.threshold
    return tried, refused


def test_most_kinds_of_spoiling_are_noticed(proved: tuple[Scene, list[Record]]) -> None:
    """One of three edits; single ones may hit what a proof hardly rests on."""
    found, records = proved
    changes = [[spoiled(records, spoil, seed) for seed in (20, 21, 22)] for spoil in SPOILS]
    noticed = [any(change is not None and judged_alone(found, change) for change in three) for three in changes]
    assert sum(noticed) >= len(SPOILS) - 1


@pytest.mark.soak
def test_a_thousand_spoiled_proofs(proved: tuple[Scene, list[Record]]) -> None:
    found, records = proved
    counts = [try_spoils(found, records, spoil, range(100, 145)) for spoil in SPOILS]
    assert sum(tried for tried, _ in counts) >= 1000


def most_violations(found: Scene, record: Record, seed: int) -> int:
    """The most inputs that any of many sampled triggers sends over, by the deployed network."""
    claim, question = found.claim(), record.question
    random = np.random.default_rng(seed)
    size = claim.positions.shape[1]
    triggers = np.concatenate([random.integers(0, 256, (40, size)), random.choice([0, 255], (40, size))])
    chosen = list(claim.selections[question.selection])
    most = 0
    for trigger in triggers:
        stamped = claim.inputs[chosen].reshape(len(chosen), -1)
        stamped[:, claim.positions[question.placement]] = trigger
        outputs = found.sources.models["net"].run(stamped.reshape(len(chosen), *claim.inputs.shape[1:]))
        count = 0
        for index, output in zip(chosen, outputs, strict=True):
            alternatives = claim.violations[question.violation][int(claim.labels[index])]
            met = claim.weight @ output > 0
            count += any(met[list(item)].all() for item in alternatives)
        most = max(most, count)
    return most


def test_evidence_for_another_limit_is_refused(proved: tuple[Scene, list[Record]]) -> None:
    found, records = proved
    assert judged(narrowed(found, Fraction(1, 10)), records) == "VF5052"


def test_evidence_for_another_network_is_refused(proved: tuple[Scene, list[Record]]) -> None:
    _, records = proved
    other = scene(7, HARD)
    assert judged(other, records) in CODES | {"VF5052"}


def test_missing_and_doubled_questions(proved: tuple[Scene, list[Record]]) -> None:
    found, records = proved
    assert judged(found, records[1:]) == "VF5053"
    assert judged(found, [*records, records[0]]) == "VF5053"
    assert judged(found, [replace(records[0], tree=None, verdict=Verdict.CERTIFIED), *records[1:]]) == "VF5055"


def test_order_of_records_does_not_matter(proved: tuple[Scene, list[Record]]) -> None:
    found, records = proved
    assert judged(found, records[::-1]) == ""


def test_claiming_more_than_is_proved(proved: tuple[Scene, list[Record]]) -> None:
    found, records = proved
    at = next(i for i, record in enumerate(records) if record.verdict is Verdict.CERTIFIED and record.proved > 0)
    less = replace(records[at], proved=0)
    assert judged(found, [*records[:at], less, *records[at + 1 :]]) in {"VF5056", ""}
    tally = found.check([replace(records[at]), *(record for i, record in enumerate(records) if i != at)])
    assert tally.proved > 0
