"""Limits of the stages that the search takes as a strategy gives them. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class GridStage:
    """Domains of few grid points are enumerated; see `search.grid`.

    Attributes:
        points: most points of a domain.
        seconds: for one question.
    """

    kind: ClassVar[str] = "grid"
    points: int = 4096
    seconds: float = 30.0


@dataclass(frozen=True)
class CrossThresholds:
    """What was measured for conflicts, and no strategy changes.

    Attributes:
        before_attack: cases of one input that cost no more than a hard attack on it.
        clipped_from: cases of a tree behind which what is left is clipped; small trees close as soon without.
        least_weight: planes with less than this share of the weight of their input's heaviest at the root stay out of
            the cases below.
    """

    before_attack: int = 32
    clipped_from: int = 30
    least_weight: float = 0.05


@dataclass(frozen=True)
class CrossStage:
    """Conflicts between inputs under one trigger of many values; see `search.relational`.

    Attributes:
        values: triggers with no more values than this are left to boxes.
        alone: the same where one violating input refutes, so that conflicts are cases of a single input, and where
            the trigger reaches at least `large_network` neurons.
        large_network: neurons; boxes of many values close nothing in larger networks, splits of neurons do.
        seconds: for one question.
        cases: that may be bounded for one question.
        steps: gradient steps of one case.
    """

    kind: ClassVar[str] = "cross"
    thresholds: ClassVar[CrossThresholds] = CrossThresholds()
    values: int = 64
    alone: int = 12
    large_network: int = 500
    seconds: float = 30.0
    cases: int = 20000
    steps: int = 6


@dataclass(frozen=True)
class SmtStage:
    """SMT on what is open: the whole domain, or the open leaves after branching; see `search.refine`.

    Attributes:
        seconds: for one question.
        memory_mb: of the solver's process.
        unstable: neurons that may bend within their bounds, for one input.
    """

    kind: ClassVar[str] = "smt"
    seconds: float = 30.0
    memory_mb: int = 2000
    unstable: int = 32


@dataclass(frozen=True)
class BranchThresholds:
    """What was measured for branching, and no strategy changes.

    Attributes:
        thin: what is left of the domain by all cases of inputs together, each as a share of the height of its plane, at
            most (tried: .4 to .8).
        inherited_from, narrower: a claim's own ends go down where those of some layer are less than the share
            `narrower` as wide as those it started from. Not in the first `inherited_from` domains of a search: short
            proofs would be longer, and long ones are what takes long to recheck.
        kept: ends of one domain beyond this are not kept: one megabyte, and a stack holds dozens of domains.
    """

    thin: float = 0.4
    inherited_from: int = 64
    narrower: float = 0.8
    kept: int = 2**17


@dataclass(frozen=True)
class BranchStage:
    """Branch and bound; see `search.branch`.

    Attributes:
        boxes: domains that may be bounded per question.
        seconds: wall-clock limit per question.
        clip_rounds: rounds of self-clipping, 0: none.
        slabs: shared directions of slabs, 0: only single values are split.
        joint: whether the joint step is taken.
        gate: branch on inputs (0/1 program) when the linear program is within this of the threshold.
        alpha: gradient steps on the slopes of what is still open where one violating input refutes; 0: none.
        neurons: where one input is left that refutes alone, and the trigger has more values than this, neurons are
            split and not the box; 0: never.
        inherit: the parts of a domain start from the clipped bounds of its neurons.
    """

    kind: ClassVar[str] = "branch"
    thresholds: ClassVar[BranchThresholds] = BranchThresholds()
    boxes: int = 20000
    seconds: float = 60.0
    clip_rounds: int = 2
    slabs: int = 3
    joint: bool = False
    gate: float = 3.0
    alpha: int = 0
    neurons: int = 0
    inherit: bool = False
