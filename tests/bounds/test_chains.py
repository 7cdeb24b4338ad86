"""The local network of a placement is the whole network: at random triggers both give the same outputs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.bounds.operations import numbers
from tests.soundness import floats
from tests.soundness.build import patch, replacing
from verifluxa.bounds.build import build_chain
from verifluxa.bounds.chain import Chain
from verifluxa.bounds.constants import Constants, propagate
from verifluxa.bounds.domain import Domains, geometry_of
from verifluxa.bounds.linear import Subproblems, bound_all_layers
from verifluxa.bounds.linear import evaluate_net as run_chain
from verifluxa.bounds.maxima import pair_count
from verifluxa.bounds.net import load_net
from verifluxa.graph.graph import Graph, build, chain
from verifluxa.graph.ops import (
    Activation,
    Add,
    Affine,
    Clip,
    Conv,
    Divide,
    Input,
    MaxPool,
    MeanPool,
    Op,
    Reshape,
    Scale,
    Shape,
    Shift,
    Take,
    Transpose,
)
from verifluxa.question import AffineInputMap

Floats = NDArray[np.float64]
IMAGE = (2, 7, 6)
RELU = Activation("relu")


def conv(channels: int, outputs: int, window: int = 3, stride: int = 1, pad: tuple[int, int] = (1, 1)) -> Conv:
    random = np.random.default_rng(channels * 100 + outputs)
    weight = numbers(random, outputs, channels, window, window) / 4
    low, high = (pad[0],) * 2, (pad[1],) * 2
    return Conv(weight, numbers(random, outputs), (stride, stride), low, high, (1, 1))


def pool(kind: type[MaxPool] | type[MeanPool], window: int, stride: int, low: int = 0, high: int = 0) -> Op:
    return kind((window, window), (stride, stride), (low, low), (high, high))


def network(*ops: Op, shape: Shape = IMAGE, outputs: int = 3, dtype: str = "float64") -> Graph:
    """Operations, then a dense layer to the outputs; weights in the given float type."""
    flat = chain(shape, [*ops, Reshape((-1,))], "float64").output_shape[0]
    random = np.random.default_rng(flat)
    whole = [*ops, Reshape((-1,)), Affine(numbers(random, outputs, flat) / 8, numbers(random, outputs))]
    return chain(shape, [cast(op, dtype) for op in whole], dtype)


def cast(op: Op, dtype: str) -> Op:
    """The operation with its arrays in another float type (its numbers fit both)."""
    arrays = {name: array for name, array in vars(op).items() if isinstance(array, np.ndarray)}
    arrays = {name: array.astype(dtype) for name, array in arrays.items() if array.dtype.kind == "f"}
    return replace(op, **arrays)


PLACED = np.where(np.arange(84) % 9 == 4, -1, np.arange(84) * 5 % 61).reshape(2, 7, 6)
"""Places of an image: some values twice, some nowhere, some zeros."""
BODIES: dict[str, tuple[Op, ...]] = {
    "linear": (),
    "mlp": (Reshape((-1,)), Affine(numbers(np.random.default_rng(3), 9, 84) / 4), RELU),
    "encode": (Divide(np.array(16.0)), Shift(np.array([[[0.5]], [[-1.0]]])), Scale(np.array([[[2.0]], [[4.0]]]))),
    "moved": (Take((2, 7, 6), PLACED), conv(2, 3), RELU),
    "layout": (Transpose((0, 2, 1)), conv(2, 3), RELU),
    "stride and padding": (conv(2, 3, 3, 2, (1, 0)), RELU, conv(3, 2, 2, 1, (0, 2)), RELU),
    "stride that skips": (conv(2, 2, 1, 3, (0, 0)), RELU),
    "max pool": (conv(2, 3), RELU, pool(MaxPool, 2, 2)),
    "overlapping odd max pool": (conv(2, 2), pool(MaxPool, 3, 2, 1, 0)),
    "max pool of pixels": (pool(MaxPool, 3, 1, 1, 1),),
    "max pool of one": (pool(MaxPool, 1, 2),),
    "two max pools": (pool(MaxPool, 2, 1), conv(2, 2), RELU, pool(MaxPool, 3, 3, 1, 1)),
    "mean pool": (conv(2, 3), Activation("leakyrelu", 0.25), pool(MeanPool, 3, 2, 1, 1)),
    "mean pool of pixels": (pool(MeanPool, 2, 2), RELU),
    "functions": (
        Shift(np.array(-4.0)),
        Clip(-3.0, 3.0),
        Activation("relu6"),
        conv(2, 2),
        Activation("tanh"),
        Activation("sigmoid"),
    ),
    "function at once": (RELU, Activation("hardtanh"), conv(2, 2), RELU),
}
PLACES = {
    "corner": patch(IMAGE, (2, 2), (0, 0)),
    "far corner": patch(IMAGE, (2, 3), (5, 3)),
    "middle": patch(IMAGE, (3, 1), (2, 3)),
    "everything": patch(IMAGE, (7, 6), (0, 0)),
    "one pixel": replacing([59]),
    "mixed order": replacing([70, 3, 44]),
}


def setting(body: str, dtype: str = "float64", arithmetic: str = "real") -> tuple[Graph, Floats, Constants]:
    graph = network(*BODIES[body], dtype=dtype)
    inputs = numbers(np.random.default_rng(5), 4, *IMAGE)
    return graph, inputs, propagate(graph, inputs, arithmetic, len(graph.nodes) - 1)


def stamped(stamp: AffineInputMap, inputs: Floats, trigger: Floats) -> Floats:
    """The images under a trigger."""
    return floats.stamped(stamp, inputs, trigger).astype(np.float64).reshape(inputs.shape)


def deployed(graph: Graph, images: Floats, random: np.random.Generator) -> Floats:
    """One of the float32 evaluations that are allowed; torch's own where no other is known."""
    names = {node.op.function for node in graph.nodes if isinstance(node.op, Activation)}
    known = names <= {"relu", "leakyrelu", "tanh", "sigmoid"}
    outputs = floats.evaluate(graph, images, random) if known else graph.run(images)
    return outputs.astype(np.float64)


