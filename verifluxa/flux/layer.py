"""One layer of a model, whatever form it came in: kind, facts, arrays; and the Flux versions that layers differ in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from verifluxa.errors import ModelError, Span

Version = tuple[int, ...]
_FORM = re.compile(r"v?([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})")
OLDEST, NEWEST = (0, 12), (0, 16)
"""The series whose layers are known; what another one computes would be a guess, and a proof of it worth nothing."""


def parse_version(text: str) -> Version:
    """Reads `0.16.7`. Two numbers are not enough: layers have changed within a series.

    Raises:
        ModelError: VF2011 for anything else, and for a series that is not known.
    """
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise ModelError(
            "VF2011",
            f"`{text[:40]}` is not a version of Flux",
            expected="three numbers such as 0.16.7",
            remedy="in Julia, `pkgversion(Flux)` or `] status Flux` prints it",
        )
    version = tuple(int(part) for part in found.groups())
    if not OLDEST <= version[:2] <= NEWEST:
        raise ModelError(
            "VF2011",
            f"what the layers of Flux {text.strip()[:40]} compute is not known here",
            expected=f"a version of {_words(OLDEST)} to {_words(NEWEST)}",
            remedy="record inputs and outputs in Flux, and compare a version that is known: `lift --probe FILE`",
        )
    return version


def _words(version: Version) -> str:
    return ".".join(map(str, version))


def needs_version(layer: str, place: Span | str, why: str) -> ModelError:
    """The error for a layer whose meaning depends on a version that is not known."""
    return ModelError(
        "VF2011",
        f"what {layer} computes depends on the version of Flux, which no model file says: {why}",
        place=place,
        expected="the version of Flux that the model runs under",
        remedy='in a spec: `flux = "0.16.7"` in the model; else `--flux-version`; in Julia, `pkgversion(Flux)` tells',
    )


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
