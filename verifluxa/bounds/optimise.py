"""Slopes, split multipliers and weights by projected gradient steps, many claims at once.

What is optimised is the largest value of each claim's upper bound on its domain, or that of groups of claims: where
claim c is met its row, and so any upper bound g_c of it, is >= 0. For weights w >= 0 that sum to 1

    max over t of sum_c w_c g_c(t)  <  0

shows that no trigger of the domain meets all claims of the group (Farkas; by weak duality any weights are sound). The
bounds of a group share the trigger, so their slopes are optimised together with the weights, and not each for itself
(Banerjee and Singh 2024, RACoon, ICML: bounds across executions; section 4). A steep bound that is bad for its own
claim may be just what cancels another one's.

A step is two passes in float32. Backward (`crown.backward`) the coefficients of a row go down to the trigger; forward
the point where the bound is largest goes up through the relaxed network. With `a` the coefficient that a row has on a
neuron, s its lower slope and z its relaxed pre-activation at that point, the largest value moves with s by `min(a, 0)
z`, and by z with a multiplier that is added to the neuron's coefficient (the adjoint of alpha-CROWN, Xu et al. 2021,
and beta-CROWN, Wang et al. 2021, written out). Where both lines run along a slope s, and p is the point where the line
that the row uses touches the function, it moves with s by `a (z - p)`: the intercept is a conjugate, whose derivative
is -p (Danskin's theorem). The steps need not be exact: whatever they end with is rounded to numbers that evidence can
hold, and the bound is computed anew from those in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from verifluxa.bounds.alpha import (
    BoundParameters,
    SlopeRange,
    apply_split,
    chosen_relaxation,
    default_parameters,
    least_slope,
    nearest_levels,
    slope_of,
    smooth_function_of,
    unstable_neurons,
)
from verifluxa.bounds.crown import Coefficients, LinearBounds, backward, relaxed_layer, with_error
from verifluxa.bounds.domain import Geometry, rise_and_fall
from verifluxa.bounds.functions import Relaxation
from verifluxa.bounds.linear import LayerBounds, Subproblems
from verifluxa.bounds.maxima import pair_count, sum_blocks
from verifluxa.bounds.memory import rows_that_fit
from verifluxa.bounds.net import Net, NetLayer
from verifluxa.bounds.smooth import SAMPLES, sample_of
from verifluxa.bounds.special import PairRelaxation, Special

ALPHA_STEP, BETA_STEP, WEIGHT_STEP = 0.5, 0.25, 0.5
"""First step sizes: of slopes, of betas in units of a row's mean coefficient on their layer, of weights' logarithms."""
STRAIGHT_STEP, SMOOTH_STEP = 0.15, 0.05
"""Those of slopes of other functions, as shares of the range of a neuron's slopes: of straight pieces, and others."""
EVERY = 4
"""Steps look at every fourth point of a sample, and at kinks: as good as at all of them, and faster (measured)."""
WIDE = 1e-3
"""Least width of an interval, and least difference of its slopes, where a choice of slopes is worth anything."""
MOMENTUM, SQUARES = 0.9, 0.99
LAST_SHARE = 0.1
"""Step sizes fall to this share of the first ones."""
PROGRESS = 1e-4
"""What counts as progress, relative to the value."""


@dataclass(frozen=True)
class AlphaSettings:
    """How hard to try.

    Attributes:
        steps: gradient steps.
        patience: steps without any progress after which a batch stops.
    """

    steps: int = 20
    patience: int = 6


