"""Proofs written as evidence, and what the independent checker makes of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from verifluxa.certificate.check.claim import Sources, Stated, claim_of, deployed
from verifluxa.certificate.check.section import Section
from verifluxa.certificate.evidence_file import EvidenceWriter, read_evidence
from verifluxa.certificate.evidence_lines import Header, Record, header_of
from verifluxa.data.dataset import Dataset
from verifluxa.evidence import Outcome
from verifluxa.graph.graph import Graph
from verifluxa.question import Problem
from verifluxa.spec.spec import Spec


@dataclass(frozen=True, eq=False)
class Ground:
    """What the evidence speaks of: a spec with one property and one model, its data and network."""

    spec: Spec
    data: Dataset
    graph: Graph
    arithmetic: str = "real"


def write_evidence(path: Path, asked: Problem, outcomes: Sequence[Outcome]) -> None:
    """As a certificate's evidence file holds them."""
    with EvidenceWriter(path) as writer:
        writer.begin(header_of(asked, "sha256:" + "0" * 64))
        for outcome in outcomes:
            writer.write(outcome)
        writer.end()
        writer.close()


def recheck(path: Path, ground: Ground) -> float:
    """CPU seconds for everything from the evidence file on, the checker's own lowering included.

    Raises:
        CertificateError: where a proof is refused.
        RuntimeError: where something was not recomputed.
    """
    spec, space = ground.spec, ground.spec.spaces[0]
    started = time.process_time()
    model = spec.models[0]
    sources = Sources(space, ground.data, {model.name: deployed(model, space, ground.graph)}, ground.arithmetic)
    items = read_evidence(path)
    header = next(item for item in items if isinstance(item, Header))
    claim = claim_of(spec.properties[0].statement, sources, Stated(header.inputs))
    section = Section(claim, sources.models[model.name], header)
    section.records(item for item in items if isinstance(item, Record))
    if section.tally.unrechecked or not section.tally.leaves:
        raise RuntimeError("the evidence was not rechecked")
    return time.process_time() - started
