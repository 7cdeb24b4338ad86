"""What a layer of Flux is to the lifting: one row of functions, all of them small."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from verifluxa.flux.builder import Builder, Nodes
from verifluxa.flux.layer import Facts, Layer
from verifluxa.flux.stored import Stored
from verifluxa.flux.values import NamedTuple, Value
from verifluxa.flux.written import Arguments, Written

ReadChild = Callable[[Value, str], Layer]
EmitChild = Callable[[Layer, Builder, Nodes], Nodes]


@dataclass(frozen=True, eq=False)
class Missing:
    """An array that a list of weights must give, in a struct made from the text."""


def _no_defaults(_: Facts) -> Facts:
    return {}


@dataclass(frozen=True, eq=False)
class Row:
    """One kind of layer.

    Attributes:
        name: of the layer in texts, and the key of the table.
        stored: the structs that hold it, the newest version first.
        read: struct to Layer; every field is checked.
        write: the arguments in a text to facts.
        show: the printed form, for a layer without layers inside.
        emit: adds the operations of a layer without layers inside, one node in, one node out.
        defaults: what the text means where it says nothing.
        functions: fields that are functions and the facts that name them, for a state.
        dress: changes the fields that a state has lost, where naming a function is not enough.
        blank: the fields of the struct as the text tells them, arrays missing; None where it cannot.
        children: the field with the layers inside; None for a layer without.
        show_children: like `show`, given the printed forms of the layers inside.
        read_children: like `read`, for a layer with layers inside.
        emit_children: like `emit`, for a layer with layers inside.
    """

    name: str
    stored: tuple[str, ...]
    write: Callable[[Arguments], Written]
    show: Callable[[Layer], str] | None = None
    read: Callable[[Stored], Layer] | None = None
    emit: Callable[[Layer, Builder, int], int] | None = None
    defaults: Callable[[Facts], Facts] = _no_defaults
    functions: Mapping[str, str] = field(default_factory=dict)
    dress: Callable[[NamedTuple, Facts], Mapping[str, Value]] | None = None
    blank: Callable[[Facts], Mapping[str, Value | Missing]] | None = None
    children: str | None = None
    show_children: Callable[[Layer, str], str] | None = None
    read_children: Callable[[Stored, ReadChild], Layer] | None = None
    emit_children: Callable[[Layer, Builder, Nodes, EmitChild], Nodes] | None = None


def printed_activation(facts: Facts) -> str:
    """`, relu`, or nothing for the identity."""
    name = str(facts["activation"])
    if name == "identity":
        return ""
    name = {"sigmoid": "σ", "hardsigmoid": "hardσ", "logsigmoid": "logσ", "gelu": "gelu_tanh"}.get(name, name)
    parameter = facts.get("parameter")
    return f", {name}" if not isinstance(parameter, float) else f", Fix2({name}, {parameter:g})"


def printed_sizes(sizes: object) -> str:
    """A tuple as Julia prints it, or its one number where all are equal."""
    assert isinstance(sizes, tuple)  # facts of this kind are tuples
    return str(sizes[0]) if len(set(sizes)) == 1 else str(sizes)


def printed_pad(pad: object) -> str:
    """Padding as Flux prints it: one number for each axis where both sides are alike."""
    assert isinstance(pad, tuple)  # facts of this kind are tuples
    return printed_sizes(pad[0::2] if pad[0::2] == pad[1::2] else pad)
