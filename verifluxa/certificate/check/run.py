"""From files to a report: what `verifluxa cert check` and `python -m verifluxa.certificate.check` do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from verifluxa.certificate.check.compare import check_files, check_property, check_records
from verifluxa.certificate.check.lower import Sources, claim_of, deployed
from verifluxa.certificate.check.report import CheckReport, PropertyCheck
from verifluxa.certificate.check.section import Section
from verifluxa.certificate.evidence_file import read_evidence
from verifluxa.certificate.evidence_lines import Header, Record
from verifluxa.certificate.load import file_digest, load_statement
from verifluxa.certificate.statement import NONE, PropertyResult, Statement
from verifluxa.errors import CertificateError, VerifluxaError
from verifluxa.inputs import Choice, Inputs, load_inputs
from verifluxa.result.read import read_result
from verifluxa.spec.spec import Property

EVIDENCE_NAMES = ("evidence.jsonl", "evidence.jsonl.gz")


@dataclass(frozen=True)
class Given:
    """Files that the user names; the others are those that `result.json` beside the certificate names.

    Attributes:
        spec: the spec.
        models, data: files by the name in the spec.
        evidence: the evidence file.
    """

    spec: str | None = None
    models: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    evidence: Path | None = None


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
        models, data: files by the name in the spec.
        spec: the spec.
        evidence: the evidence file.

    Returns:
        A report; whatever is wrong with the files is a reason in it, never an exception.
    """
    given = Given(spec, models or {}, data or {}, None if evidence is None else Path(evidence))
    try:
        statement, signed = load_statement(Path(path))
    except CertificateError as error:
        return CheckReport(False, False, (error,), (), (), None)
    checker = _Checker(Path(path), statement)
    try:
        checker.run(given)
    except VerifluxaError as error:
        checker.reasons.append(error)
    if not signed:
        checker.notes.append("the certificate is not signed: what it says was recomputed, who says it is unknown")
    reasons = tuple(checker.reasons)
    return CheckReport(not reasons, signed, reasons, tuple(checker.notes), tuple(checker.checks), statement)


class _Checker:
    """One check; it collects reasons and goes on as long as the next step makes sense."""

    def __init__(self, path: Path, statement: Statement) -> None:
        self.path = path
        self.statement = statement
        self.reasons: list[VerifluxaError] = []
        self.notes: list[str] = []
        self.checks: list[PropertyCheck] = []

    def run(self, given: Given) -> None:
        """Loads the files, compares them with the certificate, and recomputes each property."""
        inputs = self._load(given)
        self.reasons += check_files(self.statement, inputs)
        results = {item.name: item for item in self.statement.properties}
        for prop in inputs.properties:
            self.reasons += check_property(self.statement, results[prop.name], inputs, prop)
        with_evidence = [item for item in self.statement.properties if item.evidence != NONE]
        for item in self.statement.properties:
            if item.evidence == NONE:
                self.notes.append(
                    f"property {item.name} ({item.verdict}) has no evidence, so nothing of it was recomputed"
                )
        if with_evidence and not self.reasons:
            self._evidence(inputs, self._evidence_path(given), {item.name: item for item in with_evidence})

    def _load(self, given: Given) -> Inputs:
        beside = self.path.parent / "result.json"
        spec, models, data = given.spec, dict(given.models), dict(given.data)
        if beside.exists():
            stored = read_result(beside)
            spec = spec or str(stored.locate(stored.spec.path))
            models = {item.file.name: str(stored.locate(item.file.path)) for item in stored.models} | models
            data = {item.name: str(stored.locate(item.path)) for item in stored.data} | data
        if spec is None:
            raise CertificateError(
                "VF5050",
                "it is not known which spec the certificate is about",
                place=str(self.path),
                expected="a result.json beside the certificate, or the spec itself",
                remedy="give the spec with --spec, and its files with --model and --data",
            )
        names = tuple(item.name for item in self.statement.properties)
        return load_inputs(spec, Choice(models, data, dict(self.statement.params), names))

    def _evidence_path(self, given: Given) -> Path:
        if given.evidence is not None:
            return given.evidence
        found = [self.path.parent / name for name in EVIDENCE_NAMES if (self.path.parent / name).exists()]
        return found[0] if found else self.path.parent / EVIDENCE_NAMES[0]

    def _evidence(self, inputs: Inputs, path: Path, results: dict[str, PropertyResult]) -> None:
        digest = file_digest(path)
        for name, result in results.items():
            if result.evidence != digest:
                raise CertificateError(
                    "VF5051",
                    f"this is not the evidence that the certificate names for property {name}",
                    place=str(path),
                    expected=result.evidence,
                    remedy="give the evidence file that was written with the certificate",
                )
        properties = {item.name: item for item in inputs.properties}
        items = read_evidence(path)
        for header in items:
            if not isinstance(header, Header) or header.property not in results:
                raise _no_section("the evidence speaks of a property that the certificate does not name", str(path))
            result = results.pop(header.property)
            self.checks.append(self._section(inputs, properties[header.property], result, header, items))
        if results:
            raise _no_section(f"the evidence does not speak of property {next(iter(results))}", str(path))

    def _section(
        self, inputs: Inputs, prop: Property, result: PropertyResult, header: Header, items: Iterator[object]
    ) -> PropertyCheck:
        sources = sources_of(inputs, prop, result.arithmetic)
        claim = claim_of(prop.statement, sources, header.inputs)
        section = Section(claim, sources.models[prop.statement.model], header)
        for item in items:
            if not isinstance(item, Record):
                break
            section.record(item)
        tally = section.finish()
        check_records(self.statement, result, claim, section)
        return PropertyCheck(
            name=prop.name,
            verdict=result.verdict,
            arithmetic=result.arithmetic,
            questions=sum(tally.verdicts.values()),
            leaves=tally.leaves,
            unrechecked=tally.unrechecked,
            reproduced=tally.reproduced,
            replay_only=tally.replay_only,
            doubtful=len(claim.doubtful),
            proved=tally.proved,
        )


def sources_of(inputs: Inputs, prop: Property, arithmetic: str) -> Sources:
    """What a property speaks of, with the deployed graphs put together by the checker itself."""
    statement = prop.statement
    space = next(item for item in inputs.spec.spaces if item.name == statement.trigger.space)
    models = {
        name: deployed(model.decl, space, model.lifted.graph)
        for name, model in inputs.models.items()
        if name in (statement.model, statement.selection.correct)
    }
    return Sources(space, inputs.data[statement.selection.data], models, arithmetic)


def _no_section(what: str, place: str) -> CertificateError:
    return CertificateError(
        "VF5051",
        what,
        place=place,
        expected="one section of evidence for each property with evidence",
        remedy="give the evidence file that was written with the certificate",
    )
