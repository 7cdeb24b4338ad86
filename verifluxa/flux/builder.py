"""The graph while it is built: steps, their shapes, and a row for each layer that `inspect` shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from verifluxa.errors import ModelError
from verifluxa.flux.layer import Facts, Layer, Version
from verifluxa.flux.names import FAST
from verifluxa.flux.stored import Stored
from verifluxa.flux.values import NamedTuple, Value
from verifluxa.flux.written import Arguments, Written
from verifluxa.graph.graph import Graph, build
from verifluxa.graph.ops import SHAPE, Activation, Input, Op, Reshape, Shape

Nodes = tuple[int, ...]


@dataclass(frozen=True)
class LayerRow:
    """A layer as `inspect` shows it.

    Attributes:
        name: where it stands, `layers[2]`.
        printed: how Flux prints it.
        input_shape: of the values it takes, without the sample axis.
        output_shape: of the values it gives.
        parameters: how many numbers can be trained in it.
    """

    name: str
    printed: str
    input_shape: tuple[Shape, ...]
    output_shape: tuple[Shape, ...]
    parameters: int


class Builder:
    """Collects the operations of one network.

    Attributes:
        dtype: float type of the model.
        version: of Flux, if known.
        rows: one for each layer so far.
        notes: what a reader of the result should know.
        uncovered: what the model has and no proof speaks of.
        scores: nodes that a layer gives beside its values.
    """

    def __init__(self, inputs: tuple[Shape, ...], dtype: str, version: Version | None) -> None:
        self.dtype = dtype
        self.version = version
        self.rows: list[LayerRow] = []
        self.notes: list[str] = []
        self.uncovered: list[str] = []
        self.scores: frozenset[int] = frozenset()
        self._steps: list[tuple[Op, Nodes]] = [(Input(shape), ()) for shape in inputs]
        self._shapes: list[Shape] = list(inputs)
        self.inputs: Nodes = tuple(range(len(inputs)))

    def add(self, layer: Layer, op: Op, *sources: int) -> int:
        """Adds an operation of a layer.

        Returns:
            The index of its node.

        Raises:
            ModelError: VF2101 with the layer's place when the shapes do not fit.
        """
        try:
            shape = SHAPE[op.kind](op, *(self._shapes[source] for source in sources))
        except ModelError as error:
            raise ModelError(
                error.code, error.message, place=layer.place, expected=error.expected, remedy=error.remedy
            ) from None
        self._steps.append((op, sources))
        self._shapes.append(shape)
        return len(self._steps) - 1

    def shape(self, node: int) -> Shape:
        """The shape of a node's values, without the sample axis."""
        return self._shapes[node]

    def activate(self, layer: Layer, node: int, fast: bool = False) -> int:
        """Adds a layer's activation; the identity adds nothing.

        Args:
            layer: has the facts `activation` and `parameter`.
            node: what it is applied to.
            fast: whether Flux replaces tanh and sigmoid here (`NNlib.fast_act`, since 0.13.0).
        """
        name, parameter = layer.facts["activation"], layer.facts["parameter"]
        assert isinstance(name, str)  # the readers see to it
        if name == "identity":
            return node
        if fast and (self.version is None or self.version >= (0, 13)):
            name = FAST.get(name, name)
        slope = parameter if isinstance(parameter, float) else None
        return self.add(layer, Activation(name, slope), node)

    def scalar(self, value: float) -> np.floating:
        """A number in the model's float type."""
        number: np.floating = np.dtype(self.dtype).type(value)
        return number

    def constant(self, value: float, rank: int) -> NDArray[np.floating]:
        """A number as an array of one element that broadcasts."""
        return np.full((1,) * rank, value, dtype=self.dtype)

    def note(self, text: str) -> None:
        """Remembers something to tell, once."""
        if text not in self.notes:
            self.notes.append(text)

    def leave_out(self, text: str) -> None:
        """Remembers something that no proof speaks of, once."""
        if text not in self.uncovered:
            self.uncovered.append(text)

    def finish(self, layer: Layer, node: int) -> None:
        """Makes a node the last one, which is the network's output."""
        if node != len(self._steps) - 1:
            self.add(layer, Reshape(self.shape(node)), node)

    def graph(self) -> Graph:
        """The finished graph."""
        return build(self._steps, self.dtype)


# What a layer of Flux is to the lifting: one row of functions, all of them small.

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
        operations: what it lifts to, besides its activation; a test compares with what is lifted.
        read: struct to Layer; every field is checked.
        write: the arguments in a text to facts.
        show: the printed form, for a layer without layers inside.
        emit: adds the operations of a layer without layers inside, one node in, one node out.
        defaults: what the text means where it says nothing.
        functions: fields that are functions and the facts that name them, for a state.
        merge: changes the fields that a state has lost, where naming a function is not enough.
        blank: the fields of the struct as the text tells them, arrays missing; None where it cannot.
        children: the field with the layers inside; None for a layer without.
        show_children: like `show`, given the printed forms of the layers inside.
        read_children: like `read`, for a layer with layers inside.
        emit_children: like `emit`, for a layer with layers inside.
    """

    name: str
    stored: tuple[str, ...]
    write: Callable[[Arguments], Written]
    operations: tuple[str, ...] = ()
    show: Callable[[Layer], str] | None = None
    read: Callable[[Stored], Layer] | None = None
    emit: Callable[[Layer, Builder, int], int] | None = None
    defaults: Callable[[Facts], Facts] = _no_defaults
    functions: Mapping[str, str] = field(default_factory=dict)
    merge: Callable[[NamedTuple, Facts], Mapping[str, Value]] | None = None
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
