"""Claims that plain bounds leave open, tried again with slopes of their own and with what neuron splits say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from verifluxa.bounds.alpha import (
    BoundParameters,
    default,
    hex_of,
    is_supported,
    joined_parameters,
    level_of,
    row_of,
    unstable,
)
from verifluxa.bounds.linear import LayerBounds
from verifluxa.bounds.net import Net, NetLayer
from verifluxa.bounds.optimise import AlphaSettings, BoundTask, fits, optimise
from verifluxa.evidence import OPEN, PrunedDisjunct
from verifluxa.search.claims import BoundContext, ClaimBounds, take_layers
from verifluxa.search.workspace import Claims


@dataclass(frozen=True, eq=False)
class Improved:
    """What became of the claims of a `ClaimBounds`.

    Attributes:
        row: the row that fell, or OPEN, shape (C,).
        closings: for each claim that fell the record that says how.
        largest: the largest value of the tightest row, shape (C,).
        chosen: the multipliers with which a child goes on; None where none were made.
    """

    row: Tensor
    closings: dict[int, PrunedDisjunct]
    largest: Tensor
    chosen: BoundParameters | None


def improve(
    scene: BoundContext,
    open_: ClaimBounds,
    named: tuple[Claims, Tensor],
    settings: AlphaSettings,
    known: tuple[Sequence[Tensor] | None, BoundParameters | None] = (None, None),
) -> Improved:
    """Optimises the tightest row of each open claim.

    Args:
        open_: the claims, with bounds and planes.
        named: the same claims, and the rows that clipped them (C, rounds), -1 where none did.
        known: what splits say of each claim's neurons, see `bounds.optimise.BoundTask`, and multipliers to start from.
    """
    claims, clips = named
    count = len(claims)
    row = torch.full((count,), OPEN, dtype=torch.long, device=clips.device)
    nothing = Improved(row, {}, torch.zeros(count, dtype=torch.float64, device=clips.device), None)
    if not count or not settings.steps or not is_supported(scene.net) or not scene.net.hidden:
        return nothing
    signs, start = known
    position = open_.planes.tightest()
    each = torch.arange(count, device=clips.device)
    rows = scene.work.alternatives[claims.alternative][each, position]
    closings: dict[int, PrunedDisjunct] = {}
    parts: list[tuple[Tensor, Tensor, BoundParameters]] = []
    # A batch ends early when every claim of it is settled: those that are nearly settled come together.
    for index in torch.split(open_.planes.upper[each, position].argsort(), fits(scene.net, scene.work.device)):
        task = _task(scene, open_, (index, rows[index], position[index]), signs)
        found = optimise(task, settings.steps, settings.patience, None if start is None else start.take(index))
        largest, chosen = found.largest, found.chosen
        closed = _is_closed(scene, rows[index])
        fell = torch.where(closed, largest < task.limits, largest <= task.limits) & torch.isfinite(largest)
        row[index[fell]] = rows[index[fell]]
        parts.append((index, largest, chosen))
        for at in fell.nonzero()[:, 0].tolist():
            claim = int(index[at])
            planes = tuple(int(p) for p in clips[claim].tolist() if p >= 0)
            named_rows = (*[OPEN] * int(claims.position[claim]), int(rows[claim]))
            record = PrunedDisjunct(int(claims.input[claim]), named_rows, planes)
            closings[claim] = _with_choices(scene.net, task, chosen, at, record)
    back = torch.cat([index for index, _, _ in parts]).argsort()
    largest = torch.cat([part for _, part, _ in parts])[back]
    return Improved(row, closings, largest, joined_parameters([chosen for _, _, chosen in parts]).take(back))


def _is_closed(scene: BoundContext, rows: Tensor) -> Tensor:
    """Whether rows are met at 0."""
    return torch.as_tensor(scene.work.problem.rows.closed, device=rows.device)[rows]


def _task(
    scene: BoundContext, open_: ClaimBounds, of: tuple[Tensor, Tensor, Tensor], signs: Sequence[Tensor] | None
) -> BoundTask:
    index, rows, position = of
    return BoundTask.alone(
        scene.net,
        take_layers(open_.layers, index),
        scene.geometry,
        open_.pairs.take(index),
        scene.work.coefficients[rows],
        scene.work.row_constants[rows],
        open_.planes.limit[index, position],
        None if signs is None else [part[index] for part in signs],
    )


def _with_choices(
    net: Net, task: BoundTask, chosen: BoundParameters, at: int, record: PrunedDisjunct
) -> PrunedDisjunct:
    """A record with the slopes and betas of one claim."""
    layers = zip(net.hidden, task.layers, strict=False)
    slopes = tuple(
        hex_of(_levels(layer, bounds, (chosen, number), at)) for number, (layer, bounds) in enumerate(layers)
    )
    betas = tuple(
        (number, neuron, float(part[at, neuron]))
        for number, part in enumerate(chosen.betas)
        for neuron in part[at].nonzero()[:, 0].tolist()
    )
    return record._replace(slopes=slopes if any(slopes) else (), betas=betas)


def _levels(layer: NetLayer, bounds: LayerBounds, of: tuple[BoundParameters, int], at: int) -> Tensor:
    """The levels of a claim's slopes in a layer; none where the default rule stays for all neurons."""
    (chosen, number), free = of, unstable(layer, bounds)[at]
    slopes = chosen.alphas[number][at]
    if row_of(layer) is not None:
        levels = chosen.levels[number][at]
        return levels[: len(levels) * bool((levels > 0).any())]
    assert bounds.relaxed is not None
    if not bool((free & (slopes != bounds.relaxed.lower_slope[at])).any()):
        return slopes[:0]
    return torch.where(free, level_of(slopes), torch.zeros_like(slopes))


def started(
    given: Sequence[tuple[BoundParameters | None, int]], open_: ClaimBounds, net: Net
) -> BoundParameters | None:
    """Multipliers that parents hand on to the open claims, by the default rule where they have none.

    Args:
        given: of each domain of a batch its claims' multipliers, or None, and how many claims it has.
        open_: claims of the batch; `at` counts all claims of all domains.
    """
    if all(chosen is None for chosen, _ in given):
        return None
    rule = default(net, open_.layers)
    parts = []
    for chosen, count in given:
        rest = torch.zeros(0, dtype=torch.long, device=open_.at.device)
        parts.append(rule.take(rest).spread(rest, count) if chosen is None else chosen)
    handed = joined_parameters(parts).take(open_.at)
    return handed.mapped(lambda own, usual: torch.where(torch.isnan(own), usual, own), rule)
