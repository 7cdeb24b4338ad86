"""The graph while an ONNX file is read: steps, shapes, and the checks that every operator shares."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from verifluxa.errors import ModelError
from verifluxa.graph.graph import Graph, build
from verifluxa.graph.ops import SHAPE, Input, Op, Reshape, Shape, Shift, Take
from verifluxa.interop.onnx_file import Array, OnnxFile, OnnxNode, broken

MOST_VALUES = 1 << 26
"""As many numbers may one step of a network give, or all folded constants hold; an image of 3 x 224 x 224 has 2^17."""


@dataclass(frozen=True)
class OperatorRow:
    """An operator as `inspect` shows it: place, name, shapes, how many numbers it holds."""

    place: str
    kind: str
    input_shape: tuple[Shape, ...]
    output_shape: Shape
    parameters: int


class Reading(NamedTuple):
    """How the axes of a file are understood.

    Attributes:
        samples: how many samples stand along the first axis of every value, which the graph leaves out; None where
            there is no such axis, and the graph has the shapes of the file.
        inputs: of each input the shape that the file's operators read, without the samples' axis.
        given: the shapes of the graph's inputs, of as many numbers.
        fixed: whether the file itself has that many samples; else any other number must give the same graph.
    """

    samples: int | None
    inputs: tuple[Shape, ...]
    given: tuple[Shape, ...]
    fixed: bool = True


Result = int | Array | Sequence["int | Array"]
"""What an operator gives: a step of the graph, or a constant; or several of them, one for each output."""


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
    """Values by name: nodes of the graph, or constants.

    Attributes:
        counted: whether something depends on how many samples there are.
        rows: one for each operator so far.
    """

    file: OnnxFile
    reading: Reading
    steps: list[tuple[Op, tuple[int, ...]]] = field(default_factory=list)
    shapes: list[Shape] = field(default_factory=list)
    values: dict[str, int] = field(default_factory=dict)
    constants: dict[str, Array] = field(default_factory=dict)
    words: set[str] = field(default_factory=set)
    counted: bool = False
    rows: list[OperatorRow] = field(default_factory=list)
    _folded: int = 0

    def __post_init__(self) -> None:
        self.constants.update(self.file.constants)
        for shape in self.reading.given:
            self.steps.append((Input(shape), ()))
            self.shapes.append(shape)
        for number, ((name, _), shape) in enumerate(zip(self.file.inputs, self.reading.inputs, strict=True)):
            # An image as the numbers that the file wants, in the same order in memory.
            node = OnnxNode("Reshape", f"input `{name[:40]}`", (), (name,), {})
            same = shape == self.shapes[number]
            self.values[name] = number if same else self.add(node, Reshape(shape), number)

    @property
    def samples(self) -> int | None:
        """How many samples stand along the first axis; None where there is no such axis."""
        return self.reading.samples

    def add(self, node: OnnxNode, op: Op, *sources: int) -> int:
        """Adds an operation; returns its index.

        Raises:
            ModelError: VF2101 with the node's place when the shapes do not fit, VF2004 for too many values.
        """
        try:
            shape = SHAPE[op.kind](op, *(self.shapes[source] for source in sources))
        except ModelError as error:
            raise ModelError(error.code, error.message, place=node.place, expected=error.expected) from None
        self.room(node, math.prod(shape))
        self.steps.append((op, sources))
        self.shapes.append(shape)
        return len(self.steps) - 1

    def room(self, node: OnnxNode, count: int) -> None:
        """Refuses what would be too large, before anything is allocated.

        Raises:
            ModelError: VF2004.
        """
        if count > MOST_VALUES:
            raise ModelError(
                "VF2004", f"{node.kind} would give {count} numbers", place=node.place, expected=f"at most {MOST_VALUES}"
            )

    def keep(self, node: OnnxNode, name: str, array: Array) -> None:
        """Keeps a constant that was folded from others.

        Raises:
            ModelError: VF2004 for too many numbers in all.
        """
        self._folded += array.size
        self.room(node, self._folded)
        self.constants[name] = array

    def value(self, node: OnnxNode, position: int = 0) -> int:
        """The node that an operator reads; a constant becomes one."""
        name = node.inputs[position] if position < len(node.inputs) else ""
        if name in self.words:
            raise refused(node, "it computes with whole numbers", "floats")
        if name in self.constants:
            return self._lifted(node, position)
        if name not in self.values:
            raise refused(node, f"input {position + 1} is no value of the network: nothing gives it before")
        return self.values[name]

    def _lifted(self, node: OnnxNode, position: int) -> int:
        """A constant as a step: places that read nothing, and a sum with zeros, which rounds nothing."""
        array = self.needed(node, position)
        if self.samples is not None:
            array = self._of_each(node, array, f"input {position + 1}, a constant,")
        zeros = self.add(node, Take(self.shapes[0], np.full(array.shape or (1,), -1)), 0)
        found = self.add(node, Shift(array.reshape(self.shapes[zeros])), zeros) if array.any() else zeros
        return found if array.shape else self.add(node, Reshape(()), found)

    def _of_each(self, node: OnnxNode, array: Array, what: str) -> Array:
        """A constant without the samples' axis, along which it must be the same."""
        if array.ndim == 0 or len(array) not in (1, self.samples) or not (array == array[:1]).all():
            raise refused(node, f"{what} of shape {array.shape} reaches into the samples")
        self.counted |= len(array) > 1
        return np.asarray(array[0])

    def shape(self, value: int) -> Shape:
        """The shape that a value has in the file."""
        return self.shapes[value] if self.samples is None else (self.samples, *self.shapes[value])

    def moved(self, node: OnnxNode, value: int, move: Callable[[Array], Array]) -> int:
        """What an operator gives that only moves values, or puts zeros between them.

        Args:
            node: the operator.
            value: what it reads.
            move: the same on an array of the shape in the file; -1 there is a zero.

        Raises:
            ModelError: VF2018 where samples would change places.
        """
        shape, size = self.shapes[value], math.prod(self.shapes[value])
        self.room(node, math.prod(self.shape(value)))
        places = np.arange(math.prod(self.shape(value)), dtype=np.int64).reshape(self.shape(value))
        after = self.tried(node, move, places)
        if self.samples is not None:
            if after.ndim == 0 or len(after) != self.samples:
                raise refused(node, "it takes samples apart or puts them together", "the samples' axis as it is")
            own = np.arange(self.samples).reshape(-1, *(1,) * (after.ndim - 1)) * size
            if not np.array_equal(after, np.where(after[:1] < 0, -1, after[:1] + own)):
                raise refused(node, "it mixes samples", "the samples' axis as it is")
            after = after[0]
        if not after.size:
            raise refused(node, "it leaves nothing")
        if np.array_equal(after.ravel(), np.arange(size)):
            return value if after.shape == shape else self.add(node, Reshape(after.shape), value)
        if not after.shape:
            return self.add(node, Reshape(()), self.add(node, Take(shape, np.array([int(after)])), value))
        return self.add(node, Take(shape, np.ascontiguousarray(after)), value)

    def tried(self, node: OnnxNode, move: Callable[[Array], Array], array: Array) -> Array:
        """What a move makes of an array; VF2018 where that cannot be done."""
        try:
            return np.asarray(move(array))
        except (ValueError, IndexError) as error:
            raise refused(node, f"it does not fit values of shape {array.shape}: {str(error)[:80]}") from None

    def spread(self, node: OnnxNode, value: int, shape: Shape) -> int:
        """A value broadcast to a shape of the graph."""
        if self.shapes[value] == shape:
            return value
        if self.samples is not None:
            if len(self.shapes[value]) != len(shape):
                raise refused(node, f"values of shapes {self.shapes[value]} and {shape} meet across samples")
            shape = (self.samples, *shape)
        return self.moved(node, value, lambda places: np.broadcast_to(places, shape))

    def together(self, node: OnnxNode, *shapes: Shape) -> Shape:
        """The shape that shapes broadcast to."""
        try:
            found = np.broadcast_shapes(*shapes)
        except ValueError:
            raise refused(node, f"values of shapes {' and '.join(map(str, shapes))} do not go together") from None
        self.room(node, math.prod(found))
        return found

    def aligned(self, node: OnnxNode, position: int, shape: Shape) -> Array:
        """A constant beside values of a shape, without the samples' axis, which it must not reach into."""
        constant = self.needed(node, position)
        if self.samples is not None and constant.ndim == len(shape) + 1:
            return self._of_each(node, constant, "a constant")
        if self.samples is not None and constant.ndim > len(shape):
            raise refused(node, f"a constant of shape {constant.shape} meets values of shape {shape}")
        return constant

    def axis(self, node: OnnxNode, value: int, axis: int) -> int:
        """An axis of the file, from the end where negative, as one of the graph; never the samples'."""
        rank, lead = len(self.shape(value)), int(self.samples is not None)
        if not -rank <= axis < rank or axis % rank < lead:
            raise refused(node, f"its axis is {axis}", "an axis that is there, and not the samples'")
        return axis % rank - lead

    def each(self, node: OnnxNode, value: int, apply: Callable[[int], int]) -> int:
        """What an operator gives that reads samples along the first axis, as convolutions do, whatever the reading."""
        if self.samples is not None:
            return apply(value)
        shape = self.shapes[value]
        if len(shape) < 2 or shape[0] != 1:
            raise refused(node, f"values of shape {shape} are not those of one sample", "a first axis of size 1")
        result = apply(self.add(node, Reshape(shape[1:]), value))
        return self.add(node, Reshape((1, *self.shapes[result])), result)

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
            if not isinstance(found, tuple) or not all(isinstance(size, int) for size in found):
                raise broken(f"the attribute `{attribute}` holds no whole numbers", node.place)
            return tuple(int(size) for size in found)
        array = self.constant(node, position)
        if array is None:
            return None
        if array.dtype.kind != "i" or array.ndim > 1:
            raise refused(node, f"input {position + 1} holds {array.dtype.name}", "a list of whole numbers")
        return tuple(int(size) for size in array.reshape(-1))

    def number(self, node: OnnxNode, name: str, default: float) -> float:
        """A number among the attributes; a default is a float32 as well, whatever the network computes in."""
        found = node.attributes.get(name, float(np.float32(default)))
        if not isinstance(found, int | float) or not math.isfinite(found):
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
        """The graph of what the value of that name depends on; that is its last step."""
        if name not in self.values or name in self.words:
            raise broken(f"the output `{name[:40]}` is no value of the network")
        last = self.values[name]
        shape = self.shapes[last]
        one = self.samples is None and len(shape) > 1 and shape[0] == 1
        used = {last, *range(len(self.reading.given))}
        for number in range(last, -1, -1):
            used.update(self.steps[number][1] if number in used else ())
        place = {number: at for at, number in enumerate(sorted(used))}
        steps = [(self.steps[number][0], tuple(place[source] for source in self.steps[number][1])) for number in place]
        if one or place[last] != len(steps) - 1 or not steps[-1][1]:
            steps.append((Reshape(shape[1:] if one else shape), (place[last],)))
        return build(steps, self.file.dtype)


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


Operator = Callable[[Walk, OnnxNode], Result]
