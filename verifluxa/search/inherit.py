"""What goes down the tree: the halves of a domain start from the clipped ends of its claims' neurons.

Ends that hold where a claim is met in a domain hold where it is met in a part of it. A part's own bounds need not be
tighter: the lower lines of relu follow a rule of thumb, and clipping goes on from where the domain above had come to.
They say nothing where the claim is not met, so they go to the same claim alone, and only within one search: who goes
on with a leaf that another search has left starts it anew. Ends that claims have by each other (`joint.py`) or in a
case (`splitters.py`) hold where the question is met too, which is all that matters below. The evidence names the rows
that clipped, and the checker computes the same ends from the root down.

What goes down magnifies every difference between prover and checker. Both count error radii alike, but draw other lines
around smooth functions: ends go down only where all functions are made of straight lines.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from verifluxa.bounds import Interval, Net
from verifluxa.evidence import OPEN, Clip, InputSplit, Joint, JointClosing, Node, Split
from verifluxa.search.disjuncts import DisjunctBounds, Verdicts
from verifluxa.search.splitters import Subdomain
from verifluxa.search.workspace import Claims
from verifluxa.stages import BranchThresholds

STRAIGHT = {"relu", "leakyrelu", "max"}
"""Functions around which prover and checker draw the same lines."""
Key = tuple[int, int]
"""An input and the position of one of its alternatives."""


def inherited_bounds(net: Net, batch: Sequence[Subdomain]) -> tuple[Interval, ...]:
    """What is known of the claims of a batch of domains: infinite ends where a domain starts from nothing."""
    if not any(domain.ends for domain in batch):
        return ()
    given = [domain.ends or _nothing(net, len(domain.claims)) for domain in batch]
    return tuple(
        (torch.cat([ends[number][0] for ends in given]), torch.cat([ends[number][1] for ends in given]))
        for number in range(len(net.hidden))
    )


def _nothing(net: Net, count: int) -> tuple[Interval, ...]:
    shapes = [layer.weight.new_empty(count, len(layer.weight)) for layer in net.hidden]
    return tuple((torch.full_like(shape, -torch.inf), torch.full_like(shape, torch.inf)) for shape in shapes)


def clips_of(claims: Claims, verdicts: Verdicts) -> tuple[Clip, ...]:
    """The open claims of a domain that have bounds, and the rows that clipped each."""
    at, planes = verdicts.last.at.tolist(), verdicts.planes.tolist()
    inputs, positions = claims.input.tolist(), claims.position.tolist()
    return tuple((inputs[k], positions[k], tuple(row for row in planes[k] if row >= 0)) for k in at)


def can_inherit(net: Net, verdicts: Verdicts, thresholds: BranchThresholds) -> bool:
    """Whether the parts of a domain may start from the ends of its claims: not where the evidence would not follow."""
    layers = verdicts.last.layers[:-1]
    whole = verdicts.planes.shape[1] > 0 and len(verdicts.last.at) == int(verdicts.alive.sum())
    small = 0 < sum(2 * layer.lower.numel() for layer in layers) <= thresholds.kept
    return whole and small and checker_agrees(net)


def narrower(domain: Subdomain, last: DisjunctBounds, boxes: int, thresholds: BranchThresholds) -> Tensor:
    """Which open claims of a domain hand down ends of their own: the others' parts start from what these started from.

    The checker computes what is handed down, and where that says little more than what came from above it need not.

    Args:
        boxes: domains of the search until now.
    """
    if not domain.ends or boxes <= thresholds.inherited_from:
        return torch.ones_like(last.at, dtype=torch.bool)
    pairs = zip(last.layers[:-1], domain.ends, strict=True)
    widths = [((own.upper - own.lower).sum(1), (upper - lower)[last.at].sum(1)) for own, (lower, upper) in pairs]
    return torch.stack([own < thresholds.narrower * before for own, before in widths]).any(0)


def pass_down(parts: Sequence[Subdomain], last: DisjunctBounds | None, own: Tensor | None = None) -> None:
    """Lets the parts of a domain, with its claims that are alive, start from the ends of these, or from nothing.

    Args:
        own: the claims whose ends are handed down, the others' are those from above; None: all of them.
    """
    for part in parts:
        part.node.anew = last is None and bool(part.ends)
        if last is None:
            part.ends = ()
        elif own is None or bool(own.all()):
            part.ends = tuple((layer.lower, layer.upper) for layer in last.layers[:-1])
        else:
            here = own[:, None]
            part.ends = tuple(
                (torch.where(here, layer.lower, lower[last.at]), torch.where(here, layer.upper, upper[last.at]))
                for layer, (lower, upper) in zip(last.layers[:-1], part.ends, strict=True)
            )


def checker_agrees(net: Net) -> bool:
    """Whether the checker has the same ends but for rounding."""
    return all(layer.function in STRAIGHT for layer in net.hidden)


def leave(root: Node) -> None:
    """Lets the open leaves of a tree that a search leaves start anew, since ends are not kept."""
    given: set[int] = set()
    for node in _parents_first(root):
        for child in node.children if node.clips or id(node) in given else ():
            child.anew = child.anew or child.step is None
            given.update(() if child.anew else (id(child),))


def trim(root: Node) -> None:
    """Takes the clips of split nodes on which nothing below rests, by planes neither, out of the tree of a proof."""
    used: dict[int, set[Key]] = {}
    for node in reversed(_parents_first(root)):
        below = {key for child in node.children for key in used.pop(id(child)) if not child.anew}
        if isinstance(node.step, Split):
            cutting = _cutting(node)
            node.step.clips = tuple(clip for clip in node.clips if below and (clip[:2] in below or clip[0] in cutting))
            node.step.shared = node.shared if node.clips else ()
            below |= {clip[:2] for clip in node.clips}
        used[id(node)] = below | _rests_on(node)


def _parents_first(root: Node) -> list[Node]:
    order, waiting = [], [root]
    while waiting:
        order.append(waiting.pop())
        waiting += order[-1].children
    return order


def _rests_on(node: Node) -> set[Key]:
    """The claims whose bounds a node's own records and weights use."""
    dropped = {(item.input, at) for item in node.dropped for at, row in enumerate(item.rows) if row != OPEN}
    weighted = _weighted(node.step.joint) if isinstance(node.step, JointClosing) else set()
    return dropped | weighted | {clip[:2] for clip in node.clips if clip[0] in _cutting(node)}


def _cutting(node: Node) -> set[int]:
    """The inputs whose planes clip others: one alternative of each is open."""
    cases = node.split.cases if isinstance(node.split, InputSplit) else ()
    return {input_ for input_, _ in (*node.shared, *cases)}


def _weighted(joint: Joint) -> set[Key]:
    own = {(item.input, item.position) for item in joint.weights}
    return own.union(*map(_weighted, joint.children))
