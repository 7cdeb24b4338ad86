"""From a checked spec to what exactly is claimed: the checker's own lowering.

What it does not understand, it refuses to speak of: a statement, trigger or space of another kind, or one with
anything more to it than is known here, is never read as something simpler.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from verifluxa.certificate.check.functions import Floats
from verifluxa.certificate.check.network import LAST_ONLY, Integers, constants_of
from verifluxa.certificate.check.rounding import SOFTMAX_GAP
from verifluxa.certificate.evidence_lines import Row
from verifluxa.certificate.refuse import refused
from verifluxa.data.dataset import Dataset
from verifluxa.graph import ops
from verifluxa.graph.graph import Graph, build
from verifluxa.spec import spec

Alternative = tuple[int, ...]
"""Numbers of rows: all of them together are one way to violate."""
Known = spec.RateBound | spec.PerInput
_STATEMENT = "model trigger selection targets rows"
UNDERSTOOD: dict[type, str] = {
    spec.RateBound: f"{_STATEMENT} limit limits below searched",
    spec.PerInput: f"{_STATEMENT} expected",
    spec.PatchTrigger: "name space height width places low high step",
    spec.OutputRow: "stamped clean constant closed",
    spec.Selection: "data correct labels label_is_not_target",
    spec.ImageSpace: "name height width channels low high",
    spec.ModelDecl: "name space output file architecture layout encode span flux",
    spec.ClassOutput: "count labels",
    spec.EncodeStep: "kind values",
}
"""What is understood of a spec: kinds of values, and of each its fields; any other field must be empty."""
ENCODE = {"divide": ops.Divide, "multiply": ops.Scale, "add": ops.Shift, "subtract": ops.Shift}


@dataclass(frozen=True, eq=False)
class Claim:
    """What a property claims.

    Attributes:
        indices: positions of the counted inputs in the data file.
        excluded: the other positions.
        doubtful: those for which `correct` lies within the error of evaluation; either answer is allowed.
        inputs, labels: the counted inputs, shape (N, *input shape), and their labels.
        places: (row, column) of each placement.
        positions: for each placement the flat input values that the trigger replaces, shape (P, d).
        lower, upper: ends of each trigger value; `step` 1 on the grid of levels, 0 where continuous.
        targets: the class of each violation, None where there is no single one.
        weight: every row that an alternative may name, shape (R, outputs); `closed` tells which are met at 0.
        constants: of the rows where an output must surely, and may, meet them in a replay, and as a proof must
            exclude them, shape (R, 3).
        violations: for each violation and label the alternatives.
        selections: inputs (indices into `inputs`) of each selection.
        needs: how many of a selection must violate together.
        pairs: (violation, selection) asked at each placement.
    """

    indices: tuple[int, ...]
    excluded: tuple[int, ...]
    doubtful: tuple[int, ...]
    inputs: Floats
    labels: Integers
    places: tuple[tuple[int, int], ...]
    positions: Integers
    lower: float
    upper: float
    step: int
    targets: tuple[int | None, ...]
    weight: Floats
    closed: NDArray[np.bool_]
    constants: Floats
    violations: tuple[tuple[tuple[Alternative, ...], ...], ...]
    selections: tuple[tuple[int, ...], ...]
    needs: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]

    def numbers(self, rows: tuple[Row, ...]) -> tuple[int | None, ...]:
        """The claim's own row for each row of the evidence, which is only a hint; None where there is none."""
        known: dict[object, list[int]] = {}
        for number, (weight, closed) in enumerate(zip(self.weight, self.closed, strict=True)):
            key = tuple((int(at), float(weight[at])) for at in np.flatnonzero(weight)), bool(closed)
            known.setdefault(key, []).append(number)
        alike = (known.get((row.coefficients, row.closed), []) for row in rows)
        away = (np.abs(self.constants[:, 2] - row.constant) for row in rows)
        return tuple(min(n, key=far.__getitem__) if n else None for n, far in zip(alike, away, strict=True))


@dataclass(frozen=True, eq=False)
class Sources:
    """What a property speaks of: its input space, its data, the deployed graphs by model name, the arithmetic."""

    space: spec.ImageSpace
    data: Dataset
    models: Mapping[str, Graph]
    arithmetic: str


def understand(*parts: object) -> None:
    """Refuses what is not understood.

    Raises:
        CertificateError: VF5058.
    """
    for part in parts:
        known = UNDERSTOOD.get(type(part))
        if known is None:
            raise refused("VF5058", f"the checker does not know the kind {type(part).__name__}")
        for item in fields(part):  # type: ignore[arg-type]
            if item.name not in known.split() and getattr(part, item.name):
                raise refused("VF5058", f"the checker does not know {item.name!r} of {type(part).__name__}")


