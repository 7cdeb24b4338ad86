"""The entry point. Wraps everything: a user's error is one clear message, ours is code 5, nothing is a traceback."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

INTERNAL_ERROR = 5
INTERRUPTED = 3
ABORTED = 130
"""What typer makes of Ctrl-C."""


def entry() -> None:
    """Runs the command line and ends the process with its exit code."""
    from verifluxa.cli.streams import patient

    sys.stdout, sys.stderr = patient(sys.stdout), patient(sys.stderr)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str], build: Callable[[], Callable[..., object]] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: of the command line.
        build: makes the commands; None: all of ours.

    Returns:
        the exit code: 0 certified (or done), 1 falsified (or no), 2 usage, 3 unknown, 4 bad input,
        5 internal error. Python's own 1 for an uncaught error would read as "falsified".
    """
    if arguments == ["--version"]:
        from verifluxa import __version__

        print(f"verifluxa {__version__}")
        return 0
    try:
        return _dispatch(arguments, build)
    except KeyboardInterrupt:
        return _interrupted()
    except Exception as error:  # noqa: BLE001 - the last line of defence; nothing is hidden, see VERIFLUXA_DEBUG
        return show_internal(error)


def _dispatch(arguments: list[str], build: Callable[[], Callable[..., object]] | None) -> int:
    import typer

    from verifluxa.cli.app import whole_command
    from verifluxa.cli.messages import show_error, show_usage
    from verifluxa.errors import VerifluxaError

    try:
        code = (build or whole_command)()(arguments, prog_name="verifluxa", standalone_mode=False)
    except VerifluxaError as error:
        show_error(error)
        return error.exit_code
    except typer.TyperException as error:
        show_usage(error)
        return 2
    except typer.Abort:
        return _interrupted()
    if code == ABORTED:
        return _interrupted()
    return code if isinstance(code, int) else 0


def _interrupted() -> int:
    print("interrupted", file=sys.stderr)
    return INTERRUPTED


def show_internal(error: Exception) -> int:
    """Says that a mistake is ours; returns the exit code."""
    print(f"internal error, please report: {type(error).__name__}: {_first_line(error)}", file=sys.stderr)
    if os.environ.get("VERIFLUXA_DEBUG") == "1":
        import traceback

        traceback.print_exception(error)
    else:
        print("  help: run again with VERIFLUXA_DEBUG=1 for the details that a report needs", file=sys.stderr)
    return INTERNAL_ERROR


def _first_line(error: Exception) -> str:
    """A worker's traceback arrives as the message; its last line is what happened."""
    lines = str(error).strip().splitlines()
    if not lines:
        return "(no message)"
    return lines[-1] if lines[0].startswith("Traceback") else lines[0]
