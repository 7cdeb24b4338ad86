"""`verifluxa init`: looks at a model and its data, and writes a first spec that runs."""

from __future__ import annotations

import os
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from verifluxa.cli.options import Architecture, Companion, FluxVersion

if TYPE_CHECKING:
    from verifluxa.cli.init_spec import Found

Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A .jld2, .bson, .safetensors, .npz or .onnx file.")]
Option = typer.Option


def init(
    model: Model,
    data: Annotated[Path | None, Option(metavar="FILE", help="Inputs: .npz images, .csv table, .jsonl texts.")] = None,
    architecture: Architecture = None,
    companion: Companion = None,
    flux_version: FluxVersion = None,
    out: Annotated[Path | None, Option("-o", "--out", metavar="FILE", help="The spec (beside the files).")] = None,
) -> int:
    """Writes a commented spec for a model and its data, which `verify` takes without an edit.

    Ways to read an input are tried on the data; the one with which the model is right most often is written.
    What is not given is looked for beside the files: architecture*.txt, scaler.json, vocab.txt. Without -o nothing is
    written outside the working folder.
    """
    from verifluxa.cli.init_spec import Look, architectures, beside, best_way, cannot, common_folder, spec_text
    from verifluxa.cli.output import print_words
    from verifluxa.result.write import write_whole

    if data is None:
        raise cannot("a claim speaks of inputs, and there are none", "--data FILE: .npz, .csv or .jsonl")
    extra = companion or beside(model, data)
    texts = [architecture] if architecture else architectures(model)
    folder = out.absolute().parent if out else common_folder(model, data, extra, *texts)
    target = out or folder / f"{model.stem}.vfx"
    if out is None and not folder.is_relative_to(Path.cwd()):
        shown = os.path.relpath(target)
        raise cannot(
            "the spec would lie outside the working folder, since only there it is above all of its files",
            "files in the working folder or below, or a place that you name",
            shown,
            f"run it in {folder}, or name the place: -o {quote(shown)}",
        )
    if target.exists():
        shown = os.path.relpath(target)
        raise cannot("the spec is already there", "a new file", shown, f"name another with -o, or look at it: {shown}")
    found = best_way(Look(model, data, extra, architecture, flux_version, folder))
    write_whole(target, spec_text(found.way).encode())
    shown = os.path.relpath(target)
    print_words([f"{shown}: the model is right on {found.right} of {found.count} inputs", *doubt(found)])
    return 0


def doubt(found: Found) -> list[str]:
    """What to look at where the model is seldom right."""
    if 2 * found.right > found.count:
        return []
    return [
        "that is few: look at `encode`, `layout` and the order of the classes; only inputs that it gets right count"
    ]
