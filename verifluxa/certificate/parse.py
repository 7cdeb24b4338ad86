"""Bytes to Statement, strictly: every field typed, nothing unknown, and the numbers must agree."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from verifluxa.certificate.document import Fields, Json, read_json, wrong
from verifluxa.certificate.numbers import DECIMAL_FLOAT, Exact, parse_exact, parse_float_text
from verifluxa.certificate.population import ASSUMPTIONS, PopulationBound
from verifluxa.certificate.statement import (
    NONE,
    PREDICATE_TYPE,
    STATEMENT_TYPE,
    Counterexample,
    Coverage,
    FrozenData,
    Model,
    Nested,
    PropertyResult,
    Statement,
    Subject,
    Verifier,
)
from verifluxa.documents import SHA256, Form
from verifluxa.errors import CertificateError
from verifluxa.verdict import Reason, Verdict, combine

FILE_NAME = Form("the name of a file without folders", r"[^/\\\x00-\x1f\x7f]{1,255}")
DIGEST_OR_NONE = Form("sha256: and 64 hex digits, or none", r"sha256:[0-9a-f]{64}|none")
_HEX = Form("64 hex digits", r"[0-9a-f]{64}")
_NAME = Form("a name of one line", r"[^\x00-\x1f\x7f]{1,255}")
_COUNT = Form("a count in decimal digits", r"[1-9][0-9]*")
_SHARE = Form("a share between 0 and 1 with at most six decimals", r"[01](\.[0-9]{1,6})?")


def parse_statement(data: bytes, place: str = "certificate") -> Statement:
    """Reads a certificate's statement.

    Raises:
        CertificateError: VF5001 to VF5006 for a document that is not well formed, VF5010 for another
            kind of statement, VF5011 where its numbers or verdicts contradict each other.
    """
    fields = Fields(read_json(data, place), place)
    for key, expected in (("_type", STATEMENT_TYPE), ("predicateType", PREDICATE_TYPE)):
        if fields.raw(key) != expected:
            raise CertificateError(
                "VF5010",
                f"this is another kind of statement: {key} is {fields.text(key)!r}",
                place=place,
                expected=expected,
                remedy="give a certificate that this version of verifluxa wrote",
            )
    subjects = _subjects(fields, "subject")
    if not subjects:
        fields.fail("subject", "at least one file", [])
    statement = _predicate(fields.child("predicate"), subjects)
    fields.close()
    check_consistent(statement, place)
    return replace(statement, extensions=tuple(place for place in fields.extensions))


def check_consistent(statement: Statement, place: str) -> None:
    """Refuses a statement that contradicts itself.

    Raises:
        CertificateError: VF5011.
    """
    problems = [problem for result in statement.properties for problem in _contradictions(result, statement)]
    for what, names in (
        ("subject", [subject.name for subject in statement.subjects]),
        ("property", [result.name for result in statement.properties]),
        ("model", [model.name for model in statement.models]),
        ("material", [material.name for material in statement.materials]),
        ("data", [(data.name, data.selection, data.indices) for data in statement.data]),
    ):
        if len(set(names)) != len(names):
            problems.append(f"two entries of the {what} list have one name")
    if not statement.properties or not statement.models:
        problems.append("it speaks of no property or of no model")
    elif combine(result.verdict for result in statement.properties) != statement.verdict:
        problems.append(f"the verdict {statement.verdict} is not what its properties give")
    if {result.data for result in statement.properties} != set(range(len(statement.data))):
        problems.append("it lists data that no property speaks of")
    if statement.expires <= statement.time_verified:
        problems.append("it expires before it was made")
    if problems:
        raise CertificateError(
            "VF5011",
            f"the certificate contradicts itself: {problems[0]}",
            place=place,
            expected="numbers and verdicts that agree",
            remedy="do not trust it; verify the model again",
        )


def _contradictions(result: PropertyResult, statement: Statement) -> list[str]:
    counts, name = result.coverage, result.name
    rules = [
        (counts.questions == counts.certified + counts.falsified + counts.unknown, "questions do not add up"),
        (counts.questions > 0, "there is no question"),
        (0 <= result.data < len(statement.data), "its data set is not listed"),
        (
            (result.verdict is Verdict.UNKNOWN) == (result.reason is not None),
            "an unknown needs a reason, others have none",
        ),
        (
            (result.verdict is Verdict.FALSIFIED) == (result.counterexample is not None),
            "only a falsified one has a counterexample",
        ),
        ((result.verdict is Verdict.FALSIFIED) == (counts.falsified > 0), "its verdict is not what its questions give"),
        (
            (result.verdict is Verdict.CERTIFIED) == (counts.certified == counts.questions),
            "its verdict is not what its questions give",
        ),
        (result.verdict is not Verdict.CERTIFIED or result.evidence != NONE, "certified without evidence"),
        (result.verdict is not Verdict.CERTIFIED or counts.inputs > 0, "certified for no input at all"),
        (result.verdict is not Verdict.CERTIFIED or counts.leaves >= counts.questions, "fewer leaves than questions"),
        (result.bound is None or result.bound[0].value <= result.bound[1].value <= 1, "its bounds are not in order"),
    ]
    if 0 <= result.data < len(statement.data):
        rules.append((statement.data[result.data].counted == counts.inputs, "its inputs are not those of its data"))
    return [f"property {name}: {message}" for holds, message in rules if not holds]


def _predicate(fields: Fields, subjects: tuple[Subject, ...]) -> Statement:
    verifier, strategy = fields.child("verifier"), fields.child("strategy")
    statement = Statement(
        subjects=subjects,
        verifier=Verifier(verifier.text("id"), tuple(sorted(verifier.named_texts("versions").items()))),
        time_verified=fields.time("timeVerified"),
        expires=fields.time("expires"),
        resource_uri=fields.text("resourceUri"),
        policy=fields.text("policy", DIGEST_OR_NONE),
        verdict=fields.member("verdict", Verdict),
        models=tuple(_model(item) for item in fields.objects("models")),
        data=tuple(_data(item) for item in fields.objects("data")),
        params=tuple(sorted(fields.named_texts("params").items())),
        strategy=(strategy.text("name", _NAME), strategy.text("digest", DIGEST_OR_NONE)),
        properties=tuple(_property(item) for item in fields.objects("properties")),
        materials=_subjects(fields, "materials"),
    )
    for part in (verifier, strategy, fields):
        part.close()
    return statement


def _subjects(fields: Fields, key: str) -> tuple[Subject, ...]:
    return tuple(_subject(item) for item in fields.objects(key))


def _subject(fields: Fields) -> Subject:
    digest = fields.child("digest")
    subject = Subject(fields.text("name", FILE_NAME), "sha256:" + digest.text("sha256", _HEX))
    digest.close()
    fields.close()
    return subject


def _model(fields: Fields) -> Model:
    model = Model(
        name=fields.text("name", _NAME),
        graph=fields.text("graph", SHA256),
        format=fields.text("format", _NAME),
        flux_version=fields.text("fluxVersion", _NAME),
        dtype=fields.choice("dtype", "float32", "float64"),
    )
    fields.close()
    return model


def _data(fields: Fields) -> FrozenData:
    data = FrozenData(
        name=fields.text("name", _NAME),
        digest=fields.text("digest", SHA256),
        selection=fields.text("selection"),
        indices=fields.text("indices", SHA256),
        counted=fields.integer("counted"),
        excluded=tuple(_excluded(item) for item in fields.objects("excluded")),
    )
    fields.close()
    return data


def _excluded(fields: Fields) -> tuple[int, str]:
    pair = fields.integer("index"), fields.text("reason", _NAME)
    fields.close()
    return pair


def _property(fields: Fields) -> PropertyResult:
    result = PropertyResult(
        name=fields.text("name", _NAME),
        digest=fields.text("digest", SHA256),
        verdict=fields.member("verdict", Verdict),
        reason=fields.member("reason", Reason) if fields.raw("reason") is not None else None,
        arithmetic=fields.choice("arithmetic", "float32", "float64", "real"),
        method=fields.text("method", _NAME),
        bound=_bound(fields.child("bound")) if fields.raw("bound") is not None else None,
        data=fields.integer("data"),
        coverage=_coverage(fields.child("coverage")),
        counterexample=_counterexample(fields.child("counterexample"))
        if fields.raw("counterexample") is not None
        else None,
        evidence=fields.text("evidence", DIGEST_OR_NONE),
        population=_population(fields.child("population")) if fields.raw("population") is not None else None,
    )
    fields.close()
    return result


def _bound(fields: Fields) -> tuple[Exact, Exact]:
    pair = parse_exact(fields.child("found"), up=False), parse_exact(fields.child("proved"), up=True)
    fields.close()
    return pair


def _coverage(fields: Fields) -> Coverage:
    names = ("inputs", "placements", "targets", "questions", "certified", "falsified", "unknown", "leaves")
    coverage = Coverage(*(fields.integer(name) for name in names))
    fields.close()
    return coverage


def _counterexample(fields: Fields) -> Counterexample:
    placement = fields.child("placement")
    example = Counterexample(
        placement=tuple(sorted((name, placement.integer(name)) for name in placement.names())),
        target=fields.integer("target") if fields.raw("target") is not None else None,
        trigger=_nested(fields.raw("trigger"), fields.place + ".trigger"),
        inputs=fields.integers("inputs"),
        rate=fields.fraction("rate") if fields.raw("rate") is not None else None,
        replayed=fields.flag("replayed"),
        margin=fields.text("margin", DECIMAL_FLOAT, 40),
        holds_in=fields.choice("holdsIn", "every order", "this replay"),
    )
    fields.close()
    return example


def _nested(value: Json, place: str) -> Nested:
    if isinstance(value, list):
        return tuple(_nested(item, place) for item in value)
    if parse_float_text(value) is None or not isinstance(value, str):
        raise wrong(place, "decimal strings in nested arrays", value)
    return value


def _population(fields: Fields) -> PopulationBound:
    if fields.raw("assumptions") != ASSUMPTIONS:
        fields.fail(
            "assumptions", "the assumptions under which the bound holds, word for word", fields.raw("assumptions")
        )
    bound = PopulationBound(
        failures=fields.integer("failures"),
        total=fields.integer("total", 1),
        confidence=fields.fraction("confidence"),
        properties=fields.integer("properties", 1),
        family=int(fields.text("family", _COUNT)),
        bound=Fraction(fields.text("bound", _SHARE, 10)),
    )
    if bound.decimal != fields.text("bound") or not 0 <= bound.bound <= 1 or not 0 < bound.confidence < 1:
        fields.fail("bound", "a share of at most six decimals, and a confidence below 1", fields.text("bound"))
    fields.close()
    return bound
