"""Words that are inserted, replaced, appended or exchanged for synonyms, and what an insertion pushes off the end."""

from __future__ import annotations

import numpy as np

from verifluxa.errors import DataError
from verifluxa.lower.reading import Placed, Reads
from verifluxa.question import AffineInputMap, Domain, Floats, Integers, Listed, Placement
from verifluxa.spec.spec import TokenSpace
from verifluxa.spec.triggers.synonyms import SynonymTrigger
from verifluxa.spec.triggers.words import WordTrigger


def place_words(trigger: WordTrigger, space: TokenSpace, reads: Reads) -> Placed:
    """One placement for each position of the first token, or the one behind the last word of each text.

    Raises:
        DataError: VF3031 when a text leaves no room for what is put into it.
    """
    domain = _domain(trigger, space)
    if trigger.appends:
        return appended(trigger, space, reads.inputs, reads.path), domain
    _nothing_falls_off(trigger, space, reads.inputs, reads.path)
    return tuple(Placement((("position", place),), _stamp(trigger, space, place)) for place in trigger.places), domain


def appended(trigger: WordTrigger, space: TokenSpace, inputs: Floats, path: str) -> tuple[Placement, ...]:
    """The one placement behind the last word of each text, wherever that is.

    Args:
        inputs: the texts that count, shape (N, length).
        path: of their file.

    Raises:
        DataError: VF3031 when a text leaves no room.
    """
    texts = inputs.reshape(len(inputs), -1)
    ends = np.where(texts != space.pad, np.arange(1, space.length + 1), 0).max(1, initial=0)
    lost = int((ends + trigger.count > space.length).sum())
    if lost:
        raise _falls_off(trigger, lost, len(texts), path, "texts that leave room behind their last word")
    places, which = np.unique(ends, return_inverse=True)
    size = trigger.count
    nan = np.full(space.length, np.nan)
    nowhere = AffineInputMap(np.arange(space.length), nan, np.full((space.length, size), np.nan), nan)
    stamps = tuple(_replaced(int(place), size) for place in places)
    return (Placement((("appended", size),), nowhere, None, stamps, which.astype(np.int64)),)


def _replaced(place: int, count: int) -> AffineInputMap:
    return AffineInputMap(np.arange(place, place + count), np.zeros(count), np.eye(count), np.zeros(count))


def _domain(trigger: WordTrigger, space: TokenSpace) -> Domain:
    """Each token is one of the listed words, the same at each place."""
    words = np.array(trigger.words, dtype=np.float64)
    names = tuple(space.words[word] for word in trigger.words)
    lists = tuple(Listed(np.array([k]), words[:, None], names) for k in range(trigger.count))
    low, high = np.full(trigger.count, words.min()), np.full(trigger.count, words.max())
    return Domain(low, high, np.ones(trigger.count), None, lists)


def _stamp(trigger: WordTrigger, space: TokenSpace, place: int) -> AffineInputMap:
    count = trigger.count
    end = space.length if trigger.inserts else place + count
    positions = np.arange(place, end)
    moved = len(positions) - count
    gain = np.zeros((len(positions), count))
    gain[:count] = np.eye(count)
    keep = np.concatenate([np.zeros(count), np.ones(moved)])
    source = np.concatenate([positions[:count], positions[:moved]])
    return AffineInputMap(positions, keep, gain, np.zeros(len(positions)), source)


def _nothing_falls_off(trigger: WordTrigger, space: TokenSpace, inputs: Floats, path: str) -> None:
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
    room = "texts that leave room for them" if space.pad is not None else "`pad` in the input space"
    raise _falls_off(trigger, int(lost.sum()), len(lost), path, room)


def _falls_off(trigger: WordTrigger, lost: int, count: int, path: str, expected: str) -> DataError:
    tokens = "a token" if trigger.count == 1 else f"{trigger.count} tokens"
    verb = "appending" if trigger.appends else "inserting"
    return DataError(
        "VF3031",
        f"{verb} {tokens} pushes words off the end of {lost:,} of {count:,} texts",
        place=path,
        expected=expected,
        remedy="a longer input space, or `where` without them"
        if trigger.appends
        else "write `overflow = truncate` into the input space if the deployed system cuts texts too",
    )


def place_synonyms(trigger: SynonymTrigger, space: TokenSpace, reads: Reads) -> Placed:
    """A placement for each word that may be replaced, with the stamps of the texts: at all its places, or at none."""
    texts = reads.inputs.reshape(len(reads.inputs), -1)
    nan = np.full(space.length, np.nan)
    nowhere = AffineInputMap(np.arange(space.length), nan, np.full((space.length, 1), np.nan), nan)
    sets = {word: [other for other in words if other != word] for words in trigger.sets for word in words}
    placed, domains = [], []
    for word in trigger.places:
        patterns, which = np.unique(texts == word, axis=0, return_inverse=True)
        stamps = tuple(_everywhere(np.flatnonzero(pattern)) for pattern in patterns)
        domains.append(_other_words(word, sets[word], space))
        placed.append(Placement((("word", word),), nowhere, domains[-1], stamps, which.reshape(-1).astype(np.int64)))
    return tuple(placed), domains[0]


def _other_words(word: int, others: list[int], space: TokenSpace) -> Domain:
    names = tuple(f"{space.words[other]} for {space.words[word]}" for other in others)
    values = np.array(others, dtype=np.float64)
    listed = (Listed(np.array([0]), values[:, None], names),)
    return Domain(values[:1], values[-1:], np.ones(1), None, listed)


def _everywhere(places: Integers) -> AffineInputMap:
    nothing = np.zeros(len(places))
    return AffineInputMap(places.astype(np.int64), nothing, np.ones((len(places), 1)), nothing)
