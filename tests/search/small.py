"""Problems so small that every trigger can be tried, and what happens when it is."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.soundness.build import Ask, Family, digested, levels, make_problem, mlp, replacing
from verifluxa.evidence import Outcome
from verifluxa.question import Domain, Problem, Question
from verifluxa.search.branch import Steps, branch_on_boxes
from verifluxa.search.initial_bounds import InitialBounds
from verifluxa.search.replay import stamped_inputs
from verifluxa.search.workspace import Workspace
from verifluxa.stages import BranchStage

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class BranchSettings(BranchStage):
    """A branching stage with the joint step, and how many claims a batch aims at."""

    joint: bool = True
    batch: int = 256


def with_thresholds(how: Any, **changes: float) -> Any:
    """A stage of the same settings, with other thresholds."""
    kind = type("Changed", (type(how),), {"thresholds": replace(how.thresholds, **changes)})
    return kind(**vars(how))


FEATURES, CLASSES, INPUTS, TOP = 5, 3, 6, 6.0


def random_problem(seed: int, ask: Ask | None = None, positions: tuple[int, ...] = (1, 3)) -> Problem:
    """A 5-7-4-3 network with small whole weights, six inputs, a trigger of two values 0..6 (49 triggers)."""
    random = np.random.default_rng(seed)

    def some(*shape: int) -> NDArray[np.int64]:
        return random.integers(-3, 4, shape)

    layers = ((some(7, FEATURES), some(7)), (some(4, 7), some(4) * 4), (some(CLASSES, 4), some(CLASSES) * 8))
    graph = mlp((1, 1, FEATURES), *layers)
    inputs = random.integers(0, int(TOP) + 1, (INPUTS, FEATURES)).astype(float)
    labels = random.integers(0, CLASSES, INPUTS).tolist()
    family = Family((replacing(positions), replacing((0, 4)[: len(positions)])), levels(len(positions), 0, TOP))
    return make_problem(graph, inputs, labels, family, ask or Ask())


def with_need(problem: Problem, need: int, placement: int = 0, number: int = 0) -> Question:
    """The question at a placement, with another need."""
    return problem.questions(placement)[number]._replace(threshold=need)


def all_triggers(domain: Domain) -> Floats:
    """Every point of a grid, shape (T, d)."""
    ends = zip(domain.lower, domain.upper, domain.step, strict=True)
    axes = [low + step * np.arange(round((high - low) / step) + 1) for low, high, step in ends]
    return np.array(list(itertools.product(*axes)))


def row_values(problem: Problem, question: Question, trigger: Floats) -> Floats:
    """Row values of the selected inputs under a trigger, in float64, shape (n, R)."""
    graph = replace(problem.graph, dtype="float64")
    outputs = graph.run(stamped_inputs(problem, question.placement, trigger, problem.selections[question.selection]))
    return np.asarray(outputs @ problem.constraints.coefficients.T + problem.constraints.constants)


def counts(problem: Problem, question: Question, triggers: Floats, strict: bool) -> NDArray[np.int64]:
    """How many selected inputs violate under each trigger; a tie counts where not strict."""
    by_label = problem.violations[question.violation].by_label
    chosen = problem.selections[question.selection]
    found = []
    for trigger in triggers:
        values = row_values(problem, question, trigger)
        met = values > 0 if strict else values >= 0
        alternatives = (by_label[int(problem.labels[i])] for i in chosen)
        found.append(sum(any(met[n, list(rows)].all() for rows in a) for n, a in enumerate(alternatives)))
    return np.array(found)


def most(problem: Problem, question: Question, strict: bool = False) -> int:
    """The largest count over all triggers."""
    return int(counts(problem, question, all_triggers(problem.domain), strict).max())


def in_real(problem: Problem) -> Problem:
    """The same in exact arithmetic."""
    return digested(replace(problem, arithmetic="real"))


def in_float32(problem: Problem) -> Problem:
    """The same in float32."""
    return digested(replace(problem, arithmetic="float32"))


def reordered(problem: Problem, seed: int) -> Problem:
    """The same with its inputs in another order."""
    order = np.random.default_rng(seed).permutation(len(problem.labels))
    place = np.argsort(order)
    selections = tuple(np.sort(place[chosen]) for chosen in problem.selections)
    inputs, labels = problem.inputs[order], problem.labels[order]
    return digested(replace(problem, inputs=inputs, labels=labels, selections=selections))


def searched(
    work: Workspace,
    rooted: Sequence[InitialBounds],
    how: BranchSettings,
    deadline: float | None = None,
    steps: Steps | None = None,
) -> list[Outcome]:
    """Branch and bound on questions of one placement, to the end of each."""
    searches = branch_on_boxes(work, rooted, how, deadline, how.batch, steps)
    ended = {one.outcome.question: one.outcome for some in searches for one in some}
    return [ended[one.question] for one in rooted]
