"""Chains on the device: what bounds, attacks and evaluations read of a local network."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from verifluxa.bounds.chain import Chain, Layer
from verifluxa.bounds.functions import FUNCTIONS, Parameters, Relaxation, relax, span_of
from verifluxa.bounds.maxima import pair_count, winners_of
from verifluxa.bounds.memory import keep_freed_memory
from verifluxa.bounds.special import PairRelaxation, Special


@dataclass(frozen=True, eq=False)
class NetLayer:
    """A layer of a chain on the device: see `chain.Layer`; `magnitude` is |weight|, `winner` see `maxima`."""

    weight: Float[Tensor, "n s"]
    magnitude: Float[Tensor, "n s"]
    offset: Float[Tensor, "inputs n"]
    slope_radius: Float[Tensor, "n s"]
    radius: Float[Tensor, "_ n"]
    function: str | None
    parameters: Parameters
    linear: Bool[Tensor, " n"] | None
    overflow: tuple[Float[Tensor, " s"], Float[Tensor, " _"]] | None
    special: Special | None = None
    winner: Int[Tensor, " s"] | None = None

    def offset_of(self, inputs: Int[Tensor, " B"]) -> Float[Tensor, "#B n"]:
        """Offsets of some inputs, shape (B, n) or (1, n)."""
        return self.offset if len(self.offset) == 1 else self.offset.index_select(0, inputs)

    def radius_of(self, inputs: Int[Tensor, " B"], largest: Float[Tensor, "B s"]) -> Float[Tensor, "B n"]:
        """Error radii where the state stays within `largest`, infinite where a sum may overflow, shape (B, n)."""
        own = self.radius if len(self.radius) == 1 else self.radius.index_select(0, inputs)
        radius = torch.addmm(own, largest, self.slope_radius.T)
        if self.overflow is None or self._surely_fits(largest):
            return radius
        slope, more = self.overflow
        fits = largest @ slope + (more if len(more) == 1 else more.index_select(0, inputs)) < 1
        return radius if fits.all() else radius.masked_fill(~fits[:, None], torch.inf)

    def _surely_fits(self, largest: Float[Tensor, "B s"]) -> bool:
        """Whether no sum overflows even if all states were as large as the largest one; a NaN never fits."""
        slope, more = self._most
        return bool(largest.numel()) and float(largest.amax()) * slope + more < 0.5

    @cached_property
    def _most(self) -> tuple[float, float]:
        """Sum and maximum of what `overflow` holds."""
        assert self.overflow is not None
        slope, more = self.overflow
        return float(slope.sum()), float(more.amax()) if more.numel() else 0.0

    @cached_property
    def halves(self) -> tuple[Float[Tensor, "s n"], Float[Tensor, "s n"]]:
        """Half of the weights and of their magnitudes, turned: what multiplies sums and widths of intervals."""
        with torch.inference_mode(False):
            return 0.5 * self.weight.T, 0.5 * self.magnitude.T

    def apply(self, z: Float[Tensor, "*B n"]) -> Float[Tensor, "*B h"]:
        """The function on pre-activations, shape (B, n)."""
        if self.function is None:
            return z
        value = self.special.value(z) if self.special else FUNCTIONS[self.function].value(z, self.parameters)
        return value if self.linear is None else torch.where(self.linear, z, value)

    def span(
        self, lower: Float[Tensor, "*B n"], upper: Float[Tensor, "*B n"]
    ) -> tuple[Float[Tensor, "*B h"], Float[Tensor, "*B h"]]:
        """Least and largest value of the function on [lower, upper]."""
        row = self.special.span if self.special else self.function and span_of(self.function, self.parameters)
        if not row:
            return self.apply(lower), self.apply(upper)
        low, high = row(lower, upper)
        if self.linear is None:
            return low, high
        return torch.where(self.linear, lower, low), torch.where(self.linear, upper, high)

    def relax(self, lower: Float[Tensor, "*B n"], upper: Float[Tensor, "*B n"]) -> Relaxation | PairRelaxation:
        """Linear bounds of the function on [lower, upper]; exact where `linear`."""
        assert self.function is not None
        special, plain = self.special, self.function
        bounds = special.relax(lower, upper) if special else relax(plain, lower, upper, self.parameters)
        if self.linear is None or isinstance(bounds, PairRelaxation):
            return bounds
        one, zero = torch.ones_like(lower), torch.zeros_like(lower)
        exact = Relaxation(one, zero, one, zero)
        return Relaxation(*(torch.where(self.linear, e, b) for e, b in zip(exact, bounds, strict=True)))

    def undecided(self, lower: Float[Tensor, "*B n"], upper: Float[Tensor, "*B n"]) -> Bool[Tensor, "*B n"]:
        """Neurons whose relaxation is not exact: tighter bounds of these help."""
        if self.special:
            return self.special.open(lower, upper)
        open_ = (upper > lower) if self.function != "relu" else ((lower < 0) & (upper > 0))
        return open_ if self.linear is None else open_ & ~self.linear


@dataclass(frozen=True, eq=False)
class Net:
    """A chain on the device."""

    layers: tuple[NetLayer, ...]
    unsafe: Tensor
    largest_radius: float

    @property
    def hidden(self) -> tuple[NetLayer, ...]:
        """All layers but the last."""
        return self.layers[:-1]


_LOADED: WeakKeyDictionary[Layer, dict[str, NetLayer]] = WeakKeyDictionary()
"""By device: chains share layers, see `build.build_chain`."""


def load_net(chain: Chain, device: str = "cpu") -> Net:
    """Moves a chain to the device, in float64."""
    keep_freed_memory()

    def tensor(array: object) -> Tensor:
        return torch.as_tensor(array, device=device)

    def loaded(layer: Layer) -> NetLayer:
        known = _LOADED.setdefault(layer, {})
        if device not in known:
            known[device] = NetLayer(
                tensor(layer.weight),
                tensor(abs(layer.weight)),
                tensor(layer.offset),
                tensor(layer.slope_radius),
                tensor(layer.radius),
                layer.function,
                layer.parameters,
                None if layer.linear is None else tensor(layer.linear),
                None if layer.overflow is None else (tensor(layer.overflow[0]), tensor(layer.overflow[1])),
                None if layer.special is None else layer.special.to(device),
                winners_of(tensor(layer.weight), pair_count(layer.special)) if pair_count(layer.special) else None,
            )
        return known[device]

    return Net(tuple(map(loaded, chain.layers)), tensor(chain.unsafe), chain.rounding.largest_radius)
