"""Branch and bound: the one search loop, its budget, the best trigger so far, and the outcome that a search ends with.

    pop     a batch of what is open, of one search or of several in turn
    bound   all of it at once
    prune   what cannot refute
    attack  what is left with the points that the bounds suggest
    split   what is still open

What is searched comes from outside: subdomains cut by values, slabs, signs of neurons and cases of inputs
(`branch.py`), the points of a grid (`grid.py`), signs of neurons of several inputs (`activation_bab.py`), clusters of
words (`word_pairs.py`). Two searches are of another kind: `relational.py` asks for choices of claims and refutes them,
and `refine.py` hands given leaves to a solver.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from verifluxa.bounds import is_out_of_memory
from verifluxa.evidence import NOTHING_FOUND, Node, Outcome, Strongest, Witness, strength_of
from verifluxa.question import Floats, Question
from verifluxa.search.replay import witness_of
from verifluxa.search.workspace import Workspace
from verifluxa.verdict import Reason, Verdict

Item = TypeVar("Item")
Bound = TypeVar("Bound")
AnySearch = TypeVar("AnySearch", bound="Search[Any]")


@dataclass
class Budget:
    """What a search may spend.

    Attributes:
        deadline: on the clock of `time.monotonic`.
        boxes: how many items it may bound.
        spent: how many it has bounded.
        clock: seconds.
    """

    deadline: float = math.inf
    boxes: float = math.inf
    spent: int = 0
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def of(
        cls,
        seconds: float | None,
        deadline: float | None,
        boxes: float = math.inf,
        clock: Callable[[], float] = time.monotonic,
    ) -> Budget:
        """Seconds from now, but not beyond a deadline; None: no limit."""
        ends = math.inf if seconds is None else clock() + seconds
        return cls(ends if deadline is None else min(ends, deadline), boxes, clock=clock)

    @property
    def seconds_left(self) -> float:
        """Until the deadline; negative behind it."""
        return self.deadline - self.clock()

    @property
    def exceeded(self) -> Reason | None:
        """Which limit is reached, if one is."""
        if self.seconds_left < 0:
            return Reason.TIME
        return Reason.NODES if self.spent >= self.boxes else None


@dataclass
class Search(Generic[Item]):
    """What is open of one search, last in first out.

    Attributes:
        stack: the open items.
        budget: what it may spend.
        reason: why something stays open for good, or None.
        cut_short: whether the budget ended it while there were items that it had not looked at.
        finished: whether it was stopped: what is left of its batch is left alone.
    """

    stack: list[Item]
    budget: Budget
    reason: Reason | None = None
    cut_short: bool = False
    finished: bool = False

    def pop(self) -> Item:
        """Takes the next item."""
        self.budget.spent += 1
        return self.stack.pop()

    def put_back(self, item: Item) -> None:
        """Returns an item for which there was no time."""
        self.budget.spent -= 1
        self.stack.append(item)

    def stop(self) -> None:
        """Nothing more to do."""
        self.finished = True
        self.stack.clear()

    def check(self) -> None:
        """Stops a search whose budget is spent."""
        exceeded = self.budget.exceeded if self.stack else None
        if exceeded:
            self.reason, self.cut_short = self.reason or exceeded, True
            self.stop()


Batch = list[tuple[AnySearch, Item]]


def branch_and_bound(
    searches: Sequence[AnySearch],
    pop: Callable[[Sequence[AnySearch]], Batch[AnySearch, Item]],
    bound: Callable[[Batch[AnySearch, Item]], Sequence[Bound]],
    branch: Callable[[AnySearch, Item, Bound], Sequence[Item]],
) -> Iterator[list[AnySearch]]:
    """Runs searches side by side until nothing is open, or nothing more is taken; after each batch those that ended.

    Args:
        searches: at least one.
        pop: takes the next batch from those that are still going on.
        bound: bounds a batch; may return fewer bounds, when the time is over: the rest is put back.
        branch: prunes, attacks or splits one item; what it returns is open.
    """
    while searches:
        batch = pop(searches)
        try:
            bounds = bound(batch) if batch else []
            for search, item in reversed(batch[len(bounds) :]):
                search.put_back(item)
            for (search, item), found in zip(batch, bounds, strict=False):
                if not search.finished:
                    search.stack += branch(search, item, found)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            # Not even one item fits into memory: these searches end open, whatever of them was settled.
            for search, _ in batch:
                search.reason, search.cut_short = Reason.MEMORY, False
                search.stop()
        ended = [search for search in searches if not search.stack]
        searches = [search for search in searches if search.stack]
        yield ended
        if not batch:
            return


def run(
    searches: Sequence[AnySearch],
    pop: Callable[[Sequence[AnySearch]], Batch[AnySearch, Item]],
    bound: Callable[[Batch[AnySearch, Item]], Sequence[Bound]],
    branch: Callable[[AnySearch, Item, Bound], Sequence[Item]],
) -> None:
    """The loop to its end, for those who do not wait for single searches."""
    for _ in branch_and_bound(searches, pop, bound, branch):
        pass


def in_turn(
    searches: Sequence[AnySearch], room: int, size: Callable[[Any], int] = lambda item: 1
) -> Batch[AnySearch, Any]:
    """Takes items from each search in turn until they fill the room; searches whose budget is spent are stopped."""
    for search in searches:
        search.check()
    batch: Batch[AnySearch, Any] = []
    taken = 0
    while taken < room and any(search.stack for search in searches):
        for search in searches:
            if search.stack and taken < room:
                item = search.pop()
                batch.append((search, item))
                taken += size(item)
    return batch


@dataclass
class Incumbent:
    """The best of the triggers that were replayed for a question.

    Attributes:
        question: the question.
        strongest: the trigger that makes most inputs violate in every evaluation order.
        witness: a trigger that refutes, or None.
    """

    question: Question
    strongest: Strongest = NOTHING_FOUND
    witness: Witness | None = None

    def replay(self, work: Workspace, trigger: Floats, certain: NDArray[np.bool_] | None = None) -> bool:
        """Replays a trigger (d,) on the unsimplified network; whether it refutes.

        Args:
            work: of the problem.
            trigger: a point of the domain.
            certain: see `replay.witness`.
        """
        found = witness_of(work, self.question, trigger, certain)
        self.strongest = self.strongest.or_stronger(strength_of(found))
        refutes = work.problem.refutes(self.question, len(found.inputs))
        if refutes:
            self.witness = found
        return refutes

    def outcome(
        self,
        stage: str,
        reason: Reason | None,
        proved: int,
        *,
        otherwise: int | None = None,
        boxes: int = 0,
        seconds: float = 0.0,
        tree: Node | None = None,
        directions: NDArray[np.float64] | None = None,
    ) -> Outcome:
        """Falsified where there is a witness, else unknown where there is a reason, else certified.

        Args:
            stage: that decided, or tried.
            reason: why not all is proved, or None.
            proved: no trigger makes more inputs violate, where the question is certified.
            otherwise: and where it is not; None: the same.
            boxes: items that were bounded.
            seconds: that it took.
            tree: the proof, with the directions of its slabs; kept where the question is certified.
            directions: shape (m, d).
        """
        certified = self.witness is None and reason is None
        verdict = Verdict.FALSIFIED if self.witness else Verdict.CERTIFIED if certified else Verdict.UNKNOWN
        return Outcome(
            question=self.question,
            verdict=verdict,
            reason=reason if verdict is Verdict.UNKNOWN else None,
            strongest=self.strongest,
            proved=proved if certified or otherwise is None else otherwise,
            witness=self.witness,
            stage=stage,
            boxes=boxes,
            seconds=seconds,
            tree=tree if certified else None,
            directions=directions if certified else None,
        )
