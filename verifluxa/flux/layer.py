"""One layer of a model, whatever form it came in: its kind, its facts, its arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from verifluxa.errors import ModelError, Span

Floats = NDArray[np.floating]
Fact = bool | int | float | str | tuple[int, ...] | None
Facts = dict[str, Fact]


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer as Flux has it.

    Attributes:
        kind: the key of its row in the table, `Dense`.
        place: where it stands in the model, `layers[2]`.
        facts: what its printed form says, and what it leaves out (`eps`); sizes are in Julia's order.
        arrays: its arrays in the axis order of the graph (outputs, inputs, height, width).
        children: layers inside it with their names or numbers.
        parameters: how many numbers can be trained, those of the children not counted.
        silent: facts that the printed form of this version of Flux leaves out.
    """

    kind: str
    place: str
    facts: Facts = field(default_factory=dict)
    arrays: Mapping[str, Floats] = field(default_factory=dict)
    children: tuple[tuple[str, Layer], ...] = ()
    parameters: int = 0
    silent: frozenset[str] = frozenset()


def unsupported(what: str, place: Span | str, why: str, remedy: str | None = None) -> ModelError:
    """The error for a layer or option of Flux that cannot be lifted."""
    return ModelError(
        "VF2010",
        f"{what} cannot be lifted: {why}",
        place=place,
        remedy=remedy or "`verifluxa supports` lists the layers that can be verified",
    )


def training(what: str, place: str, remedy: str) -> ModelError:
    """The error for a layer whose output depends on the batch or on chance."""
    return ModelError(
        "VF2016",
        what,
        place=place,
        expected="a layer that gives one answer for one input",
        remedy=remedy,
    )
