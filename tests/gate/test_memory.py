"""What the gate has seen before, and certificates that disagree."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.gate.desk import NOW, OTHER, REFERENCE, Desk, codes, prop
from verifluxa.certificate.statement import Statement, Subject
from verifluxa.gate.case import Case
from verifluxa.gate.files import measure
from verifluxa.gate.log_index import Index
from verifluxa.gate.log_line import ANY_PROPERTY, Line
from verifluxa.gate.reference import parse_reference
from verifluxa.verdict import Verdict


def line(desk: Desk, **changes: Any) -> Line:
    plain = Line(
        time=NOW - timedelta(hours=1),
        action="promote",
        reference=parse_reference("models:/digits/6@production"),
        permitted=True,
        certificate=OTHER,
        time_verified=desk.statement.time_verified + timedelta(minutes=1),
        files=OTHER,
    )
    return replace(plain, **changes)


def remembered(desk: Desk, *lines: Line) -> Case:
    """A case whose memory was filled from these lines of a log."""
    case, index = desk.case(), Index(":memory:")
    for number, item in enumerate(lines):
        index.apply(item, f"sha256:{number:064}")
    memory = index.memory(case.reference, case.files.digest)
    index.close()
    return replace(case, memory=memory)


def test_replay_of_an_older_certificate(desk: Desk) -> None:
    assert codes(desk.decide(remembered(desk, line(desk)))) == ["VF6022"]


@pytest.mark.parametrize(
    "changes",
    [
        {"permitted": False},
        {"reference": parse_reference("models:/letters/6@production")},
        {"reference": parse_reference("models:/digits/6@staging")},
        {"reference": parse_reference("folder:/digits/6@production")},
        {"time_verified": None},
        {"overridden": True},
    ],
)
def test_what_is_no_replay(desk: Desk, changes: dict[str, Any]) -> None:
    assert codes(desk.decide(remembered(desk, line(desk, **changes)))) == []


def test_the_last_accepted_certificate_counts_whatever_came_after_it(desk: Desk) -> None:
    later = line(desk, permitted=False, reference=parse_reference(REFERENCE))
    assert codes(desk.decide(remembered(desk, line(desk), later))) == ["VF6022"]
    older = line(desk, time_verified=desk.statement.time_verified)
    assert codes(desk.decide(remembered(desk, line(desk), older))) == []


def test_the_accepted_certificate_itself_stays_accepted(desk: Desk) -> None:
    same = line(desk, certificate=desk.decide().certificate, reference=parse_reference(REFERENCE))
    assert codes(desk.decide(remembered(desk, same))) == []


def test_the_clock_set_back(desk: Desk) -> None:
    later = line(desk, time=NOW + timedelta(days=1), permitted=False)
    assert codes(desk.decide(remembered(desk, later))) == ["VF6021"]


def falsified(desk: Desk) -> Statement:
    from tests.certificate.conftest import FACTS, RESULT
    from verifluxa.certificate.build import build_statement

    broken = build_statement(RESULT, FACTS).properties[1]
    return prop(
        desk.statement,
        verdict=Verdict.FALSIFIED,
        counterexample=broken.counterexample,
        coverage=replace(broken.coverage, inputs=3),
    )


def test_a_falsified_property(desk: Desk) -> None:
    assert codes(desk.decide(desk.case(desk.signed(falsified(desk))))) == ["VF6052", "VF6054"]


def test_two_certificates_that_disagree(desk: Desk) -> None:
    decision = desk.decide(desk.case(desk.signed(), desk.signed(falsified(desk))))
    assert codes(decision) == ["VF6059"]


def test_a_trigger_that_was_once_shown_is_not_forgotten(desk: Desk) -> None:
    wanted = desk.statement.properties[0].digest
    for listed in ((wanted,), (OTHER, ANY_PROPERTY)):
        seen = line(desk, permitted=False, files=measure(desk.model).digest, falsified=listed)
        assert codes(desk.decide(remembered(desk, seen))) == ["VF6059"]
    other = line(desk, permitted=False, files=measure(desk.model).digest, falsified=(OTHER,))
    assert codes(desk.decide(remembered(desk, other))) == []


def test_what_a_certificate_says_about_other_files_is_not_remembered(desk: Desk) -> None:
    """Else anybody could keep a good model out, by showing the gate a bad one's certificate beside it."""
    other = replace(falsified(desk), subjects=(Subject("badnets.jld2", OTHER),))
    assert dict(desk.decide(desk.case(desk.signed(other))).verdicts) == {}
    assert list(desk.decide(desk.case(desk.signed(falsified(desk)))).verdicts.values()) == ["falsified"]


def test_a_second_certificate_that_nobody_trusts_denies(desk: Desk) -> None:
    assert codes(desk.decide(desk.case(desk.signed(), desk.signed(None, "stranger")))) == ["VF5024"]


def test_the_first_certificate_cannot_be_pushed_aside(desk: Desk) -> None:
    assert codes(desk.decide(desk.case(desk.signed(None, "stranger"), desk.signed()))) == ["VF5024"]


def test_every_reason_is_given_in_the_order_of_the_design(desk: Desk) -> None:
    (desk.model / "clean.jld2").write_bytes(b"?")
    statement = replace(prop(desk.statement, arithmetic="real"), resource_uri="none", expires=NOW - timedelta(days=1))
    case = replace(remembered(desk, line(desk)), certificates=(desk.signed(statement),))
    found = codes(desk.decide(case, lambda text: text.replace("2099-01-01", "2026-01-01")))
    assert found == ["VF6003", "VF5033", "VF6010", "VF6030", "VF6053", "VF6022"]


def test_deciding_changes_nothing(desk: Desk, tmp_path: Path) -> None:
    case = desk.case()
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    assert desk.decide(case) == desk.decide(case)
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before
