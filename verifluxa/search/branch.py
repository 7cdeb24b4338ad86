"""Branch and bound over trigger domains: boxes cut by strips, the shrinking list of claims, counting.

Depth first within a question; one batch takes open domains of several questions of a placement. A domain is
closed when fewer than `need` inputs can still violate somewhere in it. Shrinking the shared box by one
input's half-space would be unsound; clipping (bounds/clip.py) speaks of one claim and only counts.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from verifluxa.bounds.alpha import AlphaSettings
from verifluxa.bounds.domain import geometry
from verifluxa.bounds.linear import Net
from verifluxa.bounds.memory import is_out_of_memory
from verifluxa.evidence import OPEN, Node, Outcome, Witness
from verifluxa.question import Question
from verifluxa.search.batch import corners, domains_of, influence, joined, part_of
from verifluxa.search.bounding import decided
from verifluxa.search.claims import Scene, Verdicts
from verifluxa.search.climb import Climbed, climb, lacking
from verifluxa.search.directions import strip_directions
from verifluxa.search.halving import Open, Scores, halved, neuron_cases
from verifluxa.search.improve import improve, started
from verifluxa.search.leaves import Leaf, Tree, open_leaves
from verifluxa.search.replay import witness
from verifluxa.search.root import Rooted, drop_records, whole_domain, whole_strips
from verifluxa.search.splits import signs_of
from verifluxa.search.together import Together, attempt
from verifluxa.search.workspace import Claims, Workspace
from verifluxa.verdict import Reason, Verdict

CLIMB_FIRST, CLIMB_EVERY, CLIMB_STEPS = 48, 256, 160
"""Domains before the first local search; between two of them as many as there were before, but no more than this."""
CLIMB_SHARE, CLIMB_POINTS = 8, 32
"""A local search has a start for so many domains since the last one, and no more than this."""


@dataclass(frozen=True)
class BranchSettings:
    """Limits and choices of the search.

    Attributes:
        boxes: domains that may be bounded per question.
        seconds: wall-clock limit per question, or None.
        clip_rounds: rounds of self-clipping, 0: none.
        strips: shared directions, 0: pixel splits alone.
        joint: whether the joint step is taken.
        gate: branch on inputs (0/1 program) when the linear program is within this of `need`.
        batch: claims that one batch aims at.
        alpha: gradient steps on the slopes of what is still open where one violating input refutes; 0: none.
        neurons: where one input is left that refutes alone, and the trigger has more values than this, neurons are
            split and not the box; 0: never.
    """

    boxes: int = 20000
    seconds: float | None = None
    clip_rounds: int = 2
    strips: int = 3
    joint: bool = True
    gate: float = 3.0
    batch: int = 256
    alpha: int = 0
    neurons: int = 0


@dataclass(frozen=True, eq=False)
class _Bounded:
    """A domain after bounding: its scene, verdicts of its own claims, scores of pixels and strips."""

    scene: Scene
    verdicts: Verdicts
    corner: Tensor
    scores: Scores
    settings: BranchSettings


@dataclass
class _Search:
    """One question's search: its stack, what was found, what was proved."""

    question: Question
    root: Node
    stack: list[Open]
    started: float
    ends: float
    limit: int
    proved: int = 0
    found: int = 0
    boxes: int = 0
    next_climb: int = CLIMB_FIRST
    near: list[Climbed] = field(default_factory=list)
    witness: Witness | None = None
    stuck: Reason | None = None
    cut_short: bool = False
    finished: bool = False

    def stop(self) -> None:
        """Nothing more to do for this question."""
        self.finished = True
        self.stack.clear()


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
    work: Workspace, rooted: Sequence[Rooted], settings: BranchSettings, deadline: float | None
) -> list[Outcome]:
    """Searches questions of one placement until each is decided or its budget is spent.

    Args:
        rooted: the questions that the first look left open.
        deadline: on the clock of `time.monotonic`, or None.
    """
    return [explored.outcome for explored in explore(work, rooted, settings, deadline)]


def explore(
    work: Workspace, rooted: Sequence[Rooted], settings: BranchSettings, deadline: float | None
) -> list[Explored]:
    """Like `branch`, for those who go on with what it leaves open."""
    work = work.at(rooted[0].question.placement)
    net = work.net(rooted[0].question.placement)
    whole = whole_domain(work)
    directions = torch.cat([whole.directions, strip_directions(net, settings.strips)])
    searches = [_begin(work, one, directions, _ends(settings, deadline)) for one in rooted]
    return _explored(work, net, directions, searches, settings)


def _ends(settings: BranchSettings, deadline: float | None) -> float:
    """When a search that begins now must end."""
    own = math.inf if settings.seconds is None else time.monotonic() + settings.seconds
    return own if deadline is None else min(own, deadline)


