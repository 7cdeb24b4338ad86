"""Branch and bound over trigger domains: boxes cut by strips, the shrinking list of claims, counting.

Depth first within a question; one batch takes open domains of several questions of a placement. What becomes of each
is decided in settle.py.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from verifluxa.bounds.domain import geometry
from verifluxa.bounds.linear import Subproblems
from verifluxa.bounds.memory import is_out_of_memory
from verifluxa.bounds.net import Net
from verifluxa.bounds.optimise import AlphaSettings
from verifluxa.evidence import OPEN, Node, Outcome
from verifluxa.search.batch import BranchingScores, domains_of, found_before, joined, part_of, without_strips
from verifluxa.search.bounding import decided
from verifluxa.search.claims import BoundContext, Verdicts
from verifluxa.search.directions import strip_directions
from verifluxa.search.halving import Subdomain
from verifluxa.search.improve import improve, started
from verifluxa.search.inherit import inherited_bounds, leave, trim
from verifluxa.search.leaves import Leaf, Tree, open_leaves
from verifluxa.search.mutual import clip_mutually
from verifluxa.search.root import InitialBounds, whole_domain, whole_strips
from verifluxa.search.settle import Bounded, BranchSettings, Search, prune_or_split
from verifluxa.search.splits import signs_of
from verifluxa.search.workspace import Claims, Workspace
from verifluxa.verdict import Reason, Verdict


@dataclass(frozen=True, eq=False)
class Explored:
    """What a search found, and its whole tree with the strip directions, even where leaves are still open.

    Attributes:
        cut_short: whether a budget ended it while there were leaves that it had not looked at.
        closed: most inputs that were left in a leaf that it closed.
    """

    outcome: Outcome
    root: Node
    directions: Tensor
    cut_short: bool = False
    closed: int = 0


def branch(
    work: Workspace, rooted: Sequence[InitialBounds], settings: BranchSettings, deadline: float | None
) -> list[Outcome]:
    """Searches questions of one placement until each is decided or its budget is spent.

    Args:
        rooted: the questions that the first look left open.
        deadline: on the clock of `time.monotonic`, or None.
    """
    ended = {one.outcome.question: one.outcome for some in explore(work, rooted, settings, deadline) for one in some}
    return [ended[one.question] for one in rooted]


def explore(
    work: Workspace, rooted: Sequence[InitialBounds], settings: BranchSettings, deadline: float | None
) -> Iterator[list[Explored]]:
    """Like `branch`, for those who go on with what it leaves open: after each batch, the searches that it ended."""
    work = work.at(rooted[0].question.placement)
    net = work.net(rooted[0].question.placement)
    whole = whole_domain(work)
    directions = torch.cat([whole.directions, strip_directions(net, settings.strips)])
    searches = [_begin(work, one, directions, _deadline(settings, deadline)) for one in rooted]
    yield from _explored(work, net, directions, searches, settings)


def _deadline(settings: BranchSettings, deadline: float | None) -> float:
    """When a search that begins now must end."""
    own = math.inf if settings.seconds is None else time.monotonic() + settings.seconds
    return own if deadline is None else min(own, deadline)


def explore_further(
    work: Workspace, trees: Sequence[Tree], settings: BranchSettings, deadline: float | None
) -> Iterator[list[Explored]]:
    """Goes on with the open leaves of trees of one placement, which another search has left. Changes the trees."""
    placement = trees[0].question.placement
    work = work.at(placement)
    net = work.net(placement)
    directions = trees[0].directions
    if directions is None:
        directions = whole_domain(work).directions
    searches = [_taken_up(work, tree, _deadline(settings, deadline)) for tree in trees]
    yield from _explored(work, net, directions, searches, settings)


def _explored(
    work: Workspace, net: Net, directions: Tensor, searches: list[Search], settings: BranchSettings
) -> Iterator[list[Explored]]:
    while searches:
        batch = _next_batch(searches, settings)
        try:
            if batch:
                _process(work, net, directions, batch, settings)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            _give_up(batch)
        ended = [search for search in searches if not search.stack]
        searches = [search for search in searches if search.stack]
        yield [Explored(_outcome(one, directions), one.root, directions, one.cut_short, one.proved) for one in ended]


def _taken_up(work: Workspace, tree: Tree, deadline: float) -> Search:
    leaves = list(open_leaves(work, tree))
    stack = [_opened(leaf) for leaf in leaves]
    limit = max((len(torch.unique(leaf.claims.input)) for leaf in leaves), default=0)
    claims = work.claims(tree.question.violation, tree.question.selection)
    return Search(tree.question, claims, tree.root, stack[::-1], time.monotonic(), deadline, limit)


def _begin(work: Workspace, rooted: InitialBounds, directions: Tensor, deadline: float) -> Search:
    node = Node(dropped=rooted.dropped())
    low, high = whole_strips(work, directions)
    cut = work.problem.domain.strips is not None
    claims = rooted.open_claims
    bounds = rooted.bounds(torch.arange(len(claims), device=work.device))
    root = Subdomain(node, work.lower, work.upper, low, high, claims, cut, bounds=bounds)
    return Search(rooted.question, root.claims, node, [root], time.monotonic(), deadline, rooted.remaining)


def _opened(leaf: Leaf) -> Subdomain:
    box = leaf.domains
    cut = bool(leaf.cut.any())
    return Subdomain(
        leaf.node,
        box.lower[0],
        box.upper[0],
        box.low[0],
        box.high[0],
        leaf.claims,
        cut,
        assumed_violating=leaf.assumed_violating,
    )


def _put_back(batch: list[tuple[Search, Subdomain]]) -> None:
    """Domains for which there was no time wait again; whose time is over is seen next."""
    for search, domain in reversed(batch):
        search.stack.append(domain)
        search.boxes -= 1


def _give_up(batch: list[tuple[Search, Subdomain]]) -> None:
    """Not even one claim fits into memory: these questions stay open, whatever of them was settled."""
    for search, _ in batch:
        search.unknown_reason, search.cut_short = Reason.MEMORY, False
        search.stop()


def _next_batch(searches: list[Search], settings: BranchSettings) -> list[tuple[Search, Subdomain]]:
    """Takes open domains from each question in turn until the batch has claims enough."""
    now = time.monotonic()
    for search in searches:
        if search.stack and now > search.deadline:
            search.unknown_reason, search.cut_short = search.unknown_reason or Reason.TIME, True
            search.stop()
        elif search.stack and search.boxes >= settings.boxes:
            search.unknown_reason, search.cut_short = search.unknown_reason or Reason.NODES, True
            search.stop()
        elif search.boxes >= search.last:
            search.stop()
    batch: list[tuple[Search, Subdomain]] = []
    size = 0
    while size < settings.batch and any(search.stack for search in searches):
        for search in searches:
            if search.stack and size < settings.batch:
                domain = search.stack.pop()
                search.boxes += 1
                batch.append((search, domain))
                size += len(domain.claims)
    return batch


def _process(
    work: Workspace, net: Net, directions: Tensor, batch: list[tuple[Search, Subdomain]], settings: BranchSettings
) -> None:
    domains = domains_of([domain for _, domain in batch], directions)
    cut = any(domain.cut for _, domain in batch)
    shape = geometry(domains if cut else without_strips(domains))
    claims = joined([domain.claims for _, domain in batch])
    sizes = torch.tensor([len(domain.claims) for _, domain in batch], device=work.device)
    of_domain = torch.repeat_interleave(torch.arange(len(batch), device=work.device), sizes)
    signs = signs_of(net, claims, of_domain, [domain.signs for _, domain in batch])
    scene = BoundContext(work, net, shape)
    deadline = min(search.deadline for search, _ in batch)
    opened = [domain for _, domain in batch]
    pairs = Subproblems(of_domain, claims.input, inherited_bounds(net, opened), found_before(opened))
    alone = settings.alpha > 0 and any(search.question.need == 1 for search, _ in batch)
    # Where no slopes are optimised nobody asks for gradients, for which every small operation would prepare.
    with torch.set_grad_enabled(alone):
        verdicts = decided(scene, (claims, pairs), signs, settings.clip_rounds, deadline)
    kept = int((sizes.cumsum(0) <= len(verdicts.row)).sum())
    if kept < len(batch):
        _put_back(batch[kept:])
        batch, whole = batch[:kept], int(sizes[:kept].sum())
        verdicts, of_domain = part_of(verdicts, 0, whole), of_domain[:whole]
    verdicts = _improved(scene, verdicts, (claims, of_domain), batch, (settings, signs))
    together = settings.joint and signs is None
    needs = [search.question.need if together and search.question.need > 1 else 0 for search, _ in batch]
    mutual = clip_mutually(scene, verdicts, (claims, of_domain), needs)
    branching = BranchingScores(domains, verdicts, of_domain)
    starts = (sizes.cumsum(0) - sizes)[:kept].tolist()
    for number, ((search, domain), start) in enumerate(zip(batch, starts, strict=True)):
        own = part_of(verdicts, start, start + len(domain.claims))
        prune_or_split(search, domain, Bounded(scene, own, branching, number, settings, mutual))


def _improved(
    scene: BoundContext,
    verdicts: Verdicts,
    named: tuple[Claims, Tensor],
    batch: list[tuple[Search, Subdomain]],
    how: tuple[BranchSettings, list[Tensor] | None],
) -> Verdicts:
    """Optimises slopes where every single claim matters: where one violating input refutes."""
    (claims, of_domain), (settings, signs) = named, how
    alone = torch.tensor([search.question.need == 1 for search, _ in batch], device=of_domain.device)
    wanted = alone[of_domain[verdicts.last.at]]
    if not settings.alpha or not bool(wanted.any()):
        return verdicts
    open_ = verdicts.last.take(wanted)
    own = None if signs is None else [part[open_.at] for part in signs]
    start = started([(domain.chosen, len(domain.claims)) for _, domain in batch], open_, scene.net)
    named_open = (claims.take(open_.at), verdicts.planes[open_.at])
    found = improve(scene, open_, named_open, AlphaSettings(settings.alpha), (own, start))
    row = verdicts.row.clone()
    row[open_.at] = found.row
    closings = {int(open_.at[at]): record for at, record in found.closings.items()}
    last = verdicts.last.take(row[verdicts.last.at] == OPEN)
    chosen = None if found.chosen is None else found.chosen.spread(open_.at, len(row))
    return replace(verdicts, alive=row == OPEN, row=row, last=last, closings=closings, chosen=chosen)


def _outcome(search: Search, directions: Tensor) -> Outcome:
    question = search.question
    seconds = time.monotonic() - search.started
    certified = search.witness is None and search.unknown_reason is None
    (trim if certified else leave)(search.root)
    verdict = Verdict.FALSIFIED if search.witness else Verdict.CERTIFIED if certified else Verdict.UNKNOWN
    return Outcome(
        question=question,
        verdict=verdict,
        reason=search.unknown_reason if verdict is Verdict.UNKNOWN else None,
        strongest=search.strongest,
        proved=search.proved if certified else search.limit,
        witness=search.witness,
        stage="branch",
        boxes=search.boxes,
        seconds=seconds,
        tree=search.root if certified else None,
        directions=directions.cpu().numpy() if certified else None,
    )
