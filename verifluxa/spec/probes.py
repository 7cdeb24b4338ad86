"""Published trigger patterns as data: `specs/probes/probes.toml`, drawn for the images of an input space.

`trigger known : digit { probe badnets_square, sinusoid }` takes them by name; a scan tries all of them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, floor
from typing import Any

from verifluxa.errors import Span, SpecError, UsageError
from verifluxa.files import read_file
from verifluxa.library import Shelf, Shelved, find
from verifluxa.png import MAX_BYTES, Levels, decode
from verifluxa.spec.numbers import sine
from verifluxa.spec.spec import ImageSpace
from verifluxa.spec.triggers.stamp import Patterns, Picture, Place, StampTrigger, Values

SCHEMA = 1
PLACES = ("any", "corners", "four corners")
SIGNS = {"#": Fraction(1), "+": Fraction(1, 2), "o": Fraction(0)}
"""What a sign of a drawing stands for, between the lowest and the highest level; `.` is not stamped."""

Grid = tuple[tuple[Fraction, ...], ...]


@dataclass(frozen=True)
class Drawing:
    """A small stamp: (row, column) and a share of the range, 0 to 1, for each pixel; `places` as in `PLACES`."""

    pixels: tuple[Place, ...]
    shares: tuple[Fraction, ...]
    places: str


@dataclass(frozen=True)
class Sheet:
    """A picture for the whole image, as shares 0 to 1 (-1 to 1 where it is centred), stretched to its size or tiled."""

    grid: Grid = field(repr=False)
    tiled: bool


@dataclass(frozen=True)
class Sine:
    """A sinusoid over the whole image: so many periods along `rows` or `columns`."""

    axis: str
    cycles: int


@dataclass(frozen=True)
class Probe:
    """A known trigger.

    Attributes:
        name, title, source: what it is called, what it is, and who published it.
        verb: `replace` or `add`.
        pattern: what is stamped.
        opacity: of `replace`, 0 to 1.
        amplitude: of `add`, in levels where the range is 0..255, and in proportion elsewhere.
    """

    name: str
    title: str
    source: str
    verb: str
    pattern: Drawing | Sheet | Sine
    opacity: Fraction
    amplitude: Fraction


def load_probes() -> tuple[Probe, ...]:
    """All probes of the library, in the order of the file.

    Raises:
        UsageError: VF3033 when the file or a picture is not as its README says, VF4003 when it cannot be read.
    """
    shelved = find(Shelf.PROBES, "probes")
    try:
        table = tomllib.loads(shelved.text)
        if table.get("schema") != SCHEMA:
            raise ValueError(f"its schema is not {SCHEMA}")
        return tuple(_probe(item, shelved) for item in table["probe"])
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError, OSError) as error:
        raise UsageError(
            "VF3033",
            f"the library of probes is damaged: {error}",
            place=str(shelved.path),
            expected="entries as its README.md describes them",
        ) from None


def probe_trigger(
    probe: Probe, space: ImageSpace, places: tuple[tuple[Place, ...], ...] = (), place: Span | None = None
) -> StampTrigger:
    """The family of a probe on the images of a space: known values at the probe's places.

    Args:
        probe: the probe.
        space: of the images; all channels are stamped alike.
        places: where it goes, for a drawing, each one or several at once; empty: the probe's own.
        place: where a spec names it, for messages.

    Raises:
        SpecError: VF1041 when a drawing is larger than the image.
    """
    if isinstance(probe.pattern, Drawing):
        height, width = size_of(probe.pattern)
        if height > space.height or width > space.width:
            raise SpecError(
                "VF1041",
                f"the probe `{probe.name}` of {height} x {width} px is larger than the image",
                place=place,
                expected=f"at most {space.height} x {space.width} px, the size of `{space.name}`",
            )
        pixels = probe.pattern.pixels
        shares = probe.pattern.shares
    else:
        pixels = tuple((row, column) for row in range(space.height) for column in range(space.width))
        shares = tuple(_share(probe.pattern, pixel, space) for pixel in pixels)
    return StampTrigger(
        name=probe.name,
        space=space.name,
        verb=probe.verb,
        pixels=pixels,
        places=places or _places(probe.pattern, space),
        values=_values(probe, shares * space.channels, space),
        opacities=(probe.opacity,),
        clip=probe.verb == "add",
    )


def size_of(drawing: Drawing) -> tuple[int, int]:
    """Height and width."""
    return max(row for row, _ in drawing.pixels) + 1, max(column for _, column in drawing.pixels) + 1


def _values(probe: Probe, shares: tuple[Fraction, ...], space: ImageSpace) -> Values:
    span = space.high - space.low
    if probe.verb == "replace":
        return Picture(tuple(int(space.low + floor(share * span + Fraction(1, 2))) for share in shares))
    amplitude = probe.amplitude * span / 255
    return Patterns((shares,), amplitude, amplitude, None)


def _places(pattern: Drawing | Sheet | Sine, space: ImageSpace) -> tuple[tuple[Place, ...], ...]:
    if not isinstance(pattern, Drawing):
        return (((0, 0),),)
    height, width = size_of(pattern)
    rows, columns = range(space.height - height + 1), range(space.width - width + 1)
    if pattern.places == "any":
        return tuple(((row, column),) for row in rows for column in columns)
    corners = tuple(sorted({(row, column) for row in (0, rows[-1]) for column in (0, columns[-1])}))
    return (corners,) if pattern.places == "four corners" else tuple((corner,) for corner in corners)


def _share(pattern: Sheet | Sine, pixel: Place, space: ImageSpace) -> Fraction:
    row, column = pixel
    if isinstance(pattern, Sine):
        at, length = (row, space.height) if pattern.axis == "rows" else (column, space.width)
        return sine(Fraction(at * pattern.cycles, length))
    height, width = len(pattern.grid), len(pattern.grid[0])
    if pattern.tiled:
        return pattern.grid[row % height][column % width]
    return pattern.grid[row * height // space.height][column * width // space.width]


def _probe(item: Mapping[str, Any], shelved: Shelved) -> Probe:
    """One entry. Raises KeyError, TypeError, ValueError or OSError when something is wrong with it."""
    name, title, source, verb = (item[key] for key in ("name", "title", "source", "verb"))
    if not all(isinstance(word, str) for word in (name, title, source)) or verb not in ("replace", "add"):
        raise ValueError("a probe has the texts name, title, source and verb (`replace` or `add`)")
    opacity, amplitude = (Fraction(item.get(key, default)) for key, default in (("opacity", 100), ("amplitude", 0)))
    if not 0 < opacity <= 100 or (amplitude > 0) != (verb == "add"):
        raise ValueError(f"{name}: `opacity` is in percent, and `add`, it alone, has an `amplitude`")
    return Probe(name, title, source, verb, _pattern(item, shelved), opacity / 100, amplitude)


def _pattern(item: Mapping[str, Any], shelved: Shelved) -> Drawing | Sheet | Sine:
    given = [key for key in ("drawing", "picture", "wave") if key in item]
    if given == ["drawing"] and item["places"] in PLACES and item["verb"] == "replace":
        return _drawing(item["drawing"], item["places"])
    if given == ["picture"] and item["fit"] in ("stretch", "tile") and "/" not in item["picture"]:
        levels = decode(read_file(shelved.path.parent / item["picture"], MAX_BYTES))
        return Sheet(_grid(levels, bool(item.get("centred", False))), item["fit"] == "tile")
    if given == ["wave"] and item["wave"] in ("rows", "columns") and item["verb"] == "add":
        return Sine(item["wave"], ceil(item["cycles"]))
    raise ValueError(f"{item['name']}: one of `drawing`, `picture`, `wave`, with what belongs to it")


def _drawing(rows: list[str], places: str) -> Drawing:
    if len({len(row) for row in rows}) != 1 or set("".join(rows)) - {*SIGNS, "."}:
        raise ValueError("a drawing has rows of one length, of the signs " + " ".join([*SIGNS, "."]))
    found = {(r, c): SIGNS[sign] for r, row in enumerate(rows) for c, sign in enumerate(row) if sign != "."}
    return Drawing(tuple(found), tuple(found.values()), places)


def _grid(levels: Levels, centred: bool) -> Grid:
    """Levels of a grey picture as shares; a centred one adds and takes away."""
    if levels.shape[2] != 1:
        raise ValueError("pictures of probes are grey")
    rows = levels[..., 0].tolist()
    return tuple(tuple(Fraction(2 * v - 255, 255) if centred else Fraction(v, 255) for v in row) for row in rows)
