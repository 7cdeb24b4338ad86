"""The only module that starts Julia: as a process of its own, with a time limit, never through a shell."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from verifluxa.errors import ModelError, UsageError
from verifluxa.flux.files import read_bytes
from verifluxa.flux.layer import parse_version
from verifluxa.flux.limits import TEXT_BYTES
from verifluxa.flux.load import Lifted, lift
from verifluxa.flux.probe import Probe, compare, shapes_of

EXPORTER = Path(__file__).with_name("export.jl")
TIMEOUT = 600.0
"""Seconds; compiling Flux alone takes a minute or two."""
MOST_SHOWN = 1_000
_THROUGH_JULIACALL = (
    "import sys, juliacall; julia = juliacall.Main; julia.include(sys.argv[1]); "
    "julia.VerifluxaExport.main(julia.Vector[julia.String](sys.argv[2:]))"
)


def export(model: str | Path, out: str | Path, sizes: str | None = None, timeout: float = TIMEOUT) -> None:
    """Runs the exporter on a model, which runs the model's code.

    Args:
        model: a `.jl` script whose last value is the model, or a `.jld2` or `.bson` file of a whole model.
        out: the folder to write; made, or empty.
        sizes: of one input in Julia's order, `28,28,1`, where the first layer does not tell it.
        timeout: seconds, after which Julia is ended.

    Raises:
        UsageError: VF4412 when there is no Julia.
        ModelError: VF2019 when Julia fails or takes too long, VF2001 when there is no such file.
    """
    path = Path(model)
    if not path.is_file():
        raise ModelError("VF2001", f"`{path.name}` is not a file", place=str(model))
    arguments = [str(path.resolve()), str(Path(out).resolve()), *([] if sizes is None else [sizes])]
    _run([*_command(path), *arguments], str(model), timeout)


def _command(model: Path) -> list[str]:
    """Julia itself where it is on the path, else juliacall in a Python of its own."""
    julia = shutil.which("julia")
    if julia is not None:
        # A project beside the model is the environment that it was made in.
        beside = model.resolve().parent
        project = [f"--project={beside}"] if (beside / "Project.toml").is_file() else []
        return [julia, "--startup-file=no", *project, str(EXPORTER)]
    if find_spec("juliacall") is not None:
        return [sys.executable, "-c", _THROUGH_JULIACALL, str(EXPORTER)]
    raise UsageError(
        "VF4412",
        "there is no Julia here",
        expected="`julia` on the path, or the extra `verifluxa[julia]`",
        remedy=f"run `julia {EXPORTER.name} MODEL OUT` where Julia is (the script is {EXPORTER}), then `lift OUT` here",
    )


def _run(command: list[str], place: str, timeout: float) -> None:
    # What Julia prints goes to a file: a pipe that nobody reads would stop it, and memory has no limit.
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise _failed(f"Julia did not finish in {timeout:g} seconds", place) from None
        finally:
            _end(process)
        if code:
            raise _failed(f"Julia ended with code {code}: {_tail(output.fileno())}", place)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends Julia and all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _tail(descriptor: int) -> str:
    """The first lines of the end of what was printed, where Julia says what went wrong."""
    size = os.fstat(descriptor).st_size
    data = os.pread(descriptor, 1 << 16, max(0, size - (1 << 16)))
    text = data.decode("utf-8", errors="replace")
    at = text.find("ERROR: ")
    return " ".join(text[at if at >= 0 else 0 :].split())[:MOST_SHOWN] or "it printed nothing"


def _failed(message: str, place: str) -> ModelError:
    return ModelError(
        "VF2019",
        f"the model could not be exported: {message}",
        place=place,
        expected="a script whose last value is a Flux model, in an environment with Flux and JLD2",
        remedy=f"run `julia {EXPORTER.name} MODEL OUT` by hand (the script is {EXPORTER})",
    )


# A folder that `export.jl` wrote: state, architecture, versions, and a batch with Flux's own outputs.

SCHEMA = "verifluxa/flux-export/1"
INDEX = "export.json"
PROBE = "probe.safetensors"
ARCHITECTURE = "architecture.txt"
_STATES = ("state.jld2", "state.bson")
_JULIA = re.compile(r"[0-9]{1,3}(?:\.[0-9]{1,3}){2}[-+.0-9A-Za-z]{0,40}")


@dataclass(frozen=True, eq=False)
class Exported:
    """What was exported: the lifted network, and how well it gives Flux's outputs again."""

    lifted: Lifted
    probe: Probe


def read_export(folder: str | Path, tolerance: float | None = None) -> Exported:
    """Lifts an exported model and compares it with the outputs that Flux computed.

    Args:
        folder: that `export.jl` wrote.
        tolerance: relative to the largest output; by default `TOLERANCES` of the float type.

    Raises:
        ModelError: VF2019 when the folder is not complete or not understood, VF2015 when the outputs differ,
            and whatever lifting the state raises.
    """
    base = Path(folder)
    state, flux, julia = _index(base)
    probe = base / PROBE
    lifted = lift(base / state, base / ARCHITECTURE, flux, shapes_of(probe))
    found = compare(lifted.graph, probe, tolerance)
    note = f"exported by Julia {julia}; Flux's outputs for {found.samples} inputs were found again"
    return Exported(replace(lifted, notes=(*lifted.notes, note)), found)


def _index(base: Path) -> tuple[str, str, str]:
    """Name of the state file, versions of Flux and of Julia."""
    text = bytes(read_bytes(base / INDEX, TEXT_BYTES))
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise _incomplete(base, "it is not valid JSON") from None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise _incomplete(base, f"its schema is not {SCHEMA}")
    state, flux, julia = (found.get(key) for key in ("state", "flux", "julia"))
    if state not in _STATES or not isinstance(flux, str) or not isinstance(julia, str):
        raise _incomplete(base, "it does not name state, flux and julia")
    if _JULIA.fullmatch(julia) is None:
        raise _incomplete(base, "the version of Julia has another form")
    parse_version(flux)
    return str(state), flux, julia


def _incomplete(base: Path, why: str) -> ModelError:
    return ModelError(
        "VF2019",
        f"this is no folder that the exporter wrote: {why}",
        place=str(base / INDEX),
        expected=f"state.jld2 or state.bson, {ARCHITECTURE}, {PROBE} and {INDEX}",
        remedy="run `julia export.jl MODEL OUT` again",
    )
