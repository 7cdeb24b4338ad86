"""A batch of open domains: put together for the bounds, taken apart for the decisions, and scored for the splits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from verifluxa.bounds.domain import Domains, Geometry, geometry
from verifluxa.bounds.linear import LayerBounds
from verifluxa.search.bounding import joined_layer
from verifluxa.search.claims import Verdicts
from verifluxa.search.halving import Scores, Subdomain
from verifluxa.search.workspace import Claims


def domains_of(opened: list[Subdomain], directions: Tensor) -> Domains:
    """The domains of a batch."""

    def stacked(name: str) -> Tensor:
        return torch.stack([getattr(domain, name) for domain in opened])

    return Domains(stacked("lower"), stacked("upper"), directions, stacked("low"), stacked("high"))


def without_strips(domains: Domains) -> Domains:
    """The boxes alone."""
    none = domains.low[:, :0]
    return Domains(domains.lower, domains.upper, domains.directions[:0], none, none)


def found_before(opened: list[Subdomain]) -> tuple[LayerBounds, ...]:
    """Bounds of the claims of a batch where all of its domains have some, which hold for no part of them any more."""
    parts = [domain.bounds for domain in opened]
    for domain in opened:
        domain.bounds = ()
    return tuple(joined_layer(column) for column in zip(*parts, strict=True)) if all(parts) else ()


def joined(parts: list[Claims]) -> Claims:
    """The claims of a batch, domain by domain."""
    return Claims(*(torch.cat([getattr(c, name) for c in parts]) for name in ("input", "alternative", "position")))


def part_of(verdicts: Verdicts, start: int, end: int) -> Verdicts:
    """The verdicts of one domain of a batch."""
    own = slice(start, end)
    slopes, values = verdicts.branching
    last = verdicts.last.take((verdicts.last.at >= start) & (verdicts.last.at < end))
    last = replace(last, at=last.at - start)
    closings = {at - start: record for at, record in verdicts.closings.items() if start <= at < end}
    branching = (slopes[own], values[own])
    chosen = None if verdicts.chosen is None else verdicts.chosen.take(own)
    return Verdicts(verdicts.alive[own], verdicts.row[own], verdicts.planes[own], branching, last, closings, chosen)


@dataclass(frozen=True, eq=False)
class BranchingScores:
    """Where to go on in the domains of a batch that stay open; nothing is computed before one does.

    Attributes:
        domains: the batch.
        verdicts: on all of its claims.
        of_domain: the domain of each claim, shape (C,).
    """

    domains: Domains
    verdicts: Verdicts
    of_domain: Tensor

    def scores(self, number: int) -> Scores:
        """Those of one domain."""
        shape, (pixels, strips) = self._shape, self._influence
        middle = shape.directions @ shape.center[number] + shape.strip_shift[number]
        return Scores(pixels[number], strips[number], middle, shape.strip_half[number])

    @cached_property
    def _shape(self) -> Geometry:
        return geometry(self.domains)

    @cached_property
    def _influence(self) -> tuple[Tensor, Tensor]:
        """Influence of each pixel (D, d) and each strip (D, m) on the claims that are still alive."""
        (slopes, _), domains, of_domain = self.verdicts.branching, self.domains, self.of_domain
        half = (domains.upper - domains.lower) / 2
        size = (slopes.abs() * half[of_domain]).sum(1).clamp(min=1e-12)
        weight = torch.where(self.verdicts.alive, 1 / size, torch.zeros_like(size))
        weighted = torch.nan_to_num(slopes * weight[:, None])
        pixels = half.new_zeros(half.shape).index_add(0, of_domain, weighted.abs()) * half
        strips_half = self._shape.strip_half
        beta = (weighted[:, None] @ self._shape.ridge[of_domain].transpose(1, 2))[:, 0]
        strips = strips_half.new_zeros(strips_half.shape).index_add(0, of_domain, beta.abs()) * strips_half
        return pixels, strips

    @cached_property
    def corners(self) -> Tensor:
        """A point per domain where the planes of the alive claims are large together, shape (D, d)."""
        (slopes, _), domains = self.verdicts.branching, self.domains
        alive = torch.nan_to_num(slopes) * self.verdicts.alive[:, None]
        total = alive.new_zeros(domains.lower.shape).index_add(0, self.of_domain, alive)
        return torch.where(total >= 0, domains.upper, domains.lower)
