"""`verifluxa resume` and `verifluxa watch`: a run goes on after a crash; a page shows where one stands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from verifluxa.cli.arguments import Budget, Cluster, JobExit, RunFolder
from verifluxa.cli.formats import Format
from verifluxa.cli.options import seconds


def resume(
    ledger: RunFolder,
    cluster: Cluster = None,
    budget: Budget = None,
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

    with stop_is_an_interrupt(), Ledger.open(find_ledger(ledger)) as opened:
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
    from verifluxa.dispatch.status import standing, standing_words

    path = find_ledger(ledger)
    if log:
        from verifluxa.dispatch.status import log_lines

        for line in log_lines(path):
            emit(line)
        return 0
    if once:
        print_words(standing_words(standing(path)))
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
