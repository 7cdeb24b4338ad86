"""What closes a question: the typed split tree, and the witness that refutes. Plain data, JSON lines.

`certificate.codec` writes and reads these classes by their fields, in this order, each with its `tag` in front.

A node of the tree stands for a domain (the root's is the question's). At each node some inputs fall
away: for every alternative of their violation one row is below zero on the whole domain. What fell at a
node stays away below it. A leaf is closed when fewer than `threshold` inputs remain.

Alternatives may fall one by one on the path from the root: an input is gone once each of its alternatives
has fallen, here or above.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from verifluxa.documents import ASCENDING, NOT_EMPTY, NOT_NEGATIVE, NOT_ZERO, OMITTED, POSITIVE, Form, Rule
from verifluxa.question import Question
from verifluxa.verdict import Reason, Verdict

OPEN = -1
"""In `PrunedDisjunct.rows`: this alternative does not fall here."""
MOST_LEVELS = 1 << 19
"""Slopes under the `IntermediateSlopes` of one leaf, a byte each: more are not written, and refused."""
CONTRADICTED = -2
"""In `PrunedDisjunct.rows`: the clipped bounds of some neuron cross, so the alternative cannot be met."""

Slopes = tuple[Annotated[str, Form("two lower-case hex digits for each neuron of a layer", r"([0-9a-f]{2})*")], ...]
"""See `PrunedDisjunct`."""
Betas = tuple[tuple[int, int, Annotated[float, NOT_ZERO]], ...]
"""(layer, neuron, multiplier) of each; see `PrunedDisjunct`."""


class PrunedDisjunct(NamedTuple):
    """Alternatives of one input that cannot be met on the node's domain.

    Attributes:
        input: index into the problem's inputs.
        rows: for every alternative, in order, the row that is below zero, or OPEN, or CONTRADICTED.
        planes: the rows that clipped the input's neurons, one per clipping round; empty when plain
            bounds were enough. With planes, exactly one entry of `rows` is not OPEN (clipping speaks of one
            alternative); an input may stand in several records.
        slopes: for each hidden layer the lower slopes of the row's plane that were chosen in place of the default
            rule, as two hex digits k per neuron: k / 255, at least a leaky relu's own slope; they count where the
            neuron bends within its (clipped) bounds. Of other functions both lines run along a slope: 0 is the default
            rule, 1 to 255 go in equal steps from the least to the largest slope of `bounds.alpha.SlopeRange`. An empty
            text: the default rule. Empty: in every layer.
        betas: (layer, neuron, multiplier) of neurons that are split above: the multiplier times the
            pre-activation, which is >= 0, is added to the row. Positive where the pre-activation is >= 0, negative
            where it is <= 0. With slopes or betas, exactly one entry of `rows` is not OPEN.
    """

    input: int
    rows: tuple[int, ...]
    planes: tuple[int, ...] = ()
    slopes: Slopes = ()
    betas: Betas = ()


@dataclass(frozen=True)
class BoxSplit:
    """Halves [lower, low_end] and [high_start, upper] of one coordinate (adjacent grid lines, or equal)."""

    tag: ClassVar[str] = "b"
    coordinate: int
    low_end: float
    high_start: float


@dataclass(frozen=True)
class SlabSplit:
    """Halves of one slab direction's range at `cut` (both closed)."""

    tag: ClassVar[str] = "s"
    direction: int
    cut: float


@dataclass(frozen=True)
class NeuronSplit:
    """Cases of one input's deployed pre-activation: <= 0 in the first child, >= 0 in the second.

    Attributes:
        input: index into the problem's inputs.
        layer: hidden layer of the placement's chain, from 0.
        neuron: of the layer, a relu.
    """

    tag: ClassVar[str] = "n"
    input: int
    layer: int
    neuron: int


@dataclass(frozen=True)
class InputSplit:
    """Cases of which input is the first to violate: in each child its input does, and those of the cases before do not.

    Where more than `threshold` inputs are left by fewer than there are cases, one of them violates wherever the
    question is met. What is handed down to a child is clipped, behind all else, by a plane of its input, which must be
    met there.

    Attributes:
        cases: by child an input with one open alternative, and a row of it; the row's plane is that of this node.
    """

    tag: ClassVar[str] = "i"
    cases: Annotated[tuple[tuple[int, int], ...], NOT_EMPTY]


Partition = BoxSplit | SlabSplit | NeuronSplit | InputSplit


def parts_of(partition: Partition) -> int:
    """How many children a partition makes."""
    return len(partition.cases) if isinstance(partition, InputSplit) else 2


class FarkasTerm(NamedTuple):
    """One plane in a joint closing.

    Attributes:
        input: index into the problem's inputs.
        position: which alternative of the input.
        row: the problem row.
        tangent: whether the lower relu slopes are 1 where the pre-activation at the closing's point is
            positive, else 0 (in place of the default rule).
        weight: the multiplier, nonnegative.
    """

    input: int
    position: int
    row: int
    tangent: bool
    weight: Annotated[float, NOT_NEGATIVE]


