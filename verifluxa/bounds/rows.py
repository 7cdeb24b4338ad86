"""Upper planes of linear rows over the outputs of a chain, as functions of tau: what violation rows are bounded by."""

from __future__ import annotations

import torch
from torch import Tensor

from verifluxa.bounds.backward import Known, descend
from verifluxa.bounds.domain import Geometry
from verifluxa.bounds.linear import LayerBounds, Subproblems, stages_below
from verifluxa.bounds.net import Net


def backward(
    net: Net,
    below: list[LayerBounds],
    geometry: Geometry,
    of: tuple[Tensor, Subproblems],
    rows: tuple[Tensor | Known, Tensor],
) -> tuple[Tensor, Tensor]:
    """Upper planes of linear rows over the state after layer `len(below) - 1`.

    Args:
        below: bounds of all layers under the rows.
        of: index (C,) of each claim into the pairs of `below`, and the claims' own pairs.
        rows: coefficients (C, r, n), or where they stand in a table, and constants (C, r).

    Returns:
        value at the domain's center (C, r) and slopes (C, r, d): row <= value + slope . (tau - center).
    """
    index, pairs = of
    count = len(below[0].lower)
    if len(index) == count and torch.equal(index, torch.arange(count, device=index.device)):
        return descend(stages_below(net, below, geometry, pairs), *rows)
    # Each claim knows its pair's domain and input; pairs that no claim names may be anything.
    domain, inputs = index.new_zeros(count), index.new_zeros(count)
    domain[index], inputs[index] = pairs.domain, pairs.input
    return descend(stages_below(net, below, geometry, Subproblems(domain, inputs), every=False), *rows, index)


def _dot(rows: Tensor, vector: Tensor) -> Tensor:
    """(C, r, n) with (C, n): (C, r)."""
    return (rows * vector[:, None]).sum(-1)


def _product(rows: Tensor, offset: Tensor) -> Tensor:
    return rows @ offset[0] if len(offset) == 1 else _dot(rows, offset)


def output_planes(
    net: Net,
    bounds: list[LayerBounds],
    geometry: Geometry,
    of: tuple[Tensor, Subproblems],
    rows: tuple[Tensor, Tensor],
) -> tuple[Tensor, Tensor]:
    """Upper planes of rows over the outputs.

    Args:
        bounds: of all layers, the output layer's last.
        rows: coefficients (C, r, outputs) and constants (C, r).
    """
    index, pairs = of
    coefficients, constants = rows
    layer, last = net.layers[-1], bounds[-1]
    constants = constants + _dot(coefficients.abs(), last.radius[index])
    constants = constants + _product(coefficients, layer.offset_of(pairs.input))
    weight = coefficients @ layer.weight
    if len(bounds) == 1:
        return constants + _dot(weight, geometry.center[pairs.domain]), weight
    return backward(net, bounds[:-1], geometry, of, (weight, constants))


def planes_of_rows(
    net: Net,
    bounds: list[LayerBounds],
    geometry: Geometry,
    of: tuple[Tensor, Subproblems, Tensor],
    table: tuple[Tensor, Tensor],
) -> tuple[Tensor, Tensor]:
    """As `output_planes`, for rows that are named by their place in a table: the table is multiplied out once.

    Args:
        bounds: of all layers, the output layer's last.
        of: index (C,) of each claim into the pairs of `bounds`, the claims' own pairs, and their rows (C, r).
        table: coefficients (R, outputs) and constants (R,).
    """
    index, pairs, rows = of
    coefficients, constants = table
    layer, last = net.layers[-1], bounds[-1]
    moved = torch.addmm(constants, layer.offset_of(pairs.input), coefficients.T)
    value = torch.addmm(moved, last.radius.index_select(0, index), coefficients.abs().T).gather(1, rows)
    weight = coefficients @ layer.weight
    if len(bounds) == 1:
        return value + _dot(weight[rows], geometry.center[pairs.domain]), weight[rows]
    return backward(net, bounds[:-1], geometry, (index, pairs), (Known(weight, rows), value))
