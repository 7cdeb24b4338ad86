"""From a finished run to its certificate."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import PurePath

from verifluxa.certificate.build import Facts, ModelFacts, PropertyFacts, build_statement
from verifluxa.certificate.evidence_file import EvidenceSummary
from verifluxa.certificate.population import population_bound
from verifluxa.certificate.selection import selection_words
from verifluxa.certificate.statement import NONE, Statement, Subject
from verifluxa.result.result import FileUsed, ModelUsed, PropertyResult, Result
from verifluxa.spec.spec import Property, Spec


def certificate_of(result: Result, spec: Spec, evidence: EvidenceSummary | None, time: datetime) -> Statement:
    """The unsigned certificate of a finished run; `encode_statement` gives the bytes of `certificate.json`.

    Args:
        result: the run's result.
        spec: the checked spec that was verified.
        evidence: the finished evidence file, or None where none was kept.
        time: when the run ended.

    Raises:
        CertificateError: VF5011 when the result contradicts itself, or certifies without evidence.
    """
    by_name = {item.name: item for item in spec.properties}
    facts = Facts(
        subjects=_subjects(result.models),
        models={item.file.name: ModelFacts(item.format, item.flux_version, item.dtype) for item in result.models},
        properties={
            item.name: _property_facts(item, *_selected(spec, by_name[item.name]), evidence, len(result.properties))
            for item in result.properties
        },
        time_verified=time,
    )
    return build_statement(result.document(), facts)


def _selected(spec: Spec, prop: Property) -> tuple[str, str]:
    """The name of a property's data set, and its selection rule in words."""
    selection = prop.statement.selection
    data = next(item for item in spec.data if item.name == selection.data)
    return data.name, selection_words(selection, data)


def _property_facts(
    item: PropertyResult, data: str, selection: str, evidence: EvidenceSummary | None, reported: int
) -> PropertyFacts:
    problem = item.problem
    if problem is None:
        return PropertyFacts(data, selection, (), (), 0, 0)
    facts = PropertyFacts(
        data=data,
        selection=selection,
        indices=problem.counted,
        excluded=problem.excluded,
        placements=len(problem.placements),
        targets=len(problem.violations),
        leaves=evidence.leaves(item.name) if evidence else 0,
        evidence=evidence.sha256 if evidence else NONE,
    )
    if item.population is None:
        return facts
    failures, total = item.failures
    return replace(facts, population=population_bound(failures, total, properties=reported))


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
