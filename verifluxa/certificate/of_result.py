"""From a run to its certificate: evidence kept while proving, and the statement of a finished result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path, PurePath

from verifluxa.certificate.build import Facts, ModelFacts, PropertyFacts, build_statement
from verifluxa.certificate.evidence_file import EvidenceSummary, EvidenceWriter
from verifluxa.certificate.evidence_lines import header_of
from verifluxa.certificate.population import population_bound
from verifluxa.certificate.statement import NONE, Statement, Subject
from verifluxa.evidence import Outcome
from verifluxa.question import Problem
from verifluxa.result.result import FileUsed, ModelUsed, PropertyResult, Result
from verifluxa.spec.spec import DataDecl, Selection
from verifluxa.verdict import Verdict


@dataclass(frozen=True)
class Source:
    """What a property is about.

    Attributes:
        data: name of the data set.
        data_digest: digest of its file.
        graph_digest: digest of the lifted graph.
        selection: the selection rule in words (`selection_words`).
    """

    data: str
    data_digest: str
    graph_digest: str
    selection: str


class EvidenceFile:
    """Writes what closed each question to a file as it comes; `sources` by property name."""

    def __init__(self, path: Path, sources: Mapping[str, Source]) -> None:
        self._writer = EvidenceWriter(path)
        self._sources = sources

    def begin(self, problem: Problem) -> None:
        """Starts the section of a property."""
        source = self._sources[problem.name]
        self._writer.begin(header_of(problem, source.graph_digest, source.data_digest))

    def record(self, problem: Problem, outcome: Outcome) -> None:
        """Appends one outcome."""
        self._writer.write(outcome)

    def end(self, problem: Problem) -> None:
        """Closes the section."""
        self._writer.end()

    def close(self) -> EvidenceSummary:
        """Finishes the file; its summary goes into the certificate."""
        return self._writer.close()


def selection_words(selection: Selection, data: DataDecl) -> str:
    """The selection rule in the spec's words: `take 100 where correct(digits, x) and label(x) != target`."""
    conditions = []
    if selection.correct is not None:
        conditions.append(f"correct({selection.correct}, x)")
    if selection.labels is not None:
        conditions.append("label(x) in {" + ", ".join(str(label) for label in selection.labels) + "}")
    if selection.label_is_not_target:
        conditions.append("label(x) != target")
    parts = ["all" if data.take is None else f"take {data.take}"]
    if conditions:
        parts.append("where " + " and ".join(conditions))
    return " ".join(parts)


def certificate_of(
    result: Result, sources: Mapping[str, Source], evidence: EvidenceSummary | None, time: datetime
) -> Statement:
    """The unsigned certificate of a finished run; `encode_statement` gives the bytes of `certificate.json`.

    Args:
        result: the run's result.
        sources: by property name, as they were given to the evidence.
        evidence: the finished evidence file, or None where none was kept.
        time: when the run ended.

    Raises:
        CertificateError: VF5011 when the result contradicts itself, or certifies without evidence.
    """
    facts = Facts(
        subjects=_subjects(result.models),
        models={item.file.name: ModelFacts(item.format, item.flux_version, item.dtype) for item in result.models},
        properties={item.name: _facts(item, sources[item.name], evidence, result) for item in result.properties},
        time_verified=time,
    )
    return build_statement(result.document(), facts)


def _facts(item: PropertyResult, source: Source, evidence: EvidenceSummary | None, result: Result) -> PropertyFacts:
    problem = item.problem
    if problem is None:
        return PropertyFacts(source.data, source.selection, (), (), 0, 0)
    facts = PropertyFacts(
        data=source.data,
        selection=source.selection,
        indices=problem.indices,
        excluded=problem.excluded,
        placements=len(problem.placements),
        targets=len(problem.violations),
        leaves=evidence.leaves(item.name) if evidence else 0,
        evidence=evidence.sha256 if evidence else NONE,
    )
    if item.population is None:
        return facts
    certified = sum(verdict is Verdict.CERTIFIED for _, verdict in item.per_input)
    total = len(problem.indices) + len(problem.excluded)
    return replace(facts, population=population_bound(total - certified, total, properties=len(result.properties)))


def _subjects(models: tuple[ModelUsed, ...]) -> tuple[Subject, ...]:
    """Each file once by its name; where two files have one name, the model's name is put before it."""
    files = [(model.file.name, file) for model in models for file in _files(model)]
    digests: dict[str, set[str]] = {}
    for _, file in files:
        digests.setdefault(PurePath(file.path).name, set()).add(file.sha256)
    subjects = []
    for model, file in files:
        name = PurePath(file.path).name
        subjects.append(Subject(name if len(digests[name]) == 1 else f"{model}.{name}", file.sha256))
    return tuple(dict.fromkeys(subjects))


def _files(model: ModelUsed) -> list[FileUsed]:
    return [model.file] if model.architecture is None else [model.file, model.architecture]