@dataclass(frozen=True)
class Joint:
    """A joint closing: an upper bound below `threshold` on how many inputs can violate together in the domain.

    With `z_i <= 1 + g_ij / M_ij` for each plane g_ij >= 0 where the claim is met and `M_ij >= -min g_ij`, any
    nonnegative weights give a bound by weak duality (see `search/joint.py`). A node either carries weights,
    or branches on one input: children[0] where it does not violate, children[1] where it does.

    Attributes:
        weights: of the planes; empty at a branching.
        beta: multipliers of the slabs, shape (m,), or none where no slab cuts the box.
        branch_on: the input, or -1.
        children: two, or none.
    """

    weights: tuple[FarkasTerm, ...] = ()
    beta: tuple[float, ...] = ()
    branch_on: int = -1
    children: tuple[Joint, ...] = ()


class WeightedTerm(NamedTuple):
    """One plane of a case of a conflict, with its own choices.

    Attributes:
        input: index into the problem's inputs.
        position: which alternative of the input.
        row: the problem row, one of the alternative.
        weight: the multiplier, positive.
        slopes: see `PrunedDisjunct`; a text for every hidden layer in which some neuron bends, else empty.
        betas: see `PrunedDisjunct`, of neurons of this input that are split above.
    """

    input: int
    position: int
    row: int
    weight: Annotated[float, POSITIVE]
    slopes: Slopes = ()
    betas: Betas = ()


@dataclass(frozen=True)
class Case:
    """A case of a conflict, in which some pre-activations of its inputs have known signs.

    Attributes:
        planes: of a leaf: the weighted sum of these upper planes is below 0 on the node's whole domain, where bounds of
            neurons are those of the domain, with the ends of split ones cut off at 0. Of a split, where the conflict
            has one claim: the sum is >= 0 wherever the claim is met in this case, so both cases start from ends that
            are clipped by it.
        split: the neuron whose two cases the children are, or None.
        children: two, or none.
    """

    planes: tuple[WeightedTerm, ...] = ()
    split: NeuronSplit | None = None
    children: tuple[Case, ...] = ()


@dataclass(frozen=True)
class Conflict:
    """Alternatives of different inputs that no trigger of the domain meets together, and the cases that show it.

    Where they are all met, each of their rows is >= 0, and so is any sum of their upper planes with weights >= 0.

    Attributes:
        claims: (input, position) of each alternative.
    """

    claims: Annotated[tuple[tuple[int, int], ...], NOT_EMPTY]
    case: Case


Ascending = Annotated[tuple[int, ...], ASCENDING]
"""Numbers of neurons."""


class IntermediateSlopes(NamedTuple):
    """Slopes that make the ends of an input's pre-activations tighter than the default rule does.

    Each end is that of an upper plane of the neuron, or of its negation, whose lower slopes are those given; layers
    above are bounded from the tighter ends.

    Attributes:
        input: index into the problem's inputs.
        layer: hidden layer of the placement's chain, from 1.
        neurons: whose ends are meant, ascending: all upper ones come first, then all lower ones.
        bent: for each hidden layer below the neurons under them whose slopes are given, ascending.
        levels: for each end a byte k for each of these, layer by layer: k / 255 as in `PrunedDisjunct`. Neurons that
            are not named keep the default rule.
    """

    input: int
    layer: int
    neurons: Ascending
    bent: tuple[Ascending, ...]
    levels: bytes

    @property
    def fits(self) -> bool:
        """Whether there is a level for each neuron below and each end."""
        levels = 2 * len(self.neurons) * sum(map(len, self.bent))
        return len(self.bent) == self.layer and len(self.levels) == levels


Clip = tuple[int, int, tuple[int, ...]]
"""An alternative of an input, by its position, and the rows of it that clip the input's neurons, one per round."""
Shared = tuple[tuple[int, int], ...]
"""Planes, by input and row, that clip each claim behind its own rows, one after the other.

That needs as many inputs as are left, each with one open alternative: only then all of them must be met. Where they
cannot be, by crossing bounds, a leaf is closed by that."""


@dataclass(frozen=True)
class Counted:
    """A leaf where fewer than `threshold` inputs are left."""


@dataclass(frozen=True)
class JointClosing:
    """A leaf where fewer than `threshold` inputs violate together.

    Attributes:
        joint: the bound.
        clips: the alternatives that are still open, from which the planes of the weights come.
        point: where tangents touch.
        shared: planes by which the open claims clip each other.
    """

    tag: ClassVar[str] = "j"
    joint: Joint
    clips: tuple[Clip, ...] = ()
    point: tuple[float, ...] = ()
    shared: Annotated[Shared, OMITTED] = ()


_FITS = Rule("a level for each neuron below and each end", lambda ends: ends.fits)
_FEW_LEVELS = Rule(
    f"at most {MOST_LEVELS} levels", lambda several: sum(len(ends.levels) for ends in several) <= MOST_LEVELS
)


