"""Questions that outlast a slice: their trees, the pieces that are out, and what is left of their budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from verifluxa.dispatch.collector import ResultCollector
from verifluxa.dispatch.pieces import Paths, graft, open_paths, pieces, pruned_to
from verifluxa.dispatch.slices import HandedBack, PieceDone, PieceSlice
from verifluxa.evidence import Outcome, Strongest
from verifluxa.question import Question
from verifluxa.strategy.work import Checkpoint, Limits, SearchedUnit, WorkUnit
from verifluxa.verdict import Reason, Verdict


class AssignedUnit(NamedTuple):
    """A piece that waits for its slice: leaves of a question's tree."""

    question: Question
    paths: Paths


@dataclass(eq=False)
class SplitQuestion:
    """One question that is worked on in pieces.

    Attributes:
        begun: its tree, which grows in place, and what was spent when it was handed back.
        boxes, seconds: spent in all.
        strongest: the strongest trigger that was replayed.
        closed: most inputs that were left in a closed leaf.
        out: pieces that are not back yet, waiting or flying.
        reason: why some leaves stay open for good.
        last: whether the stages behind branching have the whole tree.
    """

    begun: Checkpoint
    boxes: int
    seconds: float
    strongest: Strongest
    closed: int
    out: int = 0
    reason: Reason | None = None
    last: bool = False

    @classmethod
    def of(cls, begun: Checkpoint) -> SplitQuestion:
        """Takes over a question."""
        return cls(begun, begun.boxes, begun.seconds, begun.strongest, begun.closed, reason=begun.reason)

    def deal(self, count: int, below: Paths = ((),)) -> list[Paths]:
        """Cuts the open leaves below some nodes into at most `count` pieces."""
        dealt = pieces(self.begun.root, count, below)
        self.out += len(dealt)
        return dealt

    def order(self, paths: Paths, deadline: float | None, limits: Limits | None) -> PieceSlice:
        """The work order of a piece."""
        begun = self.begun
        root = begun.root if self.last else pruned_to(begun.root, paths)
        piece = WorkUnit(begun.question, begun.stage, root, begun.directions, self.last)
        return PieceSlice(piece, paths, deadline, limits)

    def take(self, paths: Paths, grown: SearchedUnit) -> None:
        """Puts a piece back in its place."""
        self.boxes += grown.boxes
        self.seconds += grown.seconds
        self.strongest = self.strongest.or_stronger(grown.strongest)
        self.closed = max(self.closed, grown.closed)
        graft(self.begun.root, grown.root, paths)
        if not grown.cut_short:
            self.reason = self.reason or grown.reason

    @property
    def spent(self) -> Reason | None:
        """Which budget of the strategy is used up, if any."""
        allowed = self.begun.allowed
        if allowed.boxes is not None and self.boxes >= allowed.boxes:
            return Reason.NODES
        return Reason.TIME if allowed.seconds is not None and self.seconds >= allowed.seconds else None

    def outcome(self, reason: Reason | None = None) -> Outcome:
        """The answer: certified when every leaf is closed, else unknown for the first reason, or for this one."""
        begun = self.begun
        if next(open_paths(begun.root), None) is None and self.reason is None:
            return Outcome(
                question=begun.question,
                verdict=Verdict.CERTIFIED,
                reason=None,
                strongest=self.strongest,
                proved=self.closed,
                stage="branch",
                boxes=self.boxes,
                seconds=self.seconds,
                tree=begun.root,
                directions=begun.directions,
            )
        return Outcome(
            question=begun.question,
            verdict=Verdict.UNKNOWN,
            reason=self.reason or reason or Reason.NODES,
            strongest=self.strongest,
            proved=begun.proved,
            stage="branch",
            boxes=self.boxes,
            seconds=self.seconds,
        )

    def refuted(self, done: PieceDone) -> Outcome:
        """The answer where a piece came upon a trigger."""
        grown = done.grown
        return Outcome(
            question=self.begun.question,
            verdict=Verdict.FALSIFIED,
            reason=None,
            strongest=self.strongest.or_stronger(grown.strongest),
            proved=self.begun.proved,
            witness=grown.witness,
            stage="branch",
            boxes=self.boxes,
            seconds=self.seconds,
        )


