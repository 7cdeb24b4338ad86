"""Which of a file's variables is the model. A choice that the file does not settle is refused."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from verifluxa.errors import ModelError
from verifluxa.flux.contents import Contents, Variable
from verifluxa.flux.dress import ArrayList, ArrayNames
from verifluxa.flux.values import Array, List, Value

_MODEL_NAMES = ("model", "model_state", "state", "weights", "params", "parameters")
# A model without any field has the state `()`.
_STATES = ("Core.NamedTuple", "Core.Tuple", "Tuple")
_SHOWN = 8


@dataclass(frozen=True, eq=False)
class Chosen:
    """The model in a file.

    Attributes:
        value: a whole model, or a state; None where the file holds arrays only.
        whole: whether the value has its types, so that it needs no text.
        arrays: where the file holds arrays only.
        name: of the variable.
        notes: which variables were left alone.
    """

    value: Value
    whole: bool
    arrays: ArrayList | ArrayNames | None
    name: str
    notes: tuple[str, ...]


def choose(contents: Contents) -> Chosen:
    """Finds and reads the model of a file.

    Raises:
        ModelError: VF2014 when there is none or more than one, and whatever reading it raises.
    """
    flat = contents.format in ("NPZ", "safetensors")
    whole = [variable for variable in contents.variables if variable.kind.startswith("Flux.")]
    states = [variable for variable in contents.variables if variable.kind in _STATES]
    for found, has_types in ((whole, True), (states, False)):
        if found:
            one = _one(found)
            return Chosen(one.read(), has_types, None, one.name, _others(contents, [one]))
    lists = [(variable, arrays) for variable in contents.variables if (arrays := _list(variable)) is not None]
    if lists:
        one = _one([variable for variable, _ in lists])
        arrays = next(arrays for variable, arrays in lists if variable is one)
        return Chosen(None, False, ArrayList(arrays), one.name, _others(contents, [one]))
    return _bare(contents, flat)


def _one(found: list[Variable]) -> Variable:
    if len(found) == 1:
        return found[0]
    named = [variable for variable in found if variable.name.rpartition("/")[2] in _MODEL_NAMES]
    if len(named) == 1:
        return named[0]
    raise ModelError(
        "VF2014",
        f"the file holds {len(found)} models: {_names(found)}",
        expected="one, or one with the name `model` or `model_state`",
        remedy="save the one model in a file of its own",
    )


def _list(variable: Variable) -> tuple[Array, ...] | None:
    """The arrays of a variable that is a vector of arrays of floats."""
    if variable.kind != "List":
        return None
    value = variable.read()
    items = value.items if isinstance(value, List) else ()
    arrays = tuple(item for item in items if isinstance(item, np.ndarray))
    return arrays if arrays and len(arrays) == len(items) else None


def _bare(contents: Contents, flat: bool) -> Chosen:
    """A file of arrays: by name where the format is one of names, else by order where sizes leave no doubt."""
    found = [variable for variable in contents.variables if variable.kind == "Core.Array"]
    if not found:
        raise ModelError(
            "VF2014",
            f"the file holds no model; its variables are {_names(list(contents.variables)) or 'none'}",
            expected="a Flux model, a `Flux.state`, or a vector of its arrays",
            remedy="save it with `jldsave(file; model_state = Flux.state(model))`",
        )
    arrays = {variable.name: value for variable in found if isinstance(value := variable.read(), np.ndarray)}
    if flat:
        return Chosen(None, False, ArrayNames(arrays), "", ())
    sizes = [array.shape for array in arrays.values()]
    if len(set(sizes)) != len(sizes):
        raise ModelError(
            "VF2014",
            f"the file holds arrays of equal size under names of their own: {_names(found)}",
            expected="a `Flux.state`, which says what belongs where",
            remedy="save it with `jldsave(file; model_state = Flux.state(model))`",
        )
    return Chosen(None, False, ArrayList(tuple(arrays.values())), "", _others(contents, found))


def _names(variables: list[Variable]) -> str:
    shown = ", ".join(f"{variable.name} ({variable.kind})" for variable in variables[:_SHOWN])
    return shown + (f" and {len(variables) - _SHOWN} more" if len(variables) > _SHOWN else "")


def _others(contents: Contents, read: list[Variable]) -> tuple[str, ...]:
    others = [variable for variable in contents.variables if variable not in read]
    return (f"not read: {_names(others)}",) if others else ()
