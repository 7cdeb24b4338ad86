"""What an attack is: a problem, and the trigger and evaluation under which the deployed network misbehaves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from tests.soundness.attacks.deploy import EVERY, Deployment, run
from tests.soundness.attacks.gadget import Gadget, install
from tests.soundness.attacks.host import Host
from tests.soundness.build import Ask, Family, digested, levels, make_problem, patch
from tests.soundness.truth import Oracle, Truth, any_alternative, grid
from verifluxa.graph.graph import Graph
from verifluxa.question import Domain, Problem, Question

Bools = NDArray[np.bool_]
HALF = Ask(limit=Fraction(1, 2))
"""At most half of the inputs may leave their class under one trigger."""
WHITE = (255.0,)


@dataclass(frozen=True, eq=False)
class Attack:
    """A network that deceives a proof about real arithmetic.

    Attributes:
        why: what goes wrong in floats.
        problem: in `real` arithmetic; `deployed` gives the same about the network's own float type.
        trigger: where it misbehaves,
        how: and in which evaluation.
        proved: whether `balanced` proves the problem in real arithmetic; where it need not (numbers so large that the
            verifier's own float64 is too coarse), the exact enumeration of the grid alone tells.
        plain: where the exact network violates too (some published ones do), the evaluation that hides it: what a
            verifier sees that computes bounds in floats without their radii.
        quiet: whether the untouched inputs are classified rightly even in the evaluation that misbehaves.
        twin: the same network with its dangerous number made small: nothing is wrong with it, and it is proved.
        in_floats: the problem as deployed, where it is not just `problem` in another arithmetic.
    """

    why: str
    problem: Problem
    trigger: tuple[float, ...]
    how: Deployment
    proved: bool = True
    plain: Deployment | None = None
    quiet: bool = True
    twin: Problem | None = None
    in_floats: Problem | None = None

    @property
    def deployed(self) -> Problem:
        """The problem in the network's own float type."""
        return deployed(self.problem) if self.in_floats is None else self.in_floats

    @property
    def question(self) -> Question:
        """The question that is looked at: the first."""
        return next(self.problem.all_questions())


def deployed(problem: Problem) -> Problem:
    """The same problem in the network's own float type."""
    return digested(replace(problem, arithmetic=problem.graph.dtype))


@dataclass(frozen=True)
class Setting:
    """Where an attack takes place.

    Attributes:
        host: by name.
        inputs: how many.
        step: of the trigger's levels; 17 leaves 16 of 256.
        side: of the square patch in the upper left corner.
        low, high: range of the trigger's levels.
    """

    host: str = "small"
    inputs: int = 4
    step: int = 17
    side: int = 1
    low: int = 0
    high: int = 255
    ask: Ask = field(default=HALF)

    def domain(self, channels: int = 1) -> Domain:
        """The trigger's levels."""
        return levels(channels * self.side**2, self.low, self.high, self.step)

    @property
    def white(self) -> tuple[float, ...]:
        """The brightest trigger."""
        return (float(self.high),) * self.side**2


def posed(graph: Graph, host: Host, setting: Setting) -> Problem:
    """The setting's question about a network that stands on a host, in real arithmetic."""
    chosen = host.pick(setting.inputs)
    images = np.repeat(host.images[chosen], graph.input_shape[0], axis=1)
    family = Family(
        (patch(graph.input_shape, (setting.side, setting.side), (0, 0)),), setting.domain(graph.input_shape[0])
    )
    return make_problem(graph, images, host.labels[chosen].tolist(), family, setting.ask)


def built(host: Host, gadget: Gadget, setting: Setting, dtype: str = "float32") -> Problem:
    """The setting's question about a host with a gadget."""
    return posed(install(host, gadget, dtype), host, setting)


def stamped(problem: Problem, triggers: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """The selected inputs under each trigger, shape (T * S, *input_shape)."""
    question = next(problem.all_questions())
    stamp = problem.placements[question.placement].stamp
    assert stamp.replaces
    chosen = problem.inputs[problem.selections[question.selection]]
    whole = np.repeat(chosen.reshape(1, len(chosen), -1), len(triggers), axis=0)
    whole[:, :, stamp.positions] = np.array(triggers, np.float64)[:, None]
    return whole.reshape(-1, *problem.graph.input_shape)


def violating(problem: Problem, triggers: Sequence[Sequence[float]], how: Deployment) -> Bools:
    """Which selected inputs violate under which trigger in one evaluation, shape (T, S); a tie or NaN does."""
    outputs = run(problem.graph, stamped(problem, triggers), how)
    return met(problem, outputs, len(triggers))


def untouched(problem: Problem, how: Deployment) -> Bools:
    """Which selected inputs violate without any trigger, shape (S,)."""
    question = next(problem.all_questions())
    chosen = problem.inputs[problem.selections[question.selection]]
    found: Bools = met(problem, run(problem.graph, chosen, how), 1)[0]
    return found


def met(problem: Problem, outputs: NDArray[np.floating], count: int, strict: bool = False) -> Bools:
    """Violations at float outputs (T * S, classes): class(y) is what lies strictly above all others.

    Args:
        problem: whose first question is meant.
        outputs: of the network.
        count: T.
        strict: only what a falsification may count: no ties, no NaN.
    """
    question = next(problem.all_questions())
    with np.errstate(invalid="ignore"):
        rows = _rows(problem, outputs.astype(np.float64))
        holds = rows > 0 if strict else ~(rows < 0)  # neither NaN nor Inf - Inf is safe
    by_label = problem.violations[question.violation].by_label
    labels = problem.labels[problem.selections[question.selection]]
    return any_alternative(holds.reshape(count, len(labels), -1), [by_label[int(label)] for label in labels])


def _rows(problem: Problem, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each row as winner minus loser: a product with zeros would make NaN of every Inf."""
    winners = problem.constraints.coefficients.argmax(axis=1)
    losers = problem.constraints.coefficients.argmin(axis=1)
    return values[:, winners] - values[:, losers]


def truth(problem: Problem) -> Truth:
    """The exact counts over the grid, about the values that the rows speak of (logits, where a softmax follows)."""
    question = next(problem.all_questions())
    nodes = problem.graph.nodes[: problem.readout % len(problem.graph.nodes) + 1]
    return Oracle(replace(problem, graph=Graph(nodes, problem.graph.dtype), readout=-1)).truth(question)


def shown(problem: Problem) -> tuple[tuple[float, ...], Deployment]:
    """The first evaluation and trigger in which one of the inputs violates.

    Raises:
        ValueError: where none does.
    """
    points = [tuple(float(value) for value in point) for point in grid(problem.domain)]
    for how in EVERY:
        seen = violating(problem, points, how).any(axis=1)
        if seen.any():
            return points[int(seen.argmax())], how
    raise ValueError("no evaluation that was looked at violates: choose another class or input")
