"""The table of layers, one row each, and the three walks over it: read, show, emit."""

from __future__ import annotations

from verifluxa.errors import ModelError
from verifluxa.flux.builder import Builder, LayerRow, Nodes, Row
from verifluxa.flux.layer import Layer, unsupported
from verifluxa.flux.layers_attention import ATTENTION_ROWS
from verifluxa.flux.layers_container import CONTAINER_ROWS
from verifluxa.flux.layers_conv import CONV_ROWS
from verifluxa.flux.layers_dense import DENSE_ROWS
from verifluxa.flux.layers_function import FIXED, PICKS, emit_function, pick, read_function, show_function
from verifluxa.flux.layers_norm import NORM_ROWS
from verifluxa.flux.layers_pool import POOL_ROWS
from verifluxa.flux.layers_recurrent import RECURRENT_ROWS
from verifluxa.flux.limits import DEPTH, INFLATE_FLOOR, INFLATE_RATIO, refuse_deep
from verifluxa.flux.stored import Stored
from verifluxa.flux.values import Struct, Value

ROWS: tuple[Row, ...] = (
    *DENSE_ROWS,
    *CONTAINER_ROWS,
    *CONV_ROWS,
    *POOL_ROWS,
    *NORM_ROWS,
    *RECURRENT_ROWS,
    *ATTENTION_ROWS,
)
TABLE: dict[str, Row] = {row.name: row for row in ROWS} | {"Diagonal": next(r for r in ROWS if r.name == "Scale")}
# The first row that names a struct reads it: Conv reads what DepthwiseConv only writes.
STORED: dict[str, Row] = {name: row for row in reversed(ROWS) for name in row.stored}
MOST_LAYERS = 10_000
_CELL = "a cell takes one step; what surrounds it keeps the state, as RNN, LSTM and GRU do"
_REASONS = {
    "Flux.Recur": "up to Flux 0.14 it keeps a state, so that what it gives depends on earlier calls",
    **dict.fromkeys(("Flux.RNNCell", "Flux.LSTMCell", "Flux.GRUCell", "Flux.GRUv3Cell"), _CELL),
    "Flux.WeightNorm": "it computes its weight anew in each call; `Flux.remove_weight_norms(model)` puts it in place",
}
"""Why a struct of Flux that is read is no layer here."""


class LayerReader:
    """Reads layers out of values, and counts them: shared values could unfold without end."""

    def __init__(self, file_bytes: int) -> None:
        self._layers = MOST_LAYERS
        self._bytes = max(INFLATE_FLOOR, INFLATE_RATIO * file_bytes)
        self._depth = 0

    def read(self, value: Value, place: str) -> Layer:
        """A value as a layer, with the layers inside it.

        Raises:
            ModelError: VF2004 past the limits, VF2008, VF2010 or VF2016 for what cannot be lifted.
        """
        self._layers -= 1
        if self._layers < 0:
            raise ModelError("VF2004", f"the model has more than {MOST_LAYERS} layers", place=place)
        if self._depth >= DEPTH:
            raise refuse_deep(place)
        self._depth += 1
        try:
            layer = self._read(value, place)
        finally:
            self._depth -= 1
        self._bytes -= sum(array.nbytes for array in layer.arrays.values())
        if self._bytes < 0:
            raise ModelError("VF2004", "arrays are shared so often that the model would not fit in memory", place=place)
        return layer

    def _read(self, value: Value, place: str) -> Layer:
        if not isinstance(value, Struct) or value.type.name in FIXED:
            return read_function(value, place)
        row = STORED.get(value.type.name)
        if row is None:
            raise unsupported(
                value.type.name, place, _REASONS.get(value.type.name, "this kind of layer is not supported")
            )
        stored = Stored(value, place)
        if row.read is not None:
            return row.read(stored)
        assert row.read_children is not None  # every row has one of the two
        return row.read_children(stored, self.read)


def show(layer: Layer) -> str:
    """A layer as Flux prints it, on one line."""
    row = TABLE.get(layer.kind)
    if row is None:
        return show_function(layer)
    if row.show is not None:
        return row.show(layer)
    assert row.show_children is not None  # every row has one of the two
    inner = (show(child) if name.isdigit() else f"{name} = {show(child)}" for name, child in layer.children)
    return row.show_children(layer, ", ".join(inner))


def emit(layer: Layer, builder: Builder, nodes: Nodes) -> Nodes:
    """Adds a layer's operations, and its row where it is a layer without layers inside.

    Raises:
        ModelError: VF2101 when shapes do not fit, VF2010 and others for what cannot be lifted.
    """
    before = tuple(builder.shape(node) for node in nodes)
    row = TABLE.get(layer.kind)
    if row is not None and row.emit_children is not None:
        result = row.emit_children(layer, builder, nodes, emit)
        if row.children is not None:
            return result
    elif layer.kind in PICKS:
        result = (pick(layer, nodes),)
    else:
        if len(nodes) != 1:
            raise unsupported(layer.kind, layer.place, f"it is given {len(nodes)} inputs")
        function = emit_function if row is None or row.emit is None else row.emit
        result = (function(layer, builder, nodes[0]),)
    after = tuple(builder.shape(node) for node in result)
    builder.rows.append(LayerRow(layer.place, show(layer), before, after, layer.parameters))
    return result
