"""Domains in which as many claims are open as inputs are needed: all of them must be met together.

There each plane of each claim is >= 0 wherever the question is met, so every claim may be clipped by the planes of the
others too, not by its own alone. What comes out holds ONLY where all of them are met: it serves to close the domain
jointly, and its parts start from it. For let t be a trigger of a part under which `need` inputs violate. It lies in the
domain, where no more than these can, so all of them are met at t, and their neurons lie within the ends found for the
domain. A claim that falls in a part by such ends leaves no such t; that it is not met elsewhere is not said, so no
count below `need - 1` is proved from there on. Where bounds cross, the linear program closes: crossing ends that the
checker may not see are no closing of their own.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from verifluxa.bounds.clip import self_clip
from verifluxa.search.claims import BoundContext, ClaimBounds, Verdicts, row_bounds
from verifluxa.search.inherit import checker_agrees
from verifluxa.search.workspace import Claims

ROUNDS = 2
"""Planes that clip all claims of a domain, those that cut most first."""
SharedConstraint = tuple[int, int]
"""An input, and a problem row of its open alternative."""


@dataclass(frozen=True, eq=False)
class MutualClipping:
    """The claims of some domains of a batch, clipped by each other.

    Attributes:
        claims: with bounds that hold where all claims of their domain are met.
        cuts: by domain the planes that clipped all of its claims, in their order.
    """

    claims: ClaimBounds
    cuts: dict[int, tuple[SharedConstraint, ...]]

    def of(self, domain: int) -> ClaimBounds:
        """Those of one domain."""
        return self.claims.take(self.claims.pairs.domain == domain)


def clip_mutually(
    scene: BoundContext, verdicts: Verdicts, named: tuple[Claims, Tensor], needs: list[int]
) -> MutualClipping | None:
    """Clips the open claims of all domains in which each of them must be met; None where there is none.

    Args:
        named: the claims of the batch, and the domain of each.
        needs: of each domain how many inputs have to violate; 0: leave it alone.
    """
    if not checker_agrees(scene.net):
        return None
    claims, of_domain = named
    last = verdicts.last
    needed = torch.tensor(needs, device=of_domain.device)
    alive, inputs = of_domain[verdicts.alive], claims.input[: len(of_domain)][verdicts.alive]
    pairs = torch.unique(torch.stack([alive, inputs], 1), dim=0)[:, 0]
    counts = [torch.bincount(part, minlength=len(needs)) for part in (alive, pairs, last.pairs.domain)]
    wanted = (needed > 0) & torch.stack([count == needed for count in counts]).all(0)
    chosen = wanted[last.pairs.domain]
    if not bool(chosen.any()):
        return None
    part = last.take(chosen)
    return _clipped(scene, part, claims.take(part.at))


def _clipped(scene: BoundContext, part: ClaimBounds, claims: Claims) -> MutualClipping:
    rows = scene.work.alternatives[claims.alternative]
    each = torch.arange(len(part.at), device=rows.device)
    cuts: dict[int, list[SharedConstraint]] = {}
    for number in range(ROUNDS):
        best = part.planes.tightest()
        cutting = _cutting(scene, part, number)
        for domain, at in zip(part.pairs.domain.tolist(), cutting.tolist(), strict=True):
            own = cuts.setdefault(domain, [])
            if len(own) == number:
                own.append((int(claims.input[at]), int(rows[at, best[at]])))
        plane = part.planes.row(best)
        clipped = self_clip(scene.net, part.layers, scene.geometry, part.pairs, plane.take(cutting))
        bounds = row_bounds(scene, clipped.layers, (each, part.pairs, rows))
        part = ClaimBounds(part.at, part.pairs, clipped.layers, bounds)
    return MutualClipping(part, {domain: tuple(own) for domain, own in cuts.items()})


def _cutting(scene: BoundContext, part: ClaimBounds, number: int) -> Tensor:
    """For each claim the claim of its domain whose plane leaves least of it, or the next ones, shape (C,)."""
    domain, plane = part.pairs.domain, part.planes.row(part.planes.tightest())
    size = (plane.slope.abs() * scene.geometry.half[domain]).sum(1).clamp(min=1e-300)
    share = torch.nan_to_num(part.planes.upper.amin(1) / size)
    order = share.argsort(stable=True)
    order = order[domain[order].argsort(stable=True)]
    counts = torch.bincount(domain)
    first = counts.cumsum(0) - counts
    return order[first[domain] + number % counts[domain]]
