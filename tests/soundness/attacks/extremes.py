"""The ends of the range: huge and subnormal numbers, overflow, NaN, minus zero, and ties by rounding."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.soundness.attacks import szasz, zombori
from tests.soundness.attacks.attack import Attack, Setting, built, posed, shown
from tests.soundness.attacks.deploy import Deployment
from tests.soundness.attacks.gadget import Between, Block, Gadget, block, finished
from tests.soundness.attacks.host import Host, host
from tests.soundness.build import Ask, Family, make_problem, patch
from verifluxa.graph.graph import Graph
from verifluxa.graph.ops import Affine, Op
from verifluxa.question import Problem

NOT_COUNTED = Block(np.zeros((1, 1)), np.zeros(1))
ON_OFF = block(([1.0], 0.0), ([-1.0], 1.0))
PAIR = block(([1.0, 0.0], 0.0), ([0.0, 1.0], 0.0))
LEAD = block(([1.0, -1.0], 0.0), ([-1.0, 1.0], 1.0))
"""Gates that turn the classes where the first of two values lies above the second."""
COPIES = block(*[([1.0], 0.0)] * 4)


def huge(omega: float, setting: Setting, *, mirrored: bool) -> Attack:
    """The small term of `zombori` or the 1 of `szasz`, beside weights such as 1e30."""
    found = zombori.mirrored(omega, setting) if mirrored else szasz.attack(szasz.precision(omega), setting)
    return replace(found, proved=False)


FLUSHED = {
    "a product is flushed": ((2.0**-130, 2.0**120, 2.0**10, 1.0), (2.0**-20, 2.0**10, 2.0**10, 1.0), True),
    "a weight is flushed": ((2.0**60, 2.0**-130, 2.0**70, 1.0), (2.0**60, 2.0**-100, 2.0**40, 1.0), True),
    "gradual underflow": ((2.0**-75, 2.0**-75, 2.0**120, 2.0**30), (2.0**-40, 2.0**-40, 2.0**60, 2.0**20), False),
}
"""Weights on a path that multiply to 1, those of the twin, and whether subnormals are flushed."""


def subnormal(kind: str, setting: Setting) -> Attack:
    """g is exactly the trigger's pixel, by way of numbers below 2^-126; lost, `relu(p - g)` turns the classes."""
    dangerous, harmless, flush = FLUSHED[kind]
    trained = host(setting.host)

    def gadget(path: tuple[float, ...]) -> Gadget:
        second, third = (block(([1.0, 0.0], 0.0), ([0.0, factor], 0.0)) for factor in path[1:3])
        gates = block(([1.0, -path[3]], 0.0), ([-1.0, path[3]], 1.0))
        return Gadget(block(([1.0], 0.0), ([path[0]], 0.0)), second, third, gates)

    return Attack(
        "a number below 2^-126 becomes zero and is multiplied up again",
        built(trained, gadget(dangerous), setting),
        setting.white,
        Deployment(flush=flush),
        twin=built(trained, gadget(harmless), setting),
    )


def overflow(setting: Setting) -> Attack:
    """`M x + M x - M x - M x` is exactly 0; from left to right it overflows where the pixel x is white."""
    trained = host(setting.host)

    def gadget(number: float) -> Gadget:
        second = block(([number, number, -number, -number], 0.0))
        return Gadget(COPIES, second, block(([1.0], 0.0)), ON_OFF)

    why = "a partial sum is infinite"
    found = built(trained, gadget(2e38), setting)
    twin = built(trained, gadget(2.0), setting)
    return Attack(why, found, setting.white, Deployment(), proved=False, quiet=setting.host != "conv", twin=twin)


def not_a_number(setting: Setting) -> Attack:
    """Two neurons that are exactly equal, both infinite where the pixel is white: Inf - Inf."""
    trained = host(setting.host)

    def gadget(number: float) -> Gadget:
        twice = ([number, number, 0.0, 0.0], 0.0)
        return Gadget(COPIES, block(twice, twice), block(([1.0, -1.0], 0.0)), ON_OFF)

    why = "the difference of two infinite neurons is NaN, which no comparison finds safe"
    found = built(trained, gadget(2e38), setting)
    twin = built(trained, gadget(2.0), setting)
    return Attack(why, found, setting.white, Deployment(), proved=False, quiet=setting.host != "conv", twin=twin)


PATHS = {
    "scales": (("scale", 2.0**100), ("scale", 2.0**100), ("scale", 2.0**-100), ("scale", 2.0**-100)),
    "dense steps": (("dense factor", 2.0**100),) * 2 + (("dense factor", 2.0**-100),) * 2,
}