def explore_further(
    work: Workspace, trees: Sequence[Tree], settings: BranchSettings, deadline: float | None
) -> list[Explored]:
    """Goes on with the open leaves of trees of one placement, which another search has left. Changes the trees."""
    placement = trees[0].question.placement
    work = work.at(placement)
    net = work.net(placement)
    directions = trees[0].directions
    if directions is None:
        directions = whole_domain(work).directions
    searches = [_taken_up(work, tree, _ends(settings, deadline)) for tree in trees]
    return _explored(work, net, directions, searches, settings)


def _explored(
    work: Workspace, net: Net, directions: Tensor, searches: list[_Search], settings: BranchSettings
) -> list[Explored]:
    while True:
        batch = _next_batch(searches, settings)
        if not batch:
            break
        try:
            _process(work, net, directions, batch, settings)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            _give_up(batch)
    return [Explored(_outcome(one, directions), one.root, directions, one.cut_short, one.proved) for one in searches]


def _taken_up(work: Workspace, tree: Tree, ends: float) -> _Search:
    leaves = list(open_leaves(work, tree))
    stack = [_opened(leaf) for leaf in leaves]
    limit = max((len(torch.unique(leaf.claims.input)) for leaf in leaves), default=0)
    return _Search(tree.question, tree.root, stack[::-1], time.monotonic(), ends, limit)


def _begin(work: Workspace, rooted: Rooted, directions: Tensor, ends: float) -> _Search:
    node = Node(dropped=rooted.dropped())
    low, high = whole_strips(work, directions)
    root = Open(node, work.lower, work.upper, low, high, rooted.open_claims)
    return _Search(rooted.question, node, [root], time.monotonic(), ends, rooted.remaining)


def _opened(leaf: Leaf) -> Open:
    box = leaf.domains
    return Open(leaf.node, box.lower[0], box.upper[0], box.low[0], box.high[0], leaf.claims)


def _put_back(batch: list[tuple[_Search, Open]]) -> None:
    """Domains for which there was no time wait again; whose time is over is seen next."""
    for search, domain in reversed(batch):
        search.stack.append(domain)
        search.boxes -= 1


def _give_up(batch: list[tuple[_Search, Open]]) -> None:
    """Not even one claim fits into memory: these questions stay open, whatever of them was settled."""
    for search, _ in batch:
        search.stuck, search.cut_short = Reason.MEMORY, False
        search.stop()


def _next_batch(searches: list[_Search], settings: BranchSettings) -> list[tuple[_Search, Open]]:
    """Takes open domains from each question in turn until the batch has claims enough."""
    now = time.monotonic()
    for search in searches:
        if search.stack and now > search.ends:
            search.stuck, search.cut_short = search.stuck or Reason.TIME, True
            search.stop()
        elif search.stack and search.boxes >= settings.boxes:
            search.stuck, search.cut_short = search.stuck or Reason.NODES, True
            search.stop()
    batch: list[tuple[_Search, Open]] = []
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
    work: Workspace, net: Net, directions: Tensor, batch: list[tuple[_Search, Open]], settings: BranchSettings
) -> None:
    domains = domains_of([domain for _, domain in batch], directions)
    shape = geometry(domains)
    claims = joined([domain.claims for _, domain in batch])
    sizes = torch.tensor([len(domain.claims) for _, domain in batch], device=work.device)
    of_domain = torch.repeat_interleave(torch.arange(len(batch), device=work.device), sizes)
    signs = signs_of(net, claims, of_domain, [domain.signs for _, domain in batch])
    scene = Scene(work, net, shape)
    ends = min(search.ends for search, _ in batch)
    verdicts = decided(scene, (claims, of_domain), signs, settings.clip_rounds, ends)
    kept = int((sizes.cumsum(0) <= len(verdicts.row)).sum())
    if kept < len(batch):
        _put_back(batch[kept:])
        batch, whole = batch[:kept], int(sizes[:kept].sum())
        verdicts, of_domain = part_of(verdicts, 0, whole), of_domain[:whole]
    verdicts = _improved(scene, verdicts, (claims, of_domain), batch, (settings, signs))
    pixels, strips = influence(verdicts, of_domain, shape, domains)
    points = corners(work, verdicts, of_domain, domains)
    starts = (sizes.cumsum(0) - sizes)[:kept].tolist()
    for number, ((search, domain), start) in enumerate(zip(batch, starts, strict=True)):
        own = part_of(verdicts, start, start + len(domain.claims))
        middle = directions @ shape.center[number] + shape.strip_shift[number]
        scores = Scores(pixels[number], strips[number], middle, shape.strip_half[number])
        _settle(search, domain, _Bounded(scene, own, points[number], scores, settings))