def understood(statement: spec.Statement) -> tuple[Known, spec.PatchTrigger]:
    """A statement and its trigger.

    Raises:
        CertificateError: VF5058 for one that is not understood.
    """
    understand(statement)
    assert isinstance(statement, Known)
    understand(statement.trigger, statement.selection)
    assert isinstance(statement.trigger, spec.PatchTrigger)
    return statement, statement.trigger


def deployed(decl: spec.ModelDecl, space: spec.ImageSpace, lifted: Graph) -> Graph:
    """`encode` in front of the lifted network, operation by operation, reading pixel levels.

    Raises:
        CertificateError: VF5058.
    """
    understand(decl, space, decl.output, *decl.encode)
    kinds = {step.kind for step in decl.encode} - set(ENCODE)
    if kinds or decl.layout not in ("whcn", "hwcn"):
        raise refused("VF5058", f"the checker does not know the layout {decl.layout} with {sorted(kinds)} in encode")
    front: list[ops.Op] = [ops.Input((space.channels, space.height, space.width))]
    front += [_encode(step, lifted.dtype) for step in decl.encode]
    front += [ops.Transpose((0, 2, 1))] if decl.layout == "hwcn" else []
    steps: list[tuple[ops.Op, tuple[int, ...]]] = [(op, (i - 1,) if i else ()) for i, op in enumerate(front)]
    moved = len(front) - 1
    steps += [(node.op, tuple(source + moved for source in node.inputs)) for node in lifted.nodes[1:]]
    graph = build(steps, lifted.dtype)
    if graph.output_shape != (decl.output.count,):
        raise refused("VF5058", f"the checker does not know outputs of shape {graph.output_shape}")
    return graph


def _encode(step: spec.EncodeStep, dtype: str) -> ops.Op:
    values = [-value if step.kind == "subtract" else value for value in step.values]
    array = np.array([rounded(value, dtype) for value in values], dtype=dtype)
    return ENCODE[step.kind](array.reshape(()) if len(values) == 1 else array.reshape(len(values), 1, 1))


def rounded(value: Fraction, dtype: str) -> float:
    """An exact constant rounded once to a float type, to nearest."""
    kind = np.float32 if dtype == "float32" else np.float64
    guess = kind(float(value))
    near = [np.nextafter(guess, kind(-math.inf)), guess, np.nextafter(guess, kind(math.inf))]
    even = {float(item): int(item.view(np.uint32 if dtype == "float32" else np.uint64)) & 1 for item in near}
    return min(even, key=lambda item: (abs(Fraction(item) - value), even[item]))


def claim_of(statement: spec.Statement, sources: Sources, frozen: tuple[int, ...]) -> Claim:
    """Works out what is claimed.

    Args:
        statement: the property's statement.
        sources: what it speaks of.
        frozen: the counted positions as the evidence gives them; used only where `correct` is in doubt.

    Raises:
        CertificateError: VF5058 for a statement that is not understood.
    """
    known, trigger = understood(statement)
    graph, data, universal = sources.models[known.model], sources.data, isinstance(known, spec.RateBound)
    counted, doubtful = _counted(known.selection, sources, frozen)
    indices, classes = tuple(map(int, np.flatnonzero(counted))), graph.output_shape[0]
    labels = data.labels[list(indices)]
    if (labels >= classes).any():
        raise refused("VF5052", "a label is no class of the model")
    selections = _selections(known, labels)
    if not all(selections):
        raise refused("VF5052", "a selection holds no input")
    weight, closed, constants = _rows(known, graph, _gap(graph, sources.arithmetic))
    return Claim(
        indices=indices,
        excluded=tuple(map(int, np.flatnonzero(~counted))),
        doubtful=tuple(map(int, np.flatnonzero(doubtful))),
        inputs=stored(data, graph)[list(indices)],
        labels=labels,
        places=trigger.places,
        positions=_positions(trigger, sources.space),
        lower=_outward(trigger.low, -1),
        upper=_outward(trigger.high, 1),
        step=trigger.step or 0,
        targets=known.targets if universal and known.targets else (None,),
        weight=weight.reshape(-1, classes),
        closed=closed,
        constants=constants.reshape(-1, 3),
        violations=_violations(known, classes),
        selections=selections,
        needs=tuple(_need(known, number, len(items)) for number, items in enumerate(selections)),
        pairs=tuple((index if universal else 0, index) for index in range(len(selections))),
    )


def _rows(statement: Known, graph: Graph, gap: float) -> tuple[Floats, NDArray[np.bool_], Floats]:
    """Rows of `Claim`: of each class against each other one, or those that the statement speaks of."""
    said, classes = [row for group in statement.rows for row in group], graph.output_shape[0]
    if not said:
        first, other = np.nonzero(~np.eye(classes, dtype=bool))
        weight = np.eye(classes)[first] - np.eye(classes)[other]
        return weight, np.ones(len(weight), dtype=bool), np.tile([-gap, 0.0, gap], (len(weight), 1))
    understand(*said)
    exact = all(Fraction(float(value)) == value and not any(row.clean) for row in said for value in row.stamped)
    if statement.targets or not exact or graph.nodes[-1].op.kind in LAST_ONLY:
        raise refused("VF5058", "the checker does not know such a condition on outputs")
    ends = [[_outward(row.constant, way) for way in (-1, 1, 1)] for row in said]
    return np.array([row.stamped for row in said], dtype=float), np.array([row.closed for row in said]), np.array(ends)


