"""Fields of a stored struct as what a layer needs: arrays of floats, sizes, Bools, functions. Everything is checked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from verifluxa.errors import ModelError
from verifluxa.flux.layer import Facts, Floats
from verifluxa.flux.names import ACTIVATIONS
from verifluxa.flux.values import Function, Struct, Tuple, Value, describe, is_empty, julia_name

_WITH_PARAMETER = frozenset({"leakyrelu", "elu", "celu", "softshrink", "trelu"})
_LARGEST = 2**31 - 1
_BLOCK = 1 << 16


def unfit(message: str, place: str, expected: str | None = None) -> ModelError:
    """The error for an array or number that a layer cannot have."""
    return ModelError(
        "VF2008",
        message,
        place=place,
        expected=expected,
        remedy="look at this layer in Julia; save the model again with `Flux.state` or `JLD2.@save`",
    )


@dataclass(frozen=True, eq=False)
class Stored:
    """A struct of the file and where in the model it stands."""

    struct: Struct
    place: str

    def value(self, name: str) -> Value:
        """A field as it is."""
        return self.struct[name]

    def at(self, name: str) -> str:
        """The place of a field."""
        return f"{self.place}.{name}"

    def has(self, name: str) -> bool:
        """Whether this version of the struct has a field."""
        return name in self.struct.names

    def array(self, name: str, rank: int | None = None) -> Floats:
        """A field that is an array of finite floats, in Julia's axis order.

        Raises:
            ModelError: VF2008.
        """
        return floats(self.value(name), rank, self.at(name))

    def bias(self, name: str, outputs: int) -> Floats | None:
        """A bias vector, or None where there is none (`false`, or `Flux.Zeros` in Flux 0.12).

        Raises:
            ModelError: VF2008.
        """
        value = self.value(name)
        if value is False or is_empty(value) or (isinstance(value, Struct) and value.type.name == "Flux.Zeros"):
            return None
        array = self.array(name, 1)
        if array.shape != (outputs,):
            raise unfit(f"the bias has {array.shape[0]} numbers", self.at(name), f"{outputs}, one for each output")
        return array

    def function(self, name: str) -> Facts:
        """An activation: the facts `activation` and `parameter`."""
        return activation(self.value(name), self.at(name))

    def integer(self, name: str) -> int:
        """A whole number from 1."""
        return whole(self.value(name), 1, self.at(name))

    def boolean(self, name: str) -> bool:
        """A Bool."""
        value = self.value(name)
        if not isinstance(value, bool):
            raise unfit(f"{describe(value)} stands here", self.at(name), "true or false")
        return value

    def number(self, name: str) -> float:
        """A finite number, not below 0, as a float (exact for Float32)."""
        value = self.value(name)
        if isinstance(value, bool) or not isinstance(value, int | float | np.floating):
            raise unfit(f"{describe(value)} stands here", self.at(name), "a number")
        if not np.isfinite(value) or value < 0:
            raise unfit(f"the number is {value}", self.at(name), "a finite number, not below 0")
        return float(value)

    def sizes(self, name: str, least: int) -> tuple[int, ...]:
        """A tuple of whole numbers."""
        value = self.value(name)
        if not isinstance(value, Tuple):
            raise unfit(f"{describe(value)} stands here", self.at(name), "a tuple of whole numbers")
        return tuple(whole(item, least, self.at(name)) for item in value.items)

    def is_none(self, name: str) -> bool:
        """Whether a field is `nothing`."""
        return self.value(name) is None


def whole(value: Value, least: int, place: str) -> int:
    """A whole number in a range.

    Raises:
        ModelError: VF2008.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _LARGEST:
        raise unfit(f"{describe(value)} stands here", place, f"a whole number from {least} to {_LARGEST}")
    return value


def floats(value: Value, rank: int | None, place: str) -> Floats:
    """An array of finite Float32 or Float64 with at least one element.

    Raises:
        ModelError: VF2008.
    """
    if isinstance(value, Struct) and value.type.name in ("LinearAlgebra.Transpose", "LinearAlgebra.Adjoint"):
        return floats(value["parent"], rank, place).transpose()
    if not isinstance(value, np.ndarray):
        raise unfit(f"{describe(value)} stands where an array belongs", place, "an array of Float32 or Float64")
    if value.dtype.kind != "f" or value.dtype.itemsize not in (4, 8):
        raise _element(value, place)
    if rank is not None and value.ndim != rank:
        raise unfit(f"the array has {value.ndim} axes, its size is {value.shape}", place, f"{rank} axes")
    if value.size == 0:
        raise unfit(f"the array is empty, its size is {value.shape}", place, "at least one number")
    if not _finite(value):
        index = tuple(int(axis) + 1 for axis in np.argwhere(~np.isfinite(value))[0])
        raise unfit(f"the array holds NaN or Inf, first at {list(index)}", place, "finite numbers")
    return cast(Floats, value)


def _finite(value: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> bool:
    """Whether all numbers are finite; a block at a time, which stays in the cache and needs no room."""
    flat = value.ravel(order="K")
    return all(bool(np.isfinite(flat[start : start + _BLOCK]).all()) for start in range(0, len(flat), _BLOCK))


def _element(value: np.ndarray[tuple[int, ...], np.dtype[np.generic]], place: str) -> ModelError:
    name = julia_name(value.dtype)
    error = unfit(f"the array holds {name}", place, "Float32 or Float64")
    if name == "Float16":
        error.remedy = "Flux computes such a model in half precision, which no proof here covers: use `f32(model)`"
    return error


def activation(value: Value, place: str) -> Facts:
    """An activation function, plain or as `Base.Fix2(f, parameter)`.

    Raises:
        ModelError: VF2008.
    """
    parameter: float | None = None
    if isinstance(value, Struct) and value.type.name == "Base.Fix2":
        number = value["x"]
        if not isinstance(number, int | float | np.floating) or isinstance(number, bool) or not np.isfinite(number):
            raise unfit(f"{describe(number)} is the parameter of an activation", place, "a finite number")
        parameter, value = float(number), value["f"]
    known = isinstance(value, Function) and value.name in ACTIVATIONS
    if not isinstance(value, Function) or not known:
        raise unfit(f"{describe(value)} stands where an activation belongs", place, "a function such as relu")
    name = ACTIVATIONS[value.name]
    if parameter is not None and name not in _WITH_PARAMETER:
        raise unfit(f"{name} takes no parameter, it is given {parameter}", place)
    return {"activation": name, "parameter": parameter}
