"""The joint step on one domain of a batch: planes of its open claims, tangents, and the closing."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from verifluxa.bounds.alpha import unstable
from verifluxa.bounds.domain import spread
from verifluxa.bounds.linear import LayerBounds, Subproblems
from verifluxa.bounds.net import Net
from verifluxa.evidence import Joint
from verifluxa.search.claims import BoundContext, ClaimBounds, RowBounds, row_bounds
from verifluxa.search.joint import SIZE_UP, close_jointly
from verifluxa.search.program import Box, PlaneTable
from verifluxa.search.workspace import Claims

ROWS_KEPT = 4
"""The tightest rows of a claim are enough (11-hard-questions: 3 or 4)."""


@dataclass(frozen=True, eq=False)
class JointStep:
    """What the joint step found on a domain: a closing or None, the relaxed count, and its points to try."""

    closing: Joint | None
    value: float
    points: list[Tensor]
    tangent_at: Tensor


def joint_step(scene: BoundContext, last: ClaimBounds, claims: Claims, need: int, gate: float) -> JointStep | None:
    """Linear program over the planes; then, where it is close, tangents at its point and the 0/1 program.

    Args:
        last: the open claims of ONE domain.
        claims: the same claims.
        need, gate: see `joint.close_jointly`; the second step is taken when the value is at most need + gate.
    """
    domain = last.pairs.domain[0]
    box = _box(scene, int(domain))
    rows = scene.work.alternatives[claims.alternative]
    first = _table(scene, (last.planes, rows), last.pairs, claims, False)
    closing, solved, _ = close_jointly(first, box, need, -np.inf)
    center = scene.geometry.center[domain]
    if solved is None:
        return None if closing is None else JointStep(closing, 0.0, [], center)
    touching = center + torch.as_tensor(solved.point, device=center.device)
    result = JointStep(closing, solved.value, [touching], touching)
    if closing is not None or solved.value > need + gate:
        return result
    tangent = _tangents(scene.net, last.layers, touching, last.pairs)
    index = torch.arange(len(rows), device=rows.device)
    planes = row_bounds(scene, tangent, (index, last.pairs, rows))
    second = _table(scene, (planes, rows), last.pairs, claims, True)
    closing, again, whole = close_jointly(_both(first, second), box, need, gate)
    if again is None:
        return result
    points = [center + torch.as_tensor(p, device=center.device) for p in (again.point, whole) if p is not None]
    return JointStep(closing, min(again.value, solved.value), [touching, *points], touching)


def _box(scene: BoundContext, domain: int) -> Box:
    shape = scene.geometry
    return Box(
        shape.half[domain].cpu().numpy(),
        shape.directions.cpu().numpy(),
        shape.strip_half[domain].cpu().numpy(),
        shape.strip_shift[domain].cpu().numpy(),
    )


def _table(
    scene: BoundContext, of: tuple[RowBounds, Tensor], pairs: Subproblems, claims: Claims, tangent: bool
) -> PlaneTable:
    planes, rows = of
    kept = min(ROWS_KEPT, rows.shape[1])
    order = planes.upper.topk(kept, dim=1, largest=False).indices
    claim = torch.arange(len(rows), device=rows.device)[:, None].expand(-1, kept).reshape(-1)
    at = (claim, order.reshape(-1))
    slope, value = planes.slope[at], planes.value[at]
    down = spread(slope[:, None], pairs.domain[claim], scene.geometry)[1][:, 0]
    size = -(value - down) * SIZE_UP + 1e-12 * (1 + value.abs() + down.abs())
    fine = (size > 0) & torch.isfinite(size) & torch.isfinite(value)
    inputs, owner = torch.unique(claims.input, return_inverse=True)
    return PlaneTable(
        inputs.cpu().numpy(),
        owner.cpu().numpy(),
        claims.position.cpu().numpy(),
        claim[fine].cpu().numpy(),
        rows[at][fine].cpu().numpy(),
        np.full(int(fine.sum()), tangent),
        value[fine].cpu().numpy(),
        slope[fine].cpu().numpy(),
        size[fine].cpu().numpy(),
    )


def _both(first: PlaneTable, second: PlaneTable) -> PlaneTable:
    """Planes of both tables, which speak of the same claims."""
    names = ("claim", "row", "tangent", "value", "slope", "size")
    return replace(first, **{name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in names})


def _tangents(net: Net, layers: list[LayerBounds], trigger: Tensor, pairs: Subproblems) -> list[LayerBounds]:
    """The layers with the lower relu slopes that touch at a trigger: 1 where the pre-activation is positive."""
    state = trigger.expand(len(pairs.input), -1)
    result = []
    for layer, plain in zip(net.hidden, layers, strict=False):
        bounds = plain
        z = state @ layer.weight.T + layer.offset_of(pairs.input)
        state = layer.apply(z)
        if layer.function in {"relu", "max"} and bounds.relaxed is not None:
            slope = torch.where(unstable(layer, bounds), (z > 0).to(z), bounds.relaxed.lower_slope)
            bounds = replace(bounds, relaxed=bounds.relaxed._replace(lower_slope=slope))
        result.append(bounds)
    return [*result, layers[-1]]
