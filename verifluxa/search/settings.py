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
class CrossStage:
    """Conflicts between inputs under one trigger of many values; see `search.relational`.

    Attributes:
        values: triggers with no more values than this are left to boxes.
        alone: the same where one violating input refutes, so that conflicts are cases of a single input.
        seconds: for one question.
        cases: that may be bounded for one question.
        steps: gradient steps of one case.
    """

    kind: ClassVar[str] = "cross"
    values: int = 64
    alone: int = 30
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
