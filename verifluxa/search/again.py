"""A second look at a placement: what CROWN left open is tried with slopes that are optimised for each claim."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from verifluxa.bounds.domain import geometry
from verifluxa.bounds.linear import Subproblems
from verifluxa.bounds.memory import rows_that_fit
from verifluxa.bounds.optimise import AlphaSettings
from verifluxa.bounds.refined import refined_layers
from verifluxa.evidence import OPEN, PrunedDisjunct
from verifluxa.search.claims import BoundContext, ClaimBounds, row_bounds, take_layers
from verifluxa.search.improve import improve
from verifluxa.search.root import InitialBounds, whole_domain
from verifluxa.search.workspace import Claims, Workspace


def optimise_root(
    work: Workspace, rooted: Sequence[InitialBounds], settings: AlphaSettings, refine: int = 0
) -> list[InitialBounds]:
    """Optimises the tightest row of every open claim on the whole domain.

    Args:
        rooted: questions of one placement after a first look.
        settings: how hard to try.
        refine: steps on the slopes of each neuron's ends before; the records do not hold those.
    """
    scene = BoundContext(work, work.net(rooted[0].question.placement), geometry(whole_domain(work)))
    widest = max(layer.weight.shape[0] * layer.weight.shape[1] for layer in scene.net.layers)
    size = max(4, 4 * rows_that_fit(widest, work.device))
    return [_again(scene, one, size, (settings, refine)) for one in rooted]


def _again(scene: BoundContext, rooted: InitialBounds, size: int, settings: tuple[AlphaSettings, int]) -> InitialBounds:
    row, closings = rooted.row.clone(), dict(rooted.closings)
    for index in torch.split((row == OPEN).nonzero()[:, 0], size):
        fallen, records = _some(scene, rooted.claims.take(index), settings)
        row[index] = fallen
        closings.update({int(index[at]): record for at, record in records.items()})
    remaining = len(torch.unique(rooted.claims.input[row == OPEN]))
    return replace(rooted, row=row, remaining=remaining, closings=closings)


def _some(
    scene: BoundContext, claims: Claims, how: tuple[AlphaSettings, int]
) -> tuple[Tensor, dict[int, PrunedDisjunct]]:
    """Fallen rows of some claims (C,), and the records of those that fell."""
    inputs, of_input = torch.unique(claims.input, return_inverse=True)
    pairs = Subproblems(torch.zeros_like(inputs), inputs)
    settings, refine = how
    shared = refined_layers(scene.net, scene.geometry, pairs, refine)
    safe = scene.bounded(shared, inputs)[of_input].nonzero()[:, 0]
    row = torch.full_like(claims.input, OPEN)
    if not len(safe):
        return row, {}
    own, kept = of_input[safe], claims.take(safe)
    layers = take_layers(shared, own)
    rows = scene.work.alternatives[kept.alternative]
    planes = row_bounds(scene, layers, (torch.arange(len(safe), device=row.device), pairs.take(own), rows))
    clips = row.new_zeros(len(safe), 0)
    found = improve(scene, ClaimBounds(safe, pairs.take(own), layers, planes), (kept, clips), settings)
    row[safe] = found.row
    return row, {int(safe[at]): record for at, record in found.closings.items()}
