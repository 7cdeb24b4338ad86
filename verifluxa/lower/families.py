"""A trigger family to its placements and domain: the table of families, and unions of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from verifluxa.lower.columns import place_columns
from verifluxa.lower.patch import place_patch, place_stretch
from verifluxa.lower.reading import Placed, Reads
from verifluxa.lower.stamp import place_stamp
from verifluxa.lower.words import place_synonyms, place_words
from verifluxa.spec.spec import InputSpace, Trigger
from verifluxa.spec.triggers.columns import TableTrigger
from verifluxa.spec.triggers.patch import PatchTrigger
from verifluxa.spec.triggers.stamp import StampTrigger
from verifluxa.spec.triggers.stretch import SeriesTrigger
from verifluxa.spec.triggers.synonyms import SynonymTrigger
from verifluxa.spec.triggers.union import UnionTrigger
from verifluxa.spec.triggers.words import WordTrigger

LOWERED: Mapping[type[Trigger], Callable[[Any, Any, Reads], Placed]] = {
    PatchTrigger: place_patch,
    StampTrigger: place_stamp,
    WordTrigger: place_words,
    SynonymTrigger: place_synonyms,
    TableTrigger: place_columns,
    SeriesTrigger: place_stretch,
}
"""From a family, its space and what the network reads to its placements, and the domain of those that have none."""


def family(trigger: Trigger, space: InputSpace, reads: Reads) -> Placed:
    """The placements, and the domain of those that have none of their own.

    Args:
        trigger: of the property, its places already narrowed.
        space: that it is declared for.
        reads: the network's float type, and the inputs that count: where a trigger goes may depend on a text.

    Raises:
        DataError: VF3031 when a text leaves no room for what is put into it.
    """
    if not isinstance(trigger, UnionTrigger):
        return LOWERED[type(trigger)](trigger, space, reads)
    placed = []
    for number, member in enumerate(trigger.members):
        own, domain = family(member, space, reads)
        placed += [replace(one, label=(("family", number), *one.label), domain=one.domain or domain) for one in own]
    assert placed[0].domain is not None
    return tuple(placed), placed[0].domain
