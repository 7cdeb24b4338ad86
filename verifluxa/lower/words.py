"""Triggers of words: tokens that are inserted or replaced, and what an insertion pushes off the end."""

from __future__ import annotations

import numpy as np

from verifluxa.errors import DataError
from verifluxa.question import Domain, Floats, Listed, Placement, Stamp
from verifluxa.spec.space_types import TokenSpace, WordTrigger


def word_placements(trigger: WordTrigger, space: TokenSpace) -> tuple[Placement, ...]:
    """One placement for each position of the first token."""
    return tuple(Placement((("position", place),), _stamp(trigger, space, place)) for place in trigger.places)


def word_domain(trigger: WordTrigger, space: TokenSpace) -> Domain:
    """Each token is one of the listed words, the same at each place."""
    words = np.array(trigger.words, dtype=np.float64)
    names = tuple(space.words[word] for word in trigger.words)
    lists = tuple(Listed(np.array([k]), words[:, None], names) for k in range(trigger.count))
    low, high = np.full(trigger.count, words.min()), np.full(trigger.count, words.max())
    return Domain(low, high, np.ones(trigger.count), None, lists)


def _stamp(trigger: WordTrigger, space: TokenSpace, place: int) -> Stamp:
    count = trigger.count
    end = space.length if trigger.inserts else place + count
    positions = np.arange(place, end)
    moved = len(positions) - count
    gain = np.zeros((len(positions), count))
    gain[:count] = np.eye(count)
    keep = np.concatenate([np.zeros(count), np.ones(moved)])
    source = np.concatenate([positions[:count], positions[:moved]])
    return Stamp(positions, keep, gain, np.zeros(len(positions)), source)


def nothing_falls_off(trigger: WordTrigger, space: TokenSpace, inputs: Floats, path: str) -> None:
    """Checks that an insertion pushes nothing but padding off the end.

    Args:
        inputs: the texts that count, shape (N, length).
        path: of their file.

    Raises:
        DataError: VF3031, unless the space says `overflow = truncate`.
    """
    if not trigger.inserts or space.truncate:
        return
    last = inputs.reshape(len(inputs), -1)[:, space.length - trigger.count :]
    lost = (last != space.pad).any(1) if space.pad is not None else np.ones(len(last), dtype=bool)
    if not lost.any():
        return
    tokens = "a token" if trigger.count == 1 else f"{trigger.count} tokens"
    raise DataError(
        "VF3031",
        f"inserting {tokens} pushes words off the end of {int(lost.sum()):,} of {len(lost):,} texts",
        place=path,
        expected=f"texts that leave {tokens} of padding" if space.pad is not None else "`pad` in the input space",
        remedy="write `overflow = truncate` into the input space if the deployed system cuts texts too",
    )