@dataclass(frozen=True, eq=False)
class BoundTask:
    """C claims to be bounded, with one row each; alone, or in G groups of one domain each.

    Attributes:
        net: the network of a placement, of which `alpha.is_supported` holds.
        layers: bounds of all layers of some pairs.
        geometry: of the domains.
        index: of each claim into the pairs of `layers`, shape (C,).
        pairs: of the claims.
        rows, constants: over the outputs, shape (C, outputs) and (C,).
        group: of each claim, shape (C,).
        limits: a group is settled once its largest value lies below this, shape (G,).
        signs: per hidden layer 1 where the pre-activation is known to be >= 0, -1 where <= 0, else 0, shape (C, n);
            None: nothing is split.
        single: whether each claim is a group of its own, and has bounds of its own.
    """

    net: Net
    layers: Sequence[LayerBounds]
    geometry: Geometry
    index: Int[Tensor, " C"]
    pairs: Subproblems
    rows: Float[Tensor, "C outputs"]
    constants: Float[Tensor, " C"]
    group: Int[Tensor, " C"]
    limits: Float[Tensor, " G"]
    signs: Sequence[Tensor] | None = None
    single: bool = False

    @classmethod
    def alone(
        cls,
        net: Net,
        layers: Sequence[LayerBounds],
        geometry: Geometry,
        pairs: Subproblems,
        rows: Float[Tensor, "C outputs"],
        constants: Float[Tensor, " C"],
        limits: Float[Tensor, " C"],
        signs: Sequence[Tensor] | None = None,
    ) -> BoundTask:
        """Single claims, whose own the pairs of `layers` are."""
        each = torch.arange(len(rows), device=rows.device)
        return cls(net, layers, geometry, each, pairs, rows, constants, each, limits, signs, True)

    @cached_property
    def own_layers(self) -> list[LayerBounds]:
        """Bounds of each claim, those of split neurons ending at 0."""
        layers = list(self.layers) if self.single else [bounds.take(self.index) for bounds in self.layers]
        if self.signs is None:
            return layers
        split = zip(self.net.hidden, layers, self.signs, strict=False)
        return [*(apply_split(layer, bounds, sign) for layer, bounds, sign in split), layers[-1]]

    @cached_property
    def domain(self) -> Int[Tensor, " G"]:
        """Of each group, shape (G,)."""
        if self.single:
            return self.pairs.domain
        return torch.zeros_like(self.limits, dtype=torch.long).index_copy(0, self.group, self.pairs.domain)

    @cached_property
    def free(self) -> list[Tensor]:
        """The neurons of each hidden layer whose lower slopes may be chosen, shape (C, n)."""
        return [
            unstable_neurons(layer, bounds) for layer, bounds in zip(self.net.hidden, self.own_layers, strict=False)
        ]

    @cached_property
    def last(self) -> LinearBounds:
        """The claims' rows over the state above the last hidden layer: constants (C, 1) and coefficients (C, 1, n)."""
        layer, bounds, rows = self.net.layers[-1], self.own_layers[-1], self.rows
        constants = self.constants + (rows.abs() * bounds.radius + rows * layer.offset_of(self.pairs.input)).sum(1)
        weight = rows @ layer.weight
        if not self.net.hidden:
            constants = constants + (weight * self.geometry.center[self.pairs.domain]).sum(1)
        return LinearBounds(constants[:, None], weight[:, None])

    def offset(self, number: int) -> Float[Tensor, "#C n"]:
        """Of a hidden layer, the first one's at the domain's center, shape (C, n)."""
        layer = self.net.layers[number]
        offset = layer.offset_of(self.pairs.input)
        if number:
            return offset
        return offset + (self.geometry.center @ layer.weight.T).index_select(0, self.pairs.domain)

    def take(self, kept: Tensor) -> BoundTask:
        """The same groups with some of their claims, at least one of each."""
        return replace(
            self,
            pairs=self.pairs.take(kept),
            rows=self.rows[kept],
            constants=self.constants[kept],
            signs=None if self.signs is None else [part[kept] for part in self.signs],
            index=self.index[kept],
            group=self.group[kept],
        )

    def summed(self, parts: Float[Tensor, " C *rest"]) -> Float[Tensor, " G *rest"]:
        """Sums over each group: (C, ...) to (G, ...)."""
        if self.single:
            return parts
        return parts.new_zeros(len(self.limits), *parts.shape[1:]).index_add(0, self.group, parts)

    def each(self, parts: Float[Tensor, " G *rest"]) -> Float[Tensor, " C *rest"]:
        """What its group has, for each claim: (G, ...) to (C, ...)."""
        return parts if self.single else parts[self.group]

    def weights(self, logarithms: Float[Tensor, "C 1"]) -> Float[Tensor, " C"]:
        """Weights (C,) that sum to 1 in each group, from their logarithms (C, 1)."""
        weights = logarithms[:, 0].exp()
        return weights / self.each(self.summed(weights))

    def bounds(self, chosen: BoundParameters) -> LinearBounds:
        """The claims' upper bounds: value at the domain's center (C,) and slope (C, d)."""
        layers = []
        for number, (layer, bounds) in enumerate(zip(self.net.hidden, self.own_layers, strict=False)):
            choice = self.free[number], chosen.alphas[number], chosen.levels[number]
            relaxed = chosen_relaxation(layer, bounds, *choice)
            layers.append(relaxed_layer(layer.weight, relaxed, self.offset(number), bounds.radius, layer.special))
        value, slope = backward(layers, self.last.slope, self.last.value, chosen.betas if self.signs else None)
        return LinearBounds(value[:, 0], slope[:, 0])


