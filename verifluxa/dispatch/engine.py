"""The real engine behind the pools: a strategy's stages, imported where the work is done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from verifluxa.dispatch.slices import AttackSlice, ProofSlice
from verifluxa.evidence import Outcome
from verifluxa.question import Problem
from verifluxa.strategy.attacked import Attacked

if TYPE_CHECKING:
    from verifluxa.strategy.load import Strategy


@dataclass(frozen=True)
class StrategyEngine:
    """Works on slices as a strategy says. torch is loaded on the first slice, not before."""

    strategy: Strategy
    device: str = "cpu"

    def attack(self, problem: Problem, slice: AttackSlice) -> Sequence[Attacked]:
        """The best trigger that the strategy's attack finds for each question."""
        from verifluxa.strategy.decide import Run, attack_slice

        return attack_slice(problem, slice.placements, Run(self.strategy, slice.deadline, self.device))

    def prove(self, problem: Problem, slice: ProofSlice) -> Iterable[Outcome]:
        """One outcome for each question, as they are decided."""
        from verifluxa.strategy.decide import Run, prove_slice

        return prove_slice(problem, slice.placements, slice.attacked, Run(self.strategy, slice.deadline, self.device))
