"""A run for the tests of interruption: proves one placement, then waits until it is stopped."""

import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from verifluxa.cli.options import Format
from verifluxa.cli.verify_command import Presentation, execute
from verifluxa.dispatch.slices import AttackSlice, ProofSlice
from verifluxa.evidence import NOTHING_FOUND, Counted, Node, Outcome
from verifluxa.question import Problem
from verifluxa.strategy.work import Fallen
from verifluxa.verdict import Verdict
from verifluxa.verify import Request


@dataclass(frozen=True)
class SlowEngine:
    """Certifies the first placement; at the second it leaves a mark and waits."""

    mark: str

    def attack(self, problem: Problem, slice: AttackSlice) -> list[object]:
        return []

    def prove(self, problem: Problem, slice: ProofSlice) -> Iterator[Fallen]:
        for placement in slice.placements:
            if placement > 0:
                Path(self.mark).touch()
                time.sleep(120)
            for question in problem.questions(placement):
                dropped = Node(step=Counted())
                yield (
                    Outcome(question, Verdict.CERTIFIED, None, NOTHING_FOUND, 0, stage="crown", boxes=1, tree=dropped),
                )


if __name__ == "__main__":
    # A shell starts what it runs in the background with this signal ignored, and all that it starts inherits that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    spec, cluster, mark, out, *flags = sys.argv[1:]
    presentation = Presentation(Format.JSON, Path(out), "--job-exit" in flags)
    sys.exit(execute(Request(spec, cluster=cluster), presentation, SlowEngine(mark)))
