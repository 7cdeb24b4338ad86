"""The first look at a placement: one bound computation for all inputs, shared by all its questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from verifluxa.bounds.domain import Domains, geometry
from verifluxa.bounds.linear import LayerBounds, Subproblems, all_layers, evaluate, pairs_at_once
from verifluxa.bounds.memory import in_chunks, rows_that_fit
from verifluxa.evidence import OPEN, PrunedDisjunct
from verifluxa.question import Question
from verifluxa.search.claims import BoundContext, fallen_row, row_bounds
from verifluxa.search.workspace import Claims, Workspace

FEW_ROWS = 32
"""So many rows of claims cost hardly more than one."""
KEPT_NUMBERS = 2**17
"""Neurons of several inputs beyond which the bounds of a look are not kept."""


@dataclass(frozen=True, eq=False)
class InitialBounds:
    """A question after the first look.

    Attributes:
        claims: all its claims.
        row: the row that fell for each claim, or OPEN, shape (C,).
        remaining: inputs that still have an open claim.
        closings: for claims that fell with choices of their own the record that says how.
        layers: the bounds by CROWN of all inputs that were looked at, where these are one or few; else none.
        place: which of those inputs each claim speaks of, shape (C,).
    """

    question: Question
    claims: Claims
    row: Tensor
    remaining: int
    closings: Mapping[int, PrunedDisjunct] = field(default_factory=dict)
    layers: Sequence[LayerBounds] = ()
    place: Tensor | None = None

    @property
    def open_claims(self) -> Claims:
        """Claims that no bound has excluded."""
        return self.claims.take((self.row == OPEN).nonzero()[:, 0])

    def bounds(self, at: Tensor) -> list[LayerBounds]:
        """Bounds of all layers on the whole domain for some of the open claims; nothing where none were kept.

        They are copies, since those of a look were made in inference mode.
        """
        return [] if self.place is None else [layer.take(self.place[self.row == OPEN][at]) for layer in self.layers]

    def dropped(self) -> list[PrunedDisjunct]:
        """The claims that fell, one record per input; one per claim where choices were made."""
        return drop_records(self.claims, self.row, None, self.closings)


def bound_root(work: Workspace, questions: Sequence[Question], method: str) -> list[InitialBounds]:
    """Bounds all inputs of some questions of one placement on the whole domain.

    Args:
        questions: of one placement.
        method: `interval` or `crown`.
    """
    work = work.at(questions[0].placement)
    per_question = [work.claims(q.violation, q.selection) for q in questions]
    inputs, claims, back = _distinct(per_question, len(work.alternatives))
    scene = BoundContext(work, work.net(questions[0].placement), geometry(whole_domain(work)))
    row, layers = _decide(scene, inputs, claims, method)
    rooted, start = [], 0
    for question, own in zip(questions, per_question, strict=True):
        distinct = back[start : start + len(own)]
        rows, start = row[distinct], start + len(own)
        remaining = len(torch.unique(own.input[rows == OPEN]))
        place = claims.input[distinct] if layers else None
        rooted.append(InitialBounds(question, own, rows, remaining, layers=layers, place=place))
    return rooted


def whole_domain(work: Workspace) -> Domains:
    """The problem's domain as a batch of one, with the strips that it came with."""
    strips = work.problem.domain.strips
    if strips is None:
        none = work.lower.new_zeros(0, len(work.lower))
        return Domains(work.lower[None], work.upper[None], none, work.lower.new_zeros(1, 0), work.lower.new_zeros(1, 0))
    directions, low, high = (
        torch.as_tensor(part, device=work.device) for part in (strips.directions, strips.lower, strips.upper)
    )
    return Domains(work.lower[None], work.upper[None], directions, low[None], high[None])


def whole_strips(work: Workspace, directions: Tensor) -> tuple[Tensor, Tensor]:
    """Ends of strips along directions (m, d) that hold all of the problem's domain, shape (m,) each.

    Args:
        directions: those of the domain's own strips first; the others start wider than the box reaches, and cut
            nothing until they are split.
    """
    middle = directions @ (work.lower + work.upper) / 2
    reach = (directions.abs() @ (work.upper - work.lower)) / 2 * 1.01 + 1e-6
    low, high = middle - reach, middle + reach
    given = whole_domain(work)
    low[: len(given.directions)], high[: len(given.directions)] = given.low[0], given.high[0]
    return low, high


