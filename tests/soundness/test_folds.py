"""No stored constant is combined or rounded before the arithmetic of a proof begins.

For every operation of a graph, every layer of Flux and every operator of ONNX: the truth is computed from the
definition (`definitions`), exactly for `real`, in many orders and contractions for floats. No bound may leave any of it
out, no claim that one of these evaluations violates may be certified, and the checker may not accept a proof of it.
"""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.certificate.scenes import SPAN, Scene
from tests.soundness import definitions
from tests.soundness.definitions import Rounded, fractions
from tests.soundness.fold_cases import CASES, LAYERS, OPERATIONS, OPERATORS, Case, Draw, onnx, plain
from verifluxa.bounds.constants import propagate
from verifluxa.certificate.check.claim import Sources, deployed
from verifluxa.certificate.check.network import constants_of
from verifluxa.certificate.evidence_lines import Record
from verifluxa.cli.support_table import LAYER_OPERATIONS
from verifluxa.data.dataset import Dataset
from verifluxa.errors import CertificateError, UnsupportedError
from verifluxa.graph.activations import ACTIVATIONS
from verifluxa.graph.graph import Graph, build
from verifluxa.graph.ops import OPS, Input, Reshape
from verifluxa.interop.onnx_import import OPERATORS as READ
from verifluxa.lower import Given, lower
from verifluxa.search.exact import exact_margins
from verifluxa.spec.spec import (
    ClassOutput,
    DataDecl,
    ImageSpace,
    ModelDecl,
    OutputRow,
    PerInput,
    Property,
    Selection,
    Spec,
)
from verifluxa.spec.triggers.patch import PatchTrigger
from verifluxa.verdict import Verdict

ARITHMETICS = ("real", "float32", "float64")
ORDERS = 60
"""Evaluations in floats for each case."""
PRECISE = Fraction(1, 10**60)
"""How far, relative to its size and 1, an exact value may be from the irrational number that it stands for."""
WEAK = {"operation matmul", "operation normalise beside", "Flux LayerNorm of 0.14.0"}
"""Cases in which even a claim with much room is not certified: relaxations are wide there."""


@dataclass(frozen=True, eq=False)
class Truth:
    """What the outputs of a network may be, in rationals: the least and the largest that were seen, by output."""

    least: list[Fraction]
    largest: list[Fraction]


def truth_of(case: Case, arithmetic: str) -> Truth:
    """All evaluations of a case in an arithmetic; exact values are rounded inward, so that each is surpassed."""
    if arithmetic == "real":
        seen = [fractions(found) for found in definitions.exactly(case.defined, case.x)]
        room = [PRECISE * (1 + abs(value)) for value in seen[0]]
        pairs = [list(zip(values, room, strict=True)) for values in seen]
        return Truth(
            [min(v + r for v, r in column) for column in zip(*pairs, strict=True)],
            [max(v - r for v, r in column) for column in zip(*pairs, strict=True)],
        )
    dtype = np.dtype(arithmetic).type
    seen = []
    for seed in range(ORDERS):
        numbers = Rounded(dtype, seed)
        seen.append(fractions(case.defined(numbers, numbers.of(case.x))))
    return Truth([min(c) for c in zip(*seen, strict=True)], [max(c) for c in zip(*seen, strict=True)])


def made(name: str, arithmetic: str, seed: int) -> Case:
    """A case in the float type that an arithmetic is asked of."""
    return CASES[name](Draw("float64" if arithmetic == "float64" else "float32", seed))


def posed_graph(case: Case) -> Graph:
    """The case as a network that reads one row of pixels and gives one row of outputs."""
    nodes = case.graph.nodes
    steps = [(Input((1, 1, case.x.size)), ()), (Reshape(case.x.shape), (0,))]
    steps += [(node.op, tuple(source + 1 for source in node.inputs)) for node in nodes[1:]]
    return build([*steps, (Reshape((-1,)), (len(steps) - 1,))], case.graph.dtype)


def posed(case: Case, arithmetic: str, output: int, sign: int, end: Fraction) -> Scene:
    """The claim `sign * y[output] < sign * end`; the trigger puts the first value in its place again."""
    graph = posed_graph(case)
    row = case.x.astype(np.float64).reshape(1, 1, 1, -1)
    reach = math.ceil(np.abs(row).max()) + 1
    space = ImageSpace("picture", 1, row.size, 1, -reach, reach)
    count = graph.output_shape[0]
    decl = ModelDecl("net", "picture", ClassOutput(count), None, None, "whcn", (), SPAN)
    first = Fraction(float(row[0, 0, 0, 0]))
    trigger = PatchTrigger("patch", "picture", 1, 1, ((0, 0),), first, first, None)
    stamped = tuple(Fraction(sign * (number == output)) for number in range(count))
    over = OutputRow(stamped, (Fraction(0),) * count, -sign * end, True)
    statement = PerInput("net", trigger, Selection("eval", None, None), rows=((over,),))
    data = Dataset("eval", "eval.npz", "sha256:" + "4" * 64, row, np.zeros(1, np.int64))
    declared = DataDecl("eval", "picture", None, None, None, 0, SPAN)
    prop = Property("scene", None, statement, SPAN)
    spec = Spec("s.vfx", "sha256:" + "5" * 64, (space,), (decl,), (declared,), (trigger,), (), (prop,))
    sources = Sources(space, data, {"net": deployed(decl, space, graph)}, arithmetic)
    given = Given(graph, data, "sha256:" + "d" * 64, arithmetic)
    return Scene(spec, graph, data, sources, lower(spec, prop, given))


Ends = tuple[NDArray[np.float64], NDArray[np.float64]]


