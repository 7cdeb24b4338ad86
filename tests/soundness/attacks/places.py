"""Detectors (of precision, see `szasz`) whose inputs the trigger cannot change, each in another place.

What a trigger does not reach is a constant of the input, with intervals of no width: an error that is only counted
where the trigger's influence goes is missed there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tests.soundness.attacks.attack import Attack, Setting, built
from tests.soundness.attacks.deploy import Deployment
from tests.soundness.attacks.gadget import Gadget, block
from tests.soundness.attacks.host import host

HARMLESS = 4.0
PRESENT, BLANK = ([-20.0, 0.0], 1.0), ([0.0, -20.0], 1.0)
"""First neurons: 0 where the trigger's pixel is set, and 1 where another pixel is blank."""
GATES = block(([1.0, -1.0], 0.0), ([-1.0, 1.0], 1.0))
BOTH = block(([1.0, 0.0], 0.0), ([0.0, 1.0], 0.0))


def _attack(why: str, gadget: Callable[[float], Gadget], omega: float, setting: Setting) -> Attack:
    trained = host(setting.host)
    problem, twin = (built(trained, gadget(number), setting) for number in (omega, HARMLESS))
    return Attack(why, problem, setting.white, Deployment("forward"), proved=omega <= 2.0**30, twin=twin)


def constant_pixel(omega: float, setting: Setting) -> Attack:
    """The detector's ones come from the last pixel, which is blank in all images (dense hosts)."""
    pixels = host(setting.host).images[0].size

    def gadget(number: float) -> Gadget:
        first = block(PRESENT, BLANK, BLANK)
        second = block(([-1.0, 0.0, 0.0], 1.0), ([0.0, number, 1.0], -number))
        return Gadget(first, second, BOTH, GATES, reads=(0, pixels - 1))

    return _attack("a sum of constants is rounded", gadget, omega, setting)


def fixed_trigger(omega: float, setting: Setting) -> Attack:
    """The trigger is one point: the whole input is constant, and the detector's ones are the white pixel itself."""

    def gadget(number: float) -> Gadget:
        first = block(([1.0], 0.0), ([1.0], 0.0))
        second = block(([1.0, 0.0], 0.0), ([number, 1.0], -number))
        return Gadget(first, second, BOTH, GATES)

    setting = replace(setting, low=255, high=255)
    return _attack("a sum of constants is rounded", gadget, omega, setting)


def on_padding(omega: float, setting: Setting) -> Attack:
    """The detector's ones come from windows whose only weight lies on the padding (convolutional host)."""

    def gadget(number: float) -> Gadget:
        padded = ([3.0, 0.0], 1.0)
        first = block(([0.0, -20.0], 1.0), padded, padded)
        second = block(([-1.0, 0.0, 0.0], 1.0), ([0.0, number, 1.0], -number))
        return Gadget(first, second, BOTH, GATES, taps=((0, 0), (1, 1)))

    return _attack("what reads padding is constant, and rounded", gadget, omega, setting)


def far_away(omega: float, setting: Setting) -> Attack:
    """The detector sees the far corner of the image, outside any window that the patch reaches (convolutional host)."""

    def gadget(number: float) -> Gadget:
        blank = ([-20.0], 1.0)
        first = block(blank, blank)
        second = block(([-1.0, 0.0], 1.0), ([number, 1.0], -number))
        return Gadget(first, second, BOTH, GATES, spots=(0, -1))

    return _attack("what the patch does not reach is rounded too", gadget, omega, setting)
