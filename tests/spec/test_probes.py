"""The library of published patterns: drawn as its README says, taken by name, and refused where it is damaged."""

from __future__ import annotations

import re
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from verifluxa.errors import SpecError, UsageError
from verifluxa.lower.families import family
from verifluxa.lower.reading import Reads
from verifluxa.spec.check import parse_spec
from verifluxa.spec.spec import ImageSpace
from verifluxa.spec.triggers.probe import Drawing, Sine, load_probes, probe_trigger
from verifluxa.spec.triggers.stamp import Patterns, Picture, StampTrigger
from verifluxa.spec.triggers.union import UnionTrigger

ROOT = Path(__file__).parents[2]
DIGIT = ImageSpace("digit", 28, 28, 1, 0, 255)
COLOUR = ImageSpace("photo", 16, 20, 3, -128, 127)
PROBES = {probe.name: probe for probe in load_probes()}


def _stamped(name: str, space: ImageSpace, at: int = 0) -> NDArray[np.float64]:
    """A grey image at the middle level, with the probe on it before any clip."""
    trigger = probe_trigger(PROBES[name], space)
    placements, domain = family(trigger, space, Reads("float32", np.zeros((0, 1)), "none.npz"))
    domain = placements[at].domain or domain
    assert (domain.lower == domain.upper).all()
    size = space.channels * space.height * space.width
    flat = placements[at].stamp.applied(np.full((1, size), 100.0), domain.lower)
    return flat.reshape(space.channels, space.height, space.width)


def test_each_probe_has_a_source_a_row_in_the_readme_and_as_many_places() -> None:
    readme = (ROOT / "specs" / "probes" / "README.md").read_text()
    assert len(PROBES) >= 12
    for probe in PROBES.values():
        assert re.search(r"\b20\d\d\b", probe.source)
        (row,) = re.findall(rf"^\| `{probe.name}` \| {re.escape(probe.title)} \|.*\| (\d+) \|$", readme, re.M)
        assert int(row) == len(probe_trigger(probe, DIGIT).places)


@pytest.mark.parametrize("name", PROBES)
@pytest.mark.parametrize("space", [DIGIT, COLOUR])
def test_every_probe_is_drawn_on_grey_and_colour(name: str, space: ImageSpace) -> None:
    found = _stamped(name, space)
    assert (found != 100).any()
    assert np.ptp(found, axis=0).max() == 0, "all channels alike"


def test_a_drawing_stands_where_its_place_says_row_first() -> None:
    trigger = probe_trigger(PROBES["badnets_pattern"], DIGIT)
    found = _stamped("badnets_pattern", DIGIT, trigger.places.index(((3, 5),)))[0]
    rows, columns = np.nonzero(found != 100)
    assert sorted(zip(rows.tolist(), columns.tolist(), strict=True)) == [(3, 7), (4, 6), (5, 5), (5, 7)]
    assert (found[rows, columns] == 255).all()


def test_the_checkerboard_takes_both_ends_of_the_range() -> None:
    found = _stamped("checkerboard", COLOUR)[0, :3, :3]
    assert found.tolist() == [[127, -128, 127], [-128, 127, -128], [127, -128, 127]]


def test_four_corners_are_stamped_at_once() -> None:
    found = _stamped("corner_marks", DIGIT)[0]
    assert np.argwhere(found == 255).tolist() == [[0, 0], [0, 27], [27, 0], [27, 27]]


def test_the_sinusoid_is_that_of_its_paper() -> None:
    found = _stamped("sinusoid", DIGIT)[0] - 100
    expected = 20 * np.sin(2 * np.pi * np.arange(28) * 6 / 28)
    assert np.abs(found - expected).max() < 1e-4


def test_a_blend_keeps_four_fifths_of_the_image() -> None:
    trigger = probe_trigger(PROBES["blended_noise"], DIGIT)
    assert isinstance(trigger.values, Picture)
    found = _stamped("blended_noise", DIGIT)
    assert trigger.opacities == (Fraction(1, 5),)
    assert np.allclose(found.ravel(), 80 + 0.2 * np.array(trigger.values.levels))


