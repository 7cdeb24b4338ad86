"""The examples on the explain pages: the wrong one has exactly this error, the right one does not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import verifluxa
from tests.spec.sample import codes, warnings

PAGES = sorted((Path(verifluxa.__file__).parent / "explain").glob("VF1*.md"))
BLOCKS = re.compile(r"```vfx\n(.*?)```", re.S)
WITH_EXAMPLES = [page for page in PAGES if "```vfx" in page.read_text(encoding="utf-8")]


def examples(page: Path) -> list[str]:
    return BLOCKS.findall(page.read_text(encoding="utf-8"))


def test_most_pages_have_examples_that_are_checked() -> None:
    assert len(WITH_EXAMPLES) >= 45


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=lambda page: page.stem)
def test_the_wrong_example_has_this_error_and_the_right_one_does_not(page: Path) -> None:
    wrong, right = examples(page)
    if page.read_text(encoding="utf-8").splitlines()[0].endswith("(warning)"):
        assert page.stem in warnings(wrong)
        assert page.stem not in warnings(right)
    else:
        assert set(codes(wrong)) == {page.stem}
        assert codes(right) == []
