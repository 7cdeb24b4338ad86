"""What is drawn of a counterexample: a few of its inputs, replayed on the unsimplified network."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from verifluxa.lower.stamp import PLANES, blended
from verifluxa.question import Floats, Problem, Question
from verifluxa.report.pictures import Scene, choose
from verifluxa.report.words import answers, effect_words
from verifluxa.result.result import Counterexample, PropertyResult
from verifluxa.result.trigger import shown_values, trigger_vector
from verifluxa.search import Replay, replay_trigger, stamped_inputs


def scene_of_result(item: PropertyResult, found: Counterexample) -> Scene:
    """The scene of a counterexample that a run has just found."""
    problem = item.problem
    assert problem is not None
    question = Question(found.placement_index, found.violation, found.selection, problem.thresholds[found.selection])
    trigger = trigger_vector(problem, problem.placements[question.placement], found.trigger)
    assert trigger is not None
    played = replay_trigger(problem, question, trigger)
    return scene(problem, question, trigger, played, item.classes, effect_words(item, found))


def scene(
    problem: Problem, question: Question, trigger: Floats, played: Replay, classes: Sequence[str], effect: str
) -> Scene:
    """The scene of a replayed counterexample.

    Args:
        problem, question: what it refutes.
        trigger: as a vector.
        played: what the network does.
        classes: names of the classes, or empty.
        effect: what the trigger does, in words.
    """
    violated = np.flatnonzero(played.margins > 0)
    if not len(violated):
        # What is falsified in `real` may not show in the deployed run, which rounds.
        violated = np.arange(len(played.margins))
    before, after = (answers(problem, question.violation, out, classes) for out in (played.before, played.after))
    chosen = violated[choose([int(played.before[position].argmax()) for position in violated])]
    shown = tuple(int(played.inputs[position]) for position in chosen)
    return Scene(
        problem=problem,
        question=question,
        trigger=trigger_image(problem, question, trigger),
        shown=shown,
        before=_seen(problem, problem.inputs[list(shown)]),
        after=_seen(problem, stamped_inputs(problem, question.placement, trigger, np.array(shown, dtype=np.int64))),
        classes=tuple((before[n], after[n]) for n in chosen),
        effect=effect,
    )


def _seen(problem: Problem, inputs: Floats) -> Floats:
    """Inputs as people see them: where opacity varies, blended."""
    return blended(inputs) if problem.blends else inputs


def trigger_image(problem: Problem, question: Question, trigger: Floats) -> Floats:
    """The levels of a patch, shape (channels, height, width), as it stands in a blank picture; else tau itself."""
    stamp = problem.placements[question.placement].stamp
    positions, shape, values = stamp.positions, problem.graph.input_shape, shown_values(stamp, trigger)
    if len(shape) != 3:
        return trigger
    if problem.blends:
        # Of three planes the last one holds the levels that are mixed in.
        shape = (shape[0] // PLANES, *shape[1:])
        levels = positions >= 2 * int(np.prod(shape))
        positions, values = positions[levels] % int(np.prod(shape)), values[levels]
    blank = np.zeros(shape)
    blank.reshape(-1)[positions] = values
    _, rows, columns = np.unravel_index(positions, shape)
    return blank[:, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
