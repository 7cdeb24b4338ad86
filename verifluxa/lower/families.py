"""A trigger family to its placements and domain, by the kind of the trigger."""

from __future__ import annotations

from dataclasses import replace

from verifluxa.lower import images
from verifluxa.lower.series import series_domain, series_placements
from verifluxa.lower.stamps import stamp_placements
from verifluxa.lower.tables import table_placements
from verifluxa.lower.words import word_domain, word_placements
from verifluxa.question import Domain, Placement
from verifluxa.spec.image_types import StampTrigger
from verifluxa.spec.space_types import SeriesSpace, SeriesTrigger, TableSpace, TableTrigger, TokenSpace, WordTrigger
from verifluxa.spec.spec import ImageSpace, InputSpace, PatchTrigger, Trigger, UnionTrigger, members_of


def family(trigger: Trigger, space: InputSpace, dtype: str) -> tuple[tuple[Placement, ...], Domain]:
    """The placements, and the domain of those that have none of their own.

    Args:
        trigger: of the property, its places already narrowed.
        space: that it is declared for.
        dtype: in which the network reads numbers.
    """
    if isinstance(trigger, UnionTrigger):
        placed = _union(trigger, space, dtype)
        assert placed[0].domain is not None
        return placed, placed[0].domain
    match trigger, space:
        case PatchTrigger(), ImageSpace():
            placed = tuple(images.placement(trigger, place, space) for place in trigger.places)
            return placed, images.domain(trigger, space)
        case StampTrigger(), ImageSpace():
            placed = stamp_placements(trigger, space)
            assert placed[0].domain is not None
            return placed, placed[0].domain
        case WordTrigger(), TokenSpace():
            return word_placements(trigger, space), word_domain(trigger, space)
        case SeriesTrigger(), SeriesSpace():
            return series_placements(trigger, space), series_domain(trigger)
        case TableTrigger(), TableSpace():
            placed = table_placements(trigger, space, dtype)
            domain = placed[0].domain
            assert domain is not None
            return placed, domain
    raise ValueError(f"a trigger of another space: {trigger.name}")


def clips(trigger: Trigger) -> bool:
    """Whether the triggered input is clipped to the range of the space; untriggered inputs lie in it."""
    return any(isinstance(member, StampTrigger) and member.clip for member in members_of(trigger))


def _union(trigger: UnionTrigger, space: InputSpace, dtype: str) -> tuple[Placement, ...]:
    """The placements of all members, each with its own domain and the number of its member."""
    found = []
    for number, member in enumerate(trigger.members):
        placed, domain = family(member, space, dtype)
        found += [
            replace(place, label=(("family", number), *place.label), domain=place.domain or domain) for place in placed
        ]
    return tuple(found)
