"""The graph while it is built: steps, their shapes, and a row for each layer that `inspect` shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verifluxa.errors import ModelError
from verifluxa.flux.layer import Layer
from verifluxa.flux.names import FAST
from verifluxa.flux.version import Version
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
