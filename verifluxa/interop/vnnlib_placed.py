"""A network whose first step only puts its variables into an input: that step as a stamp, which keeps bounds local."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from verifluxa.graph.graph import Node, build
from verifluxa.graph.ops import Affine, Input, Op, Shift
from verifluxa.question import AffineInputMap, Floats, Placement, Problem

Step = tuple[Op, tuple[int, ...]]
"""An operation, and the steps that it reads."""


class _Front(NamedTuple):
    """The steps in front, 1 to `last`: they read variables by `gain`, shape (m, d), and add `offset`, shape (m,)."""

    last: int
    gain: Floats
    offset: Floats


def placed(problem: Problem) -> Problem:
    """The same question about the network behind its first step, where each value of that reads one variable or none.

    Exported questions about patches begin so. What reads no variable is a constant of the input, so that bounds follow
    only what the patch reaches. A product and a sum are within the error of a stamp in every arithmetic. A point
    that violates must be replayed on the network as it is. Where the network begins otherwise, `problem` itself.
    """
    nodes = problem.graph.nodes
    front = _front(nodes)
    if front is None:
        return problem
    written = np.flatnonzero(front.gain.any(axis=1))
    stamp = AffineInputMap(written, np.zeros(len(written)), front.gain[written], front.offset[written])
    moved = _joined([(n.op, tuple(source - front.last for source in n.inputs)) for n in nodes[front.last + 1 :]])
    return replace(
        problem,
        digest="sha256:" + hashlib.sha256(f"placed {problem.digest}".encode()).hexdigest(),
        graph=build([(Input(nodes[front.last].shape), ()), *moved], problem.graph.dtype),
        inputs=front.offset.reshape(1, *nodes[front.last].shape),
        placements=(Placement((), stamp),),
    )


def _joined(steps: list[Step]) -> list[Step]:
    """Products and the sums right behind them as one step each: no sum has more roundings than before."""
    uses = Counter(source for _, sources in steps for source in sources)
    joined: list[Step] = []
    # Steps are numbered from 1, behind the input.
    place = {0: 0}
    for number, (op, sources) in enumerate(steps, 1):
        before = joined[-1][0] if joined and sources == (number - 1,) and uses[number - 1] == 1 else None
        if isinstance(before, Affine) and before.bias is None and isinstance(op, Shift) and op.value.ndim <= 1:
            bias = np.broadcast_to(op.value, (len(before.weight),))
            joined[-1] = (Affine(before.weight, bias), joined[-1][1])
        else:
            joined.append((op, tuple(place[source] for source in sources)))
        place[number] = len(joined)
    return joined


def _front(nodes: Sequence[Node]) -> _Front | None:
    if len(nodes) < 3 or not isinstance(nodes[1].op, Affine) or len(nodes[0].shape) != 1:
        return None
    gain = nodes[1].op.weight.astype(np.float64)
    offset = np.zeros(len(gain)) if nodes[1].op.bias is None else nodes[1].op.bias.astype(np.float64)
    last = 1
    if nodes[1].op.bias is None and isinstance(nodes[2].op, Shift) and nodes[2].inputs == (1,):
        last, offset = 2, np.broadcast_to(nodes[2].op.value, nodes[1].shape).astype(np.float64)
    known = bool(np.isfinite(gain).all() and np.isfinite(offset).all())
    local = bool(((gain != 0).sum(axis=1) <= 1).all()) and not gain.any(axis=1).all()
    others = any(source < last for node in nodes[last + 1 :] for source in node.inputs)
    return _Front(last, gain, offset) if known and local and last < len(nodes) - 1 and not others else None
