"""The evidence file: exact round trips, streaming, limits, and hostile files."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion

import verifluxa.certificate
from verifluxa.certificate import conflict_codec, evidence_lines
from verifluxa.certificate.document import canonical_json
from verifluxa.certificate.evidence_file import EvidenceWriter, FileLimits, read_evidence
from verifluxa.certificate.evidence_lines import (
    End,
    Header,
    Record,
    Row,
    decode_record,
    encode_header,
    encode_record,
    header_of,
)
from verifluxa.certificate.fields import Fields
from verifluxa.errors import CertificateError
from verifluxa.evidence import (
    Case,
    Conflict,
    Dropped,
    Ends,
    InputSplit,
    Joint,
    NeuronSplit,
    Node,
    Outcome,
    Steered,
    StripSplit,
    Weighted,
    Witness,
)
from verifluxa.graph.graph import chain
from verifluxa.graph.ops import Affine
from verifluxa.question import Domain, Placement, Problem, Question, Rows, Stamp, Violation
from verifluxa.verdict import Reason, Verdict

DIGEST = "sha256:" + "d" * 64
HEADER = Header(
    property="no_trigger",
    digest=DIGEST,
    graph=DIGEST,
    data=DIGEST,
    arithmetic="float32",
    inputs=(3, 5, 8),
    placements=((("row", 0), ("column", 1)), (("row", 4), ("column", 2))),
    violations=("target 0", "target 1"),
    selections=((0, 2), (1,)),
    needs=(1, 1),
    pairs=((0, 0), (1, 1)),
    rows=(Row(((0, 1.0), (1, -1.0)), 0.0, True), Row(((1, 0.1),), -0.5, False)),
)

FINITE = st.floats(allow_nan=False, allow_infinity=False)


def record(index: int = 0, tree: Node | None = None, **changes: Any) -> Record:
    parts: dict[str, Any] = {"verdict": Verdict.CERTIFIED, "reason": None, "found": 0, "proved": 1, "tree": tree}
    return Record(Question(index, 0, 0, 1), **{**parts, **changes})


def same(first: Record, second: Record) -> bool:
    return encode_record(first) == encode_record(second) and (first.tree, first.question) == (
        second.tree,
        second.question,
    )


PLANE = Steered(0, 1, 2, 0.5, ("00ff", ""), ((0, 3, -1.5),))
BARE = PLANE._replace(slopes=(), pushes=())
CLIPPED = Case((BARE, PLANE), NeuronSplit(0, 0, 2), (Case((PLANE,)), Case((BARE,))))
CASES = Case(split=NeuronSplit(0, 1, 3), children=(Case((PLANE,)), CLIPPED))
SLOPES = Ends(2, 1, (0, 3), ((1, 2),), bytes(range(8)))
CONFLICTS = Node(closed=True, conflicts=(Conflict(((0, 1), (2, 0)), CASES),), ends=(SLOPES,))
RECORDS = [
    record(0, Node([Dropped(0, (1,))], closed=True)),
    record(
        1,
        Node([], StripSplit(1, -0.1), [Node(closed=True), Node()]),
        directions=np.array([[0.1, -0.0], [1e-300, 3.0]]),
    ),
    record(2, None, verdict=Verdict.UNKNOWN, reason=Reason.TIME, proved=3),
    record(
        5,
        Node(
            [Dropped(2, (-1, 3)), Dropped(3, (-2,), (1,))],
            closed=True,
            joint=Joint(
                branch_on=4,
                children=(Joint((Weighted(0, 1, 2, True, 0.25),), (0.5,)), Joint((Weighted(1, 0, 3, False, 1e-9),))),
            ),
            clips=((0, 1, (2, 2)),),
            point=(255.0, 0.5),
        ),
    ),
    record(
        3,
        None,
        verdict=Verdict.FALSIFIED,
        found=2,
        witness=Witness(np.array([255.0, 0.5, -0.0]), (0, 2), (0.25, 1e-12), 1),
    ),
    record(6, CONFLICTS),
]


def write(path: Path, records: list[Record], sections: int = 1) -> Any:
    with EvidenceWriter(path) as writer:
        for _ in range(sections):
            writer.begin(HEADER)
            for item in records:
                writer.write_record(item)
            writer.end()
        return writer.close()


@pytest.mark.parametrize("name", ["evidence.jsonl", "evidence.jsonl.gz"])
def test_files_round_trip_exactly(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    summary = write(path, RECORDS, sections=2)
    assert summary.sha256 == "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
    assert summary.size == path.stat().st_size
    assert summary.leaves("no_trigger") == 5
    items = list(read_evidence(path))
    assert items[0] == items[8] == HEADER
    assert items[7] == items[15] == End(6, 5)
    for written, read in zip(RECORDS, items[1:7], strict=True):
        assert isinstance(read, Record)
        assert same(written, read)
    directions, witness = items[2], items[5]
    assert isinstance(directions, Record)
    assert isinstance(witness, Record)
    assert directions.directions is not None
    assert np.array_equal(np.signbit(directions.directions), [[False, True], [False, False]])
    assert witness.witness is not None
    assert witness.witness.trigger.tolist() == [255.0, 0.5, 0.0]
    assert np.signbit(witness.witness.trigger[2])


def test_compressed_files_are_reproducible(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a.jsonl.gz", RECORDS), write(tmp_path / "b.jsonl.gz", RECORDS)
    assert first.sha256 == second.sha256
    assert gzip.decompress((tmp_path / "a.jsonl.gz").read_bytes()).count(b"\n") == 8


def test_each_record_reaches_the_file_at_once(tmp_path: Path) -> None:
    with EvidenceWriter(tmp_path / "evidence.jsonl") as writer:
        writer.begin(HEADER)
        for count, item in enumerate(RECORDS, start=2):
            writer.write_record(item)
            assert (tmp_path / "evidence.jsonl").read_bytes().count(b"\n") == count


def test_outcomes_are_written(tmp_path: Path) -> None:
    outcome = Outcome(
        Question(0, 1, 0, 2), Verdict.CERTIFIED, None, 0, 1, tree=Node([Dropped(0, (2,))], closed=True), seconds=0.5
    )
    with EvidenceWriter(tmp_path / "evidence.jsonl") as writer:
        writer.begin(HEADER)
        writer.write(outcome)
        writer.end()
        writer.close()
    read = list(read_evidence(tmp_path / "evidence.jsonl"))[1]
    assert isinstance(read, Record)
    assert read.tree == outcome.tree
    assert read.question == outcome.question


def test_a_proof_too_long_to_be_read_again_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer stays, and says of itself that it cannot be recomputed."""
    longest = max(len(canonical_json(encode_record(item))) for item in RECORDS)
    monkeypatch.setattr(evidence_lines, "LONGEST", longest - 1)
    summary = write(tmp_path / "evidence.jsonl", RECORDS)
    items = list(read_evidence(tmp_path / "evidence.jsonl"))
    read = [item for item in items if isinstance(item, Record)]
    bare = [one for one, item in zip(read, RECORDS, strict=True) if not same(one, item)]
    assert [(item.tree, item.directions, item.verdict) for item in bare] == [
        (Node(closed=True, smt=True), None, Verdict.CERTIFIED)
    ]
    assert summary.leaves("no_trigger") == sum(item.leaves for item in read)


