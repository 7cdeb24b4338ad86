"""Fuzzed certificates: whatever the bytes are, the gate decides, and permits only what the trusted key signed."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.gate.desk import Desk
from verifluxa.certificate.encode import encode_statement
from verifluxa.certificate.parse import parse_statement
from verifluxa.errors import CertificateError

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-3, 10**6), st.text(max_size=8), st.just("none"), st.just([]))
QUICK = settings(
    max_examples=120, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def envelope(desk: Desk) -> bytes:
    return desk.signed()


@QUICK
@given(st.data())
def test_bytes_of_an_envelope(desk: Desk, envelope: bytes, data: st.DataObject) -> None:
    """No edit of a signed envelope is permitted unless it still carries the same payload and a valid signature."""
    start = data.draw(st.integers(0, len(envelope)))
    end = data.draw(st.integers(start, min(len(envelope), start + 20)))
    changed = envelope[:start] + data.draw(st.binary(max_size=20)) + envelope[end:]
    decision = desk.decide(desk.case(changed))
    if decision.permitted:
        assert base64.b64decode(json.loads(changed)["payload"]) == encode_statement(desk.statement)


@QUICK
@given(st.data())
def test_signed_statements_with_any_field_changed(desk: Desk, data: st.DataObject) -> None:
    """Even the trusted signer cannot get a changed claim through: each field is demanded, checked, or says nothing."""
    _change_a_field(desk, data)


def _change_a_field(desk: Desk, data: st.DataObject) -> None:
    value = json.loads(encode_statement(desk.statement))
    path = _somewhere(value, data)
    before = _get(value, path)
    _set(value, path, data.draw(SCALARS))
    if _get(value, path) == before:
        return
    decision = desk.decide(desk.case(desk.sealed(json.dumps(value).encode())))
    if decision.permitted:
        assert _says_nothing(path), path


@pytest.mark.soak
@settings(QUICK, max_examples=4000, derandomize=False)
@given(st.data())
def test_signed_statements_with_any_field_changed_at_length(desk: Desk, data: st.DataObject) -> None:
    _change_a_field(desk, data)


@QUICK
@given(st.binary(max_size=300))
def test_any_bytes_at_all(desk: Desk, data: bytes) -> None:
    assert not desk.decide(desk.case(data)).permitted
    assert not desk.decide(desk.case(desk.sealed(data))).permitted
    try:
        parse_statement(data)
    except CertificateError:
        return
    raise AssertionError("random bytes are no statement")


def _somewhere(value: Any, data: st.DataObject) -> list[Any]:
    """A path to a value inside a JSON document."""
    path: list[Any] = []
    while isinstance(value, (dict, list)) and value and (not path or data.draw(st.integers(0, 4))):
        key = data.draw(st.sampled_from(sorted(value) if isinstance(value, dict) else range(len(value))))
        path.append(key)
        value = value[key]
    return path


def _get(value: Any, path: list[Any]) -> Any:
    for key in path:
        value = value[key]
    return value


def _set(value: Any, path: list[Any], new: Any) -> None:
    _get(value, path[:-1])[path[-1]] = new


FREE = {
    ("predicate", "strategy"),
    ("predicate", "materials"),
    ("predicate", "models"),
    ("predicate", "params"),
    ("predicate", "verifier"),
    ("predicate", "data"),
    ("predicate", "properties"),
}
SILENT = {
    "name",
    "method",
    "bound",
    "population",
    "leaves",
    "inputs",
    "placements",
    "targets",
    "questions",
    "certified",
    "evidence",
}
"""Fields of a property that say more than the policy demands: other names, larger numbers, other bounds."""
SILENT_DATA = {"name", "selection", "indices", "excluded", "index", "reason", "counted"}


def _says_nothing(path: list[Any]) -> bool:
    """Whether a field may differ without weakening what the policy demands."""
    if tuple(path[:2]) not in FREE:
        return False
    names = [key for key in path[2:] if isinstance(key, str)]
    if path[1] == "properties":
        return bool(names) and names[0] in SILENT | {"coverage", "data"} and names[-1] not in ("unknown", "falsified")
    if path[1] == "data":
        return bool(names) and names[0] in SILENT_DATA
    return True
