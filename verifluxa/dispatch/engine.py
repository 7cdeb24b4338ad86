"""The real engine behind the pools: a strategy's stages, imported where the work is done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from verifluxa.dispatch.slices import AttackSlice, PieceSlice, ProofSlice
from verifluxa.errors import UsageError
from verifluxa.question import Problem
from verifluxa.strategy.work import Attacked, Fallen, Run, SearchedUnit

if TYPE_CHECKING:
    from verifluxa.strategy.load import Strategy


@dataclass(frozen=True)
class StrategyEngine:
    """Works on slices as a strategy says. torch is loaded on the first slice, not before.

    Attributes:
        strategy: the stages.
        device: where bounds are computed.
        threads: of torch while it works here; 0 leaves them alone. The tensors are small: on a busy machine
            threads that wait for each other cost many times what they bring.
    """

    strategy: Strategy
    device: str = "cpu"
    threads: int = 0

    def attack(self, problem: Problem, slice: AttackSlice) -> Sequence[Attacked]:
        """The best trigger that the strategy's attack finds for each question."""
        from verifluxa.strategy.attacking import attack_slice

        with _threads(self.threads):
            return attack_slice(problem, slice.placements, Run(self.strategy, slice.deadline, self.device))

    def prove(self, problem: Problem, slice: ProofSlice) -> Iterable[Fallen]:
        """One outcome for each question, as they fall; `Checkpoint` where limits cut one short."""
        from verifluxa.strategy.decide import prove_slice

        with _threads(self.threads):
            run = Run(self.strategy, slice.deadline, self.device, slice.limits)
            yield from prove_slice(problem, slice.placements, slice.attacked, run)

    def further(self, problem: Problem, slice: PieceSlice) -> SearchedUnit:
        """Goes on with a piece of a question that was begun."""
        from verifluxa.strategy.decide import further

        with _threads(self.threads):
            return further(problem, slice.piece, Run(self.strategy, slice.deadline, self.device, slice.limits))


def check_device(device: str) -> None:
    """Says before the work that a device is not there.

    Raises:
        UsageError: VF4202.
    """
    if device == "cpu":
        return
    import torch

    if not torch.cuda.is_available():
        raise UsageError(
            "VF4202",
            f"torch finds no `{device}` device on this machine",
            expected="an NVIDIA GPU with its driver, and a torch build with CUDA",
            remedy='use a cluster with `device = "cpu"` and without `gpu_workers`, such as `laptop`',
        )


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Limits torch's threads and gives them back: this process may be somebody else's."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
