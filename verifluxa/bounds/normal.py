"""Normalisation of one sample: `(x - mean) / sqrt(variance + epsilon)` as four layers of a chain.

    d = x - mean(x)            affine,
    q = d * d                  a square,
    r = 1 / sqrt(mean(q) + e)  convex in the mean, which deployed values never take below e: no sum of squares is
                               negative, rounded or not; or 1 / (sqrt(mean(q)) + e),
    y = d * r                  a product of two neurons.

Every step carries the error of the deployed operations that it stands for, so the quotient is as sound as the
network's own. The decomposition is that of Shi et al. 2020 (Robustness verification for transformers, section 3.3).
"""

from __future__ import annotations

import numpy as np

from verifluxa.bounds.chain import Floats, Layer, Reached
from verifluxa.bounds.curves import Curve
from verifluxa.bounds.joint_values import groups_of, inverse
from verifluxa.bounds.products import emit_products
from verifluxa.bounds.rounding import JOINT_TERMS, RADIUS_SAFETY
from verifluxa.bounds.walk import LocalNetworkBuilder, picked, rounded
from verifluxa.graph.ops import Normalise


def normalise(walk: LocalNetworkBuilder) -> Reached:
    """All values of every group that the trigger reaches."""
    op = walk.node.op
    assert isinstance(op, Normalise)
    size, source = groups_of(op, walk.node.shape)[1], walk.node.inputs[0]
    touched = np.unique(walk.live[source].index // size)
    index = (touched[:, None] * size + np.arange(size)).ravel()
    # What is reached of the values is carried, not the differences: those move in the whole group.
    with walk.keeping(source):
        states = walk.emit(_centred(walk, walk.forms(source, index), size), "square", special=Curve("square"))
        curve = inverse(op, walk.rounding)
        walk.emit(_variance(walk, op, len(index), size, states), curve.name, special=curve)
    groups = len(touched)
    differences = _centred(walk, walk.forms(source, index), size)
    quotients = picked(0, groups, differences.weight.shape[1])
    states = emit_products(walk, differences, quotients, np.repeat(np.arange(groups), size))
    terms = JOINT_TERMS["quotient"](op, walk.node.shape)
    result = rounded(picked(0, len(index), states), walk.rounding.coefficient(terms), walk.rounding.tiny(terms))
    walk.sums.append(result)
    return Reached(index, result)


def _centred(walk: LocalNetworkBuilder, form: Layer, size: int) -> Layer:
    """`x - mean(x)` within each group of `size` rows; the mean's rounding counts with the size of all its terms."""
    terms = JOINT_TERMS["normalise"](walk.node.op, walk.node.shape)
    scale = walk.rounding.coefficient(terms)

    def mean(part: Floats, axis: int) -> Floats:
        groups = part.reshape(*part.shape[:axis], part.shape[axis] // size, size, *part.shape[axis + 1 :])
        means = np.broadcast_to(groups.mean(axis + 1, keepdims=True), groups.shape)
        return means.reshape(part.shape)

    slope = RADIUS_SAFETY * (form.slope_radius + mean(form.slope_radius, 0))
    size_of_slope = np.abs(form.weight) + form.slope_radius
    slope = slope + scale * (size_of_slope + mean(size_of_slope, 0))
    radius = RADIUS_SAFETY * (form.radius + mean(form.radius, 1))
    size_of_offset = np.abs(form.offset) + form.radius
    radius = radius + scale * (size_of_offset + mean(size_of_offset, 1)) + walk.rounding.tiny(terms)
    result = Layer(form.weight - mean(form.weight, 0), form.offset - mean(form.offset, 1), slope, radius)
    walk.sums.append(result)
    return result


def _variance(walk: LocalNetworkBuilder, op: Normalise, moved: int, size: int, states: int) -> Layer:
    """Per group the mean of the squares, which are the state's first part, plus epsilon where it is added there."""
    groups = moved // size
    weight = np.zeros((groups, states))
    weight[np.repeat(np.arange(groups), size), np.arange(moved)] = 1 / size
    epsilon = 0.0 if op.by_deviation else op.epsilon
    terms = JOINT_TERMS["normalise"](op, walk.node.shape)
    scale, tiny = walk.rounding.coefficient(terms), walk.rounding.tiny(terms)
    radius = np.full((1, groups), scale * epsilon + tiny)
    result = Layer(weight, np.full((1, groups), epsilon), scale * weight, radius)
    walk.sums.append(result)
    return result
