"""Words that are replaced by synonyms, wherever they stand."""

from __future__ import annotations

import numpy as np

from verifluxa.lower.reading import Placed, Reads
from verifluxa.question import AffineInputMap, Domain, Integers, Listed, Placement
from verifluxa.spec.space_types import TokenSpace
from verifluxa.spec.triggers.synonyms import SynonymTrigger


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
