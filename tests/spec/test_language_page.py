"""The reference page of the language: every example on it is a sound spec, or a sound part of one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.spec.sample import check, codes
from verifluxa.spec.format import format_spec

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "language.md"
BLOCKS = [
    block
    for block in re.findall(r"```vfx\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    if '.png"' not in block and "vocab" not in block
]
"""Those that read no further file."""
PHOTO = "input photo : image(32 px, 48 px, 3 ch) of 0..255 level\n"


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_an_example_is_sound_and_well_formatted(block: str) -> None:
    whole = PHOTO + block if ": photo" in block and "input photo" not in block else block
    assert codes(whole) == []
    assert format_spec(block) == block


def test_the_first_example_is_the_whole_spec() -> None:
    checked = check(BLOCKS[0])
    assert checked.warnings == ()
    assert checked.spec.properties[0].name == "no_universal_trigger"
