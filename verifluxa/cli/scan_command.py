"""`verifluxa scan`: looks for a backdoor without a spec, and writes the spec of what to verify next."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from verifluxa.cli.init_command import Model
from verifluxa.cli.options import Architecture, Companion, FluxVersion
from verifluxa.durations import seconds

if TYPE_CHECKING:
    from verifluxa.cli.init_spec import Found
    from verifluxa.triage.explain import Explained
    from verifluxa.triage.scan.run import Scan
    from verifluxa.triage.scan.subject import Subject

Option = typer.Option


class ScanFormat(StrEnum):
    """What stands on stdout."""

    TEXT = "text"
    JSON = "json"


def scan(
    model: Model,
    data: Annotated[Path, Option(metavar="FILE", help="Labelled inputs: .npz images, .csv table, .jsonl texts.")],
    budget: Annotated[
        str | None, Option(metavar="TIME", help="Most time for the search: 90s, 5m; none when left out.")
    ] = None,
    format_: Annotated[ScanFormat, Option("--format", help="What stands on stdout.")] = ScanFormat.TEXT,
    out: Annotated[Path | None, Option("-o", "--out", metavar="FILE", help="The spec of what to verify next.")] = None,
    explain: Annotated[
        Path | None, Option(metavar="DIR", help="A folder for what the answer to a triggered input hangs on.")
    ] = None,
    shap: Annotated[bool, Option("--shap", help="With --explain: SHAP values as well (extra `shap`).")] = False,
    other: Annotated[
        Path | None, Option(metavar="FILE", help="Inputs from elsewhere: which class do they get?")
    ] = None,
    patch: Annotated[int, Option(metavar="PX", min=1, help="Side of the patch on images.")] = 3,
    seed: Annotated[int, Option(min=0, max=2**31 - 1, help="Seed of every random choice.")] = 0,
    architecture: Architecture = None,
    companion: Companion = None,
    flux_version: FluxVersion = None,
) -> int:
    """Looks for a backdoor: ranks classes and places by the strongest trigger, found and proved.

    Exit codes: 0 nothing found (which does not mean clean), 1 suspect, 2 usage, 3 nothing found but the budget ended
    the search, 4 bad input, 5 internal error.
    """
    from verifluxa.cli.init_spec import Look, architectures, beside, best_way, common_folder
    from verifluxa.result.write import write_whole
    from verifluxa.triage.scan.inversion import InversionSettings
    from verifluxa.triage.scan.run import ScanSettings
    from verifluxa.triage.scan.run import scan as scan_model

    limit = math.inf if budget is None else seconds(budget)
    assert limit is not None
    _free(out)
    _can_explain(explain, shap)
    extra = companion or beside(model, data)
    texts = [architecture] if architecture else architectures(model)
    folder = out.absolute().parent if out else common_folder(model, data, extra, *texts)
    found = best_way(Look(model, data, extra, architecture, flux_version, folder))
    subject = subject_of(found, folder / (out.name if out else "scan.vfx"), (str(model), str(data)), patch)
    settings = ScanSettings(limit, inversion=InversionSettings(seed=seed), seed=seed, other=other)
    with _status() as tell:
        done = scan_model(subject, settings, tell)
        tell("explain")
        explained = _explained(done, explain, shap, limit)
    if out is not None:
        write_whole(out, done.next_spec.encode())
    _present(done, explained, format_, out)
    return {"suspect": 1, "nothing found": 0, "incomplete": 3}[done.verdict]


def _can_explain(folder: Path | None, shap: bool) -> None:
    """Says before the work that an explanation could not be made or written.

    Raises:
        UsageError: VF4406 for the folder, VF8006 without the library `shap`.
    """
    from verifluxa.result.write import check_writable
    from verifluxa.triage.explain import shap_library

    if shap and folder is None:
        raise typer.BadParameter("--shap needs --explain DIR")
    if folder is not None:
        check_writable(folder)
    if shap:
        shap_library()


PARTS = {
    "read": "reading",
    "invert": "smallest masks and changes",
    "prove": "proved ends",
    "attack": "strongest triggers",
    "probes": "known triggers",
    "strange": "strange inputs",
    "explain": "explaining",
}


@contextmanager
def _status() -> Iterator[Callable[[str], None]]:
    """Says on stderr what is being done, where that is a terminal."""
    from rich.console import Console

    with Console(file=sys.stderr).status(PARTS["read"]) as status:
        yield lambda part: status.update(PARTS[part])


def _free(out: Path | None) -> None:
    """Refuses to replace a file, before any work.

    Raises:
        UsageError: VF8004.
    """
    from verifluxa.errors import UsageError

    if out is not None and out.exists():
        raise UsageError(
            "VF8004",
            "the file for the next spec is already there",
            place=str(out),
            expected="a new file",
            remedy="name another with -o",
        )


def subject_of(found: Found, path: Path, shown: tuple[str, str], side: int) -> Subject:
    """What is scanned.

    Args:
        found: how model and data are read.
        path: of the spec that the files lie beside.
        shown: the model and the data as the user called them.
        side: of the patch on images, in pixels.
    """
    from verifluxa.cli.init_spec import head_lines
    from verifluxa.triage.scan.subject import Subject

    trigger = found.way.kind.trigger[1:]
    window = tuple(line.replace("insert 1 token", "replace 1 token") for line in trigger)
    return Subject(tuple(head_lines(found.way)), trigger, window, str(path), shown, side)


def _explained(done: Scan, folder: Path | None, shap: bool, budget: float) -> Explained | None:
    """Explains the strongest trigger's effect on one input, and draws it, where a folder is given."""
    if folder is None:
        return None
    from verifluxa.result.write import write_whole
    from verifluxa.triage.explain import explain, lines

    explained = explain(done, budget / 2, shap, seed=0)
    files = {**_pictures(explained), "explanation.txt": ("\n".join(lines(explained)) + "\n").encode()}
    for name, content in files.items():
        write_whole(folder / name, content)
    return explained


