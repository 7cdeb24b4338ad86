"""Files that a spec may name: below its own folder, so that a spec from elsewhere reads nothing else; pictures."""

from __future__ import annotations

import re
from pathlib import Path

from verifluxa.errors import Span, SpecError
from verifluxa.files import open_file
from verifluxa.png import MAX_BYTES, Levels, decode

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


# Pictures: PNG files that a spec names, as they are stamped or as masks


def read_png(path: Path, place: Span) -> Levels:
    """The levels of a picture, shape (height, width, channels) with 1 or 3 channels.

    Args:
        path: the file.
        place: where the spec names it.

    Raises:
        SpecError: VF1046 when it cannot be read, is damaged, too large, or of a kind that is not read.
    """
    try:
        with open_file(path) as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise _refused(f"it cannot be read ({reason})", place) from None
    if len(content) > MAX_BYTES:
        raise _refused(f"it is larger than {MAX_BYTES:,} bytes", place)
    try:
        return decode(content)
    except ValueError as error:
        raise _refused(str(error), place) from None


def _refused(reason: str, place: Span) -> SpecError:
    return SpecError(
        "VF1046",
        f"this picture cannot be used: {reason}",
        place=place,
        expected="a PNG file of 8 bits per channel, grey or RGB, not interlaced",
        remedy="save it so, for instance with `convert in.png -depth 8 -type TrueColor out.png`",
    )
