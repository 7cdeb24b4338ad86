"""Paths that a spec may name: below its own folder, so that a spec from elsewhere reads nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from verifluxa.errors import Span, SpecError

_DRIVE = re.compile(r"[A-Za-z]:")


def inside(path: str, place: Span) -> str:
    """The path as written, when it stays inside the spec's folder.

    Raises:
        SpecError: VF1051 when it is empty, absolute, climbs with `..`, or is written with backslashes.
    """
    reason = _reason(path)
    if reason is None:
        return path
    raise SpecError(
        "VF1051",
        f"the path {reason}",
        place=place,
        expected="a path relative to the spec's own folder, with `/`, such as `models/clean.jld2`",
        remedy="for a file elsewhere use `--model NAME=FILE` or `--data NAME=FILE`",
    )


def beside(spec_path: str, path: str) -> Path:
    """Where a path of a spec lies: relative to the spec file, not to the working directory."""
    return Path(spec_path).parent / path


def _reason(path: str) -> str | None:
    if not path.strip():
        return "is empty"
    if "\\" in path:
        return "is written with backslashes"
    if path.startswith(("/", "~")) or _DRIVE.match(path):
        return "is absolute"
    if ".." in path.split("/"):
        return "leaves the folder of the spec (`..`)"
    return None
