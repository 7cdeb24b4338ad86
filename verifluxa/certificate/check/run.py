"""From files to a report: what `verifluxa cert check` and `python -m verifluxa.certificate.check` do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from verifluxa.certificate.check.compare import check_files, check_header, check_property, check_records
from verifluxa.certificate.check.lower import Sources, claim_of, deployed, understand
from verifluxa.certificate.check.refuse import refused
from verifluxa.certificate.check.report import CheckReport, PropertyCheck
from verifluxa.certificate.check.section import Section, Tally
from verifluxa.certificate.evidence_file import read_evidence
from verifluxa.certificate.evidence_lines import Header, Record
from verifluxa.certificate.load import file_digest, load_statement
from verifluxa.certificate.statement import NONE, PropertyResult, Statement
from verifluxa.errors import CertificateError, VerifluxaError
from verifluxa.inputs import Choice, Inputs, load_inputs
from verifluxa.result.read import read_result
from verifluxa.spec.spec import ImageSpace, Property, named

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
        results = {item.name: item for item in self.statement.properties}
        self.reasons += check_files(self.statement, inputs)
        for prop in inputs.properties:
            self.reasons += check_property(self.statement, results[prop.name], inputs, prop)
        for item in self.statement.properties:
            if item.evidence == NONE:
                del results[item.name]
                what = f"property {item.name} ({item.verdict}) has no evidence, so nothing of it was recomputed"
                self.notes.append(what)
        if results and not self.reasons:
            self._evidence(inputs, self._evidence_path(given), results)

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
        found = [path for name in EVIDENCE_NAMES if (path := self.path.parent / name).exists()]
        return given.evidence or (found[0] if found else self.path.parent / EVIDENCE_NAMES[0])

    def _evidence(self, inputs: Inputs, path: Path, results: dict[str, PropertyResult]) -> None:
        digest = file_digest(path)
        for name, result in results.items():
            if result.evidence != digest:
                raise refused("VF5051", f"this is not the evidence that the certificate names for {name}", str(path))
        properties = {item.name: item for item in inputs.properties}
        items = read_evidence(path)
        for header in items:
            if not isinstance(header, Header) or header.property not in results:
                what = "the evidence speaks of a property that the certificate does not name"
                raise refused("VF5051", what, str(path))
            result = results.pop(header.property)
            check_header(self.statement, result, header)
            records = _records(items)
            try:
                check = self._section(inputs, properties[header.property], result, header, records)
            except CertificateError as error:
                if error.code != "VF5058":
                    raise
                check = self._unknown(result, str(error.message), records)
            self.checks.append(check)
        if results:
            raise refused("VF5051", f"the evidence does not speak of property {next(iter(results))}", str(path))

    def _section(
        self, inputs: Inputs, prop: Property, result: PropertyResult, header: Header, records: Iterator[Record]
    ) -> PropertyCheck:
        sources = sources_of(inputs, prop, result.arithmetic)
        claim = claim_of(prop.statement, sources, header.inputs)
        section = Section(claim, sources.models[prop.statement.model], header)
        for record in records:
            section.record(record)
        tally = section.finish()
        check_records(self.statement, result, claim, section)
        return _found(result, tally, len(claim.doubtful))

    def _unknown(self, result: PropertyResult, why: str, records: Iterator[Record]) -> PropertyCheck:
        """A property that this checker does not understand: all of it is unrechecked, and that is said."""
        self.notes.append(f"property {result.name}: {why}, so nothing of it was recomputed")
        leaves = sum(record.leaves for record in records)
        return _found(result, Tally(unrechecked=max(1, leaves), proved=Fraction(1)), 0)


def _records(items: Iterator[object]) -> Iterator[Record]:
    """The records up to the end of the section."""
    for item in items:
        if not isinstance(item, Record):
            return
        yield item


def _found(result: PropertyResult, tally: Tally, doubtful: int) -> PropertyCheck:
    return PropertyCheck(
        name=result.name,
        verdict=result.verdict,
        arithmetic=result.arithmetic,
        questions=result.coverage.questions,
        leaves=tally.leaves,
        unrechecked=tally.unrechecked,
        reproduced=tally.reproduced,
        replay_only=tally.replay_only,
        doubtful=doubtful,
        proved=tally.proved,
        stated=None if result.bound is None else result.bound[1].value,
    )


def sources_of(inputs: Inputs, prop: Property, arithmetic: str) -> Sources:
    """What a property speaks of, with the deployed graphs put together by the checker itself.

    Raises:
        CertificateError: VF5058 for a statement, model or space that is not understood.
    """
    statement = prop.statement
    understand(statement)
    understand(statement.trigger, statement.selection)
    space = named(inputs.spec.spaces, statement.trigger.space)
    understand(space)
    assert isinstance(space, ImageSpace)
    models = {
        name: deployed(model.decl, space, model.lifted.graph)
        for name, model in inputs.models.items()
        if name in (statement.model, statement.selection.correct)
    }
    return Sources(space, inputs.data[statement.selection.data], models, arithmetic)
