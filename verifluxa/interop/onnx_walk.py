"""The graph while an ONNX file is read: steps, shapes, and the checks that every operator shares."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from verifluxa.errors import ModelError
from verifluxa.graph.graph import Graph, build
from verifluxa.graph.ops import SHAPE, Input, Op, Reshape, Shape
from verifluxa.interop.onnx_file import Array, OnnxFile, OnnxNode, broken


@dataclass(frozen=True)
class OperatorRow:
    """An operator as `inspect` shows it: place, name, shapes, how many numbers it holds."""

    place: str
    kind: str
    input_shape: tuple[Shape, ...]
    output_shape: Shape
    parameters: int


def refused(node: OnnxNode, why: str, expected: str | None = None) -> ModelError:
    """VF2018: an operator, or a way to use it, that is not understood."""
    return ModelError(
        "VF2018",
        f"{node.kind} cannot be read: {why}",
        place=node.place,
        expected=expected,
        remedy="export the model with the operators that `verifluxa explain VF2018` lists",
    )


@dataclass(eq=False)
class Walk:
    """Values by name: nodes of the graph, or constants."""

    file: OnnxFile
    steps: list[tuple[Op, tuple[int, ...]]] = field(default_factory=list)
    shapes: list[Shape] = field(default_factory=list)
    values: dict[str, int] = field(default_factory=dict)
    constants: dict[str, Array] = field(default_factory=dict)
    words: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.constants.update(self.file.constants)
        for shape in self.file.given:
            self.steps.append((Input(shape), ()))
            self.shapes.append(shape)
        for number, (name, shape) in enumerate(self.file.inputs):
            self.values[name] = number
            if shape != self.shapes[number]:
                self.values[name] = self._reshaped(name, number, shape)

    def _reshaped(self, name: str, number: int, shape: Shape) -> int:
        """An image as the numbers that the file wants, in the same order in memory."""
        place = f"input `{name[:40]}`"
        return self.add(OnnxNode("Reshape", place, (), name, {}), Reshape(shape), number)

    def add(self, node: OnnxNode, op: Op, *sources: int) -> int:
        """Adds an operation; returns its index.

        Raises:
            ModelError: VF2101 with the node's place when the shapes do not fit.
        """
        try:
            shape = SHAPE[op.kind](op, *(self.shapes[source] for source in sources))
        except ModelError as error:
            raise ModelError(error.code, error.message, place=node.place, expected=error.expected) from None
        self.steps.append((op, sources))
        self.shapes.append(shape)
        return len(self.steps) - 1

    def value(self, node: OnnxNode, position: int = 0) -> int:
        """The node that an operator reads; a constant there is refused."""
        name = node.inputs[position] if position < len(node.inputs) else ""
        if name in self.words:
            raise refused(node, "it computes with whole numbers", "floats")
        if name not in self.values:
            known = "it is a constant" if name in self.constants else "nothing gives it before"
            raise refused(node, f"input {position + 1} is no value of the network: {known}")
        return self.values[name]

    def constant(self, node: OnnxNode, position: int) -> Array | None:
        """The constant that an operator reads, None where it is left out.

        Raises:
            ModelError: VF2018 when something that is computed stands there.
        """
        name = node.inputs[position] if position < len(node.inputs) else ""
        if not name:
            return None
        if name not in self.constants:
            raise refused(node, f"input {position + 1} is computed by the network", "a constant")
        return self.constants[name]

    def floats(self, node: OnnxNode, position: int) -> Array | None:
        """Like `constant`, in the float type of the network."""
        array = self.constant(node, position)
        if array is not None and array.dtype.name != self.file.dtype:
            raise refused(node, f"a constant holds {array.dtype.name}", self.file.dtype)
        return array

    def needed(self, node: OnnxNode, position: int) -> Array:
        """Like `floats`, where a constant must stand."""
        array = self.floats(node, position)
        if array is None:
            raise refused(node, f"input {position + 1} is left out")
        return array

    def integers(self, node: OnnxNode, position: int, attribute: str) -> tuple[int, ...] | None:
        """Whole numbers from an input, or from the attribute of older operator sets."""
        if attribute in node.attributes:
            found = node.attributes[attribute]
            return found if isinstance(found, tuple) else None  # type: ignore[return-value]
        array = self.constant(node, position)
        if array is None:
            return None
        if array.dtype.kind != "i" or array.ndim > 1:
            raise refused(node, f"input {position + 1} holds {array.dtype.name}", "a list of whole numbers")
        return tuple(int(size) for size in array.reshape(-1))

    def number(self, node: OnnxNode, name: str, default: float) -> float:
        """A number among the attributes; a default is a float32 as well, whatever the network computes in."""
        found = node.attributes.get(name, float(np.float32(default)))
        if not isinstance(found, int | float):
            raise broken(f"the attribute `{name}` is no number", node.place)
        return found

    def whole(self, node: OnnxNode, name: str, default: int) -> int:
        """A whole number among the attributes."""
        found = node.attributes.get(name, default)
        if not isinstance(found, int):
            raise broken(f"the attribute `{name}` is no whole number", node.place)
        return found

    def sizes(self, node: OnnxNode, name: str, count: int, default: int) -> tuple[int, ...]:
        """A list of whole numbers among the attributes."""
        found = node.attributes.get(name, (default,) * count)
        if not isinstance(found, tuple) or len(found) != count or not all(isinstance(size, int) for size in found):
            raise refused(node, f"the attribute `{name}` is {found}", f"{count} whole numbers")
        return tuple(int(size) for size in found)

    def scalar(self, value: float) -> Array:
        """A number in the network's float type."""
        return np.asarray(value, dtype=self.file.dtype)

    def finish(self, name: str) -> Graph:
        """The graph, whose last step is the value of that name."""
        if name not in self.values or name in self.words:
            raise broken(f"the output `{name[:40]}` is no value of the network")
        last = self.values[name]
        if last != len(self.steps) - 1:
            self.steps.append((Reshape(self.shapes[last]), (last,)))
        return build(self.steps, self.file.dtype)


def allow(node: OnnxNode, **fixed: Any) -> None:
    """Refuses attributes that are not listed; a listed value other than None is the only one that is understood.

    Raises:
        ModelError: VF2018.
    """
    for name, value in node.attributes.items():
        if name not in fixed:
            raise refused(node, f"the attribute `{name[:40]}` is not known here")
        if fixed[name] is not None and value not in fixed[name]:
            shown = str(value)[:60]
            raise refused(node, f"the attribute `{name}` is {shown}", " or ".join(str(item) for item in fixed[name]))
