"""The commands, put together. Each module holds one group; what a command needs is imported when it runs."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Annotated, Literal

import typer

from verifluxa import logs
from verifluxa.cli import cert_commands, gate_commands, guard_command, model_commands, spec_commands
from verifluxa.cli.batch_command import batch
from verifluxa.cli.export_command import export
from verifluxa.cli.init_command import init
from verifluxa.cli.reference_commands import explain, supports
from verifluxa.cli.review_command import review
from verifluxa.cli.run_commands import replay, report, resume, watch
from verifluxa.cli.scan_command import scan
from verifluxa.cli.screen_command import screen
from verifluxa.cli.verify_command import verify

HELP = "Proves that a Flux.jl model carries no backdoor of a stated kind, or shows the trigger."
Level = Literal["debug", "info", "warning", "error"]
SETTINGS = {"help_option_names": ["-h", "--help"]}


@cache
def whole_command() -> Callable[..., object]:
    """The whole command line, ready to be called; made once, since that takes longer than many a command."""
    return typer.main.get_command(build_app())


def build_app() -> typer.Typer:
    """The commands as typer has them."""
    app = typer.Typer(help=HELP, pretty_exceptions_enable=False, context_settings=SETTINGS)
    app.callback(invoke_without_command=True)(_root)
    app.command()(verify)
    app.command()(resume)
    app.command()(watch)
    app.command()(batch)
    app.command()(init)
    app.command()(scan)
    app.command()(spec_commands.check)
    app.command()(spec_commands.fmt)
    app.command()(spec_commands.explain_spec)
    app.command()(spec_commands.pin)
    app.command()(model_commands.inspect)
    app.command()(model_commands.lift)
    app.command()(export)
    app.command()(supports)
    app.command()(replay)
    app.command()(report)
    app.command()(review)
    app.command()(screen)
    app.command()(explain)
    app.add_typer(cert_commands.group(), name="cert")
    app.add_typer(gate_commands.group(), name="gate")
    app.add_typer(guard_command.group(), name="guard")
    return app


def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    log_level: Annotated[
        Level | None,
        typer.Option("--log-level", envvar=logs.VARIABLE, help="Log to the standard error from this level on."),
    ] = None,
) -> None:
    """Proves that a Flux.jl model carries no backdoor of a stated kind, or shows the trigger."""
    if log_level is not None:
        logs.configure(log_level)
    if version:
        from verifluxa import __version__

        print(f"verifluxa {__version__}")
        raise typer.Exit(0)
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(0)
