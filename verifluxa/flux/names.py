"""Functions by the names under which files store them and texts print them. Whole names, never a prefix."""

from __future__ import annotations

from verifluxa.errors import ModelError
from verifluxa.flux.values import Function, JuliaType
from verifluxa.graph import activations

ACTIVATIONS: dict[str, str] = {
    "identity": "identity",
    **{known: name for name, row in activations.ACTIVATIONS.items() if row.in_flux for known in (name, *row.also)},
}
"""NNlib's names, and the names of `graph.activations`. `gelu_sigmoid` is the same function as `gelu_tanh`."""

FAST = {"tanh": "tanh_fast", "sigmoid": "sigmoid_fast"}
"""What layers with a bias compute instead (`NNlib.fast_act`), since Flux 0.13.0."""

_MODULES = {"identity": ("Base",), "tanh": ("Base",)}
_OTHERS: dict[str, tuple[str, ...]] = {
    "softmax": ("NNlib",),
    "logsoftmax": ("NNlib",),
    "flatten": ("Flux", "MLUtils"),
    "+": ("Base",),
    "vcat": ("Base",),
    "mean": ("Statistics",),
    "sum": ("Base",),
    "maximum": ("Base",),
    "broadcast": ("Base.Broadcast", "Base"),
    "permutedims": ("Base",),
    "reshape": ("Base",),
    "onehotbatch": ("OneHotArrays", "Flux"),
    "first": ("Base",),
    "last": ("Base",),
}
FUNCTIONS: dict[str, tuple[str, ...]] = {
    **{name: _MODULES.get(name, ("NNlib",)) for name in ACTIVATIONS},
    **_OTHERS,
}
"""Every function that a model may hold, with the modules that it may come from."""

RANDOM = {"rrelu": "which draws a slope at random in each call, so that it is no function of its input"}
"""Activations of NNlib that nothing can be proved about, and why."""

_STORED = {f"{module}.#{name}": name for name, modules in FUNCTIONS.items() for module in modules}
_CODE = frozenset({"Expr", "Method", "TypeName", "CodeInfo", "MethodInstance", "MethodTable", "CodeInstance", "Module"})
_CODE_MODULES = ("Core.", "Base.", "")


def stored_function(name: str) -> Function | None:
    """The function of a stored singleton type such as `NNlib.#relu`, if it is one that is known."""
    return Function(_STORED[name]) if name in _STORED else None


def written_function(name: str) -> Function | None:
    """The function of a name in an architecture text: `relu`, `NNlib.relu`, `Flux.flatten`."""
    module, _, last = name.rpartition(".")
    if last in FUNCTIONS and module in ("", "Flux", *FUNCTIONS[last]):
        return Function(last)
    return None


def is_code(name: str) -> bool:
    """Whether a type's name stands for code, or comes from the user's own script."""
    return (
        name.startswith("Main.")
        or name.rpartition(".")[2].startswith("#")
        or any(name == module + code for module in _CODE_MODULES for code in _CODE)
    )


def untrusted(kind: JuliaType | str, place: str) -> ModelError:
    """The error for a name outside the allow list."""
    name = kind if isinstance(kind, str) else kind.name
    last = name.rpartition(".")[2]
    if last.startswith("#") and last[1:2].isdigit():
        what = f"the anonymous function {name}, whose code is in no file"
    elif last.removeprefix("#") in RANDOM:
        what = f"the function {last.removeprefix('#')}, {RANDOM[last.removeprefix('#')]}"
    elif last.startswith("#"):
        what = f"the function {name.replace('#', '')}, which is not one that a network may call here"
    elif name.startswith("Main."):
        what = f"the type {name}, made by the script that saved the model"
    elif is_code(name):
        what = f"code of Julia (the type {name})"
    else:
        what = f"the type {name}, which is not a layer that can be read"
    return ModelError(
        "VF2005",
        f"the model holds {what}",
        place=place,
        expected="layers and activations of Flux itself",
        remedy="write that part with Flux layers (`Dense`, `Conv`, `flatten`, ...) and save the model again",
    )