@dataclass(frozen=True, eq=False)
class OptimisedBounds:
    """What the bounds of claims, and their weighted sums, show.

    Attributes:
        task: the claims.
        chosen: what the bounds are made with.
        bounds: of the claims, value (C,) and slope (C, d).
    """

    task: BoundTask
    chosen: BoundParameters
    bounds: LinearBounds

    @cached_property
    def weights(self) -> Float[Tensor, " C"]:
        """Shape (C,)."""
        return self.task.weights(self.chosen.log_weights)

    @cached_property
    def total(self) -> LinearBounds:
        """The weighted sums of groups, value (G,) and slope (G, d)."""
        value, slope = self.bounds
        return LinearBounds(self.task.summed(self.weights * value), self.task.summed(self.weights[:, None] * slope))

    @cached_property
    def largest(self) -> Float[Tensor, " G"]:
        """The largest value of each claim's bound, or of each group's sum, shape (G,)."""
        value, slope = self.total
        return value + rise_and_fall(slope[:, None], self.task.domain, self.task.geometry)[0][:, 0]

    @cached_property
    def where(self) -> Float[Tensor, "G d"]:
        """The point of the domain, from its center, where each sum is largest, shape (G, d)."""
        return steepest(self.total.slope, self.task.domain, self.task.geometry)[1]

    @cached_property
    def size(self) -> Float[Tensor, " C"]:
        """Of the terms that a bound's largest value sums, shape (C,)."""
        half = self.task.geometry.half[self.task.pairs.domain]
        return self.bounds.value.abs() + (self.bounds.slope.abs() * half).sum(1)

    @cached_property
    def summed(self) -> Float[Tensor, " C"]:
        """The size of what each row sums over the outputs, shape (C,); 0 where it is not finite."""
        last = self.task.own_layers[-1]
        largest = torch.maximum(last.lower.abs(), last.upper.abs())
        size = (largest * self.task.rows.abs()).sum(1) + self.task.constants.abs()
        return torch.nan_to_num(size, nan=0.0, posinf=0.0)


def claims_at_once(net: Net, device: str) -> int:
    """How many claims are worked on at once: each step keeps a dozen copies of all slopes."""
    each = ((SAMPLES if smooth_function_of(layer) else 1) * layer.weight.shape[0] for layer in net.layers)
    numbers = sum(each) + net.layers[0].weight.shape[1]
    return max(1, 8 * rows_that_fit(numbers, device))


def optimise_bounds(
    task: BoundTask, steps: int, patience: int, start: BoundParameters | None = None, smooth: bool = True
) -> OptimisedBounds:
    """Makes upper bounds as low as a few steps can.

    Single claims end no higher than they begin. Of groups the beginning is not evaluated in float64: it seldom wins.

    Args:
        task: the claims.
        steps, patience: see `ProjectedAdam.run`.
        start: what to begin with, such as a parent's; None: the default rule and equal weights.
        smooth: whether slopes of functions other than relu are chosen too.
    """
    begin = _begin(task, start, smooth)
    other = smooth_layers(task) if smooth else []
    began = OptimisedBounds(task, begin, task.bounds(begin)) if task.single else None
    if began is not None:
        choice = bool(other) or any(bool(part.any()) for part in (*task.free, *(task.signs or ())))
        if not choice or not steps or bool((began.largest < task.limits).all()):
            return began
    chosen = _descended(task, steps, patience, begin, other)
    usual = default_parameters(task.net, task.own_layers).alphas
    alphas = [
        torch.where(free, slope_of(nearest_levels(alpha), layer), rule)
        for layer, alpha, free, rule in zip(task.net.hidden, chosen.alphas, task.free, usual, strict=True)
    ]
    chosen = replace(chosen, alphas=alphas)
    found = OptimisedBounds(task, chosen, task.bounds(chosen))
    if began is None:
        return found
    better = (found.largest < began.largest)[:, None]
    value, slope = found.bounds.value, torch.where(better, found.bounds.slope, began.bounds.slope)
    chosen = chosen.mapped(lambda new, old: torch.where(better, new, old), begin)
    return OptimisedBounds(task, chosen, LinearBounds(torch.where(better[:, 0], value, began.bounds.value), slope))


