"""`verifluxa verify`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from verifluxa.cli.options import (
    Arithmetic,
    Budget,
    Cluster,
    Data,
    Format,
    Gap,
    JobExit,
    Models,
    NetworkFile,
    Params,
    Properties,
    QuestionFile,
    Seed,
    Strategy,
    TakeOver,
    VerifyFormat,
    gap,
    pairs,
)
from verifluxa.durations import seconds
from verifluxa.verdict import Verdict

if TYPE_CHECKING:
    from verifluxa.dispatch.slices import Engine, Pool
    from verifluxa.result.result import Result
    from verifluxa.run_folder import OutFolder
    from verifluxa.verify import Prepared, Request

EXIT_CODES = {Verdict.CERTIFIED: 0, Verdict.FALSIFIED: 1, Verdict.UNKNOWN: 3}


def verify(
    spec: Annotated[
        str,
        typer.Argument(metavar="SPEC", help="A `.vfx` file, or the name of one in the library.", show_default=False),
    ] = "",
    model: Models = None,
    data: Data = None,
    set_: Params = None,
    property_: Properties = None,
    strategy: Strategy = None,
    cluster: Cluster = None,
    budget: Budget = None,
    arithmetic: Arithmetic = None,
    seed: Seed = None,
    gap_: Gap = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="DIR", help="Folder for result, certificate, evidence and pictures."),
    ] = None,
    format_: Annotated[VerifyFormat, typer.Option("--format", help="What stands on stdout.")] = VerifyFormat.TEXT,
    onnx: NetworkFile = None,
    vnnlib: QuestionFile = None,
    show_config: Annotated[bool, typer.Option("--show-config", help="Print every setting and its origin.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an older run that lies in DIR.")] = False,
    take_over: TakeOver = False,
    job_exit: JobExit = False,
) -> int:
    """Proves the properties of a spec, or shows the trigger that breaks one.

    Exit codes: 0 certified, 1 falsified, 2 usage, 3 unknown, 4 bad input, 5 internal error, 75 try again (a lock).
    """
    from verifluxa.cli.first_line import reading

    with reading(spec or str(onnx)):
        from verifluxa.inputs import Choice
        from verifluxa.verify import Request

    choice = Choice(
        pairs("--model", model), pairs("--data", data), pairs("--set", set_, "VALUE"), tuple(property_ or ())
    )
    limits = (seconds(budget), arithmetic, seed)
    if not spec or onnx or vnnlib or format_ is VerifyFormat.VNNCOMP:
        from verifluxa.cli.vnncomp_command import instance

        usual = format_ in (VerifyFormat.TEXT, VerifyFormat.VNNCOMP) and not (show_config or job_exit)
        plain = choice == Choice({}, {}, {}) and out is None and gap_ is None and usual
        return instance(
            onnx, vnnlib, Request(spec, choice, strategy or "thorough", cluster or "laptop", *limits), plain
        )
    request = Request(spec, choice, strategy or "balanced", cluster or "laptop", *limits, gap(gap_))
    if show_config:
        from verifluxa.cli.config import config_lines
        from verifluxa.cli.output import emit

        emit("\n".join(config_lines(request)))
        return 0
    return execute(request, Presentation(Format(format_.value), out, job_exit, force, take_over))


@dataclass(frozen=True)
class Presentation:
    """What becomes of a result.

    Attributes:
        format: on stdout.
        out: the folder, or None.
        job_exit: whether any final verdict exits 0.
        force: whether an older run in that folder may be lost.
        take_over: whether that folder is taken from a run on another machine at once.
    """

    format: Format = Format.TEXT
    out: Path | None = None
    job_exit: bool = False
    force: bool = False
    take_over: bool = False


def execute(request: Request, presentation: Presentation, engine: Engine | None = None) -> int:
    """Prepares, so that every mistake shows before anything is written; works; prints; returns the exit code.

    Args:
        request: what is to be verified, and how.
        presentation: what becomes of the result.
        engine: in place of the strategy's stages.

    Raises:
        VerifluxaError: whatever the user can mend.
    """
    from verifluxa.cli.first_line import reading
    from verifluxa.cli.messages import show_warnings
    from verifluxa.dispatch.interrupts import stop_is_an_interrupt

    with stop_is_an_interrupt():
        with reading(request.spec):
            from verifluxa.cli.output import present
            from verifluxa.verify import prepare

            if presentation.out is not None:
                from verifluxa.run_folder import check_free

                check_free(presentation.out, presentation.force)
            prepared = prepare(request)
        show_warnings(prepared.inputs.warnings)
        result = _work(request, prepared, presentation, engine)
    present(result, presentation.format, presentation.out)
    return exit_code(result, presentation.job_exit)


def exit_code(result: Result, job_exit: bool) -> int:
    """The exit code of a result; with `job_exit` 0 for any final verdict, which an interrupted run does not have."""
    return 0 if job_exit and not result.interrupted else EXIT_CODES[result.verdict]


def _work(request: Request, prepared: Prepared, presentation: Presentation, engine: Engine | None) -> Result:
    from verifluxa.cli.progress import progress
    from verifluxa.verify import RunContext, carry_out

    if presentation.out is None:
        with progress() as observer:
            return carry_out(prepared, RunContext(observer, engine=engine))
    from verifluxa.run_folder import origin_of, out_folder

    origin = origin_of(request, prepared)
    spec, force, take_over = prepared.inputs.spec, presentation.force, presentation.take_over
    with out_folder(presentation.out, spec, origin, force, take_over) as folder:
        return work_in(folder, prepared, engine)


def work_in(
    folder: OutFolder,
    prepared: Prepared,
    engine: Engine | None = None,
    pool: Pool | None = None,
    warm: Path | None = None,
) -> Result:
    """Does the work of a run whose ledger is open, and shows how far it is; see `verify.RunContext`."""
    from verifluxa.cli.progress import progress
    from verifluxa.verify import RunContext

    with progress() as observer:
        return folder.work(prepared, RunContext(observer, engine=engine, pool=pool, warm=warm))
