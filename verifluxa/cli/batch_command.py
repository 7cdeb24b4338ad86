"""`verifluxa batch`: many runs on one pool, one summary, one exit code."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from verifluxa.cli.options import Cluster, JobExit, Strategy, TakeOver
from verifluxa.durations import seconds

if TYPE_CHECKING:
    from verifluxa.batch import BrokenJob, ReadyJob
    from verifluxa.dispatch.slices import Pool
    from verifluxa.result.result import Result


def batch(
    jobs: Annotated[Path, typer.Argument(metavar="JOBS", help="A `.toml` file of jobs.")],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="DIR", help="Holds a folder for each job.")],
    job: Annotated[list[str] | None, typer.Option("--job", metavar="NAME", help="Only this job.")] = None,
    strategy: Strategy = None,
    cluster: Cluster = None,
    budget: Annotated[str | None, typer.Option(metavar="TIME", help="Most time for each job: 90s, 5m, 1.5h.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace older runs of jobs whose inputs have changed.")
    ] = False,
    take_over: TakeOver = False,
    job_exit: JobExit = False,
) -> int:
    """Verifies many models and specs as one queue. A batch that was killed goes on where it was.

    Options stand in place of what the file says. A job that cannot be read, or that fails, is named and stops no other.
    Exit codes: those of `verify`, for all jobs together; with a broken job that of its error, whatever the others say.
    """
    from verifluxa.batch import BrokenJob, Overrides, load_batch, ready, worst_code
    from verifluxa.cli.output import print_words
    from verifluxa.cli.verify_command import EXIT_CODES
    from verifluxa.dispatch.driver import EngineCrash
    from verifluxa.dispatch.interrupts import stop_is_an_interrupt
    from verifluxa.errors import VerifluxaError
    from verifluxa.result.write import check_writable
    from verifluxa.verdict import combine
    from verifluxa.verify import pool_for

    check_writable(out)
    listed = load_batch(jobs, Overrides(strategy, cluster, seconds(budget), tuple(job or ())))
    results: dict[str, Result] = {}
    broken: list[BrokenJob] = []
    with stop_is_an_interrupt():
        waiting: list[ReadyJob] = []
        for item in ready(listed):
            if isinstance(item, BrokenJob):
                _tell(item, broken)
            else:
                waiting.append(item)
        pool = pool_for(waiting[0].prepared) if waiting else None
        try:
            for item in waiting:
                assert pool is not None
                name = item.job.name
                try:
                    results[name] = _work(item, out / name, pool, Replacing(force, take_over))
                except (VerifluxaError, EngineCrash) as error:
                    _tell(BrokenJob(item.job, error), broken)
                    continue
                print_words([_line(name, results[name])])
                if results[name].interrupted:
                    break
        finally:
            if pool is not None:
                pool.close()
    print_words(_summary(results, broken, [item.name for item in listed.jobs]))
    if broken:
        return worst_code(broken)
    complete = len(results) == len(listed.jobs) and not any(result.interrupted for result in results.values())
    code = EXIT_CODES[combine(result.verdict for result in results.values())]
    return code if not complete and code else 3 if not complete else 0 if job_exit else code


@dataclass(frozen=True)
class Replacing:
    """What of an older run in a job's folder may go: its work, where its inputs have changed; its lock."""

    force: bool
    take_over: bool


def _work(item: ReadyJob, folder: Path, pool: Pool, replacing: Replacing) -> Result:
    """One job, in a folder of its own; where the ledger of the very same run lies there, it goes on from it."""
    from verifluxa.cli.verify_command import work_in
    from verifluxa.dispatch.ledger import Ledger
    from verifluxa.dispatch.ledger_file import LEDGER_FILE
    from verifluxa.run_folder import check_same, is_same, origin_of, out_folder, resumed_folder

    budget = item.job.request.budget
    prepared = replace(item.prepared, deadline=None if budget is None else time.monotonic() + budget)
    spec, path = prepared.inputs.spec, folder / LEDGER_FILE
    if path.exists():
        with Ledger.watch(path) as ledger:
            same = is_same(ledger, prepared)
            if not same and not replacing.force and ledger.has_stopped:
                check_same(ledger, prepared)
        if same:
            with Ledger.open(path, replacing.take_over) as ledger:
                check_same(ledger, prepared)
                with resumed_folder(ledger, spec) as opened:
                    return work_in(opened, prepared, pool=pool)
    with out_folder(
        folder, spec, origin_of(item.job.request, prepared), replacing.force, replacing.take_over
    ) as opened:
        return work_in(opened, prepared, pool=pool, warm=item.job.warm)


def _tell(item: BrokenJob, broken: list[BrokenJob]) -> None:
    """Says on stderr which job is broken and why, and notes it."""
    from verifluxa.cli.main import show_internal
    from verifluxa.cli.messages import show_error
    from verifluxa.dispatch.driver import EngineCrash

    broken.append(item)
    print(f"job `{item.job.name}`:", file=sys.stderr)
    if isinstance(item.error, EngineCrash):
        show_internal(item.error)
    else:
        show_error(item.error)


def _line(name: str, result: Result) -> str:
    seconds_ = sum(item.seconds for item in result.properties)
    return f"{name}: {result.verdict} ({len(result.properties)} properties, {seconds_:.1f} s)"


def _summary(results: dict[str, Result], broken: list[BrokenJob], names: list[str]) -> list[str]:
    counts: dict[str, int] = {}
    for result in results.values():
        counts[str(result.verdict)] = counts.get(str(result.verdict), 0) + 1
    if broken:
        counts["broken"] = len(broken)
    done = [*results, *(item.job.name for item in broken)]
    left = [name for name in names if name not in done]
    words = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    failed = ", ".join(f"{item.job.name} ({item.word})" for item in broken)
    return [
        f"{len(results)} of {len(names)} jobs: {words}",
        *([f"broken: {failed}"] if broken else []),
        *([f"not begun: {', '.join(left)}"] if left else []),
    ]
