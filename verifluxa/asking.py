"""From a property of the spec to what is asked: its words and digests, and its questions."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from verifluxa.inputs import Inputs
from verifluxa.question import Problem
from verifluxa.result.build import PropertyQuery
from verifluxa.spec.digest import property_digest
from verifluxa.spec.plain import explain_property
from verifluxa.spec.spec import Compare, Measure, Property, RateBound, RealOutput, Statement, claims_of
from verifluxa.spec.words import conditions

if TYPE_CHECKING:
    from verifluxa.graph.graph import Graph
    from verifluxa.lower import Untouched
    from verifluxa.question import Floats


MOST_VALUES = 1 << 26
"""Of all operations on some inputs, which are bounded together."""


def describe_property(inputs: Inputs, prop: Property, gap: Fraction | None = None) -> PropertyQuery:
    """What the spec says of a property; `gap` takes the place of what it says of the gap of a measurement."""
    statement = prop.statement
    model = inputs.models[statement.model].decl
    claim = claims_of(statement)[0]
    bound = statement if isinstance(statement, RateBound) else None
    return PropertyQuery(
        name=prop.name,
        words=explain_property(inputs.spec, prop).words,
        span=prop.span,
        digest=property_digest(inputs.spec, prop, {name: item.sha256 for name, item in inputs.data.items()}),
        limit=None if bound is None else bound.limit,
        classes=() if isinstance(model.output, RealOutput) else model.output.labels,
        kind=_kind(statement),
        condition=conditions(claim.rows, model) if claim.rows else None,
        limits=() if bound is None else bound.limits,
        gap=None if not isinstance(statement, Measure) else statement.gap if gap is None else gap,
        everywhere=isinstance(statement, Measure) and statement.everywhere,
    )


def _kind(statement: Statement) -> str:
    if isinstance(statement, Measure | Compare):
        return "measure" if isinstance(statement, Measure) else "compare"
    return "search" if isinstance(statement, RateBound) and statement.searched else "assert"


def build_problem(inputs: Inputs, prop: Property, digest: str, arithmetic: str) -> Problem:
    """The questions of a property.

    Raises:
        DataError: when no input is left to prove anything about.
        UnsupportedError: when the engine has no sound answer for the network.
    """
    from verifluxa.lower import Given, lower

    statement = prop.statement
    if isinstance(statement, Compare):
        return build_problem(inputs, replace(prop, statement=statement.new), digest, arithmetic)
    graph = inputs.models[statement.model].lifted.graph
    correct = statement.selection.correct
    judge = None if correct in (None, statement.model) else inputs.models[correct].lifted.graph
    data = inputs.data[statement.selection.data]
    return lower(inputs.spec, prop, Given(graph, data, digest, arithmetic, judge, untouched))


def untouched(graph: Graph, inputs: Floats, arithmetic: str, rows: Floats | None = None) -> Untouched:
    """Bounds of a deployed network's outputs on inputs without a trigger, and what it gives when it runs.

    Args:
        graph: the network.
        inputs: samples first.
        arithmetic: `float32`, `float64` or `real`.
        rows: linear rows over the outputs that are bounded in place of them, shape (N, R, outputs). Their errors are
            carried back from the outputs, which takes longer and tells more.

    Raises:
        UnsupportedError: VF7001 for an operation without bounds.
    """
    from verifluxa.bounds import propagate, row_radii
    from verifluxa.lower import Untouched

    size = max(1, MOST_VALUES // sum(math.prod(node.shape) for node in graph.nodes))
    values, radii = [], []
    for start in range(0, len(inputs), size):
        found = propagate(graph, inputs[start : start + size], arithmetic, len(graph.nodes) - 1)
        value, radius, own = found.values[-1], found.radii[-1], None if rows is None else rows[start : start + size]
        if own is not None:
            value, radius = (own @ value[..., None])[..., 0], row_radii(graph, found, own)
        values.append(value)
        radii.append(np.where(found.unsafe[:, None], np.inf, radius))
    empty = np.zeros((0, math.prod(graph.output_shape) if rows is None else rows.shape[1]))
    value, radius = (np.concatenate([empty, *parts]) for parts in (values, radii))
    replayed = graph.run(inputs).astype(np.float64).reshape(len(inputs), -1)
    return Untouched(value, radius, replayed if rows is None else (rows @ replayed[..., None])[..., 0])
