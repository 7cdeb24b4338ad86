"""A tiny problem, and an engine that does at each placement what the test says. No torch."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from verifluxa.dispatch.pieces import at, open_paths
from verifluxa.dispatch.slices import AttackSlice, PieceSlice, ProofSlice
from verifluxa.errors import DataError, UnsupportedError
from verifluxa.evidence import NOTHING_FOUND, BoxSplit, Counted, Node, Outcome, Split, Strongest, Witness
from verifluxa.graph.graph import chain
from verifluxa.graph.ops import Affine
from verifluxa.question import AffineInputMap, Domain, OutputConstraints, Placement, Problem, Question, Violation
from verifluxa.strategy.work import Checkpoint, Fallen, Limits, SearchedUnit
from verifluxa.verdict import Reason, Verdict

INPUTS = 4
ALLOWED = Limits(300, 60.0)


def problem(placements: int = 6, per_input: bool = False) -> Problem:
    """A 2-feature, 2-class network; the trigger sets feature 0. Two targets, or four inputs on their own."""
    weight = np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32)
    stamp = AffineInputMap(np.array([0]), np.zeros(1), np.eye(1), np.zeros(1))
    rows = OutputConstraints(np.array([[1.0, -1.0], [-1.0, 1.0]]), np.zeros(2), np.array([True, True]))
    everyone = tuple(np.array([i]) for i in range(INPUTS)) if per_input else (np.arange(INPUTS),)
    pairs = tuple((0, s) for s in range(INPUTS)) if per_input else ((0, 0), (1, 0))
    return Problem(
        name="tiny",
        digest="sha256:" + "0" * 64,
        graph=chain((2,), [Affine(weight)]),
        inputs=np.zeros((INPUTS, 2)),
        labels=np.zeros(INPUTS, dtype=np.int64),
        indices=tuple(range(10, 10 + INPUTS)),
        excluded=((3, "not correct"),),
        placements=tuple(Placement((("row", p), ("column", 0)), stamp) for p in range(placements)),
        domain=Domain(np.zeros(1), np.full(1, 255.0), np.ones(1)),
        constraints=rows,
        violations=tuple(Violation(f"target {t}", t, (((t,),), ((t,),))) for t in range(2)),
        selections=everyone,
        thresholds=(1,) * INPUTS if per_input else (2,),
        pairs=pairs,
        per_input=per_input,
    )


class FakeAttacked(NamedTuple):
    question: Question
    strongest: Strongest
    witness: Witness | None
    trigger: None = None

    @property
    def found(self) -> int:
        return self.strongest.count


def witness(inputs: int) -> Witness:
    return Witness(np.array([255.0]), tuple(range(inputs)), (0.5,) * inputs, inputs)


@dataclass(frozen=True)
class FakeEngine:
    """Certifies, but for the placements that `attacks` and `proofs` name.

    Attributes:
        attacks, proofs: what happens at a placement: `find`, `die`, `die once`, `stop`, `stop once`, `slow`, `memory`,
            `big`, `crash`, `unsupported`, `data`, `interrupt`, `time`, `forget`, `hang`, and `long`: the tree grows by
            one split in each slice, down to boxes of one level, until `further` says otherwise.
        pieces: what happens to pieces, by the path of their first leaf.
        allowed: what a question may spend in all.
        folder: where `die once` remembers, and where each placement that was worked on leaves a mark.
    """

    attacks: Mapping[int, str] = field(default_factory=dict)
    proofs: Mapping[int, str] = field(default_factory=dict)
    pieces: Mapping[tuple[int, ...], str] = field(default_factory=dict)
    allowed: Limits = ALLOWED
    folder: Path | None = None

    def attack(self, problem: Problem, slice: AttackSlice) -> list[FakeAttacked]:
        found = []
        for placement in slice.placements:
            self._mark("attack", placement)
            deed = self.attacks.get(placement, "")
            self._do(deed, len(slice.placements), f"attack{placement}")
            for question in problem.questions(placement):
                hit = deed == "find" and (not problem.per_input or question.selection == 0)
                size = len(problem.selections[question.selection])
                found.append(FakeAttacked(question, Strongest(size if hit else 0), witness(size) if hit else None))
        return found

    def prove(self, problem: Problem, slice: ProofSlice) -> Iterator[Fallen]:
        for placement in slice.placements:
            self._mark("prove", placement)
            deed = self.proofs.get(placement, "")
            self._do(deed, len(slice.placements), f"prove{placement}")
            if deed == "forget":
                continue
            asked = problem.questions(placement)
            yield tuple(
                begun(problem, q, self.allowed) if deed == "long" else self._outcome(problem, q, deed) for q in asked
            )

    def further(self, problem: Problem, slice: PieceSlice) -> SearchedUnit:
        """Splits the first leaf of the piece in two, or closes it where it has four levels or fewer."""
        path, root = slice.paths[0], slice.piece.root
        self._mark("piece", len(path))
        deed = self.pieces.get(path, "")
        self._do(deed, len(slice.paths), f"piece{path}")
        size = len(problem.selections[slice.piece.question.selection])
        if deed == "stuck":
            return SearchedUnit(root, 1, 0.1, NOTHING_FOUND, None, 0, False, Reason.PRECISION)
        grow(problem, root, path)
        cut_short = next(open_paths(root), None) is not None
        return SearchedUnit(root, 1, 0.1, NOTHING_FOUND, witness(size) if deed == "find" else None, 1, cut_short, None)

    def _outcome(self, problem: Problem, question: Question, deed: str) -> Outcome:
        size = len(problem.selections[question.selection])
        if deed == "time":
            return Outcome(question, Verdict.UNKNOWN, Reason.TIME, NOTHING_FOUND, size, stage="branch")
        if deed == "find":
            return Outcome(question, Verdict.FALSIFIED, None, Strongest(size), size, witness(size), "branch", 3, 0.5)
        tree = Node(step=Counted())
        return Outcome(
            question,
            Verdict.CERTIFIED,
            None,
            NOTHING_FOUND,
            question.threshold - 1,
            stage="crown",
            boxes=1,
            seconds=0.25,
            tree=tree,
        )

    def _mark(self, kind: str, placement: int) -> None:
        if self.folder is not None:
            with (self.folder / kind).open("a") as file:
                file.write(f"{placement}\n")

    def _do(self, deed: str, together: int, name: str) -> None:
        if deed == "die" or (deed == "die once" and self._first_time(name)):
            os.kill(os.getpid(), signal.SIGKILL)
        elif deed == "memory" or (deed == "big" and together > 1):
            raise MemoryError("no room")
        elif deed == "crash":
            raise ZeroDivisionError("a mistake of ours")
        elif deed == "unsupported":
            raise UnsupportedError("VF7001", "no sound answer for this")
        elif deed == "data":
            raise DataError("VF3001", "the data went away")
        elif deed == "interrupt":
            raise KeyboardInterrupt
        elif deed == "hang":
            time.sleep(600)
        elif deed == "stop" or (deed == "stop once" and self._first_time(name)):
            os.kill(os.getpid(), signal.SIGSTOP)
            time.sleep(1)  # the signal may reach another thread first, and this one goes on for a moment
        elif deed == "slow":
            time.sleep(4)

    def _first_time(self, name: str) -> bool:
        assert self.folder is not None
        try:
            (self.folder / name).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


def begun(problem: Problem, question: Question, allowed: Limits = ALLOWED) -> Checkpoint:
    root = Node()
    grow(problem, root, ())
    return Checkpoint(question, 0, root, np.zeros((0, 1)), 1, 0.1, NOTHING_FOUND, 4, 0, allowed, later=False)


def grow(problem: Problem, root: Node, path: tuple[int, ...]) -> None:
    low, high = 0.0, 255.0
    for number in path:
        middle = (low + high - 1) / 2
        low, high = (low, middle) if number == 0 else (middle + 1, high)
    leaf = at(root, path)
    if high - low < 4:
        leaf.step = Counted()
        return
    middle = (low + high - 1) / 2
    leaf.step = Split(BoxSplit(0, middle, middle + 1), [Node(), Node()])


def marks(folder: Path, kind: str) -> list[int]:
    """The placements that were worked on, in order."""
    file = folder / kind
    return [int(line) for line in file.read_text().split()] if file.exists() else []
