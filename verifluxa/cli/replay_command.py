"""`verifluxa replay`: evaluate a stored counterexample again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from verifluxa.cli.arguments import MovedData, MovedModels, MovedSpec
from verifluxa.cli.options import pairs

if TYPE_CHECKING:
    from verifluxa.replay import Replayed
    from verifluxa.report.scenes import Scene

MOST_ROWS = 12


def replay(
    result: Annotated[Path, typer.Argument(metavar="RESULT", help="The result.json of a falsified property.")],
    model: MovedModels = None,
    data: MovedData = None,
    spec: MovedSpec = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", metavar="DIR", help="Folder for the pictures.")] = None,
) -> int:
    """Evaluates the counterexample of a result on the model again, and draws it.

    Exit codes: 0 reproduced, 1 not reproduced. Files with other digests than the result's are refused.
    """
    from verifluxa.cli.output import print_words
    from verifluxa.inputs import Choice
    from verifluxa.replay import replay_result
    from verifluxa.report.scenes import pictures
    from verifluxa.run_folder import PICTURES, write_pictures

    choice = Choice(pairs("--model", model), pairs("--data", data))
    replayed = replay_result(result, choice, spec)
    files: dict[str, bytes] = {}
    for item in replayed:
        print_words(_words(item))
        if item.violated:
            files |= {f"{item.name}-{name}": data for name, data in pictures(_scene(item)).items()}
    folder = (out or result.parent) / PICTURES
    if files:
        write_pictures(folder, files)
        print_words([f"pictures: {folder / name}" for name in files])
    return 0 if all(item.reproduced for item in replayed) else 1


def _scene(item: Replayed) -> Scene:
    from verifluxa.report.scenes import scene

    return scene(item.problem, item.question, item.trigger, item.replay, item.classes, _effect(item))


def _words(item: Replayed) -> Iterator[str]:
    from verifluxa.report.words import answers

    place = ", ".join(f"{name} {value}" for name, value in item.stored.placement)
    yield f"{item.name}: {'reproduced' if item.reproduced else 'NOT reproduced'}"
    yield f"  trigger at {place}: {_effect(item)}"
    violation, replay = item.question.violation, item.replay
    before, after = (answers(item.problem, violation, out, item.classes) for out in (replay.before, replay.after))
    yield f"  {'input':>8}  {'before':>8}  {'after':>8}  {'margin':>10}"
    order = (-item.replay.margins).argsort(kind="stable")
    for number in order[:MOST_ROWS]:
        index = item.problem.indices[int(item.replay.inputs[number])]
        yield f"  {index:>8}  {before[number]:>8}  {after[number]:>8}  {item.replay.margins[number]:>10.4g}"
    if len(order) > MOST_ROWS:
        yield f"  ... and {len(order) - MOST_ROWS} more; a margin above 0 violates"


def _effect(item: Replayed) -> str:
    from verifluxa.report.words import allowed, effect, goes
    from verifluxa.result.result import Share

    target = item.stored.target
    words = goes(item.classes, target, item.asked.condition)
    rate = None if item.problem.per_input and item.violated else Share(item.violated, len(item.replay.inputs))
    return effect(rate, item.stored.inputs, words, allowed(item.asked.kind, item.asked.limit_of(target)))