def _distinct(per_question: list[Claims], alternatives: int) -> tuple[Tensor, Claims, Tensor]:
    """All inputs, the distinct claims with `input` as an index into them, and where each claim went."""
    both = torch.cat([c.input * alternatives + c.alternative for c in per_question])
    keys, back = torch.unique(both, return_inverse=True)
    inputs, index = torch.unique(keys // alternatives, return_inverse=True)
    return inputs, Claims(index, keys % alternatives, torch.zeros_like(keys)), back


def _decide(scene: BoundContext, inputs: Tensor, claims: Claims, method: str) -> tuple[Tensor, list[LayerBounds]]:
    """Fallen rows of distinct claims (sorted by input), in batches of inputs that fit into memory.

    Beside them the bounds by CROWN of one input or few.
    """

    def some(start: int, end: int) -> tuple[Tensor, list[LayerBounds]]:
        first, last = torch.searchsorted(claims.input, torch.tensor([start, end], device=inputs.device)).tolist()
        own = claims.take(torch.arange(first, last, device=inputs.device))
        local = Claims(own.input - start, own.alternative, own.position)
        return _decide_some(scene, inputs[start:end], local, method)

    scene.work.prepare_rows()
    # Spares each of the many small operations what it does for gradients. The rows found are copied outside.
    with torch.inference_mode():
        found = in_chunks(len(inputs), pairs_at_once(scene.net, scene.work.device), some)
    rows, (layers, *more) = [row for row, _ in found], [layers for _, layers in found]
    few = len(inputs) == 1 or sum(layer.lower.numel() for layer in layers) <= KEPT_NUMBERS
    return torch.cat(rows), layers if few and not more and method == "crown" else []


def _decide_some(scene: BoundContext, inputs: Tensor, claims: Claims, method: str) -> tuple[Tensor, list[LayerBounds]]:
    """First the row that looks most hopeless at the center, then all rows of what is left; few rows all at once."""
    work, net, shape = scene.work, scene.net, scene.geometry
    pairs = Subproblems(torch.zeros_like(inputs), inputs)
    layers = all_layers(net, shape, pairs, method)
    rows = work.alternatives[claims.alternative]
    if rows.numel() <= FEW_ROWS:
        result = _fall(scene, layers, (claims.input, pairs, rows))
    else:
        outputs = evaluate(net, shape.center.expand(len(inputs), -1), inputs)
        likely = work.row_values(outputs[claims.input], claims.alternative).argmin(1)
        at = torch.arange(len(claims), device=rows.device)
        result = _fall(scene, layers, (claims.input, pairs, rows[at, likely][:, None]))
        rest = (result == OPEN).nonzero()[:, 0]
        if len(rest) and rows.shape[1] > 1:
            result[rest] = _fall(scene, layers, (claims.input[rest], pairs, rows[rest]))
    return torch.where(scene.bounded(layers, inputs)[claims.input], result, OPEN), layers


def _fall(scene: BoundContext, layers: list[LayerBounds], of: tuple[Tensor, Subproblems, Tensor]) -> Tensor:
    index, pairs, rows = of
    widest = max(layer.weight.shape[0] for layer in scene.net.layers)

    def some(start: int, end: int) -> Tensor:
        own = (index[start:end], pairs.take(index[start:end]), rows[start:end])
        return fallen_row(row_bounds(scene, layers, own), rows[start:end])

    results = in_chunks(len(index), rows_that_fit(widest * rows.shape[1], scene.work.device), some)
    return torch.cat(results) if results else rows.new_zeros(0)


def drop_records(
    claims: Claims, row: Tensor, planes: Tensor | None = None, closings: Mapping[int, PrunedDisjunct] | None = None
) -> list[PrunedDisjunct]:
    """Evidence records of the claims that fell: one per input, or one per claim where planes clipped it.

    Args:
        closings: records of claims that fell with choices of their own, as they are.
    """
    fell = row != OPEN
    if closings:
        fell = fell.clone()
        fell[list(closings)] = False
    plain = fell if planes is None else fell & (planes < 0).all(1)
    records: dict[int, list[int]] = {}
    columns = (claims.input.tolist(), claims.position.tolist(), row.tolist(), plain.tolist())
    for input_, position, row_, take in zip(*columns, strict=True):
        if take:
            rows = records.setdefault(input_, [])
            rows.extend([OPEN] * (position + 1 - len(rows)))
            rows[position] = row_
    dropped = [PrunedDisjunct(input_, tuple(rows)) for input_, rows in records.items()]
    if planes is not None:
        for at in (fell & ~plain).nonzero()[:, 0].tolist():
            used = tuple(p for p in planes[at].tolist() if p >= 0)
            rows_ = [OPEN] * int(claims.position[at]) + [int(row[at])]
            dropped.append(PrunedDisjunct(int(claims.input[at]), tuple(rows_), used))
    return [*dropped, *(closings or {}).values()]
