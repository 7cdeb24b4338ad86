"""Bounds of a whole domain, shared by all questions of a placement, and claims tried again with slopes of their own.

`bound_root` is one interval or CROWN pass, `optimise_root` alpha-CROWN on what that left open. `improve` optimises the
slopes of single claims, here and in the search.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor

from verifluxa.bounds import (
    AlphaSettings,
    BoundParameters,
    BoundTask,
    Domains,
    LayerBounds,
    Net,
    NetLayer,
    Subproblems,
    bound_all_layers,
    claims_at_once,
    concat_parameters,
    default_parameters,
    evaluate_net,
    geometry_of,
    in_chunks,
    levels_to_hex,
    nearest_levels,
    optimise_bounds,
    pairs_at_once,
    refined_layers,
    rows_that_fit,
    smooth_function_of,
    supports_alpha,
    unstable_neurons,
)
from verifluxa.evidence import OPEN, PrunedDisjunct
from verifluxa.question import Question
from verifluxa.search.disjuncts import BoundContext, DisjunctBounds, constraint_bounds, fallen_row, take_layers
from verifluxa.search.workspace import Claims, Workspace

FEW_ROWS = 32
"""So many rows of claims cost hardly more than one."""
KEPT_NUMBERS = 2**17
"""Neurons of several inputs beyond which the bounds of a look are not kept."""


@dataclass(frozen=True, eq=False)
class InitialBounds:
    """A question after its whole domain was bounded.

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
    def open_disjuncts(self) -> Claims:
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
    context = BoundContext(work, work.net(questions[0].placement), geometry_of(whole_domain(work)))
    # Inference mode spares each of the many small operations what it does for gradients; rows are copied outside.
    work.prepare_rows()
    with torch.inference_mode():
        size = pairs_at_once(context.net, work.device)
        found = in_chunks(len(inputs), size, partial(_decide, context, inputs, claims, method))
    row = torch.cat([rows for rows, _ in found])
    layers, *more = [layers for _, layers in found]
    few = len(inputs) == 1 or sum(layer.lower.numel() for layer in layers) <= KEPT_NUMBERS
    if more or not few or method != "crown":
        layers = []
    rooted, start = [], 0
    for question, own in zip(questions, per_question, strict=True):
        distinct = back[start : start + len(own)]
        rows, start = row[distinct], start + len(own)
        remaining = len(torch.unique(own.input[rows == OPEN]))
        place = claims.input[distinct] if layers else None
        rooted.append(InitialBounds(question, own, rows, remaining, layers=layers, place=place))
    return rooted


def whole_domain(work: Workspace) -> Domains:
    """The problem's domain as a batch of one, with the slabs that it came with."""
    slabs = work.problem.domain.slabs
    if slabs is None:
        none = work.lower.new_zeros(0, len(work.lower))
        return Domains(work.lower[None], work.upper[None], none, work.lower.new_zeros(1, 0), work.lower.new_zeros(1, 0))
    directions, low, high = (
        torch.as_tensor(part, device=work.device) for part in (slabs.directions, slabs.lower, slabs.upper)
    )
    return Domains(work.lower[None], work.upper[None], directions, low[None], high[None])


