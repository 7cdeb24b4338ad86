"""From a checked spec to what exactly is claimed: the checker's own lowering.

What it does not understand, it refuses to speak of: a statement, trigger or space of another kind, or one with
anything more to it than is known here, is never read as something simpler.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from verifluxa.certificate.check.adjoint import row_radii
from verifluxa.certificate.check.functions import Floats
from verifluxa.certificate.check.network import LAST_ONLY, Constants, Integers, constants_of, evaluated, steps_of
from verifluxa.certificate.check.rounding import SOFTMAX_GAP, TINY
from verifluxa.certificate.evidence_lines import Row
from verifluxa.certificate.refuse import refused
from verifluxa.data.dataset import DOUBTFUL, NOT_CORRECT, NOT_SAMPLED, OTHER_LABEL, Dataset
from verifluxa.graph import ops
from verifluxa.graph.arithmetic import within
from verifluxa.graph.graph import Graph, build
from verifluxa.spec import spec
from verifluxa.spec.triggers.patch import PatchTrigger

_MOST_ROWS = 1 << 22
CLEARLY = 2.0
"""Times its radius that a margin must be for nobody to call it doubtful."""
IN, OPEN, OUT = 1, 0, -1
"""Whether an input counts: in every evaluation, in some or nobody can say, in none."""
Alternative = tuple[int, ...]
"""Numbers of rows: all of them together are one way to violate."""
KnownStatement = spec.RateBound | spec.PerInput
_STATEMENT = "model trigger selection targets rows"
UNDERSTOOD: dict[type, str] = {
    spec.RateBound: f"{_STATEMENT} limit limits below searched",
    spec.PerInput: f"{_STATEMENT} expected",
    PatchTrigger: "name space height width places low high step",
    spec.OutputRow: "stamped clean constant closed",
    spec.Selection: "data correct labels label_is_not_target",
    spec.ImageSpace: "name height width channels low high",
    spec.ModelDecl: "name space output file architecture layout encode span flux",
    spec.ClassOutput: "count labels",
    spec.EncodeStep: "kind values",
}
"""What is understood of a spec: kinds of values, and of each its fields; any other field must be empty."""
ENCODE = {"divide": ops.Divide, "multiply": ops.Scale, "add": ops.Shift, "subtract": ops.Shift}


@dataclass(frozen=True)
class Stated:
    """Which inputs count, as certificate and evidence state it: positions in the data file, ascending.

    Attributes:
        asked: those that may count, which the evidence speaks of.
        doubtful: those of them that are said to count in some evaluations only.
    """

    asked: tuple[int, ...]
    doubtful: tuple[int, ...] = ()


@dataclass(frozen=True)
class Share:
    """How many inputs of a selection count.

    Attributes:
        stated: as the certificate has it.
        surely: in every evaluation, as far as this checker can tell.
        most: at most, those among them that the evidence does not speak of.
        left_out: how many it does not speak of, though this checker cannot tell that they do not count.
    """

    stated: int
    surely: int
    most: int
    left_out: int


@dataclass(frozen=True, eq=False)
class Claim:
    """What a property claims.

    Attributes:
        indices: positions in the data file of the inputs that may count.
        counted: those that are said to count in every evaluation.
        excluded: (position, reason) of all others.
        surely: which of the inputs count in every evaluation, shape (N,).
        replayed: which of them count in this checker's own evaluation, shape (N,).
        replayed_besides: inputs that count in it and that the evidence does not speak of.
        left_out: inputs that are said not to count, though this checker cannot tell.
        unjudged: inputs of which the certificate says whether they count, and this checker cannot, those among them.
        inputs, labels: the inputs that may count, shape (N, *input shape), and their labels.
        places: (row, column) of each placement.
        extent: of the trigger in rows, columns and channels.
        positions: for each placement the flat input values that the trigger replaces, shape (P, d).
        lower, upper: ends of each trigger value; `step` 1 on the grid of levels, 0 where continuous.
        targets: the class of each violation, None where there is no single one.
        weight: every row that an alternative may name, shape (R, outputs); `closed` tells which are met at 0.
        constants: of the rows where an output must surely, and may, meet them in a replay, and as a proof must
            exclude them, shape (R, 3).
        violations: for each violation and label the alternatives.
        names: what each violation is called.
        selections: inputs (indices into `inputs`) of each selection.
        shares: of each selection how many of its inputs count.
        needs: how many of a selection must violate together, whichever of those in doubt count; 0: nothing is provable.
        threshold_of: how many of so many inputs that count break the statement, by selection.
        pairs: (violation, selection) asked at each placement.
        per_input: whether each selection is one input, and the trigger may depend on it.
    """

    indices: tuple[int, ...]
    counted: tuple[int, ...]
    excluded: tuple[tuple[int, str], ...]
    surely: NDArray[np.bool_]
    replayed: NDArray[np.bool_]
    replayed_besides: int
    left_out: int
    unjudged: int
    inputs: Floats
    labels: Integers
    places: tuple[tuple[int, int], ...]
    extent: tuple[int, int, int]
    positions: Integers
    lower: float
    upper: float
    step: int
    targets: tuple[int | None, ...]
    weight: Floats
    closed: NDArray[np.bool_]
    constants: Floats
    violations: tuple[tuple[tuple[Alternative, ...], ...], ...]
    names: tuple[str, ...]
    selections: tuple[tuple[int, ...], ...]
    shares: tuple[Share, ...]
    needs: tuple[int, ...]
    threshold_of: Callable[[int, int], int]
    pairs: tuple[tuple[int, int], ...]
    per_input: bool

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


def understood(statement: spec.Statement) -> tuple[KnownStatement, PatchTrigger]:
    """A statement and its trigger.

    Raises:
        CertificateError: VF5058 for one that is not understood.
    """
    understand(statement)
    assert isinstance(statement, KnownStatement)
    understand(statement.trigger, statement.selection)
    assert isinstance(statement.trigger, PatchTrigger)
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


def claim_of(statement: spec.Statement, sources: Sources, stated: Stated) -> Claim:
    """Works out what is claimed.

    Args:
        statement: the property's statement.
        sources: what it speaks of.
        stated: which inputs count, as it is stated.

    Raises:
        CertificateError: VF5058 for a statement that is not understood, VF5052 for other inputs than those that count.
    """
    known, trigger = understood(statement)
    graph, data, universal = sources.models[known.model], sources.data, isinstance(known, spec.RateBound)
    states, clear, reasons = _counted(known.selection, sources)
    replayed = _replayed(known.selection, sources, states)
    asked = _asked(stated, states, clear)
    doubtful = np.isin(asked, stated.doubtful)
    surely, classes = (states[asked] == IN) & ~doubtful, graph.output_shape[0]
    left_out = np.setdiff1d(np.flatnonzero(states == OPEN), asked)
    labels = data.labels[asked]
    if (labels >= classes).any():
        raise refused("VF5052", "a label is no class of the model")
    selections = _selections(known, labels)
    if not all(selections):
        raise refused("VF5052", "a selection holds no input")
    shares = _shares(known, selections, surely, doubtful, data.labels[left_out])
    weight, closed, constants = _rows(known, graph, _gap(graph, sources.arithmetic))
    reasons[list(stated.doubtful)] = DOUBTFUL
    others = np.setdiff1d(np.arange(len(states)), asked[~doubtful])
    return Claim(
        indices=tuple(asked.tolist()),
        counted=tuple(asked[~doubtful].tolist()),
        excluded=tuple((int(position), str(reasons[position])) for position in others),
        surely=surely,
        replayed=replayed[asked],
        replayed_besides=int(replayed[left_out].sum()),
        left_out=len(left_out),
        unjudged=len(left_out) + int(((states[asked] == OPEN) & ~doubtful).sum()),
        inputs=stored(data, graph)[asked],
        labels=labels,
        places=trigger.places,
        extent=(trigger.height, trigger.width, sources.space.channels),
        positions=_positions(trigger, sources.space),
        lower=_end(trigger, -1, sources.arithmetic),
        upper=_end(trigger, 1, sources.arithmetic),
        step=trigger.step or 0,
        targets=known.targets if universal and known.targets else (None,),
        weight=weight.reshape(-1, classes),
        closed=closed,
        constants=constants.reshape(-1, 3),
        violations=_violations(known, classes),
        names=_names(known),
        selections=selections,
        shares=shares,
        needs=tuple(_threshold(known, number, share.stated) for number, share in enumerate(shares)),
        threshold_of=partial(_threshold, known),
        pairs=tuple((index if universal else 0, index) for index in range(len(selections))),
        per_input=not universal,
    )


def _rows(statement: KnownStatement, graph: Graph, gap: float) -> tuple[Floats, NDArray[np.bool_], Floats]:
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


def _end(trigger: PatchTrigger, direction: int, arithmetic: str) -> float:
    """An end of the trigger's range, outside of what a network in a float type reads as a number of the range.

    It reads the nearest number of its type, and 0 in place of a subnormal one; whole levels are read as they are.
    """
    end = trigger.low if direction < 0 else trigger.high
    outward = _outward(end, direction)
    if arithmetic == "real" or trigger.step:
        return outward
    read = rounded(end, arithmetic)
    flushed = 0.0 if abs(read) < TINY[arithmetic] else read
    return min(outward, read, flushed) if direction < 0 else max(outward, read, flushed)


def _outward(value: Fraction, direction: int) -> float:
    """The nearest double that is not inside the range."""
    near = float(value)
    inside = Fraction(near) > value if direction < 0 else Fraction(near) < value
    return math.nextafter(near, direction * math.inf) if inside else near


def _counted(
    selection: spec.Selection, sources: Sources
) -> tuple[NDArray[np.int8], NDArray[np.bool_], NDArray[np.object_]]:
    """Of each input whether it counts: `IN` every evaluation, `OUT` of all of them, or `OPEN`.

    Returns:
        The states, which of them nobody can doubt (see `CLEARLY`), and why an input does not count, each of shape (N,).
    """
    data, count = sources.data, len(sources.data.labels)
    states, clear = np.full(count, IN, dtype=np.int8), np.ones(count, dtype=bool)
    reasons = np.full(count, "", dtype=object)
    if selection.correct is not None:
        checker = sources.models[selection.correct]
        states, clear = _correct(checker, data, within(sources.arithmetic, checker.dtype))
        reasons[:] = NOT_CORRECT
    for chosen, reason in ((selection.labels, OTHER_LABEL), (data.sampled, NOT_SAMPLED)):
        if chosen is not None:
            others = ~(np.isin(data.labels, chosen) if reason == OTHER_LABEL else np.asarray(chosen))
            states[others], clear[others], reasons[others] = OUT, True, reason
    return states, clear, reasons


def _replayed(selection: spec.Selection, sources: Sources, states: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Which inputs count in this checker's own evaluation; what it does not evaluate is taken not to."""
    counts, open_ = np.asarray(states == IN), np.flatnonzero(states == OPEN)
    checker = None if selection.correct is None else sources.models[selection.correct]
    steps = steps_of(checker) if checker is not None and len(open_) else None
    if checker is not None and steps is not None and within(sources.arithmetic, checker.dtype) != "real":
        outputs = evaluated(steps, stored(sources.data, checker)[open_].reshape(len(open_), -1), checker.dtype)
        if outputs is not None:
            rows = (_rows_of(sources.data.labels[open_], len(outputs)) @ outputs.T[..., None])[..., 0]
            counts[open_] = (rows > _gap(checker, checker.dtype)).all(axis=1)
    return counts


