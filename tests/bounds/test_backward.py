"""Every road of the backward pass gives what the plain formula gives, row by row, and its planes hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from verifluxa.bounds import crown, linear, memory
from verifluxa.bounds.crown import (
    ChosenNeurons,
    LinearBounds,
    RelaxedLayer,
    backward,
    backward_in_blocks,
    neuron_bounds,
    relaxed_layer,
)
from verifluxa.bounds.domain import Domains, Geometry, geometry_of
from verifluxa.bounds.functions import Relaxation, relax
from verifluxa.bounds.linear import Subproblems, bound_all_layers, forward_ranges, output_bounds
from verifluxa.bounds.maxima import Maxima, winners_of
from verifluxa.bounds.net import Net, NetLayer
from verifluxa.bounds.special import PairRelaxation, Products, Special


@dataclass(frozen=True, eq=False)
class Raw:
    """A layer as the formula of CROWN has it."""

    weight: Tensor
    relaxed: Relaxation | PairRelaxation
    offset: Tensor
    radius: Tensor
    special: Special | None = None

    @property
    def stage(self) -> RelaxedLayer:
        return relaxed_layer(self.weight, self.relaxed, self.offset, self.radius, self.special)


def raw(sizes: tuple[int, int], pairs: int, function: str = "relu", decided: float = 0.5) -> Raw:
    """A layer with random weights and intervals; a share of them does not contain 0."""
    inputs, neurons = sizes
    offset = torch.randn(pairs, neurons).double()
    lower, width = torch.randn(pairs, neurons).double(), torch.rand(pairs, neurons).double() + 0.1
    lower = torch.where(torch.rand(pairs, neurons) < decided, lower.abs() + 0.1, lower)
    radius = 0.01 * torch.rand(pairs, neurons).double()
    weight = torch.randn(neurons, inputs).double()
    if function == "product":
        product = torch.arange(neurons) % 3 == 0
        partner = torch.where(product, (torch.arange(neurons) + 1) % neurons, torch.arange(neurons))
        special = Products(partner, product)
        return Raw(weight, special.relax(lower, lower + width), offset, radius, special)
    return Raw(weight, relax(function, lower, lower + width, ()), offset, radius)


def places(pair: Tensor, neuron: Tensor, pairs: int, weight: Tensor) -> ChosenNeurons:
    """Single neurons `weight @ h` by their pair and number."""
    return ChosenNeurons(pair * len(weight) + neuron, pairs, len(weight))


def formula(layers: Sequence[Raw], row: Tensor, pair: int) -> tuple[Tensor, Tensor]:
    """One row of one pair, layer by layer: constant and coefficients."""
    constant = torch.zeros(()).double()
    for layer in reversed(layers):
        lower_slope, lower_at, upper_slope, upper_at = (part[pair] for part in layer.relaxed[:4])
        up, down = row.clamp(min=0), row.clamp(max=0)
        constant = constant + up @ upper_at + down @ lower_at
        row = up * upper_slope + down * lower_slope
        if isinstance(layer.relaxed, PairRelaxation):
            assert isinstance(layer.special, Products)
            falls = up * layer.relaxed.upper_partner[pair] + down * layer.relaxed.lower_partner[pair]
            row = row.index_add(0, layer.special.partner, falls)
        constant = constant + row.abs() @ layer.radius[pair] + row @ layer.offset[pair]
        row = row @ layer.weight
    return constant, row


FUNCTIONS = ("relu", "tanh", "gelu", "product")
DEPTHS = ((3, 7), (3, 7, 5), (2, 6, 4, 5))


def network(depth: tuple[int, ...], pairs: int, function: str) -> list[Raw]:
    torch.manual_seed(len(depth) + pairs)
    return [raw(sizes, pairs, function) for sizes in pairwise(depth)]


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("block", [1, 60, 10**9])
def test_rows_descend_as_the_formula_says(function: str, depth: tuple[int, ...], block: int) -> None:
    layers = network(depth, 4, function)
    index = torch.tensor([2, 0, 3, 3, 1])
    rows = torch.randn(5, 3, depth[-1]).double()
    zero = torch.zeros(5, 3).double()
    constant, slopes = backward_in_blocks(
        [layer.stage for layer in layers], lambda part: rows[part], zero, index, block
    )
    claims = [(claim, number) for claim in range(5) for number in range(3)]
    wanted = [formula(layers, rows[claim, number], int(index[claim])) for claim, number in claims]
    same((constant.flatten(), slopes.flatten(0, 1)), wanted)


def same(planes: tuple[Tensor, Tensor], wanted: Sequence[tuple[Tensor, Tensor]]) -> None:
    for part, column in zip(planes, zip(*wanted, strict=True), strict=True):
        torch.testing.assert_close(part, torch.stack(column), rtol=1e-11, atol=1e-11)


CHOICES = {
    "all": [[0, 1, 2, 3, 4]] * 4,
    "few": [[1], [], [0, 3], []],
    "one": [[], [], [], [4]],
    "uneven": [[0, 1, 2, 3, 4], [2], [], [3, 4]],
}


@pytest.mark.parametrize("function", FUNCTIONS[:3])
@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize("choice", list(CHOICES))
@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("block", [1, 10**9])
def test_planes_of_neurons_are_those_of_their_rows(
    function: str, depth: tuple[int, ...], choice: str, dense: bool, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crown, "_dense_pays", lambda *_: dense)
    layers = network(depth, 4, function)
    weight = torch.randn(5, depth[-1]).double()
    pair = torch.tensor([p for p, own in enumerate(CHOICES[choice]) for _ in own])
    neuron = torch.tensor([n for own in CHOICES[choice] for n in own])
    planes = of_neurons([layer.stage for layer in layers], weight, places(pair, neuron, 4, weight), block=block)
    chosen = list(zip(pair.tolist(), neuron.tolist(), strict=True))
    for own, sign in zip(planes, (1.0, -1.0), strict=True):
        same(own, [formula(layers, sign * weight[n], p) for p, n in chosen])
    half = torch.rand(4, depth[0]).double()

    def rise(slopes: Tensor, part: slice) -> Tensor:
        return (slopes.abs() * half[part][:, None]).sum(-1)

    risen = of_neurons([layer.stage for layer in layers], weight, places(pair, neuron, 4, weight), rise, block)
    for (value, slope), (again, more) in zip(planes, risen, strict=True):
        torch.testing.assert_close(again, value, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(more, (slope.abs() * half[pair]).sum(1), rtol=1e-12, atol=1e-12)


def of_neurons(
    layers: Sequence[RelaxedLayer],
    weight: Tensor,
    chosen: ChosenNeurons,
    rise: crown.Rise | None = None,
    block: int = memory.BLOCK_NUMBERS,
) -> tuple[LinearBounds, LinearBounds]:
    zero = torch.zeros(1, len(weight)).double()
    return neuron_bounds(layers, weight, chosen, zero, zero, rise, block)


def tournament(opponents: list[int], carried: list[int], size: int) -> Tensor:
    """Weights of a round: state neurons 0, 1, ... meet their opponents; some neurons are carried."""
    unit = torch.eye(size).double()
    first, second = unit[: len(opponents)], unit[opponents]
    return torch.cat([first, second, second - first, unit[carried]])


@pytest.mark.parametrize("below", [0, 1])
@pytest.mark.parametrize("above", [0, 1])
@pytest.mark.parametrize("block", [1, 10**9])
def test_a_round_without_overlap_is_looked_up(below: int, above: int, block: int) -> None:
    """As multiplying by its weights gives it: rows, single neurons, and planes carried forward; at either end."""
    torch.manual_seed(5)
    # Neuron 2 meets itself, as a window of three has it; 5 and 6 are carried, and nobody reads 7.
    weight = tournament([3, 4, 2], [5, 6], 8)
    lower = torch.randn(4, len(weight)).double()
    special = Maxima(3, plain=True)
    moved = torch.randn(1, len(weight)).double(), torch.rand(4, len(weight)).double()
    parts = weight, special.relax(lower, lower + torch.rand(4, len(weight)).double()), *moved, special
    winner = winners_of(weight, 3)
    assert winner is not None
    assert winner[:7].tolist() == [0, 1, 2, 0, 1, 3, 4]
    around = [[raw(sizes, 4).stage for _ in range(some)] for sizes, some in (((3, 8), below), ((5, 5), above))]
    roads = [[*around[0], relaxed_layer(*parts, table), *around[1]] for table in (None, winner)]
    rows, into = torch.randn(4, 3, 5).double(), torch.randn(6, 5).double()
    pair, neuron = torch.arange(4).repeat_interleave(6), torch.arange(6).repeat(4)
    half = torch.rand(4, 3 if below else 8).double()
    slow, quick = (
        [
            *backward(stages, rows, torch.zeros(4, 3).double()),
            *(
                part
                for planes in of_neurons(stages, into, places(pair, neuron, 4, into), block=block)
                for part in planes
            ),
        ]
        for stages in roads
    )
    for one, other in zip(slow, quick, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)
    (low, high), (lower, upper) = (forward_ranges(stages, into, half, block) for stages in roads)
    assert (lower >= low - 1e-9).all()
    assert (upper <= high + 1e-9).all()
    above_, under = (value + (slope.abs() * half[pair]).sum(1) for value, slope in (quick[2:4], quick[4:6]))
    assert (upper.flatten() >= above_ - 1e-9).all()
    assert (lower.flatten() <= 1e-9 - under).all()


def test_a_neuron_of_two_windows_is_not_looked_up() -> None:
    assert winners_of(tournament([2, 2], [], 3), 2) is None
    assert winners_of(tournament([2, 3], [0], 4), 2) is None
    assert winners_of(tournament([2, 3], [], 4)[:0], 0) is None


def test_products_under_a_plain_layer() -> None:
    torch.manual_seed(3)
    layers = [raw((2, 6), 3, "product"), raw((6, 4), 3)]
    weight = torch.randn(5, 4).double()
    pair, neuron = torch.arange(3).repeat_interleave(5), torch.arange(5).repeat(3)
    planes, _ = of_neurons([layer.stage for layer in layers], weight, places(pair, neuron, 3, weight))
    same(planes, [formula(layers, weight[n], p) for p, n in zip(pair.tolist(), neuron.tolist(), strict=True)])


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_rows_of_a_broken_pair_close_nothing_and_spoil_no_other(broken: float) -> None:
    layers = network((3, 7, 5), 3, "relu")
    radius = layers[0].radius.clone()
    radius[1] = broken
    spoiled = [Raw(layers[0].weight, layers[0].relaxed, layers[0].offset, radius), layers[1]]
    rows, constant = torch.randn(3, 4, 5).double(), torch.zeros(3, 4).double()
    fine, _ = backward([layer.stage for layer in layers], rows, constant)
    values, _ = backward([layer.stage for layer in spoiled], rows, constant)
    assert not (values[1] < 1e300).any()
    torch.testing.assert_close(values[::2], fine[::2])


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_what_is_no_number_stays_with_its_pair(broken: float) -> None:
    """A pair whose bounds are broken gets planes that close nothing; its neighbours keep theirs."""
    layers = network((3, 7, 5), 3, "relu")
    radius = layers[0].radius.clone()
    radius[1] = broken
    spoiled = [Raw(layers[0].weight, layers[0].relaxed, layers[0].offset, radius), layers[1]]
    weight = torch.randn(4, 5).double()
    pair, neuron = torch.arange(3).repeat_interleave(4), torch.arange(4).repeat(3)
    chosen = places(pair, neuron, 3, weight)
    (fine, _), _ = of_neurons([layer.stage for layer in layers], weight, chosen)
    (values, _), _ = of_neurons([layer.stage for layer in spoiled], weight, chosen)
    assert not (values[pair == 1] < 1e300).any()
    torch.testing.assert_close(values[pair != 1], fine[pair != 1])


def deep(widths: tuple[int, ...], strips: bool) -> tuple[Net, Geometry, Subproblems]:
    """A random relu network on three boxes, cut by a strip or not."""
    torch.manual_seed(len(widths))
    layers = []
    for number, (inputs, neurons) in enumerate(pairwise((2, *widths, 3))):
        last = number == len(widths)
        weight, offset = torch.randn(neurons, inputs).double() / inputs**0.5, torch.randn(6, neurons).double()
        parts = (weight, weight.abs(), offset, 1e-6 * weight.abs(), torch.full((1, neurons), 1e-6).double())
        layers.append(NetLayer(*parts, None if last else "relu", (), None, None))
    lower, size = torch.rand(3, 2).double(), torch.tensor([[0.0], [0.3], [3.0]]).double()
    directions = torch.tensor([[1.0, 1.0]]).double()[: int(strips)]
    low, high = (lower @ directions.T + share * size for share in (0.5, 1.0))
    shape = geometry_of(Domains(lower, lower + size, directions, low, high))
    pairs = Subproblems(torch.arange(3).repeat_interleave(6), torch.arange(6).repeat(3))
    return Net(tuple(layers), torch.zeros(6, dtype=torch.bool), 1e30), shape, pairs


@pytest.mark.parametrize("widths", [(8, 8), (8, 9, 7), (6, 6, 6, 6)])
@pytest.mark.parametrize("block", [1, 10**9])
def test_planes_carried_forward_never_end_inside_those_of_the_backward_pass(
    widths: tuple[int, ...], block: int
) -> None:
    net, shape, pairs = deep(widths, False)
    stages = linear.relaxed_layers(net, bound_all_layers(net, shape, pairs)[:-2], shape, pairs)
    weight = net.layers[-2].weight
    half = shape.half[pairs.domain]
    lower, upper = forward_ranges(stages, weight, half, block)
    pair, neuron = torch.arange(18).repeat_interleave(len(weight)), torch.arange(len(weight)).repeat(18)
    planes = of_neurons(stages, weight, places(pair, neuron, 18, weight), block=block)
    above, under = (value + (slope.abs() * half[pair]).sum(1) for value, slope in planes)
    assert (upper[pair, neuron] >= above - 1e-9).all()
    assert (lower[pair, neuron] <= 1e-9 - under).all()
    assert torch.allclose(upper[:6].flatten(), above[pair < 6], rtol=1e-4), "a single point leaves radii alone"


@pytest.mark.parametrize("strips", [False, True])
@pytest.mark.parametrize("widths", [(8, 8), (8, 9, 7), (6, 6, 6, 6)])
def test_what_forward_planes_decide_changes_no_open_neuron(
    widths: tuple[int, ...], strips: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, shape, pairs = deep(widths, strips)
    monkeypatch.setattr(linear, "_forward_pays", lambda *_: False)
    plain = bound_all_layers(net, shape, pairs)
    monkeypatch.setattr(linear, "_forward_pays", lambda layers, *_: len(layers) > 1)
    quick = bound_all_layers(net, shape, pairs)
    skipped = 0
    for layer, one, other in zip(net.hidden, plain, quick, strict=False):
        open_ = layer.undecided(one.lower, one.upper)
        assert (layer.undecided(other.lower, other.upper) == open_).all()
        torch.testing.assert_close(one.lower[open_], other.lower[open_])
        torch.testing.assert_close(one.upper[open_], other.upper[open_])
        skipped += len(one.chosen.flat) - len(other.chosen.flat)
    assert (skipped > 0) == (len(widths) > 2)


def test_layers_kept_for_one_geometry_are_not_those_of_another() -> None:
    """Bounds of a domain hold in its parts, where the centers are others, and with them the planes."""
    net, shape, pairs = deep((8, 9), False)
    bounds = bound_all_layers(net, shape, pairs)[:-1]
    kept = linear.relaxed_layers(net, bounds, shape, pairs)
    part = replace(shape, center=shape.center + shape.half / 2, half=shape.half / 2)
    fresh = [replace(one) for one in bounds]
    found, wanted = (linear.relaxed_layers(net, layers, part, pairs) for layers in (bounds, fresh))
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.lower_intercept, other.lower_intercept)
        torch.testing.assert_close(one.slope_gap, other.slope_gap)
    assert not torch.equal(found[0].lower_intercept, kept[0].lower_intercept)


def test_of_pairs_that_no_row_names_nothing_is_kept() -> None:
    net, shape, pairs = deep((8, 9), False)
    bounds = [replace(one) for one in bound_all_layers(net, shape, pairs)]
    rows, table = torch.zeros(1, 1).long(), (torch.randn(1, 3).double(), torch.zeros(1).double())
    for index in (torch.tensor([4]), torch.tensor([17])):
        found = output_bounds(net, bounds, shape, index, pairs.take(index), rows, *table)
        wanted = output_bounds(net, [replace(one) for one in bounds], shape, index, pairs.take(index), rows, *table)
        torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("same_rows", [False, True])
@pytest.mark.parametrize("widths", [(8,), (8, 8), (8, 9, 7)])
def test_rows_of_a_table_are_those_that_are_asked_for(widths: tuple[int, ...], same_rows: bool) -> None:
    net, shape, pairs = deep(widths, False)
    bounds = bound_all_layers(net, shape, pairs)
    table = (torch.randn(7, 3).double(), torch.randn(7).double())
    index = torch.tensor([4, 4, 0, 17, 9])
    rows = torch.randint(7, (5, 4))
    rows = rows[:1].expand(5, 4) if same_rows else rows
    known = output_bounds(net, bounds, shape, index, pairs.take(index), rows, *table)
    for claim, pair in enumerate(index.tolist()):
        alone = torch.tensor([pair])
        own = [bound.take(alone) for bound in bounds]
        for at, row in enumerate(rows[claim].tolist()):
            one = output_bounds(net, own, shape, alone * 0, pairs.take(alone), torch.tensor([[row]]), *table)
            torch.testing.assert_close(one.value[0, 0], known.value[claim, at], rtol=1e-11, atol=1e-11)
            torch.testing.assert_close(one.slope[0, 0], known.slope[claim, at], rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("widths", [(8, 8), (8, 9, 7)])
def test_no_pairs_have_no_bounds(widths: tuple[int, ...]) -> None:
    net, shape, _ = deep(widths, False)
    none = torch.zeros(0, dtype=torch.long)
    bounds = bound_all_layers(net, shape, Subproblems(none, none))
    assert [tuple(layer.lower.shape) for layer in bounds] == [(0, width) for width in (*widths, 3)]
    table = torch.ones(1, 3).double(), torch.ones(1).double()
    value, slope = output_bounds(net, bounds, shape, none, Subproblems(none, none), none[:, None], *table)
    assert (tuple(value.shape), tuple(slope.shape)) == ((0, 1), (0, 1, 2))


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("depth", DEPTHS)
def test_rows_that_all_have_are_as_if_each_had_its_own(function: str, depth: tuple[int, ...]) -> None:
    layers = [layer.stage for layer in network(depth, 4, function)]
    rows, constant = torch.randn(1, 3, depth[-1]).double(), torch.randn(4, 3).double()
    for one, other in zip(
        backward(layers, rows, constant), backward(layers, rows.repeat(4, 1, 1), constant), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_no_rows_have_no_planes() -> None:
    layers = [layer.stage for layer in network((3, 7), 2, "relu")]
    none = torch.zeros(0, dtype=torch.long)
    rows = torch.zeros(0, 2, 7).double()
    value, slope = backward_in_blocks(layers, lambda part: rows[part], torch.zeros(0, 2).double(), none)
    assert (tuple(value.shape), tuple(slope.shape)) == ((0, 2), (0, 2, 3))


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("depth", DEPTHS)
def test_rows_that_were_given_stay_as_they_are(function: str, depth: tuple[int, ...]) -> None:
    layers = [layer.stage for layer in network(depth, 4, function)]
    rows, constant = torch.randn(4, 3, depth[-1]).double(), torch.randn(4, 3).double()
    before = [part.clone() for part in (rows, constant)]
    backward(layers, rows, constant)
    assert torch.equal(rows, before[0])
    assert torch.equal(constant, before[1])


@pytest.mark.parametrize("depth", DEPTHS)
def test_betas_join_the_coefficients_before_errors_are_counted(depth: tuple[int, ...]) -> None:
    """As the plain formula with a coefficient more on each pre-activation."""
    layers = network(depth, 2, "relu")
    rows, betas = torch.randn(2, 1, depth[-1]).double(), [torch.randn(2, len(own.weight)).double() for own in layers]
    value, slope = backward([own.stage for own in layers], rows, torch.zeros(2, 1).double(), betas)
    for pair in range(2):
        constant, row = torch.zeros(()).double(), rows[pair, 0]
        for own, beta in zip(reversed(layers), reversed(betas), strict=True):
            lower_slope, lower_at, upper_slope, upper_at = (part[pair] for part in own.relaxed[:4])
            up, down = row.clamp(min=0), row.clamp(max=0)
            constant = constant + up @ upper_at + down @ lower_at
            row = up * upper_slope + down * lower_slope + beta[pair]
            constant = constant + row.abs() @ own.radius[pair] + row @ own.offset[pair]
            row = row @ own.weight
        torch.testing.assert_close(value[pair, 0], constant, rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(slope[pair, 0], row, rtol=1e-11, atol=1e-11)