class UnitScheduler:
    """The long questions of one drive: hands out their pieces, takes them back, answers when none is out.

    Args:
        collector: what is known of all questions.
        deadline, limits: of each slice.
        pieces: into how many pieces what is open of a question is cut.
        tries: how often the piece of a dead worker is tried in all.
    """

    def __init__(
        self, collector: ResultCollector, deadline: float | None, limits: Limits | None, pieces: int, tries: int
    ) -> None:
        self._collector = collector
        self._deadline = deadline
        self._limits = limits
        self._pieces = pieces
        self._tries = tries
        self._long: dict[Question, SplitQuestion] = {}
        self._losses: Counter[AssignedUnit] = Counter()

    def __contains__(self, question: Question) -> bool:
        return question in self._long

    def begin(self, begun: Checkpoint) -> None:
        """Takes over a question that an earlier run had begun."""
        if self._is_open(begun.question):
            self._long[begun.question] = SplitQuestion.of(begun)

    def begin_anew(self, begun: Checkpoint) -> None:
        """Takes over a question whose tree comes from elsewhere, unless it goes on already or has its answer."""
        if begun.question not in self._long and self._is_open(begun.question):
            self._collector.evidence.begun(self._collector.problem, begun)
            self._long[begun.question] = SplitQuestion.of(begun)

    def parts_of_all(self) -> list[AssignedUnit]:
        """What is open of all questions."""
        return [part for long in list(self._long.values()) for part in self._parts(long)]

    def order(self, part: AssignedUnit) -> tuple[PieceSlice | None, Sequence[AssignedUnit]]:
        """The work order of a piece, none where it is not wanted any more; and what is to be done instead."""
        if not self._is_open(part.question):
            return None, []
        long = self._long[part.question]
        if long.spent is None or long.last:
            return long.order(part.paths, self._deadline, self._limits), []
        long.out -= 1
        return None, self._ended(long)

    def take_over(self, event: HandedBack) -> Sequence[AssignedUnit]:
        """A question outlasts its slice: it goes on in pieces. Delivery is at least once; the first one counts."""
        question = event.begun.question
        if question in self._long:
            return []
        self.begin_anew(event.begun)
        return self._parts(self._long[question]) if question in self._long else []

    def take(self, event: PieceDone) -> Sequence[AssignedUnit]:
        """A piece is back."""
        grown, piece = event.grown, event.slice.piece
        long = self._long[piece.question]
        if not self._is_open(piece.question):
            return []
        long.out -= 1
        if grown.outcome is not None:
            strongest = long.strongest.or_stronger(grown.outcome.strongest)
            self._collector.record(replace(grown.outcome, strongest=strongest))
        elif piece.last:
            self._collector.record(long.outcome(long.spent))
        elif grown.witness is not None:
            self._collector.record(long.refuted(event))
        else:
            self._collector.evidence.grown(self._collector.problem, event)
            long.take(event.slice.paths, grown)
            if grown.cut_short and long.spent is None:
                return self._parts(long, event.slice.paths)
            return self._ended(long)
        return []

    def after_loss(self, slice: PieceSlice) -> Sequence[AssignedUnit]:
        """The worker that had a piece has died: once more, or its leaves stay open."""
        part = AssignedUnit(slice.piece.question, slice.paths)
        self._losses[part] += 1
        return [part] if self._losses[part] < self._tries else self._leave(slice, Reason.LOST_WORKER)

    def after_out_of_memory(self, slice: PieceSlice) -> Sequence[AssignedUnit]:
        """A piece did not fit: leaf by leaf, or its leaf stays open."""
        if len(slice.paths) == 1:
            return self._leave(slice, Reason.MEMORY)
        self._long[slice.piece.question].out += len(slice.paths) - 1
        return [AssignedUnit(slice.piece.question, (path,)) for path in slice.paths]

    def give_up(self, reason: Reason) -> None:
        """Answers what is open, with what was found on the way."""
        for question, long in self._long.items():
            if self._is_open(question):
                self._collector.record(long.outcome(reason))

    def _leave(self, slice: PieceSlice, reason: Reason) -> Sequence[AssignedUnit]:
        """Gives a piece up: its leaves stay open, and so does the question; the other pieces may still refute it."""
        long = self._long[slice.piece.question]
        if not self._is_open(slice.piece.question):
            return []
        long.out -= 1
        long.reason = long.reason or reason
        return self._ended(long)

    def _parts(self, long: SplitQuestion, below: Paths = ((),)) -> Sequence[AssignedUnit]:
        parts = [AssignedUnit(long.begun.question, paths) for paths in long.deal(self._pieces, below)]
        return parts or self._ended(long)

    def _ended(self, long: SplitQuestion) -> Sequence[AssignedUnit]:
        """Answers a question when none of its pieces is out; where later stages may decide, they get the tree first."""
        if long.out:
            return []
        outcome = long.outcome(long.spent)
        if outcome.verdict is Verdict.UNKNOWN and long.begun.later and not long.last:
            long.last, long.out = True, 1
            return [AssignedUnit(long.begun.question, ((),))]
        self._collector.record(outcome)
        return []

    def _is_open(self, question: Question) -> bool:
        return question not in self._collector.outcomes and not self._collector.is_refuted(question.selection)