def test_misuse_of_the_writer(tmp_path: Path) -> None:
    with EvidenceWriter(tmp_path / "evidence.jsonl") as writer:
        with pytest.raises(ValueError, match="no section"):
            writer.write_record(RECORDS[0])
        with pytest.raises(ValueError, match="no section"):
            writer.end()
        writer.begin(HEADER)
        with pytest.raises(ValueError, match="is open"):
            writer.begin(HEADER)
        with pytest.raises(ValueError, match="is open"):
            writer.close()


def test_header_of_a_problem() -> None:
    problem = Problem(
        name="p",
        digest=DIGEST,
        graph=chain((2,), [Affine(np.eye(2, dtype=np.float32))]),
        inputs=np.zeros((2, 2)),
        labels=np.array([0, 1]),
        indices=(4, 9),
        excluded=(),
        placements=(Placement((("row", 1),), Stamp(np.array([0]), np.zeros(1), np.ones((1, 1)), np.zeros(1))),),
        domain=Domain(np.zeros(1), np.ones(1), np.ones(1)),
        rows=Rows(np.array([[1.0, -1.0]]), np.zeros(1), np.array([True])),
        violations=(Violation("target 0", 0, (((),), ((0,),))),),
        selections=(np.array([1]),),
        needs=(1,),
        pairs=((0, 0),),
        per_input=False,
    )
    header = header_of(problem, DIGEST)
    assert header.selections == ((1,),)
    assert header.placements == ((("row", 1),),)
    assert header.rows == (Row(((0, 1.0), (1, -1.0)), 0.0, True),)
    assert json.loads(canonical_json(encode_header(header)))["inputs"] == [4, 9]


