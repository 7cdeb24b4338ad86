"""Large numbers that cancel when neighbouring operations are folded into one, and swallow a value when they are not.

The first layer computes the trigger's pixel twice: p plainly, g with a large number added and taken away again by
the next operation. Exactly, and in a network that is folded before it is verified, g = p; deployed, g is 0. Then
`s = relu(p - g)` turns the classes. Proofs in float64 of the folded network see an error of some 1e-6.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from tests.soundness.attacks.attack import Attack, Setting, built, posed
from tests.soundness.attacks.deploy import Deployment
from tests.soundness.attacks.gadget import Between, Front, Gadget, block, install
from tests.soundness.attacks.host import host
from verifluxa.graph.graph import Graph, build
from verifluxa.graph.ops import Add, Affine, Divide, Shift
from verifluxa.question import Problem

WHY = "a large number swallows a value before the next operation takes it away again"
HARMLESS = 2.0

BATCH_NORMS = {
    "scale, shift": (("scale", 1.0), ("shift", -1.0)),
    "shift, divide, scale, shift": (("shift", -1.0), ("divide", 1.0), ("scale", 1.0), ("shift", 0.0)),
}
"""BatchNorm as Flux computes it since 0.13.16, and before: the operation, and its value or part of the large number."""


def _gadget(big: float, between: tuple[Between, ...]) -> Gadget:
    first = block(([1.0], 0.0), ([1.0], big))
    second = block(([1.0, -1.0], 0.0))
    return Gadget(first, second, block(([1.0], 0.0)), block(([1.0], 0.0), ([-1.0], 1.0)), between=between)


def batch_norm(big: float, form: str, setting: Setting) -> Attack:
    """Bias of a convolution (or dense step) against the mean of the BatchNorm behind it."""
    trained = host(setting.host)

    def problem(number: float) -> Problem:
        steps = BATCH_NORMS[form]
        between = tuple(Between(kind, (0.0, part * number) if kind == "shift" else (1.0, part)) for kind, part in steps)
        return built(trained, _gadget(number, between), setting)

    return Attack(WHY, problem(big), setting.white, Deployment(), twin=problem(HARMLESS))


def dense_dense(big: float, setting: Setting) -> Attack:
    """Bias of a dense step against that of a second one right behind it."""
    trained = host(setting.host)

    def problem(number: float) -> Problem:
        return built(trained, _gadget(number, (Between("dense", (0.0, -number)),)), setting)

    return Attack(WHY, problem(big), setting.white, Deployment(), twin=problem(HARMLESS))


def dense_relu_dense(big: float, setting: Setting) -> Attack:
    """The same across a ReLU that is always open, and is folded away as such."""
    trained = host(setting.host)

    def problem(number: float) -> Problem:
        plain = _gadget(number, ())
        return built(trained, replace(plain, second=block(([1.0, -1.0], number))), setting)

    how = Deployment("backward, bias first")
    return Attack(WHY, problem(big), setting.white, how, twin=problem(HARMLESS))


def two_branches(big: float, setting: Setting) -> Attack:
    """The large number in one branch of a residual sum, its negative in the other."""
    trained = host(setting.host)

    def problem(number: float) -> Problem:
        plain = install(trained, _gadget(number, ()))
        return posed(_with_branch(plain, (0.0, -number)), trained, setting)

    return Attack(WHY, problem(big), setting.white, Deployment(), twin=problem(HARMLESS))


def _with_branch(graph: Graph, last: tuple[float, ...]) -> Graph:
    """Adds a dense branch beside the first dense step: zero weights, and a bias for the last neurons."""
    at = next(number for number, node in enumerate(graph.nodes) if isinstance(node.op, Affine))
    first = graph.nodes[at].op
    assert isinstance(first, Affine)
    bias = np.zeros(len(first.weight), np.float32)
    bias[-len(last) :] = last
    branch = Affine(np.zeros_like(first.weight), bias)
    steps = [(node.op, node.inputs) for node in graph.nodes[: at + 1]]
    steps += [(branch, (at - 1,)), (Add(), (at, at + 1))]
    steps += [(node.op, (number + at + 2,)) for number, node in enumerate(graph.nodes[at + 1 :])]
    return build(steps, graph.dtype)


def encode_dense(big: float, setting: Setting) -> Attack:
    """A constant of `encode` against the bias of the first dense step.

    The large number stands in the second of two channels, which the host does not see. The trigger's levels start
    at 63, so that exactly `5 g >= p` for all of them; deployed, g is 0 again.
    """
    trained = host(setting.host)
    setting = replace(setting, low=63, step=64)
    pixels = int(np.prod(trained.shape))

    def problem(number: float) -> Problem:
        shift = np.array([0.0, number]).reshape(2, 1, 1)
        before = Front((2, *trained.shape[1:]), (Divide(np.array(255.0)), Shift(shift)))
        first = block(([1.0, 0.0], 0.0), ([0.0, 1.0], -number))
        second = block(([1.0, -5.0], 0.0))
        gates = block(([1.0], 0.0), ([-1.0], 1.0))
        gadget = Gadget(first, second, block(([1.0], 0.0)), gates, reads=(0, pixels))
        return posed(install(trained, gadget, before=before), trained, setting)

    return Attack(WHY, problem(big), (255.0, 255.0), Deployment(), twin=problem(HARMLESS))
