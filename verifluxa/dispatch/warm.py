"""Starting from an older proof: the split trees of another model's result are tried first, bounded anew."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from verifluxa.certificate.evidence_file import read_evidence
from verifluxa.certificate.evidence_lines import Header, Record
from verifluxa.dispatch.collector import NotCovered, check_cover
from verifluxa.evidence import NOTHING_FOUND, BoxSplit, Counted, Node, Outcome, SlabSplit, Split
from verifluxa.question import Problem, Question
from verifluxa.stages import BranchStage, SmtStage
from verifluxa.strategy.load import Strategy
from verifluxa.strategy.work import Checkpoint, Limits
from verifluxa.verdict import Verdict

EVIDENCE_NAMES = ("evidence.jsonl.gz", "evidence.jsonl")


def warm_begun(problem: Problem, folder: Path, strategy: Strategy) -> Iterator[Checkpoint]:
    """The questions of a problem that an older result has split, as begun: the same splits, every leaf open.

    Nothing of the older proof counts: each leaf is bounded on this model before it is closed. A question is the
    same when place and violation are called the same; which inputs it speaks of may differ.

    Args:
        problem: the new questions.
        folder: of the older result.
        strategy: whose branching goes on with the trees; without branching there is nothing to go on with.

    Raises:
        CertificateError: VF5001 to VF5041 when the older evidence cannot be read.
    """
    stages = [number for number, stage in enumerate(strategy.stages) if isinstance(stage, BranchStage)]
    path = next((folder / name for name in EVIDENCE_NAMES if (folder / name).is_file()), folder / EVIDENCE_NAMES[0])
    if not stages:
        return
    asked = _by_name(problem)
    header: Header | None = None
    for item in read_evidence(path):
        if isinstance(item, Header):
            header = item if item.property == problem.name else None
        elif isinstance(item, Record) and header is not None and item.tree is not None and item.tree.split is not None:
            question = asked.pop(_name(header, item.question), None)
            begun = None if question is None else _begun(problem, question, item, strategy, stages[0])
            if begun is not None:
                yield begun


def _by_name(problem: Problem) -> dict[object, Question]:
    """Questions by the names of place and violation; per input, also by the input's place in the data."""
    return {
        (
            problem.placements[question.placement].label,
            problem.violations[question.violation].label,
            problem.indices[problem.selections[question.selection][0]] if problem.per_input else None,
        ): question
        for question in problem.all_questions()
    }


def _name(header: Header, question: Question) -> object:
    inputs = header.selections[question.selection]
    alone = all(len(selection) == 1 for selection in header.selections)
    index = header.inputs[inputs[0]] if alone and header.inputs else None
    return header.placements[question.placement], header.violations[question.violation], index


def _begun(problem: Problem, question: Question, record: Record, strategy: Strategy, stage: int) -> Checkpoint | None:
    """The tree of an older record with open leaves; None where it does not fit this domain."""
    assert record.tree is not None
    dimension = len(problem.domain_of(question.placement).lower)
    directions = np.zeros((0, dimension)) if record.directions is None else record.directions
    if directions.shape[1:] != (dimension,):
        return None
    tree = _bare(record.tree, True)
    covering = Outcome(question, Verdict.CERTIFIED, None, NOTHING_FOUND, 0, tree=tree, directions=directions)
    try:
        check_cover(problem, covering)
    except NotCovered:
        return None
    branching = strategy.stages[stage]
    assert isinstance(branching, BranchStage)
    return Checkpoint(
        question=question,
        stage=stage,
        root=_bare(record.tree, False),
        directions=directions,
        boxes=0,
        seconds=0.0,
        strongest=NOTHING_FOUND,
        proved=len(problem.selections[question.selection]),
        closed=0,
        allowed=Limits(branching.boxes, branching.seconds),
        later=isinstance(strategy.stages[-1], SmtStage),
    )


def _bare(node: Node, closed: bool) -> Node:
    """The splits of boxes and slabs alone; whatever else was split becomes a leaf."""
    if not isinstance(node.split, BoxSplit | SlabSplit):
        return Node(step=Counted() if closed else None)
    return Node(step=Split(node.split, [_bare(child, closed) for child in node.children]))