def stored(data: Dataset, graph: Graph) -> Floats:
    """The inputs as the deployed network reads them: numbers of its own float type."""
    return data.inputs.astype(graph.dtype).astype(np.float64)


def _outward(value: Fraction, direction: int) -> float:
    """The nearest double that is not inside the range."""
    near = float(value)
    inside = Fraction(near) > value if direction < 0 else Fraction(near) < value
    return math.nextafter(near, direction * math.inf) if inside else near


def _counted(
    selection: spec.Selection, sources: Sources, frozen: tuple[int, ...]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which inputs count, and for which that is in doubt."""
    data = sources.data
    keep, doubtful = np.ones(len(data.labels), dtype=bool), np.zeros(len(data.labels), dtype=bool)
    if data.sampled is not None:
        keep &= data.sampled
    if selection.labels is not None:
        keep &= np.isin(data.labels, selection.labels)
    if selection.correct is not None:
        right, doubtful = _correct(sources.models[selection.correct], data)
        doubtful &= keep
        keep &= np.where(doubtful, np.isin(np.arange(len(keep)), frozen), right)
    return keep, doubtful


def _correct(graph: Graph, data: Dataset) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether the label is the strict maximum in every allowed evaluation; whether evaluations may disagree."""
    constants = constants_of(graph, stored(data, graph), graph.dtype)
    if constants is None:
        return np.zeros(len(data.labels), dtype=bool), np.ones(len(data.labels), dtype=bool)
    value, radius = (part.T for part in constants.balls[-1])
    at = np.arange(len(value)), data.labels
    others = value.copy()
    others[at] = -np.inf
    best = at[0], others.argmax(axis=1)
    surely = (others + radius).max(axis=1) + _gap(graph, graph.dtype) < value[at] - radius[at]
    never = value[best] - radius[best] >= value[at] + radius[at]
    return surely, np.asarray(~surely & ~never)


def _gap(graph: Graph, arithmetic: str) -> float:
    return {"softmax": 1.0, "logsoftmax": 2.0}.get(graph.nodes[-1].op.kind, 0.0) * SOFTMAX_GAP[arithmetic]


def _positions(trigger: spec.PatchTrigger, space: spec.ImageSpace) -> Integers:
    """Channel by channel, row by row, as the trigger's values are counted."""
    channel, row, column = np.indices((space.channels, trigger.height, trigger.width)).reshape(3, -1)
    places = np.array(trigger.places, dtype=np.int64).reshape(-1, 2)
    rows, columns = places[:, :1] + row, places[:, 1:] + column
    if places.min(initial=0) < 0 or rows.max(initial=0) >= space.height or columns.max(initial=0) >= space.width:
        raise refused("VF5052", "a placement lies outside the picture")
    return np.asarray((channel * space.height + rows) * space.width + columns)


def _violations(statement: Known, classes: int) -> tuple[tuple[tuple[Alternative, ...], ...], ...]:
    every, targets, others = range(classes), statement.targets, classes - 1
    becomes = [tuple(range(target * others, target * others + others)) for target in every]
    leaves = [tuple((at * others + end - (end > at),) for at in every if at != end) for end in every]
    if statement.rows:
        ends = np.cumsum([0, *(len(group) for group in statement.rows)])
        return ((tuple(tuple(range(low, high)) for low, high in pairwise(ends)),) * classes,)
    if isinstance(statement, spec.RateBound):
        return tuple(((becomes[target],),) * classes for target in targets) or (tuple(leaves),)
    if targets:
        return ((tuple(becomes[target] for target in targets),) * classes,)
    return (tuple(leaves[label if statement.expected is None else statement.expected] for label in every),)


def _selections(statement: Known, labels: Integers) -> tuple[tuple[int, ...], ...]:
    everyone = tuple(range(len(labels)))
    if isinstance(statement, spec.PerInput):
        return tuple((index,) for index in everyone)
    apart = statement.selection.label_is_not_target
    chosen = (tuple(i for i in everyone if not apart or int(labels[i]) != target) for target in statement.targets)
    return tuple(chosen) or (everyone,)


def _need(statement: Known, number: int, count: int) -> int:
    """How many of `count` inputs break the statement."""
    if isinstance(statement, spec.PerInput):
        return 1
    exact = statement.limit_of(statement.targets[number] if statement.targets else None) * count
    need = math.ceil(exact) if statement.below else math.floor(exact) + 1
    if need < 1:
        raise refused("VF5058", "the checker does not know a limit that no input at all would keep")
    return need
