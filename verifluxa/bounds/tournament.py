"""Max pools as tournaments: who is kept, who meets whom, who wins. Plain indices, no arithmetic."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Players = list[list[int]]
Winners = list[tuple[int, int | None]]


def draw(players: Players) -> tuple[list[int], list[tuple[int, int]], Winners]:
    """Who is kept, who meets whom, and each winner as (kept element, pair or None)."""
    keep: list[int] = []
    pairs: list[tuple[int, int]] = []
    winners: Winners = []
    for group in players:
        for start in range(0, len(group), 2):
            keep.append(group[start])
            if start + 1 < len(group):
                pairs.append((group[start], group[start + 1]))
                winners.append((len(keep) - 1, len(pairs) - 1))
            else:
                winners.append((len(keep) - 1, None))
    return keep, pairs, winners


def next_players(players: Players) -> Players:
    """The winners of each group, numbered in the order in which they were drawn."""
    following, start = [], 0
    for group in players:
        size = (len(group) + 1) // 2
        following.append(list(range(start, start + size)))
        start += size
    return following


def winners_of(winners: Winners, kept: int, size: int) -> NDArray[np.float64]:
    """Each winner as a sum over the state after the round: the kept element, and the relu of its pair."""
    weight = np.zeros((len(winners), size))
    for row, (kept_at, pair_at) in enumerate(winners):
        weight[row, kept_at] = 1.0
        if pair_at is not None:
            weight[row, kept + pair_at] = 1.0
    return weight
