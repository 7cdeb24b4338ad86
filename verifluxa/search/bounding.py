"""Claims of a batch of domains, decided in parts that fit into memory, with an eye on the clock.

What is known of one claim never depends on the others, so a batch may be cut anywhere, even inside a domain.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from verifluxa.bounds.clip import MULTIPLIERS
from verifluxa.bounds.linear import LayerBounds, Subproblems, all_layers
from verifluxa.bounds.memory import SHARE, free_bytes, in_chunks
from verifluxa.bounds.net import Net
from verifluxa.search.claims import BoundContext, ClaimBounds, RowBounds, Verdicts, decide_claims
from verifluxa.search.splits import drop_contradicted, with_signs
from verifluxa.search.workspace import Claims

LARGEST_NUMBERS = 2**23
"""Numbers of the largest temporary: a dozen of them live at a time."""


def claims_at_once(net: Net, device: str) -> int:
    """How many claims to clip at once: each neuron has a row for each multiplier over all values of the trigger."""
    widest = max(layer.weight.shape[0] for layer in net.layers)
    numbers = len(MULTIPLIERS) * widest * max(1, net.layers[0].weight.shape[1])
    return max(1, int(min(free_bytes(device) * SHARE / 8, LARGEST_NUMBERS)) // numbers)


def decided(
    scene: BoundContext,
    named: tuple[Claims, Subproblems],
    signs: Sequence[Tensor] | None,
    clip_rounds: int,
    deadline: float,
) -> Verdicts:
    """Decides the claims of a batch of domains, or, when the time ends before the last part, the first of them.

    Args:
        named: the claims, and a pair for each, with what is known of its layers' ends.
        signs: what splits of neurons say, per hidden layer (C, n), or None.
        clip_rounds: rounds of self-clipping.
        ends: on the clock of `time.monotonic`.

    Raises:
        MemoryError: when even one claim does not fit.
    """
    claims, pairs = named

    def some(start: int, end: int) -> Verdicts | None:
        if start and time.monotonic() > deadline:
            return None
        if end - start == len(claims):
            return _some(scene, named, signs, clip_rounds)
        index = torch.arange(start, end, device=pairs.domain.device)
        own = None if signs is None else [part[index] for part in signs]
        return _some(scene, (claims.take(index), pairs.take(index)), own, clip_rounds)

    found = in_chunks(len(claims), claims_at_once(scene.net, scene.work.device), some)
    parts = [part for part in found if part is not None] or [_some(scene, named, signs, clip_rounds)]
    return parts[0] if len(parts) == 1 else _joined(parts)


def _some(
    scene: BoundContext, named: tuple[Claims, Subproblems], signs: Sequence[Tensor] | None, clip_rounds: int
) -> Verdicts:
    claims, pairs = named
    if signs is None:
        layers, gone = all_layers(scene.net, scene.geometry, pairs), None
    else:
        layers, gone = with_signs(scene.net, scene.geometry, pairs, signs)
    verdicts = decide_claims(scene, layers, Subproblems(pairs.domain, pairs.input), claims, clip_rounds)
    excluded = [part for part in (gone, *(layer.infeasible for layer in layers)) if part is not None]
    if excluded:
        verdicts = drop_contradicted(verdicts, torch.stack(excluded).any(0) & scene.bounded(layers, claims.input))
    return verdicts


def _joined(parts: Sequence[Verdicts]) -> Verdicts:
    """The verdicts of consecutive parts."""
    sizes = [len(part.row) for part in parts]
    slopes, values = (torch.cat([part.branching[column] for part in parts]) for column in (0, 1))
    alive, row, planes = (torch.cat([getattr(part, name) for part in parts]) for name in ("alive", "row", "planes"))
    return Verdicts(alive, row, planes, (slopes, values), _joined_bounds([part.last for part in parts], sizes))


def _joined_bounds(parts: Sequence[ClaimBounds], sizes: Sequence[int]) -> ClaimBounds:
    starts = [sum(sizes[:number]) for number in range(len(sizes))]
    at = torch.cat([part.at + start for part, start in zip(parts, starts, strict=True)])
    pairs = Subproblems(
        torch.cat([part.pairs.domain for part in parts]), torch.cat([part.pairs.input for part in parts])
    )
    layers = [joined_layer(column) for column in zip(*(part.layers for part in parts), strict=True)]
    names = ("value", "slope", "upper", "limit", "closed")
    planes = RowBounds(*(torch.cat([getattr(part.planes, name) for part in parts]) for name in names))
    return ClaimBounds(at, pairs, layers, planes)


def joined_layer(parts: Sequence[LayerBounds]) -> LayerBounds:
    """Bounds of one layer for some pairs, then for others."""
    lower, upper, radius = (torch.cat([getattr(part, name) for part in parts]) for name in ("lower", "upper", "radius"))
    relaxed = parts[0].relaxed
    if relaxed is not None:
        relaxed = type(relaxed)(*map(torch.cat, zip(*(part.relaxed for part in parts if part.relaxed), strict=True)))
    masks = [part.open for part in parts if part.open is not None]
    return LayerBounds(lower, upper, radius, torch.cat(masks) if masks else None, relaxed)