def _pictures(explained: Explained) -> dict[str, bytes]:
    """The maps of an image; nothing where the input is none."""
    from verifluxa.report.pictures import Caption, Levels, Panel, heatmap_picture, png

    case = explained.case
    if case.after.ndim != 3:
        return {}
    levels = Levels(float(min(case.before.min(), 0)), float(case.ranges.max()))
    before, after = explained.answers
    import numpy as np

    open_ = explained.over_input(np.array([0.0 if one else 1.0 for one in explained.certified]))
    panels = [
        Panel("without", f"answer {before}", case.before, levels),
        Panel("with the trigger", f"answer {after}", case.after, levels),
        Panel("gradient", "heuristic", explained.gradient.sum(0)),
        Panel("occlusion", "heuristic", explained.over_input(explained.occlusion)[0]),
    ]
    if explained.shapley is not None:
        panels.append(Panel("SHAP", "heuristic", explained.shapley.sum(0)))
    panels.append(Panel("sensitivity", "white is certified", open_[0]))
    title = f"What the answer {after} hangs on"
    words = (
        f"Input {case.index}. Heuristics prove nothing; white in the last map: proved that no patch there changes it."
    )
    return {"explanation.png": png(heatmap_picture(panels, Caption(title, words)))}


def _present(done: Scan, explained: Explained | None, chosen: ScanFormat, out: Path | None) -> None:
    from verifluxa.cli.output import emit, print_words
    from verifluxa.result.document import dumps
    from verifluxa.triage import explain as explaining
    from verifluxa.triage.scan import words

    if chosen is ScanFormat.JSON:
        key = {} if explained is None else {"explanation": explaining.document(explained)}
        emit(dumps({**words.document(done), **key}))
        return
    more = [] if explained is None else list(explaining.lines(explained))
    print_words(words.lines(done, None if out is None else str(out), more))
