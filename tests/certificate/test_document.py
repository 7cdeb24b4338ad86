"""Strict JSON: what is refused with which code, and the canonical form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verifluxa.certificate.document import LARGEST_INTEGER, Limits, canonical_json, read_bytes, read_json
from verifluxa.errors import CertificateError


def code_of(data: bytes, **options: Any) -> str:
    with pytest.raises(CertificateError) as caught:
        read_json(data, "document", **options)
    assert caught.value.remedy
    return caught.value.code


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "VF5001"),
        (b"{", "VF5001"),
        (b"[1] [2]", "VF5001"),
        (b"{'a': 1}", "VF5001"),
        (b'"\xff"', "VF5001"),
        (b'"\\ud800"', "VF5001"),
        (b'{"\\udfff": 1}', "VF5001"),
        (b"\xef\xbb\xbf{}", "VF5001"),
        (b'"tab\there"', "VF5001"),
        (b"[}", "VF5001"),
        (b'{"a": 1, "a": 2}', "VF5002"),
        (b'{"a": 1, "\\u0061": 2}', "VF5002"),
        (b'[{"x": {"b": [], "c": 1, "b": []}}]', "VF5002"),
        (b"NaN", "VF5004"),
        (b"[Infinity]", "VF5004"),
        (b"-Infinity", "VF5004"),
        (b"1e999", "VF5004"),
        (b"9007199254740993", "VF5004"),
        (b"-9007199254740993", "VF5004"),
        (b"[" + b"1" * 100_000 + b"]", "VF5004"),
    ],
)
def test_refused(data: bytes, code: str) -> None:
    assert code_of(data) == code


def test_size_and_depth() -> None:
    assert code_of(b"[" + b"1," * 20 + b"1]", limits=Limits(size=10)) == "VF5003"
    assert code_of(b"[" * 33 + b"]" * 33) == "VF5003"
    assert code_of(b"[" * 100_000) == "VF5003"
    assert code_of(b'{"a":' * 100_000) == "VF5003"
    assert read_json(b"[" * 32 + b"]" * 32, "document") is not None


def test_brackets_inside_strings_are_not_depth() -> None:
    assert read_json(b'["' + b"[" * 100 + b'", "\\"[[", "\\\\"]', "document") == ["[" * 100, '"[[', "\\"]


def test_unterminated_string_with_many_escapes_is_refused() -> None:
    assert code_of(b'"' + b'\\"' * 1_000_000) == "VF5001"
    assert code_of(b'"' + b"\\") == "VF5001"


def test_largest_integer_is_read() -> None:
    assert read_json(str(LARGEST_INTEGER).encode(), "document") == LARGEST_INTEGER


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-LARGEST_INTEGER, LARGEST_INTEGER) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(JSON_VALUES)
def test_canonical_form_is_read_back_and_is_unique(value: Any) -> None:
    data = canonical_json(value)
    assert read_json(data, "document") == value
    assert canonical_json(json.loads(data)) == data


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:\\u0dae1-+.NIf ', max_size=60).map(str.encode))
def test_any_bytes_give_a_value_or_a_code(data: bytes) -> None:
    code = ""
    try:
        assert read_json(data, "document") == json.loads(data)
    except CertificateError as error:
        code = error.code
    assert code in {"", "VF5001", "VF5002", "VF5003", "VF5004"}


@pytest.mark.parametrize("value", [0.5, [1.0], {"a": 2**53 + 1}, {1: "a"}])
def test_canonical_form_refuses_numbers_that_readers_round(value: Any) -> None:
    with pytest.raises(ValueError, match=r"belongs in a string|not a string"):
        canonical_json(value)


def test_canonical_form() -> None:
    assert canonical_json({"b": [1, None, True], "a": "é\n"}) == '{"a":"é\\n","b":[1,null,true]}'.encode()


def test_files(tmp_path: Path) -> None:
    with pytest.raises(CertificateError) as caught:
        read_bytes(tmp_path / "missing")
    assert caught.value.code == "VF5007"
    with pytest.raises(CertificateError) as caught:
        read_bytes(tmp_path)
    assert caught.value.code == "VF5007"
    (tmp_path / "file").write_bytes(b"12345")
    with pytest.raises(CertificateError) as caught:
        read_bytes(tmp_path / "file", 4)
    assert caught.value.code == "VF5003"
    assert read_bytes(tmp_path / "file", 5) == b"12345"
