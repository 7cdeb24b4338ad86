"""The commands, put together. Each module holds one group; what a command needs is imported when it runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import cache
from typing import Annotated, Any, Literal

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
COMMANDS: dict[str, dict[Callable[..., int], tuple[str, ...]]] = {
    "Verify": {
        verify: ("verify clean.vfx --out out", "verify clean.vfx --model network=suspect.jld2 --set max_rate=2%"),
        resume: ("resume out", "resume out --budget 1h"),
        watch: ("watch out", "watch out --port 8000"),
        batch: ("batch jobs.toml --out results", "batch jobs.toml --out results --budget 8h"),
    },
    "Write and understand specs": {
        init: ("init model.jld2 --data eval.npz", "init model.jld2 --data eval.npz -o model.vfx"),
        spec_commands.check: ("check model.vfx", "check specs/*.vfx"),
        spec_commands.fmt: ("fmt model.vfx", "fmt --check specs/*.vfx"),
        spec_commands.explain_spec: ("explain-spec model.vfx", "explain-spec model.vfx --set max_rate=2%"),
        spec_commands.pin: ("pin model.vfx", "pin model.vfx --data eval=eval.npz"),
    },
    "Understand models and results": {
        model_commands.inspect: ("inspect model.jld2", "inspect state.jld2 --architecture architecture.txt"),
        model_commands.lift: ("lift model.jld2", "lift model.jld2 --input-shape 1,28,28"),
        supports: ("supports",),
        explain: ("explain VF4401",),
        replay: ("replay out/result.json", "replay out/result.json --out pictures"),
        report: ("report out/result.json", "report out/result.json suspect/result.json -o both.html"),
        export: ("export model.vfx --out questions", "export model.vfx --out questions --max 20"),
    },
    "Triage without a spec": {
        scan: ("scan model.jld2 --data eval.npz", "scan model.jld2 --data eval.npz -o next.vfx"),
        review: ("review train.jl", "review src --format sarif"),
        screen: ("screen train.npz", "screen train.npz --model model.jld2"),
    },
}
"""The commands by what they are for, each with examples."""
SHIP = "Ship"
EXAMPLES = "Examples:"
"""The line above the examples in a help."""


@cache
def whole_command() -> Callable[..., object]:
    """The whole command line, ready to be called; made once, since that takes longer than many a command."""
    command = typer.main.get_command(build_app())
    for option in _options(command):
        if option.is_flag:
            option.metavar = ""  # there is no value to show the type of
    return command


def _options(command: Any) -> Iterator[Any]:
    """The options of a command and of those below it, `--help` among them."""
    every = command.get_params(typer.Context(command, help_option_names=SETTINGS["help_option_names"]))
    yield from (item for item in every if item.param_type_name == "option")
    for child in getattr(command, "commands", {}).values():
        yield from _options(child)


def build_app() -> typer.Typer:
    """The commands as typer has them."""
    app = typer.Typer(help=HELP, pretty_exceptions_enable=False, context_settings=SETTINGS)
    app.callback(invoke_without_command=True)(_root)
    for panel, commands in COMMANDS.items():
        for function, examples in commands.items():
            app.command(help=_with_examples(function, examples), rich_help_panel=panel)(function)
    app.add_typer(cert_commands.group(), name="cert", rich_help_panel=SHIP)
    app.add_typer(gate_commands.group(), name="gate", rich_help_panel=SHIP)
    app.add_typer(guard_command.group(), name="guard", rich_help_panel=SHIP)
    return app


def _with_examples(function: Callable[..., int], examples: tuple[str, ...]) -> str:
    """The help of a command: what it does, examples, and the rest."""
    first, *rest = (inspect.getdoc(function) or "").split("\n\n")
    shown = "\n".join(f"$ verifluxa {example}" for example in examples)
    return "\n\n".join((first, f"{EXAMPLES}\n{shown}", *rest))


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