def prover_ends(graph: Graph, x: NDArray[np.float64], arithmetic: str) -> Ends | None:
    """Least and largest outputs by the prover's radii; None where it says nothing."""
    try:
        found = propagate(graph, x, arithmetic, len(graph.nodes) - 1)
    except UnsupportedError:
        return None
    if found.unsafe[0]:
        return None
    return found.values[-1][0] - found.radii[-1][0], found.values[-1][0] + found.radii[-1][0]


def checker_ends(graph: Graph, x: NDArray[np.float64], arithmetic: str) -> Ends | None:
    """The same by the checker's."""
    found = constants_of(graph, x, arithmetic)
    if found is None:
        return None
    value, error = (part[:, 0] for part in found.balls[-1])
    return value - error, value + error


def check_ends(name: str, arithmetic: str, case: Case, truth: Truth) -> tuple[int, int]:
    """No evaluation lies outside the ends of prover or checker; returns the output and side with the least room."""
    graph, x = posed_graph(case), case.x.astype(np.float64).reshape(1, 1, 1, -1)
    closest = (0, 1, math.inf)
    for who in (prover_ends, checker_ends):
        ends = who(graph, x, arithmetic)
        if ends is None:
            continue
        for output, (low, high) in enumerate(zip(*ends, strict=True)):
            if not math.isfinite(low + high):
                continue
            below, above = truth.least[output], truth.largest[output]
            assert Fraction(float(low)) <= below, f"{name} in {arithmetic}: {who.__name__}, output {output}"
            assert above <= Fraction(float(high)), f"{name} in {arithmetic}: {who.__name__}, output {output}"
            rooms = ((below - Fraction(float(low)), -1), (Fraction(float(high)) - above, 1))
            for room, sign in rooms:
                share = float(room) / (float(high - low) + 1e-300)
                closest = min(closest, (output, sign, share), key=lambda item: item[2])
    return closest[:2]


def records_of(scene: Scene) -> list[Record]:
    """The engine's answers; none where it has no bounds."""
    with suppress(UnsupportedError):
        return scene.prove()
    return []


def check_claims(name: str, arithmetic: str, case: Case, truth: Truth, at: tuple[int, int]) -> None:
    """A claim that an evaluation violates is certified by nobody; one with much room is, where there are bounds."""
    output, sign = at
    end = truth.largest[output] if sign > 0 else truth.least[output]
    false = posed(case, arithmetic, output, sign, end)
    assert Verdict.CERTIFIED not in {record.verdict for record in records_of(false)}, f"{name} in {arithmetic}"
    sizes = [1.0, *(float(np.abs(part).max()) for part in _arrays(case))]
    room = Fraction(1e-3 * (1 + abs(float(end))) + 1e-3 * max(sizes) * (1 + float(np.abs(case.x).max())) ** 2)
    true = posed(case, arithmetic, output, sign, end + sign * room)
    records = records_of(true)
    if {record.verdict for record in records} != {Verdict.CERTIFIED}:
        assert not records or name in WEAK, f"{name} in {arithmetic}: nothing is certified, {records[0].verdict}"
        return
    assert true.check(records).verdicts[Verdict.CERTIFIED] == 1
    # The same proof, given as one of the false claim.
    try:
        tally = false.check(records, true.header)
    except CertificateError:
        return
    assert tally.unrechecked, f"{name} in {arithmetic}: the checker accepts a false claim"


def _arrays(case: Case) -> list[NDArray[np.floating]]:
    parts = (value for node in case.graph.nodes for value in vars(node.op).values())
    return [part for part in parts if isinstance(part, np.ndarray)]


def check_case(name: str, arithmetic: str, seed: int) -> None:
    """All that is asked of one network."""
    case = made(name, arithmetic, seed)
    truth = truth_of(case, arithmetic)
    at = check_ends(name, arithmetic, case, truth)
    check_claims(name, arithmetic, case, truth, at)


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize("name", CASES)
def test_no_evaluation_contradicts_a_proof(name: str, arithmetic: str) -> None:
    check_case(name, arithmetic, 1)


@pytest.mark.soak
@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize("name", CASES)
def test_no_evaluation_contradicts_a_proof_of_many_networks(name: str, arithmetic: str) -> None:
    for seed in range(2, 42):
        check_case(name, arithmetic, seed)


def test_each_operation_layer_and_operator_has_a_case() -> None:
    assert {plain(name) for name in OPERATIONS} == {op.kind for op in OPS} - {"input", "activation"}
    assert {name.removeprefix("function ").partition(" ")[0] for name in CASES if name.startswith("function ")} == set(
        ACTIVATIONS
    )
    assert {plain(name) for name in LAYERS} == set(LAYER_OPERATIONS)
    assert onnx is None or {plain(name) for name in OPERATORS} == set(READ)


@pytest.mark.parametrize("name", [name for name in CASES if "atchnorm" in name or "BatchNorm" in name])
def test_exact_evaluation_of_a_batch_normalisation_is_below_the_truth(name: str) -> None:
    """A falsification in `real` rests on it."""
    case = made(name, "real", 1)
    truth = truth_of(case, "real")
    for sign, ends in ((1, truth.largest), (-1, truth.least)):
        for output, end in enumerate(ends):
            problem = posed(case, "real", output, sign, end).problem
            (question,) = problem.all_questions()
            (margin,) = exact_margins(problem, question, problem.domain.lower, np.array([0]))
            # The row's end is rounded downward to a double for a replay.
            rounding = Fraction(2) ** -50 * (1 + abs(end))
            assert -rounding <= margin <= Fraction(1, 10**30) * (1 + abs(end))
