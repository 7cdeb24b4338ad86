"""How one run works on its questions."""

from __future__ import annotations

import time
from dataclasses import dataclass

from verifluxa.strategy.load import Strategy
from verifluxa.strategy.piecework import Limits


@dataclass(frozen=True)
class Run:
    """How one run works on its questions.

    Attributes:
        strategy: the stages.
        deadline: on the clock of `time.monotonic`; past it the rest is unknown(time). None: no limit.
        device: `cpu`, or a torch device such as `cuda`.
        limits: how much branching a question may have before it is handed back as `Checkpoint`; None: no limit.
    """

    strategy: Strategy
    deadline: float | None = None
    device: str = "cpu"
    limits: Limits | None = None

    @property
    def is_late(self) -> bool:
        """Whether the deadline has passed."""
        return self.deadline is not None and time.monotonic() > self.deadline
