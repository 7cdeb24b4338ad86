"""Each operation and activation has a row in every table, or an explicit entry that says why it has none."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
from lark.ast_utils import camel_to_snake

from tests.conformance.cases import NEWEST, ROOT, expected, index
from verifluxa.bounds.build import JOINT, build_chain
from verifluxa.bounds.constants import propagate
from verifluxa.bounds.functions import FUNCTIONS
from verifluxa.bounds.functions import function_of as bounded_function
from verifluxa.bounds.joint_values import JOINT_VALUES
from verifluxa.bounds.linear_map import BUILD
from verifluxa.bounds.provable import NOT_PROVABLE, NOT_PROVABLE_FUNCTIONS, WALKED
from verifluxa.bounds.rounding import FUNCTION_ERROR, JOINT_TERMS, TERMS
from verifluxa.certificate.check import network as coverage
from verifluxa.certificate.check.network import steps_of
from verifluxa.cli.support_table import (
    COLUMNS,
    LAYER_OPERATIONS,
    NOT_LIFTED,
    SupportRow,
    activation_rows,
    layer_rows,
    operation_rows,
)
from verifluxa.errors import UnsupportedError
from verifluxa.flux.files import read_model_file
from verifluxa.flux.layer import Layer
from verifluxa.flux.layers import TABLE, LayerReader
from verifluxa.flux.layers_function import FIXED_ROWS, LAYERS
from verifluxa.flux.load import choose, lift
from verifluxa.graph import ops
from verifluxa.graph.activations import ACTIVATIONS
from verifluxa.graph.graph import Graph, build, chain
from verifluxa.graph.ops import OPS, SHAPE
from verifluxa.graph.run import RUN
from verifluxa.lower.families import LOWERED
from verifluxa.question import AffineInputMap
from verifluxa.smt.pieces import PIECES
from verifluxa.spec import syntax
from verifluxa.spec.parse import grammar
from verifluxa.spec.spec import InputSpace, Trigger
from verifluxa.spec.triggers.table import FAMILIES, SYNTAX
from verifluxa.spec.triggers.union import UnionTrigger

KINDS = [op.kind for op in OPS]


def _array(*shape: int) -> Any:
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


ONES = (1, 1)
NONE = (0, 0)
SAMPLES: dict[str, tuple[tuple[int, ...], ops.Op]] = {
    "affine": ((4,), ops.Affine(_array(3, 4), _array(3))),
    "conv": ((1, 4, 4), ops.Conv(_array(2, 1, 2, 2), None, ONES, NONE, NONE, ONES)),
    "shift": ((4,), ops.Shift(_array(4))),
    "scale": ((4,), ops.Scale(_array(4))),
    "divide": ((4,), ops.Divide(_array(4))),
    "clip": ((4,), ops.Clip(0.0, 1.0)),
    "activation": ((4,), ops.Activation("relu")),
    "maxpool": ((1, 4, 4), ops.MaxPool((2, 2), ONES, NONE, NONE)),
    "meanpool": ((1, 4, 4), ops.MeanPool((2, 2), ONES, NONE, NONE)),
    "reshape": ((2, 2), ops.Reshape((4,))),
    "transpose": ((2, 3), ops.Transpose((1, 0))),
    "take": ((2, 3), ops.Take((2, 3), np.array([[5, -1], [0, 5]]))),
    "softmax": ((4,), ops.Softmax(0)),
    "logsoftmax": ((4,), ops.LogSoftmax(0)),
    "add": ((4,), ops.Add()),
    "concat": ((4,), ops.Concat(0)),
    "multiply": ((4,), ops.Multiply()),
    "matmul": ((4, 4), ops.MatMul()),
    "embedding": ((4,), ops.Embedding(_array(3, 2))),
    "normalise": ((4,), ops.Normalise(1, 1e-5)),
    "batchnorm": ((4,), ops.BatchNorm(_array(4), abs(_array(4)), 1e-5, _array(4), _array(4))),
}


def _graph(kind: str) -> Graph:
    """The operation in the middle of a small network."""
    shape, op = SAMPLES[kind]
    if kind in ("add", "concat", "multiply", "matmul"):
        steps = [(ops.Input(shape), ()), (ops.Activation("relu"), (0,)), (op, (0, 1)), (ops.Reshape((-1,)), (2,))]
        return build(steps)
    return chain(shape, [op, ops.Reshape((-1,))])


def _has_bounds(graph: Graph) -> bool:
    shape = graph.input_shape
    try:
        propagate(graph, np.ones((1, *shape)), "float32", len(graph.nodes) - 1)
    except UnsupportedError:
        return False
    return True


def _is_rechecked(graph: Graph) -> bool:
    return steps_of(graph) is not None


def test_samples_are_complete() -> None:
    assert set(SAMPLES) == set(KINDS) - {"input"}


@pytest.mark.parametrize("kind", KINDS)
def test_an_operation_has_a_shape_and_runs(kind: str) -> None:
    assert kind in SHAPE
    assert (kind in RUN) == (kind != "input")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "input"])
def test_an_operation_has_bounds_or_an_entry_that_says_why_not(kind: str) -> None:
    tables = [kind in BUILD, kind in WALKED, kind in NOT_PROVABLE]
    assert sum(tables) == 1
    assert (kind in TERMS) == (kind in BUILD)
    assert (kind in JOINT_TERMS) == (kind in JOINT_VALUES) == (kind in JOINT)
    assert _has_bounds(_graph(kind)) == (kind in BUILD or kind in WALKED)


def _is_encoded(graph: Graph) -> bool:
    """Whether each hidden layer of the reached network has a function that SMT encodes."""
    size, last = int(np.prod(graph.input_shape)), len(graph.nodes) - 1
    stamp = AffineInputMap(np.arange(size), np.zeros(size), np.eye(size), np.zeros(size))
    constants = propagate(graph, np.ones((1, *graph.input_shape)), "float32", last)
    # The pairs of a max pool are encoded by the relu of their difference.
    return all(layer.function in {*PIECES, "max"} for layer in build_chain(graph, constants, stamp).layers[:-1])


@pytest.mark.parametrize("row", [*operation_rows(), *activation_rows()], ids=lambda row: row.name)
def test_smt_encodes_what_the_table_says(row: SupportRow) -> None:
    graph = _graph(row.name) if row.name in SAMPLES else chain((4,), [ops.Activation(row.name), ops.Shift(_array(4))])
    if _has_bounds(graph):
        assert _is_encoded(graph) == (row.cells[COLUMNS.index("SMT")] == "yes")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "input"])
def test_the_checker_recomputes_an_operation_or_says_why_not(kind: str) -> None:
    unchecked = kind in coverage.NOT_RECHECKED or kind in coverage.LAST_ONLY
    assert _is_rechecked(_graph(kind)) == (not unchecked)


@pytest.mark.parametrize("kind", sorted(coverage.LAST_ONLY))
def test_a_softmax_at_the_end_is_left_out_by_the_checker(kind: str) -> None:
    shape, op = SAMPLES[kind]
    assert len(steps_of(chain(shape, [ops.Shift(_array(4)), op]))) == 1


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_an_activation_has_bounds_or_an_entry_that_says_why_not(name: str) -> None:
    row = bounded_function(ops.Activation(name))
    assert (row is None) == (name in NOT_PROVABLE_FUNCTIONS)
    if row is not None:
        assert row[0] in FUNCTIONS
        assert row[0] in FUNCTION_ERROR
    assert _has_bounds(chain((4,), [ops.Activation(name)])) == (row is not None)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_the_checker_recomputes_an_activation_or_says_why_not(name: str) -> None:
    checked = _is_rechecked(chain((4,), [ops.Activation(name)]))
    (row,) = (row for row in activation_rows() if row.name == name)
    assert checked == (row.cells[COLUMNS.index("checker")] == "yes") == (name not in coverage.NOT_RECHECKED_FUNCTIONS)
    # What the prover cannot prove, the checker must not accept.
    assert not checked or name not in NOT_PROVABLE_FUNCTIONS


def test_reasons_are_given_for_what_exists() -> None:
    for table in (NOT_PROVABLE, coverage.NOT_RECHECKED):
        assert set(table) <= set(KINDS)
        assert all(len(reason) > 10 for reason in table.values())
    for table in (NOT_PROVABLE_FUNCTIONS, coverage.NOT_RECHECKED_FUNCTIONS):
        assert set(table) <= set(ACTIVATIONS)
        assert all(len(reason) > 10 for reason in table.values())


# The table of layers


def _kinds(layer: Layer) -> set[str]:
    found, pending = set(), [layer]
    while pending:
        current = pending.pop()
        found.add(current.kind)
        pending += [child for _, child in current.children]
    return found


# Layers that are refused, as `test_layers` shows.
REFUSED = {"dense_f16", "rnncell", "lstmcell", "grucell", "pairwisefusion", "weightnorm"}
LIFTED = [name for name, entry in index("layers").items() if entry["verdict"] != "refuse" and name not in REFUSED]


@pytest.mark.parametrize("name", LIFTED)
def test_layers_lift_to_the_operations_of_the_table(name: str) -> None:
    file = ROOT / "layers" / name / "model.bson"
    shapes = tuple(array.shape[1:] for array in expected(file.parent)[0])
    graph = lift(file, None, NEWEST, shapes).graph
    data, contents = read_model_file(file)
    kinds = _kinds(LayerReader(len(data)).read(choose(contents).value, "model")) - {"activation"}
    declared = {operation for kind in kinds for operation in LAYER_OPERATIONS[kind]}
    assert {node.op.kind for node in graph.nodes} - {"input", "activation"} <= declared


def test_every_layer_that_lifts_is_in_the_table_and_every_cell_is_filled() -> None:
    assert set(LAYER_OPERATIONS) == {*TABLE, *LAYERS, *FIXED_ROWS}
    assert set(NOT_LIFTED).isdisjoint(LAYER_OPERATIONS)
    assert {operation for row in LAYER_OPERATIONS.values() for operation in row} <= set(KINDS)
    for row in (*layer_rows(), *activation_rows()):
        assert len(row.cells) == len(COLUMNS)
        assert all(row.cells)


# The tables of trigger families


def test_every_family_is_lowered_and_no_two_have_one_kind_in_digests() -> None:
    families = {kind for kind in Trigger.__subclasses__() if kind.__module__.startswith("verifluxa.spec.triggers.")}
    assert set(LOWERED) == families - {UnionTrigger}
    modules = {kind.__module__ for kind in families - {UnionTrigger}} | {"verifluxa.spec.triggers.probe"}
    assert {row.module.__name__ for row in FAMILIES} == modules


def test_the_last_family_of_each_space_takes_what_the_others_do_not_claim() -> None:
    spaces = {row.space for row in FAMILIES}
    assert spaces == set(get_args(InputSpace))
    for space in spaces:
        claims = [row.claims is None for row in FAMILIES if row.space is space]
        assert claims == [*[False] * (len(claims) - 1), True]


def test_every_clause_of_the_grammar_has_a_node_and_every_node_a_clause() -> None:
    clauses = {rule.expansion[0].name for rule in grammar().rules if rule.origin.name == "_clause"}
    kinds = {kind for module in (syntax, *SYNTAX) for kind in vars(module).values() if isinstance(kind, type)}
    nodes = {camel_to_snake(kind.__name__) for kind in kinds if issubclass(kind, syntax.Clause)}
    assert clauses == nodes - {"clause", "from"}