@dataclass(frozen=True)
class Conflicts:
    """A leaf where any `threshold` inputs, each by an open alternative, hold all claims of one conflict.

    Attributes:
        conflicts: at least one.
        ends: tighten the bounds that these start from, bottom up.
    """

    tag: ClassVar[str] = "c"
    conflicts: Annotated[tuple[Conflict, ...], NOT_EMPTY]
    ends: Annotated[tuple[Annotated[IntermediateSlopes, _FITS], ...], OMITTED, _FEW_LEVELS] = ()


@dataclass(frozen=True)
class Unrecorded:
    """A leaf that an SMT solver, exact rationals at a single point, an enumeration or another engine decided.

    Fewer than `threshold` inputs violate together in the domain, and there is nothing that a checker could follow.
    """


@dataclass
class Split:
    """Parts of a domain, each with a node of its own.

    Attributes:
        partition: how the domain is split.
        children: as many as it has parts; they are added while the tree is built.
        clips: alternatives whose neurons stay, at the children, within the clipped ends that they have here: where an
            alternative is met in a part of a domain, it is met in the domain. Others stay within the ends that they
            have from above.
        shared: planes by which the claims that are handed down clip each other.
    """

    partition: Partition
    children: list[Node]
    clips: tuple[Clip, ...] = ()
    shared: Shared = ()


Closing = Counted | JointClosing | Conflicts | Unrecorded


@dataclass
class Node:
    """A domain of the tree.

    Below `shared` or an `InputSplit` everything speaks only of triggers under which the question is met and the cases
    above hold: a claim that falls there is not met under any of those. Where fewer inputs than are needed are left, or
    one is gone that is taken to violate, there are none.

    Attributes:
        dropped: alternatives that fall here.
        step: what closes the leaf, or how the domain is split; None: the leaf is open.
        anew: whether the node uses no ends from above.
    """

    dropped: list[PrunedDisjunct] = field(default_factory=list)
    step: Closing | Split | None = None
    anew: bool = False

    @property
    def split(self) -> Partition | None:
        """How the domain is split; None: a leaf."""
        return self.step.partition if isinstance(self.step, Split) else None

    @property
    def children(self) -> list[Node]:
        """Of a split; a leaf has none."""
        return self.step.children if isinstance(self.step, Split) else []

    @property
    def clips(self) -> tuple[Clip, ...]:
        """Of a split or a joint closing."""
        return self.step.clips if isinstance(self.step, Split | JointClosing) else ()

    @property
    def shared(self) -> Shared:
        """Of a split or a joint closing."""
        return self.step.shared if isinstance(self.step, Split | JointClosing) else ()


@dataclass(frozen=True, eq=False)
class Witness:
    """A trigger on the grid, replayed on the unsimplified network in the deployed arithmetic.

    Attributes:
        trigger: tau in the user's units, shape (d,).
        inputs: the inputs (indices into the problem's) that count and violate strictly in the replay.
        margins: the strict margin of each of them, in output units.
        robust: how many of the counted inputs violate in every evaluation order (margin above the error radius),
            whichever inputs in doubt count: rounded down to the same share of those that count in every evaluation.
    """

    trigger: NDArray[np.float64]
    inputs: tuple[int, ...]
    margins: tuple[float, ...]
    robust: int


@dataclass(frozen=True, eq=False)
class Strongest:
    """What the strongest trigger that was replayed for a question does.

    Attributes:
        count: `Witness.robust` of it; 0 where none was replayed, or none did anything.
        trigger: its values, shape (d,); None where `count` is 0.
    """

    count: int = 0
    trigger: NDArray[np.float64] | None = None

    def or_stronger(self, other: Strongest) -> Strongest:
        """The one of two that does more."""
        return other if other.count > self.count else self


NOTHING_FOUND = Strongest()


def strength_of(witness: Witness) -> Strongest:
    """What a replayed trigger does in every evaluation order."""
    return Strongest(witness.robust, witness.trigger) if witness.robust else NOTHING_FOUND


@dataclass(frozen=True, eq=False)
class Outcome:
    """The answer to one question.

    Attributes:
        strongest: the trigger that was seen to make most inputs violate in every evaluation order.
        proved: no trigger of the domain makes more inputs violate than this.
        stage: the stage that decided, or the last one that tried.
        boxes: domains that were bounded.
        tree: the split tree when certified (slab directions beside it), else None.
    """

    question: Question
    verdict: Verdict
    reason: Reason | None
    strongest: Strongest
    proved: int
    witness: Witness | None = None
    stage: str = ""
    boxes: int = 0
    seconds: float = 0.0
    tree: Node | None = None
    directions: NDArray[np.float64] | None = None

    @property
    def found(self) -> int:
        """How many inputs one replayed trigger makes violate in every evaluation order."""
        return self.strongest.count
