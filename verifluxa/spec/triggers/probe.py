"""Published trigger patterns as data: `specs/probes/probes.toml`, and `probe badnets_square, sinusoid` in a spec."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import ceil, floor
from pathlib import Path
from typing import Any

from verifluxa.errors import Span, SpecError, UsageError
from verifluxa.files import read_file
from verifluxa.library import PACKAGE, Library, Resource, find
from verifluxa.png import MAX_BYTES, Levels, decode
from verifluxa.spec.names import did_you_mean
from verifluxa.spec.numbers import sine
from verifluxa.spec.placements import Room, groups_of
from verifluxa.spec.problems import Problems
from verifluxa.spec.spec import ImageSpace
from verifluxa.spec.syntax import At, Clause, TriggerSyntax
from verifluxa.spec.terms import Name
from verifluxa.spec.triggers.stamp import Patterns, Picture, Place, StampTrigger, Times, Values, amplitudes
from verifluxa.spec.triggers.union import UnionTrigger

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


def load_probes(package: Path = PACKAGE) -> tuple[Probe, ...]:
    """All probes of the library, in the order of the file.

    Args:
        package: the folder of this program.

    Raises:
        UsageError: VF3033 when the file or a picture is not as its README says, VF4003 when it cannot be read.
    """
    resource = find(Library.PROBES, "probes", package)
    try:
        table = tomllib.loads(resource.text)
        if table.get("schema") != SCHEMA:
            raise ValueError(f"its schema is not {SCHEMA}")
        return tuple(_probe(item, resource) for item in table["probe"])
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError, OSError) as error:
        raise UsageError(
            "VF3033",
            f"the library of probes is damaged: {error}",
            place=str(resource.path),
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
        places=places or _own_places(probe.pattern, space),
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


def _own_places(pattern: Drawing | Sheet | Sine, space: ImageSpace) -> tuple[tuple[Place, ...], ...]:
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


def _probe(item: Mapping[str, Any], resource: Resource) -> Probe:
    """One entry. Raises KeyError, TypeError, ValueError or OSError when something is wrong with it."""
    name, title, source, verb = (item[key] for key in ("name", "title", "source", "verb"))
    if not all(isinstance(word, str) for word in (name, title, source)) or verb not in ("replace", "add"):
        raise ValueError("a probe has the texts name, title, source and verb (`replace` or `add`)")
    opacity, amplitude = (Fraction(item.get(key, default)) for key, default in (("opacity", 100), ("amplitude", 0)))
    if not 0 < opacity <= 100 or (amplitude > 0) != (verb == "add"):
        raise ValueError(f"{name}: `opacity` is in percent, and `add`, it alone, has an `amplitude`")
    return Probe(name, title, source, verb, _pattern(item, resource), opacity / 100, amplitude)


def _pattern(item: Mapping[str, Any], resource: Resource) -> Drawing | Sheet | Sine:
    given = [key for key in ("drawing", "picture", "wave") if key in item]
    if given == ["drawing"] and item["places"] in PLACES and item["verb"] == "replace":
        return _drawing(item["drawing"], item["places"])
    if given == ["picture"] and item["fit"] in ("stretch", "tile") and "/" not in item["picture"]:
        levels = decode(read_file(resource.path.parent / item["picture"], MAX_BYTES))
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


ALL = "all"
SHOWN = 12


@dataclass(frozen=True)
class Probes(Clause):
    """`probe badnets_square, sinusoid`, `probe all`: known triggers; `times 0..60 level`: with another amplitude."""

    names: tuple[Name, ...]
    times: Times | None


def is_probe(syntax: TriggerSyntax) -> bool:
    """Whether a trigger on images names known ones."""
    return any(isinstance(clause, Probes) for clause in syntax.clauses)


def check_probes(syntax: TriggerSyntax, space: ImageSpace, problems: Problems) -> StampTrigger | UnionTrigger:
    """The union of the probes that a trigger names; `all` are all of the library.

    Raises:
        SpecError: VF1020 for a probe that the library does not have, VF1024 for one that is named twice, VF1041 for one
            that is larger than the image, VF1042 and VF1043 for places, VF1057 for clauses that do not go with it;
            VF1030 to VF1033 and VF1044 for amplitudes.
    """
    (clause,) = [clause for clause in syntax.clauses if isinstance(clause, Probes)][:1]
    at = next((clause for clause in syntax.clauses if isinstance(clause, At)), None)
    for other in syntax.clauses:
        if other is not clause and other is not at:
            raise SpecError(
                "VF1057",
                "a probe is a whole trigger, only `at` goes with it",
                place=other.span,
                expected="`probe badnets_square at corners`",
                remedy="give each family a trigger of its own, and `one of` them",
            )
    members: list[StampTrigger] = []
    for name, probe in _chosen(clause):
        member = probe_trigger(probe, space, _places(name, probe, space, at, problems), name.span)
        members.append(member if clause.times is None else _amplified(member, clause.times))
    return members[0] if len(members) == 1 else UnionTrigger(syntax.name.text, space.name, tuple(members))


def _amplified(member: StampTrigger, times: Times) -> StampTrigger:
    """The probe with any amplitude of a range, as patterns have."""
    if not isinstance(member.values, Patterns):
        raise SpecError(
            "VF1057",
            f"`{member.name}` replaces and has no amplitude, so it does not go with `times`",
            place=times.levels.span,
            expected="a probe that is added, such as `sinusoid` or `trojan_watermark`",
        )
    low, high = amplitudes(times)
    values = Patterns(member.values.patterns, low, high, None if times.continuous else 1)
    return replace(member, values=values)


def _chosen(clause: Probes) -> list[tuple[Name, Probe]]:
    known = {probe.name: probe for probe in load_probes()}
    if [name.text for name in clause.names] == [ALL]:
        return [(clause.names[0], probe) for probe in known.values()]
    found: dict[str, tuple[Name, Probe]] = {}
    for name in clause.names:
        if name.text not in known:
            more = ", ..." if len(known) > SHOWN else ""
            raise SpecError(
                "VF1020",
                f"the library has no probe called `{name.text}`",
                place=name.span,
                expected=", ".join(f"`{one}`" for one in list(known)[:SHOWN]) + more,
                remedy=did_you_mean(name.text, [*known, ALL]),
            )
        if name.text in found:
            raise SpecError("VF1024", f"the probe `{name.text}` is named twice", place=name.span)
        found[name.text] = name, known[name.text]
    return list(found.values())


def _places(
    name: Name, probe: Probe, space: ImageSpace, at: At | None, problems: Problems
) -> tuple[tuple[Place, ...], ...]:
    """Where `at` says; none: the probe's own places. A probe of the whole image has one place."""
    if at is None or (name.text == ALL and not isinstance(probe.pattern, Drawing)):
        return ()
    if not isinstance(probe.pattern, Drawing):
        raise SpecError(
            "VF1057",
            f"`{probe.name}` covers the whole image and `at` do not go together",
            place=at.span,
            remedy="the whole image has one place",
        )
    height, width = size_of(probe.pattern)
    if height > space.height or width > space.width:
        return ()
    return groups_of(at.places, Room.of(height, width, space), problems)
