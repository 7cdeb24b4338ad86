"""What is supported, put together from the tables of the code: for `verifluxa supports` and the page of layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from verifluxa.bounds import (
    FUNCTION_ERROR,
    JOINT_VALUES,
    NOT_PROVABLE,
    NOT_PROVABLE_FUNCTIONS,
    bound_support,
    has_bounds,
)
from verifluxa.bounds import function_of as bounded_function
from verifluxa.certificate.check.functions import function_of
from verifluxa.certificate.check.network import LAST_ONLY, OPERATIONS
from verifluxa.flux.layers import TABLE
from verifluxa.flux.layers_function import FIXED_ROWS, LAYERS
from verifluxa.graph.activations import ACTIVATIONS
from verifluxa.graph.ops import OPS, Activation
from verifluxa.graph.run import RUN
from verifluxa.smt.pieces import PIECES

COLUMNS = ("read", "run", "radius", "bounds", "SMT", "checker")
_PROOF = len(COLUMNS) - 2

LAYER_OPERATIONS: dict[str, tuple[str, ...]] = {
    **{name: row.operations for name, row in TABLE.items()},
    **{name: row.operations for name, row in FIXED_ROWS.items()},
    **LAYERS,
}
"""The operations that a layer lifts to, besides its activation."""

NOT_LIFTED = ("RNNCell", "LSTMCell", "GRUCell", "WeightNorm", "Upsample(:bilinear)", "Upsample(:trilinear)", "rrelu")
"""Layers and activations of Flux that are refused by name, beside every layer that is not Flux's own."""


@dataclass(frozen=True)
class SupportRow:
    """One layer, operation or activation; `cells` stand under `COLUMNS`."""

    name: str
    cells: tuple[str, ...]


def layer_rows() -> list[SupportRow]:
    """A row for each layer of Flux; a cell that says no names the operation that it is because of."""
    return [_layer(name) for name in sorted(LAYER_OPERATIONS, key=str.lower)]


def operation_rows() -> list[SupportRow]:
    """A row for each operation of a graph."""
    kinds = [op.kind for op in OPS if op.kind not in ("input", "activation")]
    return [SupportRow(kind, ("-", "yes" if kind in RUN else "no", *_proof(kind))) for kind in kinds]


def activation_rows() -> list[SupportRow]:
    """A row for each activation of NNlib, with its usual parameter."""
    return [_activation(name) for name in sorted(ACTIVATIONS)]


def reasons() -> dict[str, str]:
    """Why something that runs has no bounds."""
    return {**NOT_PROVABLE, **NOT_PROVABLE_FUNCTIONS}


def _proof(kind: str) -> tuple[str, str, str, str]:
    """Radius, bounds, SMT, checker."""
    bounds = bound_support(kind)
    checker = "last step" if kind in LAST_ONLY else "yes" if kind in OPERATIONS else "no"
    return bounds, bounds, _exact(kind), checker


def _exact(kind: str) -> str:
    """Whether SMT encodes an operation: one that is linear, or a choice between linear ones."""
    if kind in ("softmax", "logsoftmax"):
        return "last step"
    return "no" if kind in JOINT_VALUES or bound_support(kind) == "no" else "yes"


def _layer(name: str) -> SupportRow:
    kinds = LAYER_OPERATIONS[name]
    row = TABLE.get(name)
    read = "model, state" if row is None or row.blank is None else "model, state, weights"
    proofs = [_proof(kind) for kind in kinds]
    cells = [_worst([proof[column] for proof in proofs], kinds) for column in range(_PROOF)]
    return SupportRow(name, (read, "yes", *cells))


def _worst(cells: Sequence[str], kinds: Sequence[str]) -> str:
    without = [kind for kind, cell in zip(kinds, cells, strict=True) if cell == "no"]
    if without:
        return f"no ({', '.join(without)})"
    return "last step" if "last step" in cells else "yes"


def _activation(name: str) -> SupportRow:
    row = bounded_function(Activation(name))
    bounds = "yes" if has_bounds(name) else "no"
    radius = "yes" if row is not None and row[0] in FUNCTION_ERROR else "no"
    exact = "yes" if row is not None and row[0] in PIECES else "no"
    checker = "yes" if function_of(Activation(name)) is not None else "no"
    return SupportRow(name, ("yes", "yes", radius, bounds, exact, checker))
