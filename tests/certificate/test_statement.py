"""Building, writing and reading statements: exact round trip, the schema, and everything that is refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

import verifluxa.certificate
from verifluxa.certificate.build import Facts, build_statement
from verifluxa.certificate.document import canonical_json
from verifluxa.certificate.encode import encode_statement, indices_digest, statement_json
from verifluxa.certificate.parse import parse_statement
from verifluxa.certificate.show import show_statement
from verifluxa.certificate.statement import PREDICATE_TYPE, Statement
from verifluxa.certificate.svr import encode_svr, svr_json
from verifluxa.errors import CertificateError
from verifluxa.verdict import Verdict

SCHEMAS = Path(verifluxa.certificate.__file__).parent / "schema"


def validate(value: Any, name: str) -> None:
    schema = json.loads((SCHEMAS / name).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(value)


def test_what_is_built_is_what_is_read(statement: Statement) -> None:
    assert parse_statement(encode_statement(statement)) == statement
    assert encode_statement(parse_statement(encode_statement(statement))) == encode_statement(statement)


def test_golden(statement: Statement, snapshot: SnapshotAssertion) -> None:
    fixed = replace(statement, verifier=replace(statement.verifier, versions=(("verifluxa", "0.1.0"),)))
    assert json.dumps(statement_json(fixed), indent=1, sort_keys=True) == snapshot(name="statement")
    assert json.dumps(svr_json(fixed), indent=1, sort_keys=True) == snapshot(name="svr")
    assert show_statement(fixed, "NOT signed") == snapshot(name="show")


def test_statements_fit_their_schemas(statement: Statement) -> None:
    validate(statement_json(statement), "statement.schema.json")
    validate(svr_json(statement), "svr.schema.json")
    validate(svr_json(replace(statement, policy="sha256:" + "9" * 64)), "svr.schema.json")


def test_svr_lists_only_what_passed(statement: Statement) -> None:
    passed = json.loads(encode_svr(statement))["predicate"]["properties"]
    assert passed == ["VERIFLUXA_CERTIFIED:holds:float32:sha256:" + "a" * 64]


def test_facts_are_where_they_belong(statement: Statement) -> None:
    first, second, third = statement.properties
    assert first.coverage.leaves == 5
    assert first.method == "attack+crown"
    assert first.bound is not None
    assert first.bound[1].value == Fraction(1, 3)
    assert second.counterexample is not None
    assert second.counterexample.trigger == (("255", "0"), ("1.5", "3"))
    assert third.verdict is Verdict.UNKNOWN
    assert statement.data[first.data].indices == indices_digest([17, 18, 20])
    assert statement.data[third.data].excluded == ((18, "not correct"),)
    assert first.data == second.data != third.data
    assert dict(statement.verifier.versions).keys() == {"verifluxa", "numpy", "python", "torch"}
    assert statement.time_verified.microsecond == 0
    assert statement.expires > statement.time_verified


Edit = Callable[[dict[str, Any]], Any]


def edited(statement: Statement, edit: Edit) -> bytes:
    value = copy.deepcopy(statement_json(statement))
    edit(value)
    return canonical_json(value)


def in_property(index: int, **changes: Any) -> Edit:
    return lambda value: value["predicate"]["properties"][index].update(changes)


def in_coverage(index: int, **changes: Any) -> Edit:
    return lambda value: value["predicate"]["properties"][index]["coverage"].update(changes)


def in_predicate(**changes: Any) -> Edit:
    return lambda value: value["predicate"].update(changes)


REFUSED: dict[str, tuple[str, Edit]] = {
    "statement type": ("VF5010", lambda v: v.update({"_type": "https://in-toto.io/Statement/v0.1"})),
    "predicate type": ("VF5010", lambda v: v.update(predicateType=PREDICATE_TYPE + "1")),
    "predicate type is a list": ("VF5005", lambda v: v.update(predicateType=[])),
    "no subject": ("VF5005", lambda v: v.update(subject=[])),
    "subject is a path": ("VF5005", lambda v: v["subject"][0].update(name="../clean.jld2")),
    "subject with md5": ("VF5006", lambda v: v["subject"][0]["digest"].update(md5="0" * 32)),
    "subject twice": ("VF5011", lambda v: v["subject"].append(v["subject"][0])),
    "unknown field": ("VF5006", lambda v: v.update(note="hello")),
    "unknown field in the predicate": ("VF5006", in_predicate(onlyOnWeekdays=True)),
    "unknown field in a property": ("VF5006", in_property(0, exceptFor=[3])),
    "no expiry": ("VF5005", lambda v: v["predicate"].pop("expires")),
    "expiry is no time": ("VF5005", in_predicate(expires="2026-02-30T00:00:00Z")),
    "expiry with an offset": ("VF5005", in_predicate(expires="2026-02-03T00:00:00+01:00")),
    "expires before it was made": ("VF5011", in_predicate(expires="2020-01-01T00:00:00Z")),
    "policy is words": ("VF5005", in_predicate(policy="any")),
    "verdict is new": ("VF5005", in_predicate(verdict="mostly")),
    "verdict is better than its properties": ("VF5011", in_predicate(verdict="certified")),
    "no property": ("VF5011", in_predicate(properties=[])),
    "no model": ("VF5011", in_predicate(models=[])),
    "count is a string": ("VF5005", in_coverage(0, unknown="0")),
    "count is true": ("VF5005", in_coverage(0, unknown=True)),
    "count is negative": ("VF5005", in_coverage(0, unknown=-1)),
    "certified with an unknown": ("VF5011", in_coverage(0, unknown=1)),
    "certified for no input": (
        "VF5011",
        lambda v: (v["predicate"]["data"][0].update(counted=0), in_coverage(0, inputs=0)(v)),
    ),
    "certified with nothing asked": ("VF5011", in_coverage(0, questions=0, certified=0)),
    "certified without evidence": ("VF5011", in_property(0, evidence="none")),
    "fewer leaves than questions": ("VF5011", in_coverage(0, leaves=3)),
    "falsified without a counterexample": ("VF5011", in_property(1, counterexample=None)),
    "falsified called certified": ("VF5011", in_property(1, verdict="certified")),
    "unknown without a reason": ("VF5011", in_property(2, reason=None)),
    "another number of inputs": ("VF5011", in_coverage(0, inputs=4)),
    "data set out of range": ("VF5011", in_property(0, data=7)),
    "bound not in order": (
        "VF5011",
        in_property(
            0,
            bound={
                "found": {"exact": "2/3", "hex": "0x1.5555555555555p-1", "decimal": "0.666666"},
                "proved": {"exact": "1/2", "hex": "0x1.0000000000000p-1", "decimal": "0.5"},
            },
        ),
    ),
    "bound as a number": ("VF5005", in_property(0, bound={"found": 0, "proved": 1})),
    "assumptions shortened": ("VF5005", lambda v: v["predicate"]["properties"][0]["population"].update(assumptions="")),
    "population above 1": ("VF5005", lambda v: v["predicate"]["properties"][0]["population"].update(bound="1.5")),
    "trigger with a number": (
        "VF5005",
        lambda v: v["predicate"]["properties"][1]["counterexample"].update(trigger=[1]),
    ),
    "digest in capitals": ("VF5005", in_property(0, digest="sha256:" + "A" * 64)),
    "null byte": ("VF5005", in_predicate(resourceUri="a\x00b")),
    "predicate is an array": ("VF5005", lambda v: v.update(predicate=[])),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(statement: Statement, case: str) -> None:
    code, edit = REFUSED[case]
    with pytest.raises(CertificateError) as caught:
        parse_statement(edited(statement, edit))
    assert caught.value.code == code


def test_messages(statement: Statement, snapshot: SnapshotAssertion) -> None:
    messages = []
    for case in ("predicate type", "no expiry", "count is a string", "unknown field", "certified with an unknown"):
        with pytest.raises(CertificateError) as caught:
            parse_statement(edited(statement, REFUSED[case][1]))
        messages.append(str(caught.value))
    assert "\n\n".join(messages) == snapshot


def test_extensions_are_ignored(statement: Statement) -> None:
    read = parse_statement(edited(statement, in_predicate(x_ticket="T-1")))
    assert read == replace(statement, extensions=("certificate.predicate.x_ticket",))


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    return [path, *(found for key, item in items for found in paths(item, (*path, key)))]


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.data())
def test_a_missing_or_mistyped_field_is_always_refused(data: st.DataObject) -> None:
    """Nothing may be optional: any object key taken away, or any value replaced by another type, is refused."""
    from_result = FIXED[0]
    value = copy.deepcopy(from_result)
    free = ("params", "versions", "placement")
    path = data.draw(st.sampled_from([p for p in paths(value) if p and not any(name in p for name in free)]))
    parent = value
    for key in path[:-1]:
        parent = parent[key]
    if isinstance(parent, dict) and data.draw(st.booleans()):
        del parent[path[-1]]
    else:
        parent[path[-1]] = data.draw(st.sampled_from([{"y": 1}, "\x01", -7, [{"y": 1}]]))
    with pytest.raises(CertificateError):
        parse_statement(canonical_json(value))


FIXED: list[Any] = []


@pytest.fixture(autouse=True)
def _fixed(statement: Statement) -> None:
    FIXED[:] = [statement_json(statement)]


def test_a_result_that_contradicts_itself_is_not_certified(result: dict[str, Any], facts: Facts) -> None:
    result["properties"][0]["questions"]["unknown"] = 1
    with pytest.raises(CertificateError) as caught:
        build_statement(result, facts)
    assert caught.value.code == "VF5011"


def test_a_result_without_a_field(result: dict[str, Any], facts: Facts) -> None:
    del result["arithmetic"]
    with pytest.raises(CertificateError) as caught:
        build_statement(result, facts)
    assert caught.value.code == "VF5005"


def test_time_is_utc(result: dict[str, Any], facts: Facts) -> None:
    local = replace(facts, time_verified=datetime.fromisoformat("2026-01-31T14:00:00+02:00"))
    predicate: Any = statement_json(build_statement(result, local))["predicate"]
    assert predicate["timeVerified"] == "2026-01-31T12:00:00Z"
