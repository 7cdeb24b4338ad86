"""`verifluxa batch`: many runs on one pool, one summary, one exit code."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from verifluxa.cli.options import Cluster, JobExit, Strategy, TakeOver, seconds

if TYPE_CHECKING:
    from verifluxa.batch import ReadyJob
    from verifluxa.dispatch.slices import Pool
    from verifluxa.result.result import Result


def batch(
    jobs: Annotated[Path, typer.Argument(metavar="JOBS", help="A `.toml` file of jobs.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Holds a folder for each job.")],
    job: Annotated[list[str] | None, typer.Option("--job", metavar="NAME", help="Only this job.")] = None,
    strategy: Strategy = None,
    cluster: Cluster = None,
    budget: Annotated[str | None, typer.Option(metavar="TIME", help="Most time for each job: 90s, 5m, 1.5h.")] = None,
    take_over: TakeOver = False,
    job_exit: JobExit = False,
) -> int:
    """Verifies many models and specs as one queue. A batch that was killed goes on where it was.

    Options stand in place of what the file says. Exit codes: those of `verify`, for all jobs together.
    """
    from verifluxa.batch import Overrides, load_batch, ready
    from verifluxa.cli.output import print_words
    from verifluxa.cli.verify_command import EXIT_CODES
    from verifluxa.dispatch.interrupts import stop_is_an_interrupt
    from verifluxa.result.write import check_writable
    from verifluxa.verdict import combine
    from verifluxa.verify import pool_for

    check_writable(out)
    listed = load_batch(jobs, Overrides(strategy, cluster, seconds(budget), tuple(job or ())))
    results: dict[str, Result] = {}
    with stop_is_an_interrupt():
        prepared = list(ready(listed))
        pool = pool_for(prepared[0].prepared)
        try:
            for item in prepared:
                results[item.job.name] = _work(item, out / item.job.name, pool, take_over)
                print_words([_line(item.job.name, results[item.job.name])])
                if results[item.job.name].interrupted:
                    break
        finally:
            pool.close()
    print_words(_summary(results, [item.job.name for item in prepared]))
    complete = len(results) == len(prepared) and not any(result.interrupted for result in results.values())
    code = EXIT_CODES[combine(result.verdict for result in results.values())]
    return code if not complete and code else 3 if not complete else 0 if job_exit else code


def _work(item: ReadyJob, folder: Path, pool: Pool, take_over: bool) -> Result:
    """One job, in a folder of its own; where the ledger of the very same run lies there, it goes on from it."""
    from verifluxa.cli.verify_command import work_in
    from verifluxa.dispatch.ledger import Ledger
    from verifluxa.dispatch.ledger_file import LEDGER_FILE
    from verifluxa.run_folder import is_same, origin_of, out_folder, resumed_folder

    budget = item.job.request.budget
    prepared = replace(item.prepared, deadline=None if budget is None else time.monotonic() + budget)
    spec, path = prepared.inputs.spec, folder / LEDGER_FILE
    if path.exists():
        with Ledger.open(path, take_over) as ledger:
            if is_same(ledger, prepared):
                with resumed_folder(ledger, spec) as opened:
                    return work_in(opened, prepared, pool=pool)
    with out_folder(folder, spec, origin_of(item.job.request, prepared), force=True, take_over=take_over) as opened:
        return work_in(opened, prepared, pool=pool, warm=item.job.warm)


def _line(name: str, result: Result) -> str:
    seconds_ = sum(item.seconds for item in result.properties)
    return f"{name}: {result.verdict} ({len(result.properties)} properties, {seconds_:.1f} s)"


def _summary(results: dict[str, Result], names: list[str]) -> list[str]:
    counts: dict[str, int] = {}
    for result in results.values():
        counts[str(result.verdict)] = counts.get(str(result.verdict), 0) + 1
    left = [name for name in names if name not in results]
    words = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    return [f"{len(results)} of {len(names)} jobs: {words}", *([f"not begun: {', '.join(left)}"] if left else [])]
