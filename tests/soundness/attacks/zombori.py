"""Zombori et al. 2021, "Fooling a complete neural network verifier" (ICLR): a term that a large number swallows.

With `a = relu(1 - 20 x)` on the trigger's pixel x, `c0 = relu(1 - 2 a)` and `c1 = relu(1)`, the neuron
`z = relu(omega c0 - omega c1 + 1e-3)` is 1e-3 exactly where the pixel is set, and turns the classes there
(omega = 1e17 in the paper; the numbers are those of the authors' code). The exact network has the backdoor, and so
has a deployment that adds the bias last; a verifier that adds it first sees z = 0 everywhere.

The mirror image hides from exact proofs instead: both c are `relu(1 - 2 a)`, so that z is 1e-3 for every input in
exact arithmetic, and is lost where the pixel is set and the bias is added first; losing it turns the classes.
"""

from __future__ import annotations

from tests.soundness.attacks.attack import Attack, Setting, built
from tests.soundness.attacks.deploy import Deployment
from tests.soundness.attacks.gadget import Gadget, block
from tests.soundness.attacks.host import host

SMALL = 1e-3


def gadget(omega: float, mirrored: bool) -> Gadget:
    """The published neurons, or their mirror image."""
    first = block(([-20.0], 1.0))
    pair = block(([-2.0], 1.0), ([-2.0], 1.0) if mirrored else ([0.0], 1.0))
    third = block(([omega, -omega], SMALL))
    present, absent = ([1.0 / SMALL], 0.0), ([-2.0 / SMALL], 1.0)
    return Gadget(first, pair, third, block(absent, present) if mirrored else block(present, absent))


def published(omega: float, setting: Setting) -> Attack:
    """As in the paper."""
    trained = host(setting.host)
    return Attack(
        "the small bias switches a backdoor on, and is lost in a sum that starts with it",
        built(trained, gadget(omega, False), setting),
        setting.white,
        Deployment("forward"),
        proved=False,
        plain=Deployment("bias first"),
    )


def mirrored(omega: float, setting: Setting) -> Attack:
    """The small bias keeps the backdoor off."""
    trained = host(setting.host)
    return Attack(
        "the small bias keeps a backdoor off, and is lost in a sum that starts with it",
        built(trained, gadget(omega, True), setting),
        setting.white,
        Deployment("bias first"),
        proved=omega <= 2.0**24,
        twin=built(trained, gadget(2.0, True), setting),
    )
