"""Cases of inputs: where a few more are left than are needed, one of some must violate, so each is taken to, in turn.

With k inputs more than are needed at most k of them do not violate, so that of any k + 1 one does. Of those that can
violate in little of the domain each is taken to be the first that does: then its plane holds for all inputs, and they
are clipped by it. A part of the domain that is thin across that plane takes the place of a half. What comes out holds
only where the case does and the question is met; see `evidence.InputSplit`.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from verifluxa.bounds.clip import self_clip
from verifluxa.bounds.domain import spread
from verifluxa.bounds.linear import Interval, Subproblems
from verifluxa.evidence import InputSplit, Node, Split
from verifluxa.search.claims import BoundContext, ClaimBounds, take_layers
from verifluxa.search.halving import Subdomain

THIN = 0.4
"""What is left of the domain by all cases together, each as a share of the height of its plane, at most (tried: .4
to .8)."""
MOST = 12
"""Cases of one domain."""


def input_cases(scene: BoundContext, domain: Subdomain, last: ClaimBounds, need: int) -> list[Subdomain] | None:
    """A child for each case, which starts from the ends that its plane leaves; None where halves promise more.

    Args:
        last: all open claims of the domain, with bounds.
        need: inputs that must violate.
    """
    claims = domain.claims.take(last.at)
    inputs, counts = torch.unique(claims.input, return_counts=True)
    cases = len(inputs) - need + 1
    if not 2 <= cases <= MOST:
        return None
    share = _left(scene, last)
    taken = torch.tensor(sorted(domain.assumed_violating), dtype=torch.long, device=share.device)
    share[(counts[torch.searchsorted(inputs, claims.input)] > 1) | torch.isin(claims.input, taken)] = torch.inf
    best = share.argsort(stable=True)[:cases]
    if not float(share[best].sum()) <= THIN:
        return None
    rows = scene.work.alternatives[claims.alternative]
    tightest = last.planes.tightest()
    pairs = [(int(claims.input[at]), int(rows[at, tightest[at]])) for at in best.tolist()]
    children = [Node() for _ in pairs]
    domain.node.step = Split(InputSplit(tuple(pairs)), children)
    ends = _clipped(scene, last, best)
    opened = []
    for number, (node, (input_, _)) in enumerate(zip(children, pairs, strict=True)):
        gone = torch.isin(claims.input, claims.input[best[:number]])
        kept = (~gone).nonzero()[:, 0]
        own = tuple((lower[number][kept], upper[number][kept]) for lower, upper in ends)
        assumed_violating = domain.assumed_violating | {input_}
        opened.append(
            replace(domain, node=node, claims=claims.take(kept), ends=own, assumed_violating=assumed_violating)
        )
    return opened[::-1]


def _left(scene: BoundContext, last: ClaimBounds) -> Tensor:
    """Of each claim the share of its tightest plane's height over the domain that is above 0, shape (C,)."""
    tightest = last.planes.tightest()
    plane = last.planes.row(tightest)
    up, down = spread(plane.slope[:, None], last.pairs.domain, scene.geometry)
    share = last.planes.upper.amin(1) / (up + down)[:, 0].clamp(min=1e-300)
    return torch.nan_to_num(share, nan=torch.inf)


def _clipped(scene: BoundContext, last: ClaimBounds, best: Tensor) -> list[Interval]:
    """Ends of the hidden layers of all claims in each case, shape (cases, C, n) each.

    Where they exclude each other the claim cannot be met in that case: there they are left crossing.
    """
    count, cases = len(last.at), len(best)
    each = torch.arange(count, device=best.device).repeat(cases)
    pairs = Subproblems(last.pairs.domain[each], last.pairs.input[each])
    layers = take_layers(last.layers, each)
    plane = last.planes.row(last.planes.tightest()).take(best.repeat_interleave(count))
    clipped = self_clip(scene.net, layers, scene.geometry, pairs, plane)
    crossing = clipped.contradicted[:, None]
    return [
        (
            layer.lower.view(cases, count, -1),
            torch.where(crossing, layer.lower - 1, layer.upper).view(cases, count, -1),
        )
        for layer in clipped.layers[:-1]
    ]
