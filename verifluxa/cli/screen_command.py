"""`verifluxa screen`: which training examples look planted."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from verifluxa.cli.options import Architecture, FluxVersion

if TYPE_CHECKING:
    from verifluxa.report.summary import Line
    from verifluxa.triage.screen.run import Screened
    from verifluxa.triage.screen.suspicion import Suspect

SCHEMA = "verifluxa/screen/1"
SHOWN = 10
MEANS = (
    "What a clean screen does not mean: it finds examples that a trigger ties to a wrong label. Poison with right "
    "labels, a few examples, or a backdoor that is not in the data stay unseen; it proves nothing."
)


class ScreenFormat(StrEnum):
    """What stands on stdout."""

    TEXT = "text"
    JSON = "json"


def screen(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Training data: .npz, .jsonl, .csv, PNG in .zip.")],
    model: Annotated[str | None, typer.Option(metavar="MODEL", help="A model that was trained on them.")] = None,
    architecture: Architecture = None,
    flux_version: FluxVersion = None,
    label: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Column, key or array that holds the labels: label, or y beside x."),
    ] = None,
    most: Annotated[int, typer.Option("--max", min=1, max=100_000, help="Length of the list.")] = 1000,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="DIR", help="Folder for screen.json and suspects.png.")
    ] = None,
    format_: Annotated[ScreenFormat, typer.Option("--format", help="What stands on stdout.")] = ScreenFormat.TEXT,
) -> int:
    """Ranks training examples by how planted they look, each with its reason.

    Exit code 1: some are suspect (score 0.5 and more).
    """
    import sys

    from verifluxa.cli.output import emit, print_lines
    from verifluxa.result.document import dumps
    from verifluxa.result.write import check_writable
    from verifluxa.triage.screen.examples import read_examples
    from verifluxa.triage.screen.run import screen as screened

    if out is not None:
        check_writable(out)
    examples = read_examples(data, label)
    activations = None
    notes = []
    if model is not None:
        from verifluxa.inputs import lift_files
        from verifluxa.triage.screen.activations import activations_of

        shape = None if examples.images is None else examples.images.shape[1:]
        text = None if architecture is None else str(architecture)
        graph = lift_files(model, text, flux_version, shape).graph
        activations, right = activations_of(graph, examples)
        notes = [f"the model gives the label of {right:.0%} of the examples"]
    found = screened(examples, activations, most)
    machine = format_ is not ScreenFormat.TEXT
    written = [] if out is None else _write(found, out)
    print_lines(_words(found, [*notes, *written]), sys.stderr if machine else sys.stdout)
    if machine:
        emit(dumps(_document(found)))
    return 1 if found.clear else 0


def _words(found: Screened, notes: list[str]) -> Iterator[Line]:
    """The first suspects, and what they are suspected of; a reason that many share is said once."""
    from verifluxa.report.summary import Line

    clear = f"{found.clear} suspect" if found.clear else "none is suspect"
    yield Line(
        f"{len(found.examples.labels):,} {found.examples.kind}, {len(found.examples.names)} classes: {clear}", "bold"
    )
    yield from (Line(note) for note in notes)
    said: dict[str, list[Suspect]] = {}
    for suspect in [one for one in found.suspects if one.score >= 0.5] or found.suspects[:SHOWN]:
        said.setdefault(suspect.reasons[0].reason, []).append(suspect)
    for reason, suspects in list(said.items())[:SHOWN]:
        first = ", ".join(str(one.index) for one in suspects[:SHOWN]) + (", ..." if len(suspects) > SHOWN else "")
        yield Line(f"  score {suspects[0].score:.2f}: {reason}", "bold red" if found.clear else "")
        yield Line(f"    example {first}")
    if len(said) > SHOWN:
        yield Line(f"  ... and {len(said) - SHOWN} more reasons")
    yield Line(MEANS)


def _write(found: Screened, folder: Path) -> list[str]:
    from verifluxa.result.document import dumps
    from verifluxa.result.write import write_whole
    from verifluxa.triage.screen.run import contact_sheet

    write_whole(folder / "screen.json", dumps(_document(found)).encode())
    written = [str(folder / "screen.json")]
    if found.examples.images is not None and found.suspects:
        write_whole(folder / "suspects.png", contact_sheet(found))
        written.append(str(folder / "suspects.png"))
    return ["written: " + ", ".join(written)]


def _document(found: Screened) -> dict[str, object]:
    from verifluxa import __version__

    return {
        "schema": SCHEMA,
        "tool": {"name": "verifluxa", "version": __version__},
        "data": {"path": found.examples.path, "kind": found.examples.kind, "examples": len(found.examples.labels)},
        "classes": list(found.examples.names),
        "suspect": found.clear,
        "ranked": [_entry(found, one) for one in found.suspects],
        "means": MEANS,
    }


def _entry(found: Screened, suspect: Suspect) -> dict[str, object]:
    return {
        "index": suspect.index,
        "label": found.examples.names[found.examples.labels[suspect.index]],
        "score": round(suspect.score, 6),
        "reasons": [{"look": one.look, "reason": one.reason} for one in suspect.reasons],
    }
