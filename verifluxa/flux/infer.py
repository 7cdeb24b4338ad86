"""The shape of the input, where the layers tell it: features of a Dense, channels of a convolution."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from verifluxa.flux.layer import Layer
from verifluxa.graph.ops import Shape

LARGEST_IMAGE = 512
_FIRST_ONLY = frozenset({"SkipConnection", "Maxout"})
_CHANNELS_FIRST = frozenset({"BatchNorm", "InstanceNorm", "GroupNorm"})
_POOLS = frozenset(f"{form}{kind}Pool" for form in ("", "Global", "Adaptive") for kind in ("Max", "Mean"))
# Layers that leave the number of channels or features to the next one.
_PASSING = (
    _CHANNELS_FIRST | _POOLS | {"flatten", "activation", "softmax", "logsoftmax", "Dropout", "AlphaDropout", "Upsample"}
)


@dataclass(frozen=True)
class Wanted:
    """What the first layer takes.

    Attributes:
        shapes: of the inputs, complete, for features.
        channels: of an image of unknown size, or 0.
        axes: how many spatial axes the image has.
    """

    shapes: tuple[Shape, ...] = ()
    channels: int = 0
    axes: int = 0


def wanted(layer: Layer) -> Wanted | None:
    """What the first layer that knows says; None where nothing tells the shape of the input."""
    return _first(_leaves([layer]))


def first_kind(layer: Layer) -> str:
    """The kind of the first layer that the input meets."""
    return next(iter(_leaves([layer]))).kind


def candidates(found: Wanted) -> Iterable[tuple[Shape, ...]]:
    """The input shapes to try, the largest image first."""
    if found.shapes:
        yield found.shapes
        return
    for size in range(LARGEST_IMAGE, 0, -1):
        yield ((found.channels, *(size,) * found.axes),)


def _leaves(layers: list[Layer]) -> Iterable[Layer]:
    """The layers that the input meets, in order; of branches the first stands for all."""
    for layer in layers:
        if layer.kind == "Chain":
            yield from _leaves([child for _, child in layer.children])
        elif layer.kind in _FIRST_ONLY or (layer.kind == "Parallel" and len(layer.children) == 1):
            yield from _leaves([layer.children[0][1]])
        else:
            yield layer


def _first(layers: Iterable[Layer]) -> Wanted | None:
    fallback: Wanted | None = None
    for layer in layers:
        if layer.kind == "Parallel":
            return fallback or _of_parallel(layer)
        found = _of_layer(layer)
        if found is not None:
            return found
        channels = layer.facts.get("channels")
        if layer.kind == "BatchNorm" and isinstance(channels, int) and fallback is None:
            fallback = Wanted(((channels,),))
        if layer.kind not in _PASSING:
            return fallback
    return fallback


def _of_layer(layer: Layer) -> Wanted | None:
    facts = layer.facts
    inputs, sizes, window = facts.get("in"), facts.get("sizes"), facts.get("window")
    if isinstance(window, tuple) and isinstance(inputs, int):
        return Wanted(channels=inputs, axes=len(window))
    if layer.kind == "Dense" and isinstance(inputs, int):
        return Wanted(((inputs,),))
    if layer.kind == "Bilinear" and isinstance(inputs, tuple):
        return Wanted(((inputs[0],), (inputs[1],)))
    if layer.kind in ("Scale", "LayerNorm") and isinstance(sizes, tuple):
        return Wanted((tuple(reversed(sizes)),))
    return None


def _of_parallel(layer: Layer) -> Wanted | None:
    """One input for all branches if they agree, else one for each."""
    found = [wanted(child) for _, child in layer.children]
    if found[0] is None or all(item == found[0] for item in found):
        return found[0]
    shapes: list[Shape] = []
    for item in found:
        if item is None or len(item.shapes) != 1:
            return None
        shapes.extend(item.shapes)
    return Wanted(tuple(shapes))