def test_lines_fit_the_schema(tmp_path: Path) -> None:
    folder = Path(verifluxa.certificate.__file__).parent / "schema"
    validator = jsonschema.Draft202012Validator(json.loads((folder / "evidence.schema.json").read_text("utf-8")))
    write(tmp_path / "evidence.jsonl", RECORDS)
    for line in (tmp_path / "evidence.jsonl").read_bytes().splitlines():
        validator.validate(json.loads(line))
    halves = [Node(closed=True, anew=True), Node([Dropped(0, (1,))], closed=True)]
    validator.validate(encode_record(record(1, Node(split=StripSplit(0, 0.5), children=halves, clips=((0, 0, (1,)),)))))
    cases = InputSplit(((0, 1), (2, 1)))
    tree = Node(split=cases, children=halves, clips=((0, 0, (1,)),), shared=((2, 1),))
    validator.validate(encode_record(record(1, tree)))
    wrong = encode_record(record(1, replace(CONFLICTS, conflicts=(Conflict((), CASES),))))
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        SLOPES._replace(levels=bytes(7)),
        SLOPES._replace(neurons=(3, 0)),
        SLOPES._replace(neurons=(0, 0)),
        SLOPES._replace(bent=((2, 1),)),
        SLOPES._replace(bent=((1,), (2,))),
        SLOPES._replace(layer=-1),
    ],
)
def test_slopes_of_ends_are_as_many_as_they_should_be(wrong: Ends) -> None:
    flat = encode_record(record(0, replace(CONFLICTS, ends=(wrong,))))
    with pytest.raises(CertificateError, match="VF5005"):
        decode_record(Fields(flat, "record"))


def test_more_slopes_than_a_leaf_may_rest_on_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    flat = encode_record(record(0, replace(CONFLICTS, ends=(SLOPES, SLOPES))))
    monkeypatch.setattr(conflict_codec, "MOST_LEVELS", 16)
    assert decode_record(Fields(flat, "record")).tree == replace(CONFLICTS, ends=(SLOPES, SLOPES))
    monkeypatch.setattr(conflict_codec, "MOST_LEVELS", 15)
    with pytest.raises(CertificateError, match="VF5005"):
        decode_record(Fields(flat, "record"))


@pytest.mark.parametrize("text", ["AAECAwQFBgc", "AAECAwQFBgd=", "AAECAw QFBgc=", "AAECAwQFBg-_", ""])
def test_levels_have_one_text(text: str) -> None:
    flat = encode_record(record(0, CONFLICTS))
    changed = json.loads(json.dumps(flat).replace("AAECAwQFBgc=", text))
    assert changed != flat
    with pytest.raises(CertificateError, match="VF5005"):
        decode_record(Fields(changed, "record"))


def test_size_of_a_digit_proof(tmp_path: Path) -> None:
    """6,760 questions that each drop 97 inputs by one of nine rows: under 6 MB, far below the limit."""
    random = np.random.default_rng(0)
    tree = Node([Dropped(int(i), (int(random.integers(9)),)) for i in range(97)], closed=True)
    one = len(canonical_json(encode_record(record(676, tree)))) + 1
    assert one * 6760 < 6e6


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
    "another schema": ("VF5010", [HEAD.replace(b"evidence/2", b"evidence/1"), BODY, LAST]),
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