def test_amplitudes_are_in_proportion_to_the_range() -> None:
    half = ImageSpace("half", 8, 8, 1, 0, 51)
    values = probe_trigger(PROBES["chessboard"], half).values
    assert isinstance(values, Patterns)
    assert values.low == values.high == Fraction(3, 5)
    assert values.patterns[0][:3] == (1, 0, 1)


SPEC = """spec 1
input photo : image(20 px, 16 px, 3 ch) of 0..255 level
model m : photo -> class(3) {{ encode = level / 255 }}
data eval : photo {{ take = 10 }}
trigger known : photo {{ {} }}
property p {{
  forall t in known
  assert rate(x in eval : class(m(t(x))) != label(x)) <= 5 %
}}
"""


def _family(clause: str) -> object:
    return parse_spec(SPEC.format(clause), "spec.vfx").spec.properties[0].statement.trigger


def test_a_spec_takes_one_several_or_all() -> None:
    one = _family("probe cross at corners")
    assert isinstance(one, StampTrigger)
    assert one.places == (((0, 0),), ((0, 13),), ((17, 0),), ((17, 13),))
    two = _family("probe cross, sinusoid")
    assert isinstance(two, UnionTrigger)
    assert [member.name for member in two.members] == ["cross", "sinusoid"]
    everything = _family("probe all at (0, 0)")
    assert isinstance(everything, UnionTrigger)
    assert [member.name for member in everything.members] == list(PROBES)
    assert all(len(member.places) == 1 for member in everything.members if isinstance(member, StampTrigger))


def test_an_amplitude_may_be_any_of_a_range() -> None:
    one = _family("probe trojan_watermark times 0..80 level")
    assert isinstance(one, StampTrigger)
    assert isinstance(one.values, Patterns)
    assert (one.values.low, one.values.high, one.values.step) == (0, 80, 1)
    fixed = _family("probe trojan_watermark")
    assert isinstance(fixed, StampTrigger)
    assert isinstance(fixed.values, Patterns)
    assert one.values.patterns == fixed.values.patterns
    both = _family("probe sinusoid, ramp times -9..9 level continuous")
    assert isinstance(both, UnionTrigger)
    steps = [member.values.step for member in both.members if isinstance(member, StampTrigger)]  # type: ignore[union-attr]
    assert steps == [None, None]


def test_a_drawing_that_is_too_large_is_refused_by_name() -> None:
    with pytest.raises(SpecError, match="content_mark"):
        probe_trigger(PROBES["content_mark"], ImageSpace("small", 4, 4, 1, 0, 255))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("schema = 1", "schema = 2"),
        ('drawing = ["..#", ".#.", "#.#"]', 'drawing = ["..#", ".#.", "#."]'),
        ('drawing = ["..#", ".#.", "#.#"]', 'drawing = ["..@"]'),
        ('picture = "watermark.png"', 'picture = "../../README.md"'),
        ('picture = "watermark.png"', 'picture = "missing.png"'),
        ("amplitude = 76", "amplitude = -1"),
        ("opacity = 20", "opacity = 0"),
        ('verb = "replace"', 'verb = "warp"'),
        ("cycles = 6", "cycles = nan"),
        ("[[probe]]", "[[probe]"),
    ],
)
def test_a_damaged_library_is_an_error(old: str, new: str, tmp_path: Path) -> None:
    folder = tmp_path / "specs" / "probes"
    shutil.copytree(ROOT / "specs" / "probes", folder)
    table = folder / "probes.toml"
    assert old in table.read_text()
    table.write_text(table.read_text().replace(old, new, 1))
    with pytest.raises(UsageError) as caught:
        load_probes(tmp_path / "verifluxa")
    assert caught.value.code == "VF3033"


def test_patterns_of_the_whole_image_are_named_as_such() -> None:
    assert isinstance(PROBES["sinusoid"].pattern, Sine)
    assert not isinstance(PROBES["ramp"].pattern, Drawing)