def _correct(graph: Graph, data: Dataset, arithmetic: str) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
    """Whether the label is the strict maximum in every allowed evaluation, or in none; and where that is clear."""
    classes = graph.output_shape[0]
    states = np.where(data.labels < classes, OPEN, OUT).astype(np.int8)
    clear = np.asarray(states == OUT)
    constants, known = constants_of(graph, stored(data, graph), arithmetic), np.flatnonzero(states == OPEN)
    if constants is None or classes < 2:
        return states, clear
    size = max(1, _MOST_ROWS // classes**2)
    for at in range(0, len(known), size):
        some, gap = known[at : at + size], _gap(graph, arithmetic)
        rows = _rows_of(data.labels[some], classes)
        for way in (_forward, _back):  # most are decided by errors that are carried forward, the others take longer
            waiting = np.flatnonzero(~clear[some])
            value, radius = way(constants.some(some[waiting]), rows[waiting])
            for times in (1.0, CLEARLY):
                inside, outside = value - times * radius > gap, value + times * radius <= -gap
                states[some[waiting[inside.all(axis=1)]]] = IN
                states[some[waiting[outside.any(axis=1)]]] = OUT
            clear[some[waiting[inside.all(axis=1) | outside.any(axis=1)]]] = True
    return states, clear


def _rows_of(labels: Integers, classes: int) -> Floats:
    """The label's output less each other one, shape (N, classes - 1, classes)."""
    own = np.arange(classes) == labels[:, None]
    others = np.nonzero(~own)[1].reshape(len(labels), classes - 1)
    return np.asarray(own[:, None] - np.eye(classes)[others])


def _forward(constants: Constants, rows: Floats) -> tuple[Floats, Floats]:
    """Rows over the outputs, and how far an evaluation may be off, shape (N, R)."""
    ball = constants.balls[-1]
    return np.einsum("nrk,kn->nr", rows, ball.value), np.einsum("nrk,kn->nr", np.abs(rows), ball.error)


def _back(constants: Constants, rows: Floats) -> tuple[Floats, Floats]:
    return _forward(constants, rows)[0], row_radii(constants, rows)


def _asked(stated: Stated, states: NDArray[np.int8], clear: NDArray[np.bool_]) -> Integers:
    """The positions of the inputs that may count, as stated, where this checker does not know better.

    To call an input doubtful only makes more of the claim: the prover's radius may be a little larger than this one's.

    Raises:
        CertificateError: VF5052.
    """
    asked = np.array(stated.asked, dtype=np.int64)
    ascending = bool((np.diff(asked, prepend=-1) > 0).all() and (asked < len(states)).all())
    doubtful = np.array(stated.doubtful, dtype=np.int64)
    if not ascending or not np.isin(doubtful, asked).all() or len(doubtful) > len(set(stated.doubtful)):
        raise refused("VF5052", "the inputs of the evidence are not those that certificate and data file have")
    counted = np.setdiff1d(asked, doubtful)
    wrong = [
        *counted[states[counted] == OUT],
        *doubtful[clear[doubtful]],
        *np.setdiff1d(np.flatnonzero(states == IN), asked),
    ]
    if wrong:
        raise refused("VF5052", f"input {min(wrong)} is said to count though it does not, or not to though it does")
    return asked


def _shares(
    known: KnownStatement,
    selections: tuple[tuple[int, ...], ...],
    surely: NDArray[np.bool_],
    doubtful: NDArray[np.bool_],
    left_out: Integers,
) -> tuple[Share, ...]:
    """How many inputs of each selection count.

    Args:
        surely: which inputs count in every evaluation, shape (N,).
        doubtful: which are stated to be in doubt, shape (N,).
        left_out: labels of those that the evidence does not speak of, though nobody can tell that they do not count.
    """
    shares = []
    for number, items in enumerate(selections):
        target = known.targets[number] if _apart(known) else None
        others = 0 if isinstance(known, spec.PerInput) else int((left_out != target).sum())
        chosen = list(items)
        stated = int((~doubtful[chosen]).sum())
        shares.append(Share(stated, int(surely[chosen].sum()), len(chosen) + others, others))
    return tuple(shares)


def _apart(known: KnownStatement) -> bool:
    """Whether each target speaks of the inputs of other labels."""
    return isinstance(known, spec.RateBound) and bool(known.targets) and known.selection.label_is_not_target


def _gap(graph: Graph, arithmetic: str) -> float:
    return {"softmax": 1.0, "logsoftmax": 2.0}.get(graph.nodes[-1].op.kind, 0.0) * SOFTMAX_GAP[arithmetic]


def _positions(trigger: PatchTrigger, space: spec.ImageSpace) -> Integers:
    """Channel by channel, row by row, as the trigger's values are counted."""
    channel, row, column = np.indices((space.channels, trigger.height, trigger.width)).reshape(3, -1)
    places = np.array(trigger.places, dtype=np.int64).reshape(-1, 2)
    rows, columns = places[:, :1] + row, places[:, 1:] + column
    if places.min(initial=0) < 0 or rows.max(initial=0) >= space.height or columns.max(initial=0) >= space.width:
        raise refused("VF5052", "a placement lies outside the picture")
    return np.asarray((channel * space.height + rows) * space.width + columns)


def _violations(statement: KnownStatement, classes: int) -> tuple[tuple[tuple[Alternative, ...], ...], ...]:
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


def _names(statement: KnownStatement) -> tuple[str, ...]:
    """What the violations are called."""
    targets = statement.targets
    if statement.rows:
        return ("outputs",)
    if isinstance(statement, spec.RateBound):
        return tuple(f"target {target}" for target in targets) or ("untargeted",)
    if targets:
        return ("reaches " + ", ".join(map(str, targets)),)
    return ("untargeted" if statement.expected is None else f"not {statement.expected}",)


def _selections(statement: KnownStatement, labels: Integers) -> tuple[tuple[int, ...], ...]:
    everyone = tuple(range(len(labels)))
    if isinstance(statement, spec.PerInput):
        return tuple((index,) for index in everyone)
    apart = _apart(statement)
    chosen = (tuple(i for i in everyone if not apart or int(labels[i]) != target) for target in statement.targets)
    return tuple(chosen) or (everyone,)


def _threshold(statement: KnownStatement, number: int, count: int) -> int:
    """How many of `count` inputs that count break the statement; 0 where none counts, so that nothing is provable."""
    if isinstance(statement, spec.PerInput):
        return 1
    if not count:
        return 0
    exact = statement.limit_of(statement.targets[number] if statement.targets else None) * count
    threshold = math.ceil(exact) if statement.below else math.floor(exact) + 1
    if threshold < 1:
        raise refused("VF5058", "the checker does not know a limit that no input at all would keep")
    return threshold
