"""The open leaves of a split tree: their domains, and the claims that nothing on the way has excluded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from verifluxa.evidence import OPEN, Node, PrunedDisjunct, Split
from verifluxa.question import Question
from verifluxa.search.initial_bounds import whole_domain
from verifluxa.search.splitters import Subdomain, parts_of, whole
from verifluxa.search.workspace import Claims, Workspace


@dataclass(frozen=True, eq=False)
class SplitTree:
    """A question's split tree, possibly with open leaves.

    Attributes:
        question: the question.
        root: of the tree.
        directions: of its slabs, shape (m, d); None: those of the problem's domain, if any.
    """

    question: Question
    root: Node
    directions: Tensor | None = None

    def slabs(self, work: Workspace) -> Tensor:
        """The directions, shape (m, d)."""
        return whole_domain(work).directions if self.directions is None else self.directions


def open_leaves(work: Workspace, tree: SplitTree) -> Iterator[Subdomain]:
    """The leaves that are not closed, from left to right.

    What splits of neurons say is left out, which is sound: they are cases of an evaluation.
    """
    claims = work.claims(tree.question.violation, tree.question.selection)
    waiting = [whole(work, tree.root, claims, tree.slabs(work))]
    while waiting:
        domain = waiting.pop()
        domain = replace(domain, claims=_without(domain.claims, domain.node.dropped), signs=())
        step = domain.node.step
        if isinstance(step, Split):
            parts = zip(parts_of(domain, step.partition), step.children, strict=True)
            waiting += [replace(part, node=node) for part, node in parts][::-1]
        elif step is None:
            yield domain


def _without(claims: Claims, dropped: list[PrunedDisjunct]) -> Claims:
    """The claims that no record of a node excludes."""
    fallen = {(d.input, place) for d in dropped for place, row in enumerate(d.rows) if row != OPEN}
    pairs = zip(claims.input.tolist(), claims.position.tolist(), strict=True)
    kept = [at for at, pair in enumerate(pairs) if pair not in fallen]
    return claims.take(torch.tensor(kept, dtype=torch.long, device=claims.input.device))