def triggers(size: int, count: int = 5) -> Floats:
    return numbers(np.random.default_rng(size), count, size)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("body", BODIES)
def test_the_chain_gives_the_outputs_of_the_graph(body: str, place: str) -> None:
    graph, inputs, constants = setting(body)
    stamp = PLACES[place].stamp
    built = build_chain(graph, constants, stamp)
    check_form(built, len(stamp.positions), len(inputs))
    net = load_net(built)
    for trigger in triggers(len(stamp.positions)):
        wanted = graph.run(stamped(stamp, inputs, trigger))
        got = run_chain(net, torch.as_tensor(trigger).expand(len(inputs), -1), torch.arange(len(inputs)))
        np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-11, atol=1e-11)


ONES = np.ones(84)
ENDS: dict[str, tuple[Op, ...]] = {
    "dense": (
        conv(2, 3),
        RELU,
        Reshape((-1,)),
        Affine(numbers(np.random.default_rng(4), 5, 126)),
        RELU,
        Shift(np.ones(5)),
    ),
    "function last": (Reshape((-1,)), Shift(ONES), Activation("tanh")),
    "two branches": (),
}


@pytest.mark.parametrize("arithmetic", ["real", "float32"])
@pytest.mark.parametrize("end", ENDS)
def test_what_placements_share_is_what_each_would_have_alone(end: str, arithmetic: str) -> None:
    graph = chain(IMAGE, [cast(op, "float32") for op in ENDS[end]], "float32") if ENDS[end] else branches()
    inputs = numbers(np.random.default_rng(5), 4, *IMAGE)
    constants, readout = propagate(graph, inputs, arithmetic, len(graph.nodes) - 1), len(graph.nodes) - 1
    for place in ("corner", "everything", "middle", "everything", "far corner"):
        stamp = PLACES[place].stamp
        shared = build_chain(graph, constants, stamp)
        alone = build_chain(graph, propagate(graph, inputs, arithmetic, readout), stamp)
        for one, other in zip(shared.layers, alone.layers, strict=True):
            for name in ("weight", "offset", "slope_radius", "radius", "function", "parameters"):
                np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
            for part, same in zip(one.overflow or (), other.overflow or (), strict=True):
                np.testing.assert_array_equal(part, same)


def branches() -> Graph:
    """A dense layer and a function of it, added to it."""
    weight = numbers(np.random.default_rng(6), 84, 84).astype(np.float32) / 64
    parts: list[tuple[Op, tuple[int, ...]]] = [
        (Input(IMAGE), ()),
        (Reshape((-1,)), (0,)),
        (Affine(weight), (1,)),
        (RELU, (2,)),
        (Add(), (3, 1)),
        (Activation("tanh"), (4,)),
    ]
    return build(parts)