def _begin(task: BoundTask, start: BoundParameters | None, smooth: bool) -> BoundParameters:
    """The start, where there is a choice."""
    rule = default_parameters(task.net, task.own_layers)
    if start is None:
        return rule
    alphas = [torch.where(*column) for column in zip(task.free, start.alphas, rule.alphas, strict=True)]
    betas = rule.betas
    if task.signs is not None:
        betas = [part.abs() * sign for part, sign in zip(start.betas, task.signs, strict=True)]
    levels = rule.levels
    for own in smooth_layers(task) if smooth else ():
        levels[own.number] = torch.where(own.free, start.levels[own.number], 0.0)
    return BoundParameters(alphas, betas, levels, start.log_weights)


class _Hidden(NamedTuple):
    """A hidden layer under the claims in float32, as `crown.relaxed_layer` takes it."""

    weight: Tensor
    relaxed: Relaxation
    offset: Tensor
    radius: Tensor
    special: Special | None
    winner: None = None
    upper: Tensor | None = None

    @classmethod
    def of(cls, layer: NetLayer, bounds: LayerBounds, offset: Tensor) -> _Hidden:
        """In float32."""
        relaxed = bounds.relaxed
        assert relaxed is not None
        assert not isinstance(relaxed, PairRelaxation)
        lines = Relaxation(*(part.float() for part in relaxed))
        radius = bounds.radius.float()
        return cls(layer.weight.float(), lines, offset.float().expand_as(radius), radius, layer.special)

    def with_error(self) -> Tensor:
        """What `crown.with_error` says of the upper line."""
        line = self.relaxed.upper_slope, self.relaxed.upper_intercept
        return with_error(*line, self.offset, self.radius, pair_count(self.special), 1.0)


def relaxed_activations(
    hidden: Sequence[_Hidden], passed: Sequence[Coefficients], where: Float[Tensor, "C d"]
) -> list[Tensor]:
    """The relaxed pre-activations (C, n) of each layer that the bounds take at points (C, d), from the center."""
    found, state = [], where
    for layer, (above, below) in zip(hidden, passed, strict=True):
        z = torch.addcmul(layer.offset, below[:, 0].sign(), layer.radius).addmm_(state, layer.weight.T)
        found.append(z)
        pairs, relaxed = pair_count(layer.special), layer.relaxed
        upper = sum_blocks(relaxed.upper_slope * z, pairs).add(relaxed.upper_intercept)
        lower = sum_blocks(relaxed.lower_slope * z, pairs).add(relaxed.lower_intercept)
        state = torch.where(above[:, 0, : upper.shape[1]] > 0, upper, lower)
    return found


