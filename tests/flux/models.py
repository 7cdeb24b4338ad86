"""Models made by hand, as a reader would give them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from verifluxa.flux.builder import Builder
from verifluxa.flux.layer import Layer, Version
from verifluxa.flux.layers import LayerReader, emit
from verifluxa.flux.structs import STRUCTS
from verifluxa.flux.values import Function, JuliaType, Struct, Symbol, Tuple, Value
from verifluxa.graph.ops import Shape

Array = NDArray[Any]


def numbers(*shape: int, seed: int = 0) -> Array:
    """Float64 numbers in Julia's order of axes."""
    return np.random.default_rng(seed).normal(size=shape)


def struct(name: str, *items: Value, parameters: tuple[Symbol, ...] = ()) -> Struct:
    """A Flux struct with its fields in order, in the version that has as many."""
    fields = next(fields for fields in STRUCTS[f"Flux.{name}"] if len(fields.names) == len(items))
    return Struct(JuliaType(f"Flux.{name}", parameters), fields.names, items)


def sizes(*values: int) -> Tuple:
    """A tuple of whole numbers."""
    return Tuple(values)


def dense(weight: Array, bias: Value = False, function: str = "identity") -> Struct:
    """A Dense."""
    return struct("Dense", weight, bias, Function(function))


def norm(name: str, channels: int, **changes: Value) -> Struct:
    """A BatchNorm or InstanceNorm with running statistics."""
    fields: dict[str, Value] = {
        "λ": Function("identity"),
        "β": numbers(channels, seed=1),
        "γ": numbers(channels, seed=2),
        "μ": numbers(channels, seed=3),
        "σ²": np.abs(numbers(channels, seed=4)) + 0.1,
        "ϵ": np.float32(0.01),
        "momentum": np.float32(0.1),
        "affine": True,
        "track_stats": True,
        "active": None,
        "chs": channels,
    }
    return struct(name, *{**fields, **changes}.values())


def read(value: Value) -> Layer:
    """The layer of a value."""
    return LayerReader(1 << 20).read(value, "model")


def run(value: Value, *inputs: Array, version: Version | None = None) -> Array:
    """The outputs of a value, samples first, in Float64."""
    shapes: tuple[Shape, ...] = tuple(array.shape[1:] for array in inputs)
    layer = read(value)
    builder = Builder(shapes, "float64", version)
    (node,) = emit(layer, builder, builder.inputs)
    builder.finish(layer, node)
    return builder.graph().run(*inputs)