def check_form(built: Chain, size: int, count: int) -> None:
    """Shapes fit from layer to layer, radii are nonnegative, only the last layer has no function."""
    states = size
    for layer in built.layers:
        assert layer.weight.shape == layer.slope_radius.shape == (layer.weight.shape[0], states)
        assert layer.offset.shape[1] == layer.radius.shape[1] == layer.weight.shape[0]
        assert {len(layer.offset), len(layer.radius)} <= {1, count}
        assert (layer.slope_radius >= 0).all()
        assert (layer.radius >= 0).all()
        states = layer.weight.shape[0] - 2 * pair_count(layer.special)
    assert [layer.function is None for layer in built.layers] == [False] * (len(built.layers) - 1) + [True]


@pytest.mark.parametrize("place", ["corner", "middle", "everything", "mixed order"])
@pytest.mark.parametrize("body", BODIES)
def test_every_float32_evaluation_stays_within_the_radii(body: str, place: str) -> None:
    graph, inputs, constants = setting(body, "float32", "float32")
    stamp = PLACES[place].stamp
    net = load_net(build_chain(graph, constants, stamp))
    random = np.random.default_rng(0)
    everyone = torch.arange(len(inputs))
    for trigger in triggers(len(stamp.positions), 2):
        point = torch.as_tensor(trigger)[None]
        shape = geometry_of(Domains(point, point, point.new_zeros(0, len(trigger)), point[:, :0], point[:, :0]))
        last = bound_all_layers(net, shape, Subproblems(torch.zeros_like(everyone), everyone), "interval")[-1]
        for _ in range(2):
            got = deployed(graph, stamped(stamp, inputs, trigger), random)
            assert (last.lower.numpy() <= got).all()
            assert (got <= last.upper.numpy()).all()
        assert (last.radius.numpy() < 1e-2).all()


@pytest.mark.parametrize("body", BODIES)
def test_constants_are_the_untouched_network(body: str) -> None:
    graph, inputs, constants = setting(body)
    assert not constants.unsafe.any()
    np.testing.assert_allclose(constants.values[-1], graph.run(inputs), rtol=1e-12, atol=1e-12)
    single, _, singles = setting(body, "float32", "float32")
    random = np.random.default_rng(1)
    for _ in range(3):
        assert (np.abs(deployed(single, inputs, random) - singles.values[-1]) <= singles.radii[-1]).all()


def test_only_what_need_not_be_zero_rounds() -> None:
    """1 and small numbers that are lost one by one: as many units as there are small ones, in sums of 100 values."""
    graph = chain((100,), [Divide(np.array(2.0, np.float32)), Affine(np.ones((1, 100), np.float32))], "float32")
    small, unit = 2.0**-23, 2.0**-24
    inputs = np.zeros((2, 100))
    inputs[0, 0], inputs[0, 1:9] = 2.0, small
    inputs[1, :] = small
    inputs[1, 0] = 2.0
    lost = np.float32(1) + np.float32(unit)
    assert lost == 1
    constants = propagate(graph, inputs, "float32", 2)
    assert 8 * unit <= constants.radii[-1][0, 0] <= 13 * unit
    assert 99 * unit <= constants.radii[-1][1, 0]
    (layer,) = build_chain(graph, constants, replacing(range(20, 40)).stamp).layers
    radius = layer.radius[:, 0] + layer.slope_radius[0] @ np.full(20, small)
    assert 28 * unit <= radius[0] <= 34 * unit
    assert 99 * unit <= radius[1]


ALONE = (conv(2, 3), conv(2, 2, 3, 2, (1, 0)), pool(MeanPool, 3, 2, 1, 1), Scale(np.array(0.75)), BODIES["mlp"][1])


@pytest.mark.parametrize("op", ALONE, ids=lambda op: str(op.kind))
@pytest.mark.parametrize("place", ["corner", "middle", "mixed order"])
def test_what_a_trigger_replaces_adds_nothing_to_the_radii_of_the_rest(op: Op, place: str) -> None:
    """They are those on inputs with zeros where the trigger is, whatever stood there: that was taken out again."""
    inputs, stamp = numbers(np.random.default_rng(5), 4, *IMAGE), PLACES[place].stamp
    graph = chain((84,) if op.kind == "affine" else IMAGE, [cast(op, "float32")])
    flat = [inputs.reshape(4, -1).copy() for _ in range(2)]
    flat[0][:, stamp.positions] *= 16.0
    flat[1][:, stamp.positions] = 1e-300  # not 0, or a dense layer's sums would have fewer roundings
    found, rest = (propagate(graph, part.reshape(4, *graph.input_shape), "float32", 1) for part in flat)
    (layer,) = build_chain(graph, found, stamp).layers
    np.testing.assert_allclose(layer.radius, rest.radii[-1], rtol=1e-4, atol=1e-11)
    assert (layer.radius >= rest.radii[-1] * (1 - 2.0**-40)).all()


