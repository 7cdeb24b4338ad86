"""The open leaves of a split tree: their domains, and the claims that nothing on the way has excluded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from verifluxa.bounds.domain import Domains
from verifluxa.evidence import OPEN, BoxSplit, InputSplit, NeuronSplit, Node, PrunedDisjunct, Split
from verifluxa.question import Domain, Question, Strips
from verifluxa.search.initial_bounds import whole_domain, whole_strips
from verifluxa.search.workspace import Claims, Workspace


@dataclass(frozen=True, eq=False)
class Tree:
    """A question's split tree, possibly with open leaves.

    Attributes:
        question: the question.
        root: of the tree.
        directions: of its strips, shape (m, d); None: those of the problem's domain, if any.
    """

    question: Question
    root: Node
    directions: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Leaf:
    """An open leaf.

    Attributes:
        node: of the tree.
        domains: its domain as a batch of one.
        cut: which strips are more than the box implies, shape (m,).
        claims: those that are still open in it.
        must: inputs that are taken to violate; cases are made of others.
    """

    node: Node
    domains: Domains
    cut: Tensor
    claims: Claims
    assumed_violating: frozenset[int] = frozenset()

    def domain(self, work: Workspace) -> Domain:
        """The domain as plain data, without the strips that cut nothing."""
        domains, cut = self.domains, self.cut.cpu().numpy()
        low, high = domains.low[0].cpu().numpy()[cut], domains.high[0].cpu().numpy()[cut]
        strips = Strips(domains.directions.cpu().numpy()[cut], low, high) if cut.any() else None
        return Domain(
            domains.lower[0].cpu().numpy(), domains.upper[0].cpu().numpy(), np.asarray(work.problem.domain.step), strips
        )


def open_leaves(work: Workspace, tree: Tree) -> Iterator[Leaf]:
    """The leaves that are not closed, from left to right."""
    waiting = [_root(work, tree)]
    while waiting:
        leaf = waiting.pop()
        claims = _without(leaf.claims, leaf.node.dropped)
        leaf = replace(leaf, claims=claims)
        if leaf.node.split is not None:
            halves = _halves(leaf, leaf.node.split)
            waiting += [replace(half, node=n) for half, n in zip(halves, leaf.node.children, strict=True)][::-1]
        elif not leaf.node.closed:
            yield leaf


def _root(work: Workspace, tree: Tree) -> Leaf:
    given = whole_domain(work)
    directions = given.directions if tree.directions is None else tree.directions
    low, high = whole_strips(work, directions)
    cut = torch.arange(len(directions), device=work.device) < len(given.directions)
    domains = Domains(work.lower[None], work.upper[None], directions, low[None], high[None])
    return Leaf(tree.root, domains, cut, work.claims(tree.question.violation, tree.question.selection))


def _without(claims: Claims, dropped: list[PrunedDisjunct]) -> Claims:
    """The claims that no record of a node excludes."""
    fallen = {(d.input, place) for d in dropped for place, row in enumerate(d.rows) if row != OPEN}
    pairs = zip(claims.input.tolist(), claims.position.tolist(), strict=True)
    kept = [at for at, pair in enumerate(pairs) if pair not in fallen]
    return claims.take(torch.tensor(kept, dtype=torch.long, device=claims.input.device))


def _halves(leaf: Leaf, split: Split) -> tuple[Leaf, ...]:
    domains = leaf.domains
    if isinstance(split, InputSplit):
        return tuple(_case(leaf, [number for number, _ in split.cases[: case + 1]]) for case in range(len(split.cases)))
    if isinstance(split, NeuronSplit):
        return leaf, leaf  # cases of an evaluation: who goes on here leaves them out, which is sound
    if isinstance(split, BoxSplit):
        upper, lower = domains.upper.clone(), domains.lower.clone()
        upper[0, split.coordinate], lower[0, split.coordinate] = split.low_end, split.high_start
        parts = replace(domains, upper=upper), replace(domains, lower=lower)
        return replace(leaf, domains=parts[0]), replace(leaf, domains=parts[1])
    high, low, cut = domains.high.clone(), domains.low.clone(), leaf.cut.clone()
    high[0, split.direction], low[0, split.direction], cut[split.direction] = split.cut, split.cut, True
    parts = replace(domains, high=high), replace(domains, low=low)
    return replace(leaf, domains=parts[0], cut=cut), replace(leaf, domains=parts[1], cut=cut)


def _case(leaf: Leaf, inputs: list[int]) -> Leaf:
    """The last of some inputs is taken to violate, and those before it not to."""
    gone = torch.isin(leaf.claims.input, torch.tensor(inputs[:-1], dtype=torch.long, device=leaf.claims.input.device))
    return replace(
        leaf, claims=leaf.claims.take((~gone).nonzero()[:, 0]), assumed_violating=leaf.assumed_violating | {inputs[-1]}
    )