def whole_slabs(work: Workspace, directions: Tensor) -> tuple[Tensor, Tensor]:
    """Ends of slabs along directions (m, d) that hold all of the problem's domain, shape (m,) each.

    Args:
        directions: those of the domain's own slabs first; the others start wider than the box reaches, and cut
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


def _decide(
    context: BoundContext, every_input: Tensor, every_claim: Claims, method: str, start: int, end: int
) -> tuple[Tensor, list[LayerBounds]]:
    """Fallen rows of the claims (sorted by input) of some inputs, beside the bounds of those inputs.

    First the row that looks most hopeless at the center, then all rows of what is left; few rows all at once.
    """
    first, last = torch.searchsorted(every_claim.input, every_claim.input.new_tensor([start, end])).tolist()
    own = every_claim.take(torch.arange(first, last, device=every_input.device))
    inputs, claims = every_input[start:end], Claims(own.input - start, own.alternative, own.position)
    work, net, shape = context.work, context.net, context.geometry
    pairs = Subproblems(torch.zeros_like(inputs), inputs)
    layers = bound_all_layers(net, shape, pairs, method)
    rows = work.alternatives[claims.alternative]
    if rows.numel() <= FEW_ROWS:
        result = _fall(context, layers, claims.input, pairs, rows)
    else:
        outputs = evaluate_net(net, shape.center.expand(len(inputs), -1), inputs)
        likely = work.row_values(outputs[claims.input], claims.alternative).argmin(1)
        at = torch.arange(len(claims), device=rows.device)
        result = _fall(context, layers, claims.input, pairs, rows[at, likely][:, None])
        rest = (result == OPEN).nonzero()[:, 0]
        if len(rest) and rows.shape[1] > 1:
            result[rest] = _fall(context, layers, claims.input[rest], pairs, rows[rest])
    return torch.where(context.bounded(layers, inputs)[claims.input], result, OPEN), layers


def _fall(context: BoundContext, layers: list[LayerBounds], index: Tensor, pairs: Subproblems, rows: Tensor) -> Tensor:
    widest = max(layer.weight.shape[0] for layer in context.net.layers)

    def some(start: int, end: int) -> Tensor:
        at, own = index[start:end], rows[start:end]
        return fallen_row(constraint_bounds(context, layers, at, pairs.take(at), own), own)

    results = in_chunks(len(index), rows_that_fit(widest * rows.shape[1], context.work.device), some)
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


def optimise_root(
    work: Workspace, rooted: Sequence[InitialBounds], settings: AlphaSettings, refine: int = 0
) -> list[InitialBounds]:
    """Optimises the tightest row of every open claim on the whole domain.

    Args:
        rooted: questions of one placement after the initial bounds.
        settings: how hard to try.
        refine: steps on the slopes of each neuron's ends before; the records do not hold those.
    """
    context = BoundContext(work, work.net(rooted[0].question.placement), geometry_of(whole_domain(work)))
    widest = max(layer.weight.shape[0] * layer.weight.shape[1] for layer in context.net.layers)
    size = max(4, 4 * rows_that_fit(widest, work.device))
    found = []
    for one in rooted:
        row, closings = one.row.clone(), dict(one.closings)
        for index in torch.split((row == OPEN).nonzero()[:, 0], size):
            fallen, records = _optimised(context, one.claims.take(index), settings, refine)
            row[index] = fallen
            closings.update({int(index[at]): record for at, record in records.items()})
        remaining = len(torch.unique(one.claims.input[row == OPEN]))
        found.append(replace(one, row=row, remaining=remaining, closings=closings))
    return found


def _optimised(
    context: BoundContext, claims: Claims, settings: AlphaSettings, refine: int
) -> tuple[Tensor, dict[int, PrunedDisjunct]]:
    """Fallen rows of some claims (C,), and the records of those that fell."""
    inputs, of_input = torch.unique(claims.input, return_inverse=True)
    pairs = Subproblems(torch.zeros_like(inputs), inputs)
    shared = refined_layers(context.net, context.geometry, pairs, refine)
    safe = context.bounded(shared, inputs)[of_input].nonzero()[:, 0]
    row = torch.full_like(claims.input, OPEN)
    if not len(safe):
        return row, {}
    own, kept = of_input[safe], claims.take(safe)
    layers, pairs = take_layers(shared, own), pairs.take(own)
    planes = constraint_bounds(context, layers, torch.arange(len(safe), device=row.device), pairs, context.rows(kept))
    found = improve(context, DisjunctBounds(safe, pairs, layers, planes), kept, row.new_zeros(len(safe), 0), settings)
    row[safe] = found.row
    return row, {int(safe[at]): record for at, record in found.closings.items()}


@dataclass(frozen=True, eq=False)
class Improved:
    """What became of the claims of a `DisjunctBounds`.

    Attributes:
        row: the row that fell, or OPEN, shape (C,).
        closings: for each claim that fell the record that says how.
        chosen: the multipliers with which a child goes on; None where none were made.
    """

    row: Tensor
    closings: dict[int, PrunedDisjunct]
    chosen: BoundParameters | None


def improve(
    context: BoundContext,
    open_: DisjunctBounds,
    claims: Claims,
    clips: Tensor,
    settings: AlphaSettings,
    *,
    signs: Sequence[Tensor] | None = None,
    start: BoundParameters | None = None,
) -> Improved:
    """Optimises the tightest row of each open claim.

    Args:
        context: where they are open.
        open_: the claims, with bounds and planes.
        claims: the same claims.
        clips: the rows that clipped them (C, rounds), -1 where none did.
        settings: how hard to try.
        signs: what splits say of each claim's neurons, see `bounds.optimise.BoundTask`.
        start: multipliers to start from.
    """
    count = len(claims)
    row = torch.full((count,), OPEN, dtype=torch.long, device=clips.device)
    if not count or not settings.steps or not supports_alpha(context.net) or not context.net.hidden:
        return Improved(row, {}, None)
    position = open_.planes.tightest()
    each = torch.arange(count, device=clips.device)
    rows = context.rows(claims)[each, position]
    closings: dict[int, PrunedDisjunct] = {}
    parts: list[tuple[Tensor, BoundParameters]] = []
    # A batch ends early when every claim of it is settled: those that are nearly settled come together.
    for index in torch.split(
        open_.planes.upper[each, position].argsort(), claims_at_once(context.net, context.work.device)
    ):
        task = _task(context, open_, index, rows[index], position[index], signs)
        found = optimise_bounds(task, settings.steps, settings.patience, None if start is None else start.take(index))
        largest, chosen = found.largest, found.chosen
        closed = context.work.closed[rows[index]]
        fell = torch.where(closed, largest < task.limits, largest <= task.limits) & torch.isfinite(largest)
        row[index[fell]] = rows[index[fell]]
        parts.append((index, chosen))
        for at in fell.nonzero()[:, 0].tolist():
            claim = int(index[at])
            planes = tuple(int(p) for p in clips[claim].tolist() if p >= 0)
            named_rows = (*[OPEN] * int(claims.position[claim]), int(rows[claim]))
            record = PrunedDisjunct(int(claims.input[claim]), named_rows, planes)
            closings[claim] = _with_choices(context.net, task, chosen, at, record)
    back = torch.cat([index for index, _ in parts]).argsort()
    return Improved(row, closings, concat_parameters([chosen for _, chosen in parts]).take(back))


def _task(
    context: BoundContext,
    open_: DisjunctBounds,
    index: Tensor,
    rows: Tensor,
    position: Tensor,
    signs: Sequence[Tensor] | None,
) -> BoundTask:
    return BoundTask.alone(
        context.net,
        take_layers(open_.layers, index),
        context.geometry,
        open_.pairs.take(index),
        context.work.coefficients[rows],
        context.work.row_constants[rows],
        open_.planes.limit[index, position],
        None if signs is None else [part[index] for part in signs],
    )


def _with_choices(
    net: Net, task: BoundTask, chosen: BoundParameters, at: int, record: PrunedDisjunct
) -> PrunedDisjunct:
    """A record with the slopes and betas of one claim."""
    layers = zip(net.hidden, task.layers, strict=False)
    slopes = tuple(
        levels_to_hex(_levels(layer, bounds, chosen, number, at)) for number, (layer, bounds) in enumerate(layers)
    )
    betas = tuple(
        (number, neuron, float(part[at, neuron]))
        for number, part in enumerate(chosen.betas)
        for neuron in part[at].nonzero()[:, 0].tolist()
    )
    return record._replace(slopes=slopes if any(slopes) else (), betas=betas)


def _levels(layer: NetLayer, bounds: LayerBounds, chosen: BoundParameters, number: int, at: int) -> Tensor:
    """The quantised slopes of a claim in a layer; none where the default rule stays for all neurons."""
    free = unstable_neurons(layer, bounds)[at]
    slopes = chosen.alphas[number][at]
    if smooth_function_of(layer) is not None:
        levels = chosen.levels[number][at]
        return levels[: len(levels) * bool((levels > 0).any())]
    assert bounds.relaxed is not None
    if not bool((free & (slopes != bounds.relaxed.lower_slope[at])).any()):
        return slopes[:0]
    return torch.where(free, nearest_levels(slopes), torch.zeros_like(slopes))


def started(
    given: Sequence[tuple[BoundParameters | None, int]], open_: DisjunctBounds, net: Net
) -> BoundParameters | None:
    """Multipliers that parents hand on to the open claims, by the default rule where they have none.

    Args:
        given: of each domain of a batch its claims' multipliers, or None, and how many claims it has.
        open_: claims of the batch; `at` counts all claims of all domains.
    """
    if all(chosen is None for chosen, _ in given):
        return None
    rule = default_parameters(net, open_.layers)
    parts = []
    for chosen, count in given:
        rest = torch.zeros(0, dtype=torch.long, device=open_.at.device)
        parts.append(rule.take(rest).spread(rest, count) if chosen is None else chosen)
    handed = concat_parameters(parts).take(open_.at)
    return handed.mapped(lambda own, usual: torch.where(torch.isnan(own), usual, own), rule)
