"""Commands about a run that was started before: `resume`, `watch`, `replay` and `report`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from verifluxa.cli.options import (
    Budget,
    Cluster,
    Format,
    JobExit,
    MovedData,
    MovedModels,
    MovedSpec,
    RunFolder,
    TakeOver,
    check_ending,
    pairs,
)
from verifluxa.durations import seconds

if TYPE_CHECKING:
    from verifluxa.replay import Replayed
    from verifluxa.report.pictures import Scene


def resume(
    ledger: RunFolder,
    cluster: Cluster = None,
    budget: Budget = None,
    take_over: TakeOver = False,
    format_: Annotated[Format, typer.Option("--format", help="What stands on stdout.")] = Format.TEXT,
    job_exit: JobExit = False,
) -> int:
    """Goes on with a run that was killed, interrupted, or whose budget ended. What has its answer is not asked again.

    The spec, models, data, strategy and version of the tool must be what they were. Exit codes: those of `verify`.
    """
    from verifluxa.cli.messages import show_warnings
    from verifluxa.cli.output import present
    from verifluxa.cli.verify_command import exit_code, work_in
    from verifluxa.dispatch.interrupts import stop_is_an_interrupt
    from verifluxa.dispatch.ledger import Ledger
    from verifluxa.run_folder import check_same, request_of, resumed_folder, with_changes
    from verifluxa.verify import prepare

    with stop_is_an_interrupt(), Ledger.open(find_ledger(ledger), take_over) as opened:
        prepared = prepare(with_changes(request_of(opened), cluster, seconds(budget)))
        check_same(opened, prepared)
        show_warnings(prepared.inputs.warnings)
        with resumed_folder(opened, prepared.inputs.spec) as folder:
            result = work_in(folder, prepared)
    present(result, format_, folder.path)
    return exit_code(result, job_exit)


def watch(
    ledger: RunFolder,
    port: Annotated[int, typer.Option(min=0, max=65535, help="On 127.0.0.1; 0 takes a free one.")] = 0,
    once: Annotated[bool, typer.Option("--once", help="Print where the run stands, and end.")] = False,
    log: Annotated[bool, typer.Option("--log", help="Print a JSON line for each answered question, and end.")] = False,
) -> int:
    """Shows a live page on 127.0.0.1: questions, what is proved, workers, the worst open question, time left."""
    from verifluxa.cli.output import emit, print_words
    from verifluxa.dispatch.status import run_status, status_words

    path = find_ledger(ledger)
    if log:
        from verifluxa.dispatch.status import log_lines

        for line in log_lines(path):
            emit(line)
        return 0
    if once:
        print_words(status_words(run_status(path)))
        return 0
    from verifluxa.cli.watch_page import serve

    serve(path, port, lambda address: print_words([f"watching {path} on {address}; Ctrl-C ends it"]))
    return 0


def find_ledger(path: Path) -> Path:
    """The ledger file that a path means.

    Raises:
        UsageError: VF4423 when there is none.
    """
    from verifluxa.dispatch.ledger_file import LEDGER_FILE
    from verifluxa.errors import UsageError

    found = path / LEDGER_FILE if path.is_dir() else path
    if not found.is_file():
        raise UsageError(
            "VF4423",
            "there is no ledger here",
            place=str(path),
            expected=f"the folder that `verifluxa verify --out` wrote, or its `{LEDGER_FILE}`",
            remedy="a run without --out keeps no ledger",
        )
    return found


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
    from verifluxa.report.pictures import pictures
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


def report(
    result: Annotated[Path, typer.Argument(metavar="RESULT", help="The result.json that `verify --out` wrote.")],
    other: Annotated[
        Path | None, typer.Argument(metavar="RESULT2", help="Another one, to be compared with.", show_default=False)
    ] = None,
    model: MovedModels = None,
    model2: Annotated[
        list[str] | None, typer.Option("--model2", metavar="NAME=FILE", help="The same for RESULT2.")
    ] = None,
    data: MovedData = None,
    spec: MovedSpec = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="The page; report.html beside RESULT by default."),
    ] = None,
) -> int:
    """Writes one HTML page that explains a result: it needs no network, no scripts, and can be printed or sent.

    With a second result both stand side by side: a clean and a suspect model, an old and a new one.
    Triggers are evaluated again where the spec, models and data are there, with the digests that the result names.
    """
    from verifluxa.cli.output import print_words
    from verifluxa.inputs import Choice
    from verifluxa.report.page.compare import comparison
    from verifluxa.report.page.page import page
    from verifluxa.report.story import account
    from verifluxa.result.write import write_whole
    from verifluxa.run_folder import PAGES

    if model2 and other is None:
        raise typer.BadParameter("--model2 needs RESULT2")
    check_ending(out, "the report is one HTML page", ".html", ".htm")
    files = pairs("--data", data)
    told = account(result, Choice(pairs("--model", model), files), spec)
    if other is None:
        text = page(told)
    else:
        text = comparison(told, account(other, Choice(pairs("--model2", model2), files), spec))
    path = out or result.parent / PAGES[other is not None]
    write_whole(path, text.encode("utf-8", errors="backslashreplace"))
    print_words([f"written: {path}"])
    return 0
