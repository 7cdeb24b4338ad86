"""From a replayed counterexample to its pictures: a few of its inputs, and what is drawn of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from verifluxa.lower.stamp import PLANES, blended
from verifluxa.question import Floats, Problem, Question
from verifluxa.report.pictures import Caption, Corner, Example, Levels, before_after_picture, png, trigger_picture
from verifluxa.report.words import answers, effect_words
from verifluxa.result.result import Counterexample, PropertyResult
from verifluxa.result.trigger import shown_values, trigger_vector
from verifluxa.search.replay import Replay, replay, stamped

MOST_EXAMPLES = 6

Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scene:
    """A counterexample with everything that is drawn of it.

    Attributes:
        problem, question: what it refutes.
        trigger: levels, shape (channels, height, width).
        shown: inputs that it changes, indices into the problem's.
        before: these inputs without the trigger, in the user's units, shape (n, channels, height, width).
        after: the same inputs with the trigger, in the user's units, shape (n, channels, height, width).
        classes: for each of them, what the network says without and with the trigger, in words.
        effect: what the trigger does, one sentence.
    """

    problem: Problem
    question: Question
    trigger: Values
    shown: tuple[int, ...]
    before: Values
    after: Values
    classes: tuple[tuple[str, str], ...]
    effect: str


def is_picture(problem: Problem, label: Iterable[tuple[str, int]]) -> bool:
    """Whether a placement is a rectangle in a picture."""
    return len(problem.graph.input_shape) == 3 and {"row", "column"} <= {name for name, _ in label}


def pictures(scene: Scene) -> dict[str, bytes]:
    """The PNG files of a counterexample by name: `trigger.png`, `inputs.png`. Empty where nothing is an image."""
    place = dict(scene.problem.placements[scene.question.placement].label)
    if not is_picture(scene.problem, place.items()):
        return {}
    corner = Corner(place["row"], place["column"])
    before = scene.before
    domain = scene.problem.domain_of(scene.question.placement)
    levels = Levels(min(0.0, float(domain.lower.min())), float(domain.upper.max()))
    seen = Levels(min(0.0, float(before.min()), float(scene.after.min())), _most(before, scene.after, domain.upper))
    _, height, width = scene.trigger.shape
    title = f"Trigger: {_span('row', corner.row, height)}, {_span('column', corner.column, width)}"
    caption = Caption(title, scene.effect)
    alone = trigger_picture(scene.trigger, corner, levels, caption)
    beside = before_after_picture(_examples(scene), (height, width), corner, seen, caption)
    return {"trigger.png": png(alone), "inputs.png": png(beside)}


def _most(*levels: Values) -> float:
    return max(float(values.max()) for values in levels)


def choose(classes: Sequence[int], most: int = MOST_EXAMPLES) -> list[int]:
    """Positions of the inputs to show: one of each class first, in the order of the classes, then further ones.

    >>> choose([3, 3, 1, 2, 1], most=4)
    [2, 3, 0, 1]
    """
    first: dict[int, int] = {}
    for position, number in enumerate(classes):
        first.setdefault(number, position)
    chosen = [first[number] for number in sorted(first)]
    chosen += [position for position in range(len(classes)) if position not in set(chosen)]
    return chosen[:most]


def _examples(scene: Scene) -> list[Example]:
    return [
        Example(scene.problem.indices[index], scene.before[number], scene.after[number], before, after)
        for number, (index, (before, after)) in enumerate(zip(scene.shown, scene.classes, strict=True))
    ]


def _span(name: str, first: int, count: int) -> str:
    return f"{name} {first}" if count == 1 else f"{name}s {first} to {first + count - 1}"


def scene_of_result(item: PropertyResult, found: Counterexample) -> Scene:
    """The scene of a counterexample that a run has just found."""
    problem = item.problem
    assert problem is not None
    question = Question(found.placement_index, found.violation, found.selection, problem.needs[found.selection])
    trigger = trigger_vector(problem, problem.placements[question.placement], found.trigger)
    assert trigger is not None
    played = replay(problem, question, trigger)
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
        after=_seen(problem, stamped(problem, question.placement, trigger, np.array(shown, dtype=np.int64))),
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
