"""From a run's result and its evidence to a certificate."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from verifluxa.certificate.encode import encode_statement, indices_digest
from verifluxa.certificate.evidence_file import EvidenceSummary, EvidenceWriter, read_evidence
from verifluxa.certificate.evidence_lines import End, Header, Record, header_of
from verifluxa.certificate.of_result import certificate_of
from verifluxa.certificate.parse import parse_statement
from verifluxa.certificate.selection import selection_words
from verifluxa.errors import CertificateError, Span
from verifluxa.evidence import NOTHING_FOUND, Counted, Node, Outcome, PrunedDisjunct
from verifluxa.graph.graph import chain
from verifluxa.graph.ops import Affine
from verifluxa.question import AffineInputMap, Domain, OutputConstraints, Placement, Problem, Question, Violation
from verifluxa.result.result import (
    Counts,
    DataUsed,
    FileUsed,
    Machine,
    ModelUsed,
    Properties,
    PropertyResult,
    Result,
    Share,
)
from verifluxa.spec.spec import DataDecl, Property, RateBound, Selection, Spec
from verifluxa.spec.triggers.patch import PatchTrigger
from verifluxa.verdict import Reason, Verdict

DIGEST = "sha256:" + "d" * 64
SPAN = Span("s.vfx", 1, 1, 1, 2)
WHEN = datetime(2026, 1, 31, tzinfo=UTC)
DATA, GRAPH = "sha256:" + "4" * 64, "sha256:" + "3" * 64
TRIGGER = PatchTrigger("patch", "digit", 1, 1, ((0, 0),), Fraction(0), Fraction(1), 1)
SPEC = Spec(
    path="s.vfx",
    sha256=DIGEST,
    spaces=(),
    models=(),
    data=(DataDecl("eval", "digit", None, None, 3, 0, SPAN),),
    triggers=(TRIGGER,),
    params=(),
    properties=(Property("holds", None, RateBound("digits", TRIGGER, Selection("eval"), (0,), Fraction(1, 2)), SPAN),),
)


def problem() -> Problem:
    return Problem(
        name="holds",
        digest=DIGEST,
        graph=chain((2,), [Affine(np.eye(2, dtype=np.float32))]),
        inputs=np.zeros((2, 2)),
        labels=np.array([1, 1]),
        indices=(4, 9),
        excluded=((5, "not correct"),),
        placements=(
            Placement((("row", 1),), AffineInputMap(np.array([0]), np.zeros(1), np.ones((1, 1)), np.zeros(1))),
        ),
        domain=Domain(np.zeros(1), np.ones(1), np.ones(1)),
        constraints=OutputConstraints(np.array([[1.0, -1.0]]), np.zeros(1), np.array([True])),
        violations=(Violation("target 0", 0, ((), ((0,),))),),
        selections=(np.array([0, 1]),),
        thresholds=(2,),
        pairs=((0, 0),),
        per_input=False,
    )


def property_result(**changes: Any) -> PropertyResult:
    parts: dict[str, Any] = {
        "name": "holds",
        "words": "words",
        "span": SPAN,
        "verdict": Verdict.CERTIFIED,
        "reason": None,
        "digest": DIGEST,
        "limit": Fraction(1, 2),
        "found": Share(0, 2),
        "proved": Share(1, 2),
        "counts": Counts(1, 1, 0, 0, 0),
        "counted": 2,
        "per_input": (),
        "places": (),
        "unknown": (),
        "counterexample": None,
        "stages": {"crown": 1.0},
        "seconds": 1.0,
        "problem": problem(),
    }
    return PropertyResult(**{**parts, **changes})


def result(*properties: PropertyResult) -> Result:
    model = ModelUsed(
        FileUsed("digits", "models/clean.jld2", "sha256:" + "2" * 64),
        GRAPH,
        "jld2",
        "0.16.7",
        "float32",
        FileUsed("digits", "models/architecture.txt", "sha256:" + "6" * 64),
    )
    return Result(
        version="0.1.0",
        spec=FileUsed("spec", "s.vfx", DIGEST),
        params=(("max_rate", Fraction(1, 2)),),
        models=(model,),
        data=(DataUsed(FileUsed("eval", "eval.npz", DATA), 2, ()),),
        strategy=("balanced", DIGEST),
        arithmetic="real",
        properties=Properties(properties),
        machine=Machine("laptop", 1, "cpu"),
    )


def evidence(path: Path) -> EvidenceSummary:
    sink = EvidenceWriter(path)
    sink.begin(header_of(problem(), DATA))
    tree = Node([PrunedDisjunct(0, (0,))], Counted())
    sink.write(Outcome(Question(0, 0, 0, 2), Verdict.CERTIFIED, None, NOTHING_FOUND, 1, tree=tree))
    sink.end()
    return sink.close()


def test_evidence_is_kept_and_the_certificate_names_it(tmp_path: Path) -> None:
    summary = evidence(tmp_path / "evidence.jsonl")
    items = list(read_evidence(tmp_path / "evidence.jsonl"))
    assert [type(item) for item in items] == [Header, Record, End]
    assert isinstance(items[0], Header)
    assert (items[0].graph, items[0].data) == (problem().graph.digest, DATA)
    statement = certificate_of(result(property_result()), SPEC, summary, WHEN)
    only = statement.properties[0]
    assert (only.evidence, only.coverage.leaves) == (summary.sha256, 1)
    assert only.bound is not None
    assert only.bound[1].value == Fraction(1, 2)
    assert statement.data[0].excluded == ((5, "not correct"),)
    assert statement.data[0].selection == "take 3"
    assert statement.data[0].indices == indices_digest([4, 9])
    assert [item.name for item in statement.subjects] == ["clean.jld2", "architecture.txt"]
    assert statement.models[0].flux_version == "0.16.7"
    assert parse_statement(encode_statement(statement)) == statement


def test_certified_without_evidence_is_refused() -> None:
    with pytest.raises(CertificateError) as caught:
        certificate_of(result(property_result()), SPEC, None, WHEN)
    assert caught.value.code == "VF5011"


def test_a_property_that_could_not_be_asked() -> None:
    unasked = property_result(
        verdict=Verdict.UNKNOWN,
        reason=Reason.UNSUPPORTED,
        counts=Counts(1, 0, 0, 1, 0),
        counted=0,
        problem=None,
        found=None,
        proved=None,
        stages={},
    )
    statement = certificate_of(result(unasked), SPEC, None, WHEN)
    assert statement.properties[0].reason is Reason.UNSUPPORTED
    assert statement.data[0].counted == 0
    assert parse_statement(encode_statement(statement)) == statement


def test_population_bound_of_single_inputs(tmp_path: Path) -> None:
    single = property_result(
        per_input=((4, Verdict.CERTIFIED), (9, Verdict.CERTIFIED)), population=("0.9", "0.95"), found=None, proved=None
    )
    statement = certificate_of(result(single), SPEC, evidence(tmp_path / "e.jsonl"), WHEN)
    population = statement.properties[0].population
    assert population is not None
    assert (population.failures, population.total) == (1, 3)


def test_two_files_of_one_name(tmp_path: Path) -> None:
    base = result(property_result())
    second = replace(
        base.models[0],
        file=FileUsed("old", "old/clean.jld2", "sha256:" + "9" * 64),
        architecture=base.models[0].architecture,
    )
    both = replace(base, models=(*base.models, second))
    statement = certificate_of(both, SPEC, evidence(tmp_path / "e.jsonl"), WHEN)
    assert [item.name for item in statement.subjects] == ["digits.clean.jld2", "architecture.txt", "old.clean.jld2"]


def test_selection_words() -> None:
    data = DataDecl("eval", "digit", None, None, 100, 0, SPAN)
    every = Selection("eval", "digits", (1, 2), label_is_not_target=True)
    assert selection_words(every, data) == (
        "take 100 where correct(digits, x) and label(x) in {1, 2} and label(x) != target"
    )
    assert selection_words(Selection("eval"), replace(data, take=None)) == "all"
