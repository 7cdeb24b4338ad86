"""Triggers that set columns of a table: numbers as they are, categories as 0s and one 1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from verifluxa.lower.deploy import nearest
from verifluxa.lower.reading import Placed, Reads, flushed, outward
from verifluxa.question import AffineInputMap, Domain, Floats, Integers, Listed, Placement, SlabConstraints
from verifluxa.spec.spec import Feature, TableSpace
from verifluxa.spec.triggers.columns import KeptFeature, TableTrigger

FEW = 2**17
"""Up to so many combinations slabs are left away: each combination is then tried alone."""


@dataclass(frozen=True, eq=False)
class _Part:
    """One column of a set: its range, and its list where it has one."""

    lower: Floats
    upper: Floats
    step: float
    points: Floats | None
    names: tuple[str, ...]
    template: str
    one_hot: bool

    @property
    def count(self) -> float:
        """How many values it has."""
        if self.points is not None:
            return float(len(self.points))
        width = float((self.upper - self.lower)[0])
        return float("inf") if self.step == 0 and width > 0 else width / (self.step or 1.0) + 1


def place_columns(trigger: TableTrigger, space: TableSpace, reads: Reads) -> Placed:
    """One placement for each set of columns, with a domain of its own; its words name the columns."""
    columns = {feature.name: feature for feature in space.features}
    found, domains = [], []
    for number, chosen in enumerate(trigger.places):
        kept = [trigger.features[at] for at in chosen]
        features = [columns[one.name] for one in kept]
        positions = [np.arange(space.start(f.name), space.start(f.name) + f.width) for f in features]
        parts = [_part(one, feature, reads.dtype) for one, feature in zip(kept, features, strict=True)]
        size = sum(len(part.lower) for part in parts)
        stamp = AffineInputMap(np.concatenate(positions), np.zeros(size), np.eye(size), np.zeros(size))
        domains.append(_domain(parts))
        found.append(Placement((("set", number),), stamp, domains[-1]))
    return tuple(found), domains[0]


def _part(kept: KeptFeature, feature: Feature, dtype: str) -> _Part:
    if feature.items:
        return _category(kept, feature)
    unit = "" if feature.unit is None else f" {feature.unit}"
    template = f"{feature.name} = {{}}{unit}"
    if kept.kept:
        numbers = np.array([float(nearest(value, dtype)) for value in kept.kept])
        values = np.unique(np.concatenate([numbers, flushed(numbers, dtype)]))
        names = tuple(template.format(f"{value:g}") for value in values)
        ends = values[:1], values[-1:]
        return _Part(*ends, 1.0 if feature.step else 0.0, values[:, None], names, template, False)
    lower, upper = outward(kept.low, kept.high)
    return _Part(np.array([lower]), np.array([upper]), float(feature.step or 0), None, (), template, False)


def _category(kept: KeptFeature, feature: Feature) -> _Part:
    width = feature.width
    chosen = [int(value) for value in kept.kept] or list(range(width))
    points = np.eye(width)[chosen]
    names = tuple(f"{feature.name} = {feature.items[number]}" for number in chosen)
    return _Part(points.min(0), points.max(0), 1.0, points, names, "", True)


def _domain(parts: list[_Part]) -> Domain:
    starts = np.cumsum([0, *(len(part.lower) for part in parts)])
    lists, templates = [], []
    for start, part in zip(starts[:-1], parts, strict=True):
        templates += [part.template] * len(part.lower)
        if part.points is not None:
            lists.append(Listed(np.arange(start, start + len(part.lower)), part.points, part.names))
    few = np.prod([part.count for part in parts]) <= FEW
    return Domain(
        lower=np.concatenate([part.lower for part in parts]),
        upper=np.concatenate([part.upper for part in parts]),
        step=np.concatenate([np.full(len(part.lower), part.step) for part in parts]),
        slabs=None if few else _one_each(parts, starts),
        lists=tuple(lists),
        names=tuple(templates),
    )


def _one_each(parts: list[_Part], starts: Integers) -> SlabConstraints | None:
    """The numbers of a category sum to 1: a help where bounds leave the lists out."""
    rows = [np.arange(s, s + len(part.lower)) for s, part in zip(starts[:-1], parts, strict=True) if part.one_hot]
    if not rows:
        return None
    directions = np.zeros((len(rows), starts[-1]))
    for direction, at in zip(directions, rows, strict=True):
        direction[at] = 1.0
    return SlabConstraints(directions, np.ones(len(rows)), np.ones(len(rows)))
