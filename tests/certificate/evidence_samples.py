"""One record of each kind that evidence has, and a file of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from verifluxa.certificate.evidence_file import EvidenceWriter
from verifluxa.certificate.evidence_lines import (
    LONGEST,
    Header,
    Record,
    Row,
    encode_record,
)
from verifluxa.evidence import (
    NOTHING_FOUND,
    Case,
    Conflict,
    Conflicts,
    Counted,
    FarkasTerm,
    IntermediateSlopes,
    Joint,
    JointClosing,
    NeuronSplit,
    Node,
    PrunedDisjunct,
    SlabSplit,
    Split,
    Strongest,
    WeightedTerm,
    Witness,
)
from verifluxa.question import Question
from verifluxa.verdict import Reason, Verdict

DIGEST = "sha256:" + "d" * 64
HEADER = Header(
    property="no_trigger",
    digest=DIGEST,
    graph=DIGEST,
    data=DIGEST,
    arithmetic="float32",
    inputs=(3, 5, 8),
    placements=((("row", 0), ("column", 1)), (("row", 4), ("column", 2))),
    violations=("target 0", "target 1"),
    selections=((0, 2), (1,)),
    needs=(1, 1),
    pairs=((0, 0), (1, 1)),
    rows=(Row(((0, 1.0), (1, -1.0)), 0.0, True), Row(((1, 0.1),), -0.5, False)),
)

FINITE = st.floats(allow_nan=False, allow_infinity=False)


def record(index: int = 0, tree: Node | None = None, **changes: Any) -> Record:
    parts: dict[str, Any] = {
        "verdict": Verdict.CERTIFIED,
        "reason": None,
        "strongest": NOTHING_FOUND,
        "proved": 1,
        "tree": tree,
    }
    return Record(Question(index, 0, 0, 1), **{**parts, **changes})


def same(first: Record, second: Record) -> bool:
    return encode_record(first) == encode_record(second) and (first.tree, first.question) == (
        second.tree,
        second.question,
    )


PLANE = WeightedTerm(0, 1, 2, 0.5, ("00ff", ""), ((0, 3, -1.5),))
BARE = PLANE._replace(slopes=(), betas=())
CLIPPED = Case((BARE, PLANE), NeuronSplit(0, 0, 2), (Case((PLANE,)), Case((BARE,))))
CASES = Case(split=NeuronSplit(0, 1, 3), children=(Case((PLANE,)), CLIPPED))
SLOPES = IntermediateSlopes(2, 1, (0, 3), ((1, 2),), bytes(range(8)))
CONFLICTS = Node(step=Conflicts((Conflict(((0, 1), (2, 0)), CASES),), (SLOPES,)))
RECORDS = [
    record(0, Node([PrunedDisjunct(0, (1,))], Counted())),
    record(
        1,
        Node([], Split(SlabSplit(1, -0.1), [Node(step=Counted()), Node()])),
        directions=np.array([[0.1, -0.0], [1e-300, 3.0]]),
    ),
    record(2, None, verdict=Verdict.UNKNOWN, reason=Reason.TIME, proved=3, strongest=Strongest(1, np.array([7.0]))),
    record(
        5,
        Node(
            [PrunedDisjunct(2, (-1, 3)), PrunedDisjunct(3, (-2,), (1,))],
            JointClosing(
                Joint(
                    branch_on=4,
                    children=(
                        Joint((FarkasTerm(0, 1, 2, True, 0.25),), (0.5,)),
                        Joint((FarkasTerm(1, 0, 3, False, 1e-9),)),
                    ),
                ),
                clips=((0, 1, (2, 2)),),
                point=(255.0, 0.5),
            ),
        ),
    ),
    record(
        3,
        None,
        verdict=Verdict.FALSIFIED,
        strongest=Strongest(2, np.array([255.0, 0.5, -0.0])),
        witness=Witness(np.array([255.0, 0.5, -0.0]), (0, 2), (0.25, 1e-12), 1),
    ),
    record(6, CONFLICTS),
]


def write(path: Path, records: list[Record], longest: int = LONGEST, sections: int = 1) -> Any:
    with EvidenceWriter(path, longest) as writer:
        for _ in range(sections):
            writer.begin(HEADER)
            for item in records:
                writer.write_record(item)
            writer.end()
        return writer.close()
