"""What a network reads of a trigger: numbers of its own float type.

A range without a grid holds real numbers, and an evaluation in a float type reads each as the nearest number of that
type, or as 0 where that is subnormal and flushed. Reading is nondecreasing, so a range that holds what is read of its
ends holds what is read of all that lies between. Grids are whole numbers that every float type holds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from verifluxa.errors import UnsupportedError
from verifluxa.graph.arithmetic import LARGEST
from verifluxa.question import Domain, Floats, Placement

Real = TypeVar("Real", bound=np.floating[Any])
Placed = tuple[tuple[Placement, ...], Domain]
"""Placements, and the domain of those that have none of their own."""


@dataclass(frozen=True, eq=False)
class Reads:
    """What the network of a property reads.

    Attributes:
        dtype: in which it reads numbers.
        inputs: those that count, shape (N, ...).
        path: the file that they are from.
    """

    dtype: str
    inputs: Floats
    path: str


def as_read(placements: tuple[Placement, ...], domain: Domain, arithmetic: str) -> Placed:
    """The same with ranges that hold whatever is read of them; `real` reads numbers as they are.

    Raises:
        UnsupportedError: VF7001 for values that are too large for the float type: some may be read as infinite.
    """
    if arithmetic == "real":
        return placements, domain
    own = {id(one.domain): one.domain for one in placements if one.domain is not None} | {id(domain): domain}
    closed = {name: _closed(one, arithmetic) for name, one in own.items()}
    placed = (one if one.domain is None else replace(one, domain=closed[id(one.domain)]) for one in placements)
    return tuple(placed), closed[id(domain)]


def flushed(values: NDArray[Real], dtype: str) -> NDArray[Real]:
    """Numbers of a float type, 0 where they are subnormal; shape as given."""
    return np.where(np.abs(values) < np.finfo(dtype).tiny, values.dtype.type(0), values)


def _closed(domain: Domain, dtype: str) -> Domain:
    listed = np.concatenate([np.zeros(0, np.int64), *(one.coordinates for one in domain.lists)])
    free = domain.step == 0
    free[listed] = False

    if max(np.abs(domain.lower).max(initial=0.0), np.abs(domain.upper).max(initial=0.0)) >= LARGEST[dtype]:
        raise UnsupportedError(
            "VF7001",
            f"there are no bounds for trigger values as large as the largest number of {dtype}",
            expected=f"values below {LARGEST[dtype]:.3g}",
        )
    ends = []
    for end in (domain.lower, domain.upper):
        near = end.astype(dtype).astype(np.float64)
        ends.append((end, near, flushed(near, dtype)))
    lower, upper = np.minimum.reduce(ends[0]), np.maximum.reduce(ends[1])
    if not ((lower < domain.lower) | (upper > domain.upper))[free].any():
        return domain
    return replace(domain, lower=np.where(free, lower, domain.lower), upper=np.where(free, upper, domain.upper))


def outward(low: Fraction, high: Fraction) -> tuple[float, float]:
    """The ends of a range as floats; they may lie between floats: outward, so that nothing of it is left out."""
    lowest, highest = float(low), float(high)
    lowest = math.nextafter(lowest, -math.inf) if Fraction(lowest) > low else lowest
    highest = math.nextafter(highest, math.inf) if Fraction(highest) < high else highest
    return lowest, highest
