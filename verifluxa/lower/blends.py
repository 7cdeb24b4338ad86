"""A blend of variable opacity: `x + a (v - x)`, where the opacity `a` and the levels `v` are both of the trigger.

A stamp is affine in the trigger's values, with the same slopes for all inputs; this one is a product of two of them,
and its slope in `a` is the input's own. So the stamp only copies: the deployed network reads three planes, the image,
the opacity of each pixel and the levels, and its first operations blend them. Bounds treat the product as any other
(McCormick's planes), a replay runs it as deployed. Without a trigger the opacity is 0: the image stays as it is.
"""

from __future__ import annotations

import numpy as np

from verifluxa.graph.ops import Add, Conv, Input, Multiply, Op
from verifluxa.question import Floats
from verifluxa.spec.image_types import StampTrigger
from verifluxa.spec.spec import ImageSpace, Trigger, members_of

PLANES = 3
"""The image, the opacity, the levels."""

Steps = list[tuple[Op, tuple[int, ...]]]


def varies(trigger: Trigger) -> bool:
    """Whether some family has a variable opacity."""
    return any(isinstance(member, StampTrigger) and member.opacity is not None for member in members_of(trigger))


def blend_steps(space: ImageSpace, dtype: str) -> Steps:
    """The operations in front: an input of three planes to the blended image, which is the value of the last step."""

    def mixed(image: float, opacity: float, levels: float) -> Conv:
        identity = np.eye(space.channels)
        weight = np.concatenate([image * identity, opacity * identity, levels * identity], axis=1)
        return Conv(weight[:, :, None, None].astype(dtype), None, (1, 1), (0, 0), (0, 0), (1, 1))

    return [
        (Input((PLANES * space.channels, space.height, space.width)), ()),
        (mixed(1, 0, 0), (0,)),
        (mixed(0, 1, 0), (0,)),
        (mixed(-1, 0, 1), (0,)),
        (Multiply(), (2, 3)),
        (Add(), (1, 4)),
    ]


def without_trigger(images: Floats) -> Floats:
    """Images (N, channels, height, width) as the blending network reads them: opacity and levels are 0."""
    nothing = np.zeros_like(images)
    return np.concatenate([images, nothing, nothing], axis=1)


def blended(planes: Floats) -> Floats:
    """What people see of inputs of three planes: the images, shape (N, channels, height, width)."""
    image, opacity, levels = np.split(planes, PLANES, axis=1)
    return np.asarray(image + opacity * (levels - image))
