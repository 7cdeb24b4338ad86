"""The evidence file: exact round trips, streaming, its schema, and what a record may not hold."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import verifluxa.certificate
from tests.certificate.evidence_samples import (
    CASES,
    CONFLICTS,
    DIGEST,
    HEADER,
    RECORDS,
    SLOPES,
    record,
    same,
    write,
)
from tests.certificate.steps import edited
from verifluxa.certificate.document import Fields, canonical_json, read_json
from verifluxa.certificate.evidence_file import EvidenceWriter, read_evidence
from verifluxa.certificate.evidence_lines import (
    End,
    Record,
    Row,
    decode_header,
    decode_record,
    encode_header,
    encode_record,
    header_of,
)
from verifluxa.errors import CertificateError
from verifluxa.evidence import (
    MOST_LEVELS,
    NOTHING_FOUND,
    Conflict,
    Counted,
    InputSplit,
    IntermediateSlopes,
    Node,
    Outcome,
    PrunedDisjunct,
    SlabSplit,
    Split,
    Unrecorded,
)
from verifluxa.graph.graph import chain
from verifluxa.graph.ops import Affine
from verifluxa.question import AffineInputMap, Domain, OutputConstraints, Placement, Problem, Question, Violation
from verifluxa.verdict import Verdict


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
        Question(0, 1, 0, 2),
        Verdict.CERTIFIED,
        None,
        NOTHING_FOUND,
        1,
        tree=Node([PrunedDisjunct(0, (2,))], Counted()),
        seconds=0.5,
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


def test_a_proof_too_long_to_be_read_again_is_left_out(tmp_path: Path) -> None:
    """The answer stays, and says of itself that it cannot be recomputed."""
    longest = max(len(canonical_json(encode_record(item))) for item in RECORDS)
    summary = write(tmp_path / "evidence.jsonl", RECORDS, longest - 1)
    items = list(read_evidence(tmp_path / "evidence.jsonl"))
    read = [item for item in items if isinstance(item, Record)]
    bare = [one for one, item in zip(read, RECORDS, strict=True) if not same(one, item)]
    assert [(item.tree, item.directions, item.verdict) for item in bare] == [
        (Node(step=Unrecorded()), None, Verdict.CERTIFIED)
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
        placements=(
            Placement((("row", 1),), AffineInputMap(np.array([0]), np.zeros(1), np.ones((1, 1)), np.zeros(1))),
        ),
        domain=Domain(np.zeros(1), np.ones(1), np.ones(1)),
        constraints=OutputConstraints(np.array([[1.0, -1.0]]), np.zeros(1), np.array([True])),
        violations=(Violation("target 0", 0, (((),), ((0,),))),),
        selections=(np.array([1]),),
        thresholds=(1,),
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
    halves = [Node(step=Counted(), anew=True), Node([PrunedDisjunct(0, (1,))], Counted())]
    validator.validate(encode_record(record(1, Node(step=Split(SlabSplit(0, 0.5), halves, ((0, 0, (1,)),))))))
    cases = InputSplit(((0, 1), (2, 1)))
    tree = Node(step=Split(cases, halves, ((0, 0, (1,)),), ((2, 1),)))
    validator.validate(encode_record(record(1, tree)))
    wrong = encode_record(record(1, edited(CONFLICTS, conflicts=(Conflict((), CASES),))))
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
def test_slopes_of_ends_are_as_many_as_they_should_be(wrong: IntermediateSlopes) -> None:
    flat = encode_record(record(0, edited(CONFLICTS, ends=(wrong,))))
    with pytest.raises(CertificateError, match="VF5005"):
        decode_record(Fields(flat, "record"))


def test_more_slopes_than_a_leaf_may_rest_on_are_refused() -> None:
    many = tuple(range(512))
    most = IntermediateSlopes(0, 1, many, (many,), bytes(MOST_LEVELS))
    assert most.fits
    flat = encode_record(record(0, edited(CONFLICTS, ends=(most,))))
    assert decode_record(Fields(flat, "record")).tree == edited(CONFLICTS, ends=(most,))
    flat = encode_record(record(0, edited(CONFLICTS, ends=(most, SLOPES))))
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
    tree = Node([PrunedDisjunct(int(i), (int(random.integers(9)),)) for i in range(97)], Counted())
    one = len(canonical_json(encode_record(record(676, tree)))) + 1
    assert one * 6760 < 6e6


def test_records_of_an_earlier_version_are_read_and_written_alike() -> None:
    """`records.jsonl` was written by another codec: trees with joint closings, conflicts and every kind of split."""
    lines = (Path(__file__).parent / "records.jsonl").read_bytes().splitlines()
    for line in lines:
        record = decode_record(Fields(read_json(line, "line"), "line"))
        assert canonical_json(encode_record(record)) == line
    assert all(any(mark in line for line in lines) for mark in (b'["j"', b'["c"', b'["b"', b'["s"', b'["n"', b'["i"'))


def test_the_schema_before_is_still_read() -> None:
    header = encode_header(HEADER) | {"schema": "verifluxa/evidence/2"}
    assert decode_header(Fields(header, "header")) == HEADER
