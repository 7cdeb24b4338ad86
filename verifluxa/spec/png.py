"""PNG files that a spec names: trigger pictures, masks."""

from __future__ import annotations

from pathlib import Path

from verifluxa.errors import Span, SpecError
from verifluxa.files import open_file
from verifluxa.png import MAX_BYTES, Levels, decode

__all__ = ["Levels", "read_png"]


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
