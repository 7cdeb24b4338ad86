"""Spec + lifted network + data to a Problem: the deployed graph, placements, rows, violations, selections."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from verifluxa.data.dataset import WRONG, Dataset, select
from verifluxa.errors import DataError, ModelError, UnsupportedError
from verifluxa.graph.arithmetic import governing, within
from verifluxa.graph.graph import Graph
from verifluxa.lower.ask import Counting, ask_classes, ask_outputs, moves, moving, output_rows, reads_untouched
from verifluxa.lower.correct import Answers, BoundsOf, answers, replayed_answers
from verifluxa.lower.deploy import deploy, predictions
from verifluxa.lower.families import family
from verifluxa.lower.outputs import Untouched, classes_of, readout, upward
from verifluxa.lower.reading import Reads, as_read
from verifluxa.lower.stamp import without_trigger
from verifluxa.question import Floats, Integers, OutputConstraints, Problem, Violation
from verifluxa.spec.spec import (
    BinaryOutput,
    ClassOutput,
    Compare,
    Measure,
    ModelDecl,
    PerInput,
    Property,
    RateBound,
    Spec,
    Statement,
    claims_of,
    named,
)
from verifluxa.spec.spec import Rows as Groups

__all__ = ["Given", "Untouched", "deploy", "lower", "predictions"]


@dataclass(frozen=True, eq=False)
class Given:
    """What a property is asked of.

    Attributes:
        graph: the lifted network, which reads encoded inputs.
        data: the data set that the property speaks of.
        digest: the property digest.
        arithmetic: `float32`, `float64` or `real`.
        judge: the lifted network of the model that `correct` names, where that is another one.
        untouched: gives bounds of a deployed network's outputs on inputs (samples first) in an arithmetic; needed
            where the property speaks of `f(x)` or of `correct(model, x)`.
    """

    graph: Graph
    data: Dataset
    digest: str
    arithmetic: str
    judge: Graph | None = None
    untouched: BoundsOf | None = None


def lower(spec: Spec, prop: Property, given: Given) -> Problem:
    """Puts one property's question together.

    Args:
        spec, prop: the checked spec, and one of its properties.
        given: the network, the data, the digest and the arithmetic.

    Raises:
        ModelError: VF2201 when the network's outputs are not the declared ones.
        DataError: VF3201 when no input is left to prove anything about.
        UsageError: VF4011 when the arithmetic is not the model's.
        UnsupportedError: VF7001 when the claim speaks of `f(x)` and an operation has no bounds.
    """
    statement = prop.statement
    if isinstance(statement, Compare):
        raise ValueError("each side of a comparison is lowered by itself")
    model = named(spec.models, statement.model)
    space = named(spec.spaces, model.space)
    data, arithmetic = given.data, governing(given.arithmetic, given.graph.dtype)
    families = statement.trigger.families()
    blends, clips = any(one.varies_opacity() for one in families), any(one.is_clipped() for one in families)
    each = moves(statement, space)
    deployed = deploy(given.graph, model, space, each or clips, blends)
    _has_outputs(deployed, model)
    positions, counting, excluded = _counted(spec, statement, given)
    inputs = _read(data.inputs[positions], deployed.dtype, blends)
    claim = statement.rate if isinstance(statement, Measure) else statement
    if claim.rows:
        found = _outputs(claim.rows, deployed, inputs, given)
        read, asked = -1, ask_outputs(claim, *found, counting, prop.name)
    else:
        read, gap = readout(deployed, arithmetic)
        labels = data.labels[positions]
        _are_classes(labels, positions, model.output.count, data)
        asked = ask_classes(claim, classes_of(model.output, gap), labels, counting, prop.name)
    spread = _spread(statement, deployed, each)
    placements, domain = family(statement.trigger, space, Reads(deployed.dtype, inputs, data.path))
    if each:
        placements, domain = moving(placements, domain, inputs[0].size, statement.selection.radius)
    placements, domain = as_read(placements, domain, arithmetic)
    return Problem(
        name=prop.name,
        digest=given.digest,
        graph=deployed,
        inputs=inputs,
        labels=asked.labels,
        indices=tuple(positions.tolist()),
        excluded=excluded,
        placements=placements,
        domain=domain,
        constraints=asked.rows,
        violations=asked.violations,
        selections=asked.selections,
        thresholds=asked.thresholds,
        pairs=asked.pairs,
        per_input=isinstance(statement, PerInput),
        arithmetic=arithmetic,
        readout=read,
        spread=spread,
        blends=blends,
        doubt=asked.doubt,
    )


def _read(inputs: Floats, dtype: str, blends: bool) -> Floats:
    """Inputs as the network reads them, in numbers of its own type: rounded to it once, before all else."""
    read = np.ascontiguousarray(inputs.astype(dtype).astype(np.float64))
    return without_trigger(read) if blends else read


MOVING = frozenset(
    {"input", "affine", "conv", "shift", "scale", "divide", "clip", "activation", "maxpool", "meanpool", "reshape"}
    | {"transpose", "take", "add", "concat", "softmax", "logsoftmax", "batchnorm"}
)
"""Operations whose error at an input of any error is known by a Lipschitz constant."""


def _spread(statement: RateBound | PerInput | Measure, graph: Graph, each: bool) -> float:
    """How far inputs move beside their trigger, upwards; nothing where the move is a part of it (`each`).

    Raises:
        UnsupportedError: VF7001 where inputs move and the network holds more than `MOVING`, or rows speak of `f(x)`.
    """
    radius = statement.selection.radius
    claim = claims_of(statement)[0]
    if not radius or (each and not reads_untouched(claim.rows)):
        return 0.0
    strange = {node.op.kind for node in graph.nodes[:-1]} & {"softmax", "logsoftmax"} | {
        node.op.kind for node in graph.nodes
    } - MOVING
    if strange or reads_untouched(claim.rows):
        what = f"`{sorted(strange)[0]}`" if strange else "a claim about f(x)"
        raise UnsupportedError("VF7001", f"there are no bounds for {what} where inputs move")
    return upward(radius)


def _has_outputs(graph: Graph, model: ModelDecl) -> None:
    if graph.output_shape == (model.output.size,):
        return
    declared = {ClassOutput: f"class({model.output.size})", BinaryOutput: "binary, which is one score"}
    words = declared.get(type(model.output), f"real({model.output.size})")
    raise ModelError(
        "VF2201",
        f"model {model.name!r} gives outputs of shape {graph.output_shape}, the spec says {words}",
        place=model.span,
        remedy="write the number of classes or outputs that the network's last layer has",
    )


def _outputs(
    groups: Groups, graph: Graph, inputs: Floats, given: Given
) -> tuple[OutputConstraints, Violation, Integers]:
    """The rows of a condition on outputs, for these inputs."""
    untouched = None
    if reads_untouched(groups) and len(inputs):
        if given.untouched is None:
            raise ValueError("a claim about f(x) needs its bounds")
        untouched = given.untouched(graph, inputs, given.arithmetic)
    rows, violation, labels = output_rows(groups, len(inputs), untouched)
    # Real arithmetic replays in exact rationals, of which f(x) is known up to its radius.
    return (replace(rows, replayed=rows.certain) if given.arithmetic == "real" else rows), violation, labels


def _counted(spec: Spec, statement: Statement, given: Given) -> tuple[Integers, Counting, tuple[tuple[int, str], ...]]:
    """Positions of the inputs that may count, which of them do, and why others do not; see `question.Doubt`."""
    data, selection = given.data, statement.selection
    states, replayed = None, np.ones(len(data.labels), dtype=bool)
    if selection.correct is not None:
        asked = np.union1d(*select(data, replace(selection, correct=None), None)[:2])
        found = _judged(spec, selection.correct, given, asked)
        states = np.full(len(data.labels), WRONG, dtype=np.int8)
        states[asked], replayed[asked] = found.states, found.replayed
    counted, doubtful, excluded = select(data, selection, states)
    positions = np.union1d(counted, doubtful)
    surely, replayed = np.isin(positions, counted), replayed[positions]
    return positions, Counting(surely, replayed | surely), excluded


def _judged(spec: Spec, correct: str, given: Given, asked: Integers) -> Answers:
    """What the model of `correct` says of some inputs, by their positions.

    About a network without bounds nothing is proved, and what refutes is a replay: where it is itself the judge, the
    replay's answers do.

    Raises:
        UnsupportedError: VF7001 where another model judges, and has no bounds.
    """
    model = named(spec.models, correct)
    judge = deploy(given.judge or given.graph, model, named(spec.spaces, model.space))
    if given.untouched is None:
        raise ValueError("`correct` needs bounds of outputs")
    inputs, labels = _read(given.data.inputs[asked], judge.dtype, False), given.data.labels[asked]
    try:
        return answers(judge, model.output, inputs, labels, given.untouched, within(given.arithmetic, judge.dtype))
    except UnsupportedError:
        if given.judge is not None:
            raise
        return replayed_answers(judge, model.output, inputs, labels)


def _are_classes(labels: Integers, positions: Integers, classes: int, data: Dataset) -> None:
    """Data may be checked against another model of its space, which has more classes."""
    wrong = np.flatnonzero(labels >= classes)
    if len(wrong):
        raise DataError(
            "VF3017",
            f"label {positions[wrong[0]]} is {labels[wrong[0]]}, which is no class of the model",
            place=data.path,
            expected=f"classes 0..{classes - 1}, counted from 0",
            remedy="`where label(x) in ...` or `where correct(model, x)` leaves such inputs out",
        )