def test_only_what_a_patch_reaches_is_in_the_chain() -> None:
    graph, _, constants = setting("stride and padding")
    small = build_chain(graph, constants, PLACES["corner"].stamp).layers[0]
    whole = build_chain(graph, constants, PLACES["everything"].stamp).layers[0]
    assert len(small.weight) < len(whole.weight) == len(constants.values[1][0])


@pytest.mark.parametrize("tail", [(), (RELU,), (pool(MaxPool, 2, 1), RELU)])
def test_a_patch_that_reaches_nothing_leaves_constants(tail: tuple[Op, ...]) -> None:
    """A stride steps over the pixel; what follows has no reached element."""
    graph = network(conv(2, 2, 1, 2, (0, 0)), RELU, *tail)
    inputs = numbers(np.random.default_rng(5), 4, *IMAGE)
    constants = propagate(graph, inputs, "float32", len(graph.nodes) - 1)
    net = load_net(build_chain(graph, constants, patch(IMAGE, (1, 1), (1, 1)).stamp))
    assert net.layers[0].weight.shape[0] == 0
    point = torch.full((1, 2), 3.0, dtype=torch.float64)
    got = run_chain(net, point.expand(4, -1), torch.arange(4))
    np.testing.assert_allclose(got.numpy(), graph.run(inputs), rtol=1e-12, atol=1e-12)
    shape = geometry_of(Domains(point - 9, point + 9, point.new_zeros(0, 2), point[:, :0], point[:, :0]))
    last = bound_all_layers(net, shape, Subproblems(torch.zeros(4, dtype=torch.long), torch.arange(4)))[-1]
    assert (last.upper - last.lower).max() < 1e-2


def test_outputs_that_are_not_reached_keep_their_constants() -> None:
    graph = chain((4,), [Scale(np.array([1.0, 2.0, 3.0, 4.0])), Shift(np.ones(4))], "float64")
    inputs = numbers(np.random.default_rng(2), 3, 4)
    constants = propagate(graph, inputs, "float64", 2)
    (layer,) = build_chain(graph, constants, replacing([2]).stamp).layers
    assert layer.weight.tolist() == [[0.0], [0.0], [3.0], [0.0]]
    wanted = graph.run(inputs)
    wanted[:, 2] = 1.0
    np.testing.assert_allclose(layer.offset, wanted)
    assert (layer.slope_radius[[0, 1, 3]] == 0).all()
    assert (layer.radius[:, [0, 1, 3]] == constants.radii[-1][:, [0, 1, 3]]).all()


def test_a_stamp_with_arithmetic_has_radii_of_its_own() -> None:
    """`keep * x + gain @ tau + offset`, as a blend would be."""
    graph = network(conv(2, 2), RELU, dtype="float32")
    inputs = numbers(np.random.default_rng(5), 4, *IMAGE)
    stamp = AffineInputMap(
        np.array([50, 7]), np.array([0.75, 0.5]), np.array([[0.25, 0.0], [0.1, 0.5]]), np.array([0.0, 1 / 3])
    )
    constants = propagate(graph, inputs, "float32", len(graph.nodes) - 1)
    built = build_chain(graph, constants, stamp)
    net = load_net(built)
    for trigger in triggers(2):
        point = torch.as_tensor(trigger)[None]
        shape = geometry_of(Domains(point, point, point.new_zeros(0, 2), point[:, :0], point[:, :0]))
        last = bound_all_layers(net, shape, Subproblems(torch.zeros(4, dtype=torch.long), torch.arange(4)), "interval")[
            -1
        ]
        images = inputs.reshape(4, -1).copy()
        images[:, stamp.positions] = stamp.keep * images[:, stamp.positions] + stamp.gain @ trigger + stamp.offset
        got = graph.run(images.reshape(inputs.shape)).astype(np.float64)
        assert (last.lower.numpy() <= got).all()
        assert (got <= last.upper.numpy()).all()
