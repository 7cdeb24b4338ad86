"""Shared directions along which all inputs move most: right singular vectors of the first layer."""

from __future__ import annotations

import torch
from torch import Tensor

from verifluxa.bounds.net import Net

LOCAL = 0.25
"""Share of zeros from which on a first layer counts as local: a convolution's outputs do not see the whole patch."""


def _leading_map(net: Net) -> Tensor:
    """The first layer's matrix; where that is local, the first two layers' with the functions left out, shape (n, d).

    A local layer spreads what the next one joins again: its own singular vectors say little about the whole patch.
    """
    first = net.layers[0].weight
    if len(net.layers) < 3 or float((first == 0).double().mean()) < LOCAL:
        return first
    following = net.layers[1].weight
    return following @ first[: following.shape[1]]


def strip_directions(net: Net, count: int) -> Tensor:
    """The leading right singular vectors of the first layers' matrix, shape (count, d) or fewer.

    All inputs share `weight @ tau`; its singular values fall fast, so halving the range of a leading
    direction is worth many pixel halvings. Nothing rests on their orthonormality, only on the stored floats.
    """
    weight = _leading_map(net)
    if count == 0 or min(weight.shape) < 2 or not bool(weight.any()) or not bool(torch.isfinite(weight).all()):
        return weight.new_zeros(0, weight.shape[1])
    _, _, directions = torch.linalg.svd(weight, full_matrices=False)
    leading: Tensor = directions[: min(count, weight.shape[1] - 1)].contiguous()
    return leading
