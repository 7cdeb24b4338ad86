"""The result document: its layout, its numbers, how it is written and read back."""

import json
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from result_fakes import DIGESTS, result_of

from verifluxa.errors import DataError, UsageError
from verifluxa.result.document import document, dumps
from verifluxa.result.read import read_result
from verifluxa.result.result import Result
from verifluxa.result.write import check_writable, write_result, write_whole
from verifluxa.verdict import Verdict


@pytest.fixture
def result(problem, falsified) -> Result:
    return result_of(problem, falsified)


def test_the_document_is_the_documented_one(result, snapshot):
    assert dumps(document(result)) == snapshot


def test_the_verdict_over_all_properties(result):
    certified = replace(result.properties[0], verdict=Verdict.CERTIFIED)
    assert replace(result, properties=(certified,)).verdict is Verdict.CERTIFIED
    assert replace(result, properties=(certified, result.properties[0])).verdict is Verdict.FALSIFIED


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(), inner, max_size=6),
    max_leaves=60,
)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(plain)
def test_readable_json_says_the_same_as_plain_json(value):
    assert json.loads(dumps(value)) == value


def test_long_maps_take_one_line_an_entry():
    lines = dumps({"places": [{"placement": {"row": n, "column": 1}, "found": "0/9"} for n in range(40)]}).splitlines()
    assert len(lines) == 44
    assert lines[2] == '    {"placement": {"row": 0, "column": 1}, "found": "0/9"},'


def test_numbers_that_json_does_not_know_are_refused():
    with pytest.raises(ValueError, match="not JSON compliant"):
        dumps({"margin": float("nan")})


def test_what_is_written_is_read_back(result, tmp_path):
    path = write_result(result, tmp_path / "deep" / "out")
    stored = read_result(path)
    assert json.loads(path.read_text()) == document(result)
    assert stored.spec.sha256 == DIGESTS[1]
    assert stored.params == (("max_rate", "1/2"),)
    assert [file.path for file in stored.models[0].files] == ["a/m.jld2", "a/architecture.txt"]
    found = stored.properties[0].counterexample
    assert found is not None
    assert (found.placement, found.target, found.inputs) == ((("row", 2), ("column", 0)), 1, (4, 9))
    assert found.trigger == [[1, 2, 3], [40, 50, 60.5]]


def test_files_are_found_from_the_start_folder_or_beside_the_result(result, tmp_path):
    stored = read_result(write_result(result, tmp_path))
    assert stored.locate("m.jld2") == Path("m.jld2")
    (tmp_path / "m.jld2").touch()
    assert stored.locate("m.jld2") == tmp_path / "m.jld2"
    assert read_result(write_result(result, tmp_path / "runs" / "out")).locate("m.jld2") == tmp_path / "m.jld2"


def test_nothing_half_written_is_left(result, tmp_path):
    path = write_result(result, tmp_path)
    write_whole(path, b"{}")
    assert path.read_bytes() == b"{}"
    assert [entry.name for entry in tmp_path.iterdir()] == ["result.json"]
    assert stat.S_IMODE(path.stat().st_mode) & stat.S_IRUSR


def test_a_place_that_cannot_be_written_is_said_before_the_work(tmp_path, result):
    (tmp_path / "file").touch()
    for check in (lambda: check_writable(tmp_path / "file" / "out"), lambda: write_result(result, tmp_path / "file")):
        with pytest.raises(UsageError) as caught:
            check()
        assert caught.value.code == "VF4406"
    check_writable(tmp_path / "not" / "yet")
    assert not (tmp_path / "not").exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1]",
        '{"schema": "other/1"}',
        "[" * 100_000,
        '{"schema": "verifluxa/result/1", "spec": 3}',
        '{"schema": "verifluxa/result/1", "params": {}, "spec": {"path": "a", "sha256": "md5:1"}}',
        "\xff",
    ],
)
def test_other_documents_are_refused(text, tmp_path):
    path = tmp_path / "result.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError) as caught:
        read_result(path)
    assert caught.value.code == "VF3901"


def test_every_missing_field_is_refused(result, tmp_path):
    whole = json.loads(dumps(document(result)))
    path = tmp_path / "result.json"
    for key in ("schema", "spec", "params", "models", "data", "arithmetic", "properties"):
        path.write_text(json.dumps({name: value for name, value in whole.items() if name != key}))
        with pytest.raises(DataError, match=key):
            read_result(path)


def test_what_is_no_file_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "missing.json"):
        with pytest.raises(DataError):
            read_result(path)
