"""A query: SMT-LIB text, and how a solution of it reads as a trigger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from verifluxa.question import Domain
from verifluxa.smt.rational import Form, variable

Point = tuple[Fraction, ...]


@dataclass(frozen=True)
class Axis:
    """One coordinate of tau: `lower + step * name` with name in 0..count where gridded, else name itself."""

    name: str
    lower: Fraction
    step: Fraction
    upper: Fraction

    @property
    def count(self) -> int:
        """Grid steps."""
        return int((self.upper - self.lower) // self.step)

    @property
    def fixed(self) -> bool:
        """Whether there is one value only."""
        return self.count == 0 if self.step else self.lower == self.upper

    def form(self) -> Form:
        """The coordinate as a linear form."""
        if self.fixed:
            return Form({}, self.lower)
        return Form({f"(to_real {self.name})": self.step}, self.lower) if self.step else variable(self.name)

    def place(self, values: Mapping[str, Fraction]) -> Fraction:
        """The coordinate in a solution; a variable that the solution leaves out may have any value."""
        if self.fixed:
            return self.lower
        if self.step:
            return self.lower + self.step * values.get(self.name, Fraction(0))
        return values.get(self.name, self.lower)


@dataclass(frozen=True)
class Query:
    """SMT-LIB text without the command to check.

    Attributes:
        text: declarations and assertions.
        axes: the coordinates of tau.
    """

    text: str
    axes: tuple[Axis, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The variables that make the trigger."""
        return tuple(axis.name for axis in self.axes if not axis.fixed)

    def point(self, values: Mapping[str, Fraction]) -> Point:
        """The trigger of a solution."""
        return tuple(axis.place(values) for axis in self.axes)

    @property
    def gridded(self) -> bool:
        """Whether every coordinate has a grid, so that single points can be left out."""
        return all(axis.step or axis.fixed for axis in self.axes)

    def without(self, point: Point) -> Query:
        """The same query with one grid point left out.

        Raises:
            ValueError: where some coordinate is continuous.
        """
        if not self.gridded:
            raise ValueError("a single point of the continuum cannot be left out")
        others = [
            f"(not (= {axis.name} {round((value - axis.lower) / axis.step)}))"
            for axis, value in zip(self.axes, point, strict=True)
            if not axis.fixed
        ]
        return Query(f"{self.text}(assert (or {' '.join(others)} false))\n", self.axes)


def axes_of(domain: Domain) -> tuple[Axis, ...]:
    """The coordinates of a domain."""
    ends = zip(domain.lower.tolist(), domain.step.tolist(), domain.upper.tolist(), strict=True)
    return tuple(
        Axis(f"t{j}", Fraction(low), Fraction(step), Fraction(high)) for j, (low, step, high) in enumerate(ends)
    )