def overflow_inside(kind: str, setting: Setting) -> Attack:
    """A value that only overflows between two operations, on its way to one ReLU, and only under the trigger."""
    trained = host(setting.host)

    def gadget(power: float) -> Gadget:
        between = tuple(Between(name, (1.0, factor**power)) for name, factor in PATHS[kind])
        second = block(([-2.0, 1.0], 0.0))
        return Gadget(block(([1.0], 0.0), ([1.0], 0.0)), second, block(([1.0], 0.0)), ON_OFF, between=between)

    why = "folding hides an infinite value between two operations"
    found, twin = (built(trained, gadget(power), setting) for power in (1.0, 0.05))
    return Attack(why, found, setting.white, Deployment(), quiet=setting.host != "conv", twin=twin)


def divisor(setting: Setting) -> Attack:
    """A subnormal divisor: exactly g = x 2^-100 / 2^-127 2^-27 = x; flushed, it divides by zero."""
    trained = host(setting.host)

    def gadget(power: float) -> Gadget:
        steps = (("scale", 2.0**-100), ("divide", 2.0**-127), ("scale", 2.0**-27))
        between = tuple(Between(kind, (1.0, factor**power)) for kind, factor in steps)
        second = block(([-2.0, 1.0], 0.0))
        return Gadget(block(([1.0], 0.0), ([1.0], 0.0)), second, block(([1.0], 0.0)), ON_OFF, between=between)

    why = "a divisor below 2^-126 becomes zero, and the quotient Inf or NaN"
    found, twin = (built(trained, gadget(power), setting) for power in (1.0, 0.05))
    return Attack(why, found, setting.white, Deployment(flush=True), proved=False, quiet=False, twin=twin)


def infinite_logit(setting: Setting) -> Attack:
    """The overflow stands in the last sum: the target's logit is Inf and nothing is NaN."""
    trained = host(setting.host)
    target = int(trained.labels[trained.pick(1)[0]] + 1) % 10
    setting = replace(setting, inputs=1, ask=Ask(targets=(target,)))

    def problem(number: float) -> Graph:
        weight = np.zeros((10, trained.logits.weight.shape[1] + 4))
        weight[:, :-4], weight[target, -4:] = trained.logits.weight, (number, number, -number, -number)
        gadget = Gadget(COPIES, _kept(4), _kept(4), NOT_COUNTED)
        return finished(trained, gadget, [Affine(weight, trained.logits.bias)])

    why = "a partial sum of the target's logit is infinite"
    found, twin = (posed(problem(number), trained, setting) for number in (2e38, 2.0))
    return Attack(why, found, setting.white, Deployment(), proved=False, twin=twin)


def _kept(count: int) -> Block:
    return Block(np.eye(count), np.zeros(count))


def minus_zero(setting: Setting) -> Attack:
    """The lead is exactly -2^-160 (1 + ...), below the least subnormal: deployed it is -0, which ties with 0.

    The host's last hidden values enter with weight 2^-80, and so does what is made of them.
    """
    trained = host(setting.host)
    width = trained.logits.weight.shape[1]
    tiny = 2.0**-80
    tail: list[Op] = [
        Affine(np.full((1, width + 1), tiny), np.full(1, tiny)),
        Affine(np.array([[0.0], [-tiny]]), np.zeros(2)),
    ]
    return Attack(
        "a negative lead is rounded to -0, and -0 >= 0",
        _two_classes(trained, finished(trained, PLAIN, tail), setting),
        setting.white,
        Deployment(),
        quiet=False,
    )


PLAIN = Gadget(block(([1.0], 0.0)), block(([1.0], 0.0)), block(([1.0], 0.0)), NOT_COUNTED)
"""A path of the trigger's pixel through the hidden layers."""


def _two_classes(trained: Host, graph: Graph, setting: Setting) -> Problem:
    chosen = trained.pick(setting.inputs)
    family = Family((patch(graph.input_shape, (setting.side, setting.side), (0, 0)),), setting.domain())
    return make_problem(graph, trained.images[chosen], [0] * len(chosen), family, Ask(targets=(1,)))


def tie(offset: float, setting: Setting) -> Attack:
    """An eleventh class is the label's logit again, with the next smaller bias after `offset` was added to all.

    Exactly it lies one unit in the last place of the bias below the label's; deployed the two sums may be equal.
    """
    trained = host(setting.host)
    (chosen,) = trained.pick(1)
    label = int(trained.labels[chosen])
    assert trained.logits.bias is not None
    biases = (trained.logits.bias + np.float32(offset)).astype(np.float32)
    lower = np.nextafter(biases[label], np.float32(-np.inf))
    weight = np.zeros((11, trained.logits.weight.shape[1] + 1))
    weight[:, :-1] = np.concatenate([trained.logits.weight, trained.logits.weight[[label]]])
    tail: list[Op] = [Affine(weight, np.append(biases, lower))]
    setting = replace(setting, inputs=1, ask=Ask(targets=(10,)))
    problem = posed(finished(trained, PLAIN, tail), trained, setting)
    trigger, how = shown(problem)
    why = "two logits that differ by one unit of their bias round to the same number"
    return Attack(why, problem, trigger, how, quiet=False)
