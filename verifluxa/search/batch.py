"""A batch of open domains: put together for the bounds, taken apart for the decisions, and scored for the splits."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from verifluxa.bounds.domain import Domains, Geometry
from verifluxa.search.claims import Verdicts
from verifluxa.search.halving import Open
from verifluxa.search.workspace import Claims, Workspace


def domains_of(opened: list[Open], directions: Tensor) -> Domains:
    """The domains of a batch."""

    def stacked(name: str) -> Tensor:
        return torch.stack([getattr(domain, name) for domain in opened])

    return Domains(stacked("lower"), stacked("upper"), directions, stacked("low"), stacked("high"))


def joined(parts: list[Claims]) -> Claims:
    """The claims of a batch, domain by domain."""
    return Claims(*(torch.cat([getattr(c, name) for c in parts]) for name in ("input", "alternative", "position")))


def part_of(verdicts: Verdicts, start: int, end: int) -> Verdicts:
    """The verdicts of one domain of a batch."""
    own = slice(start, end)
    slopes, values = verdicts.steering
    last = verdicts.last.take((verdicts.last.at >= start) & (verdicts.last.at < end))
    last = replace(last, at=last.at - start)
    closings = {at - start: record for at, record in verdicts.closings.items() if start <= at < end}
    steering = (slopes[own], values[own])
    chosen = None if verdicts.chosen is None else verdicts.chosen.take(own)
    return Verdicts(verdicts.alive[own], verdicts.row[own], verdicts.planes[own], steering, last, closings, chosen)


def influence(verdicts: Verdicts, of_domain: Tensor, shape: Geometry, domains: Domains) -> tuple[Tensor, Tensor]:
    """Influence of each pixel (D, d) and each strip (D, m) on the claims that are still alive."""
    slopes, _ = verdicts.steering
    half = (domains.upper - domains.lower) / 2
    size = (slopes.abs() * half[of_domain]).sum(1).clamp(min=1e-12)
    weight = torch.where(verdicts.alive, 1 / size, torch.zeros_like(size))
    weighted = torch.nan_to_num(slopes * weight[:, None])
    pixels = half.new_zeros(half.shape).index_add(0, of_domain, weighted.abs()) * half
    strips_half = shape.strip_half
    beta = (weighted[:, None] @ shape.ridge[of_domain].transpose(1, 2))[:, 0]
    strips = strips_half.new_zeros(strips_half.shape).index_add(0, of_domain, beta.abs()) * strips_half
    return pixels, strips


def corners(work: Workspace, verdicts: Verdicts, of_domain: Tensor, domains: Domains) -> Tensor:
    """A grid point per domain where the planes of the alive claims are large together, shape (D, d)."""
    slopes, _ = verdicts.steering
    alive = torch.nan_to_num(slopes) * verdicts.alive[:, None]
    total = alive.new_zeros(domains.lower.shape).index_add(0, of_domain, alive)
    return work.on_grid(torch.where(total >= 0, domains.upper, domains.lower))
