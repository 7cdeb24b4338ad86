"""A trigger family to its placements and domain, by the kind of the trigger."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from verifluxa.lower import images
from verifluxa.lower.series import series_domain, series_placements
from verifluxa.lower.stamps import stamp_placements
from verifluxa.lower.tables import table_placements
from verifluxa.lower.words import (
    appended,
    nothing_falls_off,
    reworded,
    synonym_placements,
    word_domain,
    word_placements,
)
from verifluxa.question import Domain, Floats, Placement
from verifluxa.spec.image_types import StampTrigger
from verifluxa.spec.space_types import (
    SeriesSpace,
    SeriesTrigger,
    SynonymTrigger,
    TableSpace,
    TableTrigger,
    TokenSpace,
    WordTrigger,
)
from verifluxa.spec.spec import ImageSpace, InputSpace, PatchTrigger, SingleTrigger, Trigger, UnionTrigger, members_of


def family(trigger: Trigger, space: InputSpace, dtype: str) -> tuple[tuple[Placement, ...], Domain]:
    """The placements, and the domain of those that have none of their own.

    Args:
        trigger: of the property, its places already narrowed.
        space: that it is declared for.
        dtype: in which the network reads numbers.
    """
    if isinstance(trigger, UnionTrigger):
        placed = _union(trigger, space, lambda member: family(member, space, dtype))
        assert placed[0].domain is not None
        return placed, placed[0].domain
    match trigger, space:
        case PatchTrigger(), ImageSpace():
            placed = tuple(images.placement(trigger, place, space) for place in trigger.places)
            return placed, images.domain(trigger, space)
        case WordTrigger(), TokenSpace():
            return word_placements(trigger, space), word_domain(trigger, space)
        case SeriesTrigger(), SeriesSpace():
            return series_placements(trigger, space), series_domain(trigger)
        case StampTrigger(), ImageSpace():
            placed = stamp_placements(trigger, space)
        case SynonymTrigger(), TokenSpace():
            placed = synonym_placements(trigger, space)
        case TableTrigger(), TableSpace():
            placed = table_placements(trigger, space, dtype)
        case _:
            raise ValueError(f"a trigger of another space: {trigger.name}")
    assert placed[0].domain is not None
    return placed, placed[0].domain


@dataclass(frozen=True, eq=False)
class Texts:
    """The texts that count, shape (N, length), and the file that they are from."""

    inputs: Floats
    path: str


def family_on(trigger: Trigger, space: InputSpace, dtype: str, texts: Texts) -> tuple[tuple[Placement, ...], Domain]:
    """The same for given inputs: where a place of a text depends on what the text holds.

    Raises:
        DataError: VF3031 when a text leaves no room for what is put into it.
    """
    if isinstance(trigger, UnionTrigger):
        placed = _union(trigger, space, lambda member: family_on(member, space, dtype, texts))
        assert placed[0].domain is not None
        return placed, placed[0].domain
    placed, domain = family(trigger, space, dtype)
    if isinstance(trigger, SynonymTrigger):
        return reworded(placed, texts.inputs), domain
    if isinstance(trigger, WordTrigger) and isinstance(space, TokenSpace):
        nothing_falls_off(trigger, space, texts.inputs, texts.path)
        if trigger.appends:
            return appended(trigger, space, texts.inputs, texts.path), domain
    return placed, domain


def clips(trigger: Trigger) -> bool:
    """Whether the triggered input is clipped to the range of the space; untriggered inputs lie in it."""
    return any(isinstance(member, StampTrigger) and member.clip for member in members_of(trigger))


def _union(
    trigger: UnionTrigger, space: InputSpace, lowered: Callable[[SingleTrigger], tuple[tuple[Placement, ...], Domain]]
) -> tuple[Placement, ...]:
    """The placements of all members, each with its own domain and the number of its member."""
    found = []
    for number, member in enumerate(trigger.members):
        placed, domain = lowered(member)
        found += [
            replace(place, label=(("family", number), *place.label), domain=place.domain or domain) for place in placed
        ]
    return tuple(found)