def _improved(
    scene: Scene,
    verdicts: Verdicts,
    named: tuple[Claims, Tensor],
    batch: list[tuple[_Search, Open]],
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


def _settle(search: _Search, domain: Open, bounded: _Bounded) -> None:
    """Closes, refutes or splits one domain."""
    if search.finished:
        return
    verdicts, work = bounded.verdicts, bounded.scene.work
    records = drop_records(domain.claims, verdicts.row, verdicts.planes, verdicts.closings)
    domain.node.dropped = domain.node.dropped + records
    alive = domain.claims.take(verdicts.alive.nonzero()[:, 0])
    remaining = len(torch.unique(alive.input))
    if remaining < search.question.need:
        domain.node.closed = True
        search.proved = max(search.proved, remaining)
        return
    points = [work.on_grid((domain.lower + domain.upper) / 2), bounded.corner]
    together = _together(search, domain, bounded)
    if together is not None:
        if together.closing is not None:
            _close_jointly(search, domain, bounded, together)
            return
        domain.hope, domain.hoped = together.value, remaining
        points += [work.on_grid(point) for point in together.points]
    if _refutes(bounded.scene, search, alive, torch.stack(points)):
        search.stop()
        return
    domain.chosen = None if verdicts.chosen is None else verdicts.chosen.take(verdicts.alive)
    most = bounded.settings.neurons
    wanted = search.question.need == 1 and remaining == 1 and 0 < most < len(domain.lower)
    halves = neuron_cases(bounded.scene, domain, alive, verdicts.last) if wanted else None
    halves = halves or halved(work, domain, alive, bounded.scores)
    if halves is None:
        search.stuck = Reason.PRECISION
        return
    search.stack += halves


def _together(search: _Search, domain: Open, bounded: _Bounded) -> Together | None:
    """The joint step, where it is wanted, promising, and every open claim has bounds."""
    need, last = search.question.need, bounded.verdicts.last
    # Each input that left since the last linear program has lowered its value by at most 1.
    hopeless = domain.hope - (domain.hoped - len(torch.unique(bounded.verdicts.last.pairs.input))) > 1.5 * need + 5
    if not bounded.settings.joint or need == 1 or hopeless or len(last.at) != int(bounded.verdicts.alive.sum()):
        return None
    return attempt(bounded.scene, last, domain.claims.take(last.at), need, bounded.settings.gate)


def _close_jointly(search: _Search, domain: Open, bounded: _Bounded, together: Together) -> None:
    """Keeps what a joint closing rests on: the planes' clipping rows and the point where tangents touch."""
    claims, planes = domain.claims, bounded.verdicts.planes
    domain.node.clips = tuple(
        (int(claims.input[at]), int(claims.position[at]), tuple(p for p in planes[at].tolist() if p >= 0))
        for at in bounded.verdicts.last.at.tolist()
    )
    domain.node.closed, domain.node.joint = True, together.closing
    domain.node.point = tuple(together.tangent_at.tolist())
    search.proved = max(search.proved, search.question.need - 1)


def _refutes(scene: Scene, search: _Search, alive: Claims, points: Tensor) -> bool:
    """Tries grid points as triggers; a hit is replayed on the unsimplified network."""
    need, net = search.question.need, scene.net
    margins = lacking(scene.work, net, alive, need, points)
    best = Climbed(points[int(margins.argmax())], float(margins.max()))
    search.near.append(best)
    if best.margin <= 0 and search.boxes >= search.next_climb:
        best = _climbed(scene.work, search)
    if best.margin <= 0:
        return False
    found = witness(scene.work, search.question, best.trigger.cpu().numpy())
    search.found = max(search.found, found.robust)
    if len(found.inputs) < need:
        return False
    search.witness = found
    return True


def _climbed(work: Workspace, search: _Search) -> Climbed:
    """A local search from points met since the last one: half of them those that came nearest, half from anywhere."""
    search.next_climb = search.boxes + min(search.boxes, CLIMB_EVERY)
    near = sorted(search.near, key=lambda point: point.margin, reverse=True)
    search.near.clear()
    half = max(1, min(len(near) // CLIMB_SHARE, CLIMB_POINTS) // 2)
    chosen = [*near[:half], *near[half :: max(1, len(near) // half)]]
    return climb(work, search.question, torch.stack([point.trigger for point in chosen]), CLIMB_STEPS)


def _outcome(search: _Search, directions: Tensor) -> Outcome:
    question = search.question
    seconds = time.monotonic() - search.started
    certified = search.witness is None and search.stuck is None
    verdict = Verdict.FALSIFIED if search.witness else Verdict.CERTIFIED if certified else Verdict.UNKNOWN
    return Outcome(
        question=question,
        verdict=verdict,
        reason=search.stuck if verdict is Verdict.UNKNOWN else None,
        found=search.found,
        proved=search.proved if certified else search.limit,
        witness=search.witness,
        stage="branch",
        boxes=search.boxes,
        seconds=seconds,
        tree=search.root if certified else None,
        directions=directions.cpu().numpy() if certified else None,
    )
