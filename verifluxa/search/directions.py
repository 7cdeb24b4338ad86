"""Shared directions along which all inputs move most: right singular vectors of the first layer."""

from __future__ import annotations

import torch
from torch import Tensor

from verifluxa.bounds.linear import Net


def strip_directions(net: Net, count: int) -> Tensor:
    """The leading right singular vectors of the first layer's matrix, shape (count, d) or fewer.

    All inputs share `weight @ tau`; its singular values fall fast, so halving the range of a leading
    direction is worth many pixel halvings. Nothing rests on their orthonormality, only on the stored floats.
    """
    weight = net.layers[0].weight
    if count == 0 or min(weight.shape) < 2 or not bool(weight.any()):
        return weight.new_zeros(0, weight.shape[1])
    _, _, directions = torch.linalg.svd(weight, full_matrices=False)
    leading: Tensor = directions[: min(count, weight.shape[1] - 1)].contiguous()
    return leading
