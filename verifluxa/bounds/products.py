"""Products of two values that both move: elementwise, and sums of them in a matrix product.

A product is one neuron whose partner is the other factor (`special.Products`, McCormick's planes). A factor that
the trigger does not reach is a constant of the input: the planes are then exact.
"""

from __future__ import annotations

import numpy as np
import torch

from verifluxa.bounds.chain import Floats, Integers, Layer, Reached, stacked
from verifluxa.bounds.curves import Curve
from verifluxa.bounds.joint_values import Sums, products_of
from verifluxa.bounds.rounding import JOINT_TERMS, RADIUS_SAFETY
from verifluxa.bounds.special import Products
from verifluxa.bounds.walk import LocalNetworkBuilder, picked, rounded


def multiply(walk: LocalNetworkBuilder) -> Reached:
    """`x * y`, one rounding; a square where both are the same node."""
    first, second = walk.node.inputs
    index = np.union1d(walk.live[first].index, walk.live[second].index)
    count = len(index)
    if first == second:
        size = walk.emit(walk.forms(first, index), "square", special=Curve("square"))
    else:
        size = emit_products(walk, walk.forms(first, index), walk.forms(second, index), np.arange(count))
    rounding = walk.rounding
    terms = JOINT_TERMS["multiply"](walk.node.op, walk.node.shape)
    form = rounded(picked(0, count, size), rounding.coefficient(terms), rounding.tiny(terms))
    walk.sums.append(form)
    return Reached(index, form)


def emit_products(walk: LocalNetworkBuilder, factors: Layer, others: Layer, partner: Integers) -> int:
    """A layer whose first neurons are `factors[i] * others[partner[i]]`, then `others`; returns the state's size."""
    count, more = len(factors.weight), len(others.weight)
    product = np.arange(count + more) < count
    at = np.concatenate([count + partner, np.arange(count, count + more)])
    pairs = Products(torch.as_tensor(at), torch.as_tensor(product))
    return walk.emit(stacked([factors, others]), "product", linear=~product, special=pairs)


def matmul(walk: LocalNetworkBuilder) -> Reached:
    """Each entry a sum of products, in any order; products of two constants join its offset."""
    first, second = walk.node.inputs
    everything = products_of(walk.graph.nodes[first].shape, walk.graph.nodes[second].shape)
    moves = walk.is_reached(first)[everything.a] | walk.is_reached(second)[everything.b]
    index = np.unique(everything.out[moves])
    products = everything.take(moves)
    others, partner = np.unique(products.b, return_inverse=True)
    size = emit_products(walk, walk.forms(first, products.a), walk.forms(second, others), partner)
    form = picked(0, len(products.a), size)
    at = np.searchsorted(index, products.out)
    weight = np.zeros((len(index), size))
    np.add.at(weight, at, form.weight)
    rounding = walk.rounding
    terms = JOINT_TERMS["matmul"](walk.node.op, walk.graph.nodes[first].shape)
    still = everything.take(~moves & np.isin(everything.out, index))
    offset, radius = _constant_part(walk, (first, second), still, index)
    radius = radius + rounding.coefficient(terms) * offset[1] + rounding.tiny(terms)
    result = Layer(weight, offset[0], rounding.coefficient(terms) * weight, radius)
    walk.sums.append(result)
    return Reached(index, result)


def _constant_part(
    walk: LocalNetworkBuilder, sources: tuple[int, int], still: Sums, index: Integers
) -> tuple[tuple[Floats, Floats], Floats]:
    """Sums of the products that do not move: (value, sum of magnitudes), and the radius that the factors bring."""
    values, radii = ([table[s] for s in sources] for table in (walk.constants.values, walk.constants.radii))
    a, b = values[0][:, still.a], values[1][:, still.b]
    e, f = radii[0][:, still.a], radii[1][:, still.b]
    at = np.searchsorted(index, still.out)

    def summed(terms: Floats) -> Floats:
        total = np.zeros((len(index), len(terms)))
        np.add.at(total, at, terms.T)
        return total.T

    spread = (np.abs(a) + e) * f + e * np.abs(b)
    return (summed(a * b), summed((np.abs(a) + e) * (np.abs(b) + f))), summed(spread) * RADIUS_SAFETY