class SmoothLayer(NamedTuple):
    """Neurons of a layer other than relu under some claims whose slopes may be chosen, and their samples in float32.

    The lines touch some of the sampled points alone, which is near enough while steps are taken.

    Attributes:
        number: of the layer.
        free: which neurons, shape (C, n).
        points, values: some of the samples, shape (C, n, points); 0 for other neurons.
        slopes: of the neurons, shape (C, n); 0 for other neurons.
        step: the first step size.
    """

    number: int
    free: Bool[Tensor, "C n"]
    points: Float[Tensor, "C n points"]
    values: Float[Tensor, "C n points"]
    slopes: SlopeRange
    step: float

    @classmethod
    def of(cls, number: int, layer: NetLayer, bounds: LayerBounds) -> SmoothLayer | None:
        """The neurons of layer `number` that bend within their bounds; None where none does."""
        row = smooth_function_of(layer)
        if row is None:
            return None
        lower, upper = bounds.lower, bounds.upper
        sample = sample_of(row, lower, upper)
        slopes = SlopeRange.of(sample, lower, upper)
        free = (upper - lower > WIDE) & (slopes.more > WIDE) & torch.isfinite(lower) & torch.isfinite(upper)
        free = free if layer.linear is None else free & ~layer.linear
        if not bool(free.any()):
            return None
        few = [*range(0, SAMPLES, EVERY), *range(SAMPLES, sample.points.shape[-1])]
        kept = (part[..., few] for part in (sample.points, sample.values))
        points, values = (torch.where(free[..., None], part, 0.0).float() for part in kept)
        own = SlopeRange(*(torch.where(free, part, 0.0).float() for part in slopes))
        return cls(number, free, points, values, own, SMOOTH_STEP if row.curvature else STRAIGHT_STEP)

    def touching(self, slope: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """The intercepts below and above, each with the points where the line touches, shape (C, n)."""
        rest = self.values.addcmul(slope[..., None], self.points, value=-1.0)
        low, high = rest.min(-1), rest.max(-1)
        at = [self.points.gather(-1, part.indices[..., None])[..., 0] for part in (low, high)]
        return (low.values, at[0]), (high.values, at[1])

    def clamped(self, slope: Float[Tensor, "C n"]) -> Float[Tensor, "C n"]:
        """Slopes within those of the samples."""
        return torch.maximum(torch.minimum(slope, self.slopes.least + self.slopes.more), self.slopes.least)

    def started(self, relaxed: Relaxation, levels: Tensor, above: Tensor) -> Tensor:
        """The slopes of levels; where these are 0 the rule's, of the line that coefficients `above` use."""
        rule = torch.where(above > 0, relaxed.upper_slope, relaxed.lower_slope)
        return torch.where(levels > 0, self.slopes.at(levels.float()), self.clamped(rule))

    def ended(self, slope: Tensor, began: Tensor, levels: Tensor) -> Tensor:
        """Levels of the slopes; those that there were where a slope has not moved by a level."""
        now = self.slopes.levels(slope)
        moved = self.free & (now != self.slopes.levels(began))
        return torch.where(moved, now.double(), levels)


def smooth_layers(task: BoundTask) -> list[SmoothLayer]:
    """The layers that bend otherwise than relu."""
    layers = zip(task.net.hidden, task.own_layers, strict=False)
    found = (SmoothLayer.of(number, layer, bounds) for number, (layer, bounds) in enumerate(layers))
    return [own for own in found if own is not None]


@dataclass(frozen=True, eq=False)
class Evaluated:
    """Claims' bounds with some slopes and multipliers, in float32, and their gradients.

    Attributes:
        hidden: the layers with the lines along these slopes.
        bounds: value (C, 1) and slope (C, 1, d).
        passed: the coefficients at each layer, bottom up.
        touched: for each smooth layer the points where the lines below and above touch, shape (C, n).
    """

    hidden: list[_Hidden]
    bounds: LinearBounds
    passed: list[Coefficients]
    touched: list[tuple[Tensor, Tensor]]


class SinglePrecision:
    """The claims of a task in float32."""

    def __init__(self, task: BoundTask, smooth: Sequence[SmoothLayer]) -> None:
        self.task, self.smooth = task, smooth
        layers = enumerate(zip(task.net.hidden, task.own_layers, strict=False))
        self.hidden = [_Hidden.of(layer, bounds, task.offset(number)) for number, (layer, bounds) in layers]
        chosen = {own.number for own in smooth}
        # The upper lines of other layers stay as they are in all steps.
        self.hidden = [
            layer if number in chosen else layer._replace(upper=layer.with_error())
            for number, layer in enumerate(self.hidden)
        ]
        self.last = LinearBounds(*(part.float() for part in task.last))

    def evaluate(
        self, alphas: Sequence[Tensor], betas: Sequence[Tensor] | None, slopes: Sequence[Tensor] = ()
    ) -> Evaluated:
        """The claims' bounds.

        Args:
            alphas: lower slopes, shape (C, n) per layer; where they are not free those of the rule.
            betas: signed, shape (C, n) per layer, or None.
            slopes: of the smooth layers, shape (C, n) each; none: the rule's lines.
        """
        hidden = [
            layer._replace(relaxed=layer.relaxed._replace(lower_slope=alpha))
            for layer, alpha in zip(self.hidden, alphas, strict=True)
        ]
        touched = []
        for own, slope in zip(self.smooth, slopes, strict=False):
            (low, left), (high, right) = own.touching(slope)
            lines = zip((slope, low, slope, high), hidden[own.number].relaxed, strict=True)
            relaxed = Relaxation(*(torch.where(own.free, *pair) for pair in lines))
            hidden[own.number] = hidden[own.number]._replace(relaxed=relaxed)
            touched.append((left, right))
        passed: list[Coefficients] = []
        layers = [relaxed_layer(*layer) for layer in hidden]
        bounds = backward(layers, self.last.slope, self.last.value, betas, passed)
        return Evaluated(hidden, bounds, passed[::-1], touched)

    def gradients(self, at: Evaluated, where: Float[Tensor, "C d"]) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Of the values at points (C, d) from the center: in alphas, betas and the slopes of smooth layers."""
        met = relaxed_activations(at.hidden, at.passed, where)
        above = [part.above[:, 0] for part in at.passed]
        by_alpha = [
            (part.clamp(max=0) * z).mul_(free) for part, z, free in zip(above, met, self.task.free, strict=True)
        ]
        by_slope = []
        for own, (left, right) in zip(self.smooth, at.touched, strict=False):
            rows = above[own.number]
            by_slope.append(rows * (met[own.number] - torch.where(rows > 0, right, left)) * own.free)
        return by_alpha, met, by_slope


def _descended(
    task: BoundTask, steps: int, patience: int, begin: BoundParameters, smooth: Sequence[SmoothLayer]
) -> BoundParameters:
    """The best parameters of a descent in float32."""
    claims, signs = SinglePrecision(task, smooth), [part.float() for part in task.signs or ()]
    count, split = len(claims.hidden), len(claims.hidden) + len(signs)
    alphas = [part.float() for part in begin.alphas]
    plain = claims.evaluate(alphas, None) if signs or smooth else None
    start = list(alphas)
    sizes: list[Tensor | float] = [ALPHA_STEP] * count
    above: list[Tensor] = []
    if plain is not None:
        start += [part.abs().float() for part in begin.betas[: len(signs)]]
        # Betas step in units of the coefficients that they join.
        sizes += [BETA_STEP * part.below[:, 0].abs().mean(1, keepdim=True) for part in plain.passed[: len(signs)]]
        above = [part.above[:, 0] for part in plain.passed]
    began = [
        own.started(
            claims.hidden[own.number].relaxed._replace(lower_slope=alphas[own.number]),
            begin.levels[own.number],
            above[own.number],
        )
        for own in smooth
    ]
    start += began
    sizes += [own.step * own.slopes.more for own in smooth]
    if not task.single:
        start, sizes = [*start, begin.log_weights.float()], [*sizes, WEIGHT_STEP]

    def evaluate(parts: list[Tensor]) -> tuple[Tensor, Callable[[], list[Tensor]]]:
        betas = [size * sign for size, sign in zip(parts[count:split], signs, strict=True)] if signs else None
        at = claims.evaluate(parts[:count], betas, parts[split : split + len(smooth)])
        value, slope = at.bounds.value[:, 0], at.bounds.slope[:, 0]
        weights = None if task.single else task.weights(parts[-1])
        total, sums = (
            (slope, value) if weights is None else (task.summed(weights[:, None] * slope), task.summed(weights * value))
        )
        up, where = steepest(total, task.domain, task.geometry)

        def gradients() -> list[Tensor]:
            point = task.each(where)
            by_alpha, by_beta, by_slope = claims.gradients(at, point)
            found = [*by_alpha, *(z * sign for z, sign in zip(by_beta, signs, strict=False)), *by_slope]
            if weights is None:
                return found
            reached = value + (slope * point).sum(1)
            more = reached - task.each(task.summed(weights * reached))
            return [weights[:, None] * part for part in (*found, more[:, None])]

        return sums + up, gradients

    def project(parts: list[Tensor]) -> None:
        for part, layer in zip(parts[:count], task.net.hidden, strict=True):
            part.clamp_(least_slope(layer), 1.0)
        for part in parts[count:split]:
            part.clamp_(min=0.0)
        for part, own in zip(parts[split:], smooth, strict=False):
            part.copy_(own.clamped(part))

    best = ProjectedAdam(evaluate, project, sizes, task.limits.float(), None if task.single else task.group).run(
        start, steps, patience
    )
    levels = list(begin.levels)
    for own, part, at in zip(smooth, best[split:], began, strict=False):
        levels[own.number] = own.ended(part, at, levels[own.number])
    betas = [part.double() * sign for part, sign in zip(best[count:split], task.signs or (), strict=True)]
    weights = begin.log_weights if task.single else best[-1].double()
    return BoundParameters([part.double() for part in best[:count]], betas or begin.betas, levels, weights)


def steepest(
    slope: Float[Tensor, "C d"], domain: Int[Tensor, " C"], geometry: Geometry
) -> tuple[Float[Tensor, " C"], Float[Tensor, "C d"]]:
    """How far linear functions rise above their value at the center (C,), and where they do so (C, d), from the center.

    With slabs the second is the gradient of the first, which any multipliers of slabs make a fair guide.
    """
    if not len(geometry.directions):
        half = geometry.half[domain].to(slope.dtype)
        return (slope.abs() * half).sum(1), slope.sign() * half
    leaf = slope.double().detach().requires_grad_(True)
    with torch.enable_grad():
        up = rise_and_fall(leaf[:, None], domain, geometry)[0][:, 0]
        (where,) = torch.autograd.grad(up.sum(), leaf)
    return up.detach().to(slope.dtype), where.to(slope.dtype)


@dataclass(frozen=True, eq=False)
class ProjectedAdam:
    """Variables of many independent items, and what is to become small.

    Attributes:
        evaluate: of the variables, shape (rows, ...) each, the items' values (G,), and what gives the gradient of their
            sum in each variable.
        project: puts variables back where they are allowed, in place.
        steps: first step size of each variable: a number, or one for each row (rows, 1).
        limits: an item is settled once its value lies below this, shape (G,).
        item: which item each row of the variables belongs to, shape (rows,); None: each is its own.
    """

    evaluate: Callable[[list[Tensor]], tuple[Tensor, Callable[[], list[Tensor]]]]
    project: Callable[[list[Tensor]], None]
    steps: Sequence[Tensor | float]
    limits: Float[Tensor, " G"]
    item: Int[Tensor, " rows"] | None = None

    def run(self, start: Sequence[Tensor], count: int, patience: int) -> list[Tensor]:
        """The best variables of `count` steps of Adam (Kingma and Ba 2015, algorithm 1), item by item.

        Ends early when every item is settled, or none has made progress for `patience` steps.
        """
        now, best = [part.clone() for part in start], [part.clone() for part in start]
        first, second = ([torch.zeros_like(part) for part in start] for _ in range(2))
        lowest, idle = torch.full_like(self.limits, torch.inf), 0
        for step in range(count + 1):
            value, gradients = self.evaluate(now)
            better = value < lowest
            idle = 0 if bool((value < lowest - PROGRESS * value.abs()).any()) else idle + 1
            self._keep(better, now, best)
            lowest = torch.where(better, value, lowest)
            if step == count or idle > patience or bool((lowest < self.limits).all()):
                break
            size = 1.0 - (1.0 - LAST_SHARE) * step / count
            for number, gradient in enumerate(gradients()):
                finite = gradient.nan_to_num_()
                first[number].lerp_(finite, 1 - MOMENTUM)
                second[number].mul_(SQUARES).addcmul_(finite, finite, value=1 - SQUARES)
                root = (second[number] / (1 - SQUARES ** (step + 1))).sqrt_().add_(1e-12)
                moved = (first[number] / root).mul_(self.steps[number]).mul_(size / (1 - MOMENTUM ** (step + 1)))
                now[number] -= moved
            self.project(now)
        return best

    def _keep(self, better: Tensor, now: Sequence[Tensor], best: Sequence[Tensor]) -> None:
        everything = bool(better.all())
        rows = better if self.item is None else better[self.item]
        for new, old in zip(now, best, strict=True):
            if everything:
                old.copy_(new)
            else:
                old[rows] = new[rows]
