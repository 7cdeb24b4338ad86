"""From files to a report: what `verifluxa cert check` and `python -m verifluxa.certificate.check` do."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import takewhile
from pathlib import Path

from verifluxa.certificate.check.claim import Sources, Stated, claim_of, deployed, understand, understood
from verifluxa.certificate.check.compare import check_header, check_records, check_unasked, differing
from verifluxa.certificate.check.report import CheckReport, PropertyCheck, Tally
from verifluxa.certificate.check.section import Section
from verifluxa.certificate.evidence_file import read_evidence
from verifluxa.certificate.evidence_lines import Header, Record
from verifluxa.certificate.load import file_digest, load_certified, load_statement, require_file
from verifluxa.certificate.refuse import refused
from verifluxa.certificate.statement import NONE, PropertyResult, Statement
from verifluxa.data.dataset import DOUBTFUL
from verifluxa.errors import CertificateError, VerifluxaError
from verifluxa.inputs import Choice, Inputs
from verifluxa.spec.spec import ImageSpace, Property, named
from verifluxa.spec.words import plain_words

log = logging.getLogger(__name__)

EVIDENCE_NAMES = ("evidence.jsonl", "evidence.jsonl.gz")


def check_certificate(
    path: str | Path,
    models: Mapping[str, str] | None = None,
    data: Mapping[str, str] | None = None,
    spec: str | None = None,
    evidence: str | Path | None = None,
) -> CheckReport:
    """Recomputes every bound of a certificate from model, spec, data and evidence.

    Args:
        path: `certificate.json` or `certificate.dsse.json` (whose signature is not verified here).
        models, data: files by the name in the spec; the others are those that `result.json` beside `path` names.
        spec: the spec; else the one that `result.json` names.
        evidence: the evidence file; else the one beside `path`.

    Returns:
        A report; whatever is wrong with the files is a reason in it, never an exception.
    """
    reasons: list[VerifluxaError] = []
    notes: list[str] = []
    checks: list[PropertyCheck] = []
    claims: tuple[tuple[str, str], ...] = ()
    statement, signed = None, True
    try:
        statement, signed = load_statement(Path(path))
        inputs = load_certified(Path(path), statement, Choice(models or {}, data or {}), spec)
        reasons += differing(statement, inputs)
        if not reasons:  # else the spec may be another one
            claims = tuple((prop.name, plain_words(inputs.spec, prop)) for prop in inputs.properties)
        results = {item.name: item for item in statement.properties if item.evidence != NONE}
        for item in statement.properties:
            if item.evidence == NONE:
                check_unasked(statement, item)
                notes.append(f"property {item.name} ({item.verdict}) has no evidence: it says that nothing is known")
        stated = {item.name for item in statement.properties}
        notes += [
            f"property {prop.name} of the spec is not in this certificate"
            for prop in inputs.spec.properties
            if prop.name not in stated
        ]
        if results and not reasons:
            found = [beside for name in EVIDENCE_NAMES if (beside := Path(path).parent / name).exists()]
            file = Path(evidence or (*found, Path(path).parent / EVIDENCE_NAMES[0])[0])
            for check in _properties(statement, inputs, results, file):
                checks.append(check)
                notes += filter(None, [check.note])
    except VerifluxaError as error:
        reasons.append(error)
    if not signed:
        notes.append("issuer unknown: the certificate is not signed")
    return CheckReport(
        not reasons, signed and statement is not None, tuple(reasons), tuple(notes), tuple(checks), statement, claims
    )


def _properties(
    statement: Statement, inputs: Inputs, results: dict[str, PropertyResult], file: Path
) -> Iterator[PropertyCheck]:
    """What was found of each property in the evidence."""
    require_file("evidence", file)
    digest = file_digest(file)
    for name, result in results.items():
        if result.evidence != digest:
            raise refused("VF5051", f"this is not the evidence that the certificate names for {name}", str(file))
    log.info("evidence %s: %s", file, digest)
    items = read_evidence(file)
    for header in items:
        if not isinstance(header, Header) or header.property not in results:
            raise refused("VF5051", "the evidence speaks of a property that the certificate does not name", str(file))
        result = results.pop(header.property)
        check_header(statement, result, header)
        records = (item for item in takewhile(lambda item: isinstance(item, Record), items) if isinstance(item, Record))
        try:
            tally = _section(statement, inputs, result, header, records)
        except CertificateError as error:
            if error.code != "VF5058":
                raise
            # A property that this checker does not understand: all of it is unrechecked, and that is said.
            note = f"property {result.name}: {error.message}, so nothing of it was recomputed"
            tally = Tally(unrechecked=max(1, sum(record.leaves for record in records)), proved=Fraction(1), note=note)
        log.info("property %s: %d of %d leaves recomputed", result.name, tally.leaves, tally.written)
        yield PropertyCheck(**vars(tally), said=result)
    if results:
        raise refused("VF5051", f"the evidence does not speak of property {next(iter(results))}", str(file))


def _section(
    statement: Statement, inputs: Inputs, result: PropertyResult, header: Header, records: Iterator[Record]
) -> Tally:
    prop = named(inputs.properties, result.name)
    sources = sources_of(inputs, prop, result.arithmetic)
    excluded = statement.data[result.data].excluded
    doubtful = tuple(position for position, reason in excluded if reason == DOUBTFUL)
    claim = claim_of(prop.statement, sources, Stated(header.inputs, doubtful))
    found = None if result.bound is None else result.bound[0].value
    section = Section(claim, sources.models[prop.statement.model], header, found)
    section.records(records)
    section.finish()
    check_records(statement, result, claim, section)
    return section.tally


def sources_of(inputs: Inputs, prop: Property, arithmetic: str) -> Sources:
    """What a property speaks of, with the deployed graphs put together by the checker itself.

    Raises:
        CertificateError: VF5058 for a statement, model or space that is not understood.
    """
    statement, trigger = understood(prop.statement)
    space = named(inputs.spec.spaces, trigger.space)
    understand(space)
    assert isinstance(space, ImageSpace)
    models = {
        name: deployed(model.decl, space, model.lifted.graph)
        for name, model in inputs.models.items()
        if name in (statement.model, statement.selection.correct)
    }
    return Sources(space, inputs.data[statement.selection.data], models, arithmetic)
