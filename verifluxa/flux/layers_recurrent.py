"""RNN, LSTM, GRU and GRUv3 over a sequence of known length, as they are since Flux 0.15: no state is kept.

The steps are unrolled. A sequence is (steps, features) without the sample axis; Julia has (features, steps,
samples). The first state is zero, so that what it would add is left out (adding zeros is exact). Up to 0.14
a recurrent layer takes one step and keeps its state: what it gives depends on earlier calls, and it is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from verifluxa.flux.builder import Builder, Row
from verifluxa.flux.layer import Facts, Floats, Layer, unsupported
from verifluxa.flux.stored import Stored, unfit
from verifluxa.flux.values import Function, JuliaType, NamedTuple, Struct, Value, describe, is_empty
from verifluxa.flux.written import Arguments, Written
from verifluxa.graph.ops import Activation, Add, Affine, Concat, Multiply, Reshape, Scale, Shift, Transpose

MOST_STEPS = 512
_GATES = {"RNN": 1, "LSTM": 4, "GRU": 3, "GRUv3": 3}
_CELLS = {"RNN": ("σ", "Wi", "Wh", "bias"), "LSTM": ("Wi", "Wh", "bias"), "GRU": ("Wi", "Wh", "b")}
_CELLS["GRUv3"] = (*_CELLS["GRU"], "Wh_h̃")


def _read(stored: Stored) -> Layer:
    kind = stored.struct.type.name.removeprefix("Flux.")
    parameters = stored.struct.type.parameters
    if len(parameters) == 2 and parameters[0] is not False:
        raise unsupported(f"{kind} with return_state = true", stored.place, "it gives several outputs")
    value = stored.value("cell")
    if not isinstance(value, Struct) or value.type.name != f"Flux.{kind}Cell" or value.names != _CELLS[kind]:
        raise unfit(f"{describe(value)} stands here", stored.at("cell"), f"a {kind}Cell of Flux 0.15 or later")
    cell = Stored(value, stored.at("cell"))
    facts, arrays = _cell(kind, cell)
    count = sum(array.size for array in arrays.values())
    return Layer(kind, stored.place, facts, arrays, parameters=count)


def _cell(kind: str, cell: Stored) -> tuple[Facts, dict[str, Floats]]:
    gates, inner = _GATES[kind], cell.array("Wi", 2)
    rows, inputs = inner.shape
    outputs = rows // gates
    arrays = {"Wi": np.array(inner), "Wh": _matrix(cell, "Wh", (rows, outputs))}
    if rows != gates * outputs:
        raise unfit(f"the weight has {rows} rows", cell.at("Wi"), f"{gates} for each output")
    if kind == "GRUv3":
        arrays["Wh_h̃"] = _matrix(cell, "Wh_h̃", (outputs, outputs))
    bias = cell.bias("b" if cell.has("b") else "bias", rows)
    if bias is not None:
        arrays["bias"] = np.array(bias)
    activation: Facts = cell.function("σ") if kind == "RNN" else {}
    return {"in": inputs, "out": outputs, **activation}, arrays


def _matrix(cell: Stored, name: str, shape: tuple[int, int]) -> Floats:
    array = cell.array(name, 2)
    if array.shape != shape:
        raise unfit(f"the size is {array.shape}", cell.at(name), str(shape))
    return np.array(array)


def _write(arguments: Arguments) -> Written:
    facts: Facts = {}
    arguments.sizes_pair(facts)
    if arguments.layer == "RNN":
        arguments.activation(facts)
    arguments.ignore("init_kernel", "init_recurrent_kernel")
    return Written(facts)


def _defaults(kind: str) -> Callable[[Facts], Facts]:
    return lambda _: {"activation": "tanh", "parameter": None} if kind == "RNN" else {}


def _show(layer: Layer) -> str:
    activation = f", {layer.facts['activation']}" if layer.kind == "RNN" else ""
    return f"{layer.kind}({layer.facts['in']} => {layer.facts['out']}{activation})"


def _merge(kind: str) -> Callable[[NamedTuple, Facts], Mapping[str, Value]]:
    def merge(state: NamedTuple, facts: Facts) -> Mapping[str, Value]:
        cell = state["cell"]
        if not isinstance(cell, NamedTuple) or cell.names != _CELLS[kind]:
            return {}
        items = list(cell.items)
        if kind == "RNN" and is_empty(items[0]):
            items[0] = Function(str(facts["activation"]))
        return {"cell": Struct(JuliaType(f"Flux.{kind}Cell"), cell.names, tuple(items))}

    return merge


@dataclass(frozen=True, eq=False)
class _Step:
    """One step of a sequence: the values that it reads, the state before it (None for zeros)."""

    layer: Layer
    builder: Builder
    value: int
    hidden: int | None
    memory: int | None = None

    def rows(self, name: str, gate: int) -> Floats:
        """The part of an array that belongs to a gate."""
        outputs = self.layer.facts["out"]
        assert isinstance(outputs, int)  # the reader puts one there
        return self.layer.arrays[name][gate * outputs : (gate + 1) * outputs]

    def add(self, first: int, second: int | None) -> int:
        """A sum, where there is a second part."""
        return first if second is None else self.builder.add(self.layer, Add(), first, second)

    def multiply(self, first: int, second: int | None) -> int | None:
        """A product, where there is a second part; a state of zeros gives zeros."""
        return None if second is None else self.builder.add(self.layer, Multiply(), first, second)

    def inner(self, gate: int) -> int:
        """What a gate makes of the input."""
        return self.builder.add(self.layer, Affine(self.rows("Wi", gate)), self.value)

    def outer(self, gate: int) -> int | None:
        """What a gate makes of the state."""
        if self.hidden is None:
            return None
        return self.builder.add(self.layer, Affine(self.rows("Wh", gate)), self.hidden)

    def shifted(self, node: int, gate: int) -> int:
        """The bias of a gate added."""
        if "bias" not in self.layer.arrays:
            return node
        return self.builder.add(self.layer, Shift(self.rows("bias", gate)), node)

    def gate(self, gate: int, function: str) -> int:
        """`function(Wi x + Wh h + b)`."""
        total = self.shifted(self.add(self.inner(gate), self.outer(gate)), gate)
        return self.apply(function, total)

    def apply(self, function: str, node: int) -> int:
        """An activation."""
        return self.builder.add(self.layer, Activation(function), node)


def _rnn(step: _Step) -> tuple[int, int | None]:
    total = step.shifted(step.add(step.inner(0), step.outer(0)), 0)
    return step.builder.activate(step.layer, total, fast=True), None


def _lstm(step: _Step) -> tuple[int, int | None]:
    given = step.gate(0, "sigmoid_fast")
    kept = step.multiply(step.gate(1, "sigmoid_fast"), step.memory)
    new = step.multiply(given, step.gate(2, "tanh_fast"))
    assert new is not None  # both parts are there
    memory = new if kept is None else step.add(kept, new)
    hidden = step.multiply(step.gate(3, "sigmoid_fast"), step.apply("tanh_fast", memory))
    assert hidden is not None  # both parts are there
    return hidden, memory


def _gru(step: _Step) -> tuple[int, int | None]:
    reset, update = step.gate(0, "sigmoid_fast"), step.gate(1, "sigmoid_fast")
    if step.layer.kind == "GRU":
        recalled = step.multiply(reset, step.outer(2))
    else:
        kept = step.multiply(reset, step.hidden)
        recalled = None if kept is None else step.builder.add(step.layer, Affine(step.layer.arrays["Wh_h̃"]), kept)
    candidate = step.apply("tanh_fast", step.shifted(step.add(step.inner(2), recalled), 2))
    negative = step.builder.add(step.layer, Scale(step.builder.constant(-1, 1)), update)
    rest = step.builder.add(step.layer, Shift(step.builder.constant(1, 1)), negative)
    new = step.multiply(rest, candidate)
    assert new is not None  # both parts are there
    return step.add(new, step.multiply(update, step.hidden)), None


_STEPS: dict[str, Callable[[_Step], tuple[int, int | None]]] = {"RNN": _rnn, "LSTM": _lstm, "GRU": _gru, "GRUv3": _gru}


def _emit(layer: Layer, builder: Builder, node: int) -> int:
    shape = builder.shape(node)
    if len(shape) != 2 or shape[1] != layer.facts["in"]:
        raise unfit(f"{layer.kind} is given values of shape {shape}", layer.place, f"steps of {layer.facts['in']}")
    length = shape[0]
    if length > MOST_STEPS:
        raise unsupported(layer.kind, layer.place, f"the sequence has {length} steps, more than {MOST_STEPS}")
    columns = builder.add(layer, Transpose((1, 0)), node)
    hidden: int | None = None
    memory: int | None = None
    outputs: list[int] = []
    for index in range(length):
        value = _pick(layer, builder, columns, index, length)
        hidden, memory = _STEPS[layer.kind](_Step(layer, builder, value, hidden, memory))
        outputs.append(builder.add(layer, Reshape((1, -1)), hidden))
    return outputs[0] if length == 1 else builder.add(layer, Concat(0), *outputs)


def _pick(layer: Layer, builder: Builder, columns: int, index: int, length: int) -> int:
    """One step of the sequence, by a row of zeros with a one, which is exact."""
    row = np.zeros((1, length), dtype=builder.dtype)
    row[0, index] = 1
    return builder.add(layer, Reshape((-1,)), builder.add(layer, Affine(row), columns))


_OPERATIONS = {
    "RNN": ("add", "affine", "concat", "reshape", "shift", "transpose"),
    "LSTM": ("add", "affine", "concat", "multiply", "reshape", "shift", "transpose"),
    **dict.fromkeys(
        ("GRU", "GRUv3"), ("add", "affine", "concat", "multiply", "reshape", "scale", "shift", "transpose")
    ),
}

RECURRENT_ROWS: tuple[Row, ...] = tuple(
    Row(
        name=kind,
        stored=(f"Flux.{kind}",),
        operations=_OPERATIONS[kind],
        write=_write,
        show=_show,
        read=_read,
        emit=_emit,
        defaults=_defaults(kind),
        merge=_merge(kind),
    )
    for kind in _STEPS
)
