"""A trigger family to its placements and domain, by the kind of the trigger."""

from __future__ import annotations

from verifluxa.lower import images
from verifluxa.lower.series import series_domain, series_placements
from verifluxa.lower.tables import table_placements
from verifluxa.lower.words import word_domain, word_placements
from verifluxa.question import Domain, Placement
from verifluxa.spec.space_types import SeriesSpace, SeriesTrigger, TableSpace, TableTrigger, TokenSpace, WordTrigger
from verifluxa.spec.spec import ImageSpace, InputSpace, PatchTrigger, Trigger


def family(trigger: Trigger, space: InputSpace, dtype: str) -> tuple[tuple[Placement, ...], Domain]:
    """The placements, and the domain of those that have none of their own.

    Args:
        trigger: of the property, its places already narrowed.
        space: that it is declared for.
        dtype: in which the network reads numbers.
    """
    match trigger, space:
        case PatchTrigger(), ImageSpace():
            placed = tuple(images.placement(trigger, place, space) for place in trigger.places)
            return placed, images.domain(trigger, space)
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
