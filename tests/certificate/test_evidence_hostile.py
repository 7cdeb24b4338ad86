"""Evidence files that are broken, too large or forged give a code, never a crash."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

from tests.certificate.evidence_samples import (
    FINITE,
    HEADER,
    RECORDS,
    same,
    write,
)
from verifluxa.certificate.document import Fields, canonical_json
from verifluxa.certificate.evidence_file import FileLimits, read_evidence
from verifluxa.certificate.evidence_lines import (
    End,
    Header,
    decode_record,
    encode_header,
    encode_record,
)
from verifluxa.errors import CertificateError


def code_of(path: Path, limits: FileLimits | None = None) -> str:
    with pytest.raises(CertificateError) as caught:
        list(read_evidence(path, limits) if limits else read_evidence(path))
    return caught.value.code


HEAD, LAST = canonical_json(encode_header(HEADER)), b'{"end":{"questions":1,"leaves":1}}'
BODY = canonical_json(encode_record(RECORDS[0]))
BAD_FILES: dict[str, tuple[str, list[bytes]]] = {
    "empty": ("VF5041", []),
    "no end": ("VF5041", [HEAD, BODY]),
    "no header": ("VF5040", [BODY, LAST]),
    "end first": ("VF5040", [LAST]),
    "header in a section": ("VF5040", [HEAD, HEAD, LAST]),
    "record dropped": ("VF5040", [HEAD, LAST]),
    "record twice": ("VF5040", [HEAD, BODY, BODY, LAST]),
    "record after the end": ("VF5040", [HEAD, BODY, LAST, BODY]),
    "blank line": ("VF5001", [HEAD, b"", BODY, LAST]),
    "another schema": ("VF5010", [HEAD.replace(b"evidence/3", b"evidence/1"), BODY, LAST]),
    "key twice": ("VF5002", [HEAD, b'{"q":[0,0,0,1],"q":[0,0,0,1],"v":"certified","found":0,"proved":0}', LAST]),
    "deep": ("VF5003", [HEAD, b"[" * 13 + b"]" * 13, LAST]),
    "not an object": ("VF5005", [HEAD, b"[]", LAST]),
    "unknown field": ("VF5006", [HEAD, BODY.replace(b'"found"', b'"trust_me":1,"found"'), LAST]),
    "row without closed": ("VF5005", [HEAD.replace(b'"0",true]', b'"0"]'), BODY, LAST]),
    "row with a zero": ("VF5005", [HEAD.replace(b'[1,"0.1"]', b'[1,"0"]'), BODY, LAST]),
    "row not in order": ("VF5005", [HEAD.replace(b'[0,"1"]', b'[1,"1"]'), BODY, LAST]),
    "verdict": ("VF5005", [HEAD, BODY.replace(b"certified", b"fine"), LAST]),
    "question": ("VF5005", [HEAD, BODY.replace(b"[0,0,0,1]", b"[0,0,1]"), LAST]),
    "negative count": ("VF5005", [HEAD, BODY.replace(b'"found":0', b'"found":-1'), LAST]),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files(tmp_path: Path, case: str) -> None:
    code, lines = BAD_FILES[case]
    path = tmp_path / "evidence.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    assert code_of(path) == code


def test_messages(tmp_path: Path, snapshot: SnapshotAssertion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    messages = []
    for case in ("no end", "record dropped", "no header", "unknown field", "verdict"):
        Path("evidence.jsonl").write_bytes(b"".join(line + b"\n" for line in BAD_FILES[case][1]))
        with pytest.raises(CertificateError) as caught:
            list(read_evidence(Path("evidence.jsonl")))
        messages.append(str(caught.value))
    assert "\n\n".join(messages) == snapshot


def test_limits(tmp_path: Path) -> None:
    path = tmp_path / "evidence.jsonl"
    write(path, RECORDS)
    assert code_of(path, FileLimits(packed=100)) == "VF5003"
    assert code_of(path, FileLimits(text=100)) == "VF5003"
    assert code_of(path, FileLimits(line=100)) == "VF5003"
    assert code_of(tmp_path / "gone") == "VF5007"
    assert code_of(tmp_path) == "VF5007"


def test_last_line_must_end(tmp_path: Path) -> None:
    path = tmp_path / "evidence.jsonl"
    path.write_bytes(HEAD + b"\n" + BODY + b"\n" + LAST)
    assert code_of(path) == "VF5041"


def test_a_line_that_never_ends_is_given_up_early(tmp_path: Path) -> None:
    path = tmp_path / "bomb.jsonl.gz"
    pack = zlib.compressobj(wbits=31)
    path.write_bytes(b"".join([*(pack.compress(b" " * 2**20) for _ in range(64)), pack.flush()]))
    assert path.stat().st_size < 100_000
    assert code_of(path, FileLimits(line=2**20)) == "VF5003"


def test_badly_compressed(tmp_path: Path) -> None:
    path = tmp_path / "evidence.jsonl.gz"
    write(path, RECORDS)
    data = path.read_bytes()
    for changed in (data[:-9], data + b"x", data + data, data[:20] + bytes([data[20] ^ 255]) + data[21:]):
        path.write_bytes(changed)
        assert code_of(path) in {"VF5041", "VF5001"}


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.data())
def test_mutated_files_give_items_or_a_code(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    path = tmp_path_factory.getbasetemp() / "mutated.jsonl"
    write(path, RECORDS)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(content) - 1))
        choice = data.draw(st.sampled_from(["flip", "cut", "insert"]))
        if choice == "flip":
            content[position] = data.draw(st.integers(0, 255))
        elif choice == "cut":
            del content[position : position + data.draw(st.integers(1, 30))]
        else:
            content[position:position] = data.draw(st.sampled_from([b"[", b"]", b'"', b"-", b"0", b",", b"\n", b"1e9"]))
        if not content:
            break
    path.write_bytes(bytes(content))
    code = ""
    try:
        items = list(read_evidence(path))
        assert isinstance(items[0], Header)
        assert isinstance(items[-1], End)
    except CertificateError as error:
        code = error.code
    assert code in {"", "VF5001", "VF5002", "VF5003", "VF5004", "VF5005", "VF5006", "VF5040", "VF5041"}


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 50) | FINITE | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    st.dictionaries(st.sampled_from(["q", "v", "r", "found", "proved", "tree", "directions", "witness"]), JSON_VALUES)
)
def test_any_record_gives_a_value_or_a_code(changes: dict[str, Any]) -> None:
    value = {**encode_record(RECORDS[1]), **changes}
    code = ""
    try:
        read = decode_record(Fields(value, "record"))
        assert same(decode_record(Fields(encode_record(read), "record")), read)
    except CertificateError as error:
        code = error.code
    assert code in {"", "VF5005", "VF5006"}
