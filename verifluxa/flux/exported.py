"""A folder that `export.jl` wrote: state, architecture, versions, and a batch with Flux's own outputs."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

from verifluxa.errors import ModelError
from verifluxa.flux.files import read_bytes
from verifluxa.flux.limits import TEXT_BYTES
from verifluxa.flux.load import Lifted, lift
from verifluxa.flux.probe import Probe, compare, shapes_of
from verifluxa.flux.version import parse_version

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
