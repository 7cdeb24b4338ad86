"""Every code block of the documents does what the page says, or says why it cannot run here."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs.blocks import PAGES, RECIPES, ROOT, Block, blocks, pattern, steps
from tests.docs.session import Finished, Session
from verifluxa.spec.format import format_spec

REASONS = {
    "needs an MLflow server": 5,
    "needs a cluster": 1,
    "needs a GPU": 1,
    "needs Julia": 4,
    "installs packages": 5,
    "writes into the home directory": 1,
    "needs hours": 1,
    "takes longer than a test may": 1,
    "a form to fill in": 1,
    "a picture, a formula or pseudo-code": 15,
}
"""Why blocks do not run, and how many there are: no block loses its test unseen."""


def _toml(text: str) -> object:
    return tomllib.loads(text)


PARSERS: dict[str, Callable[[str], object]] = {"json": json.loads, "toml": _toml, "vfx": format_spec}
KINDS = {*PARSERS, "console", "pycon", *RECIPES}
WITH_BLOCKS = [path for path in PAGES if any(True for _ in blocks(path))]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return Finished(tmp_path_factory.mktemp("finished"))


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: Finished) -> Session:
    """A terminal of 100 columns, without colours, in a folder of its own."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    opened = Session(tmp_path / "here", finished)
    opened.prepare()
    return opened


def test_every_block_says_what_it_is_and_those_that_do_not_run_say_why() -> None:
    found = [block for path in WITH_BLOCKS for block in blocks(path)]
    assert [
        (block.page, block.line, block.kind) for block in found if block.reason is None and block.kind not in KINDS
    ] == []
    assert {block.page for block in found if block.kind in RECIPES and block.reason is None} == {"CONTRIBUTING.md"}
    assert Counter(block.reason for block in found if block.reason is not None) == REASONS


@pytest.mark.parametrize("path", WITH_BLOCKS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_blocks_of_a_page(path: Path, session: Session) -> None:
    for block in blocks(path):
        if block.reason is None:
            _run(block, session)


def _run(block: Block, session: Session) -> None:
    for command in block.first:
        assert session.execute(steps(f"$ {command}")[0]) == ""
        assert session.code == 0, command
    if block.kind == "console":
        _compare(block, session)
    elif block.kind == "pycon":
        session.python(block.text)
    elif block.kind not in RECIPES:
        PARSERS[block.kind](block.text)


def _compare(block: Block, session: Session) -> None:
    for step in steps(block.text):
        printed = "".join(line.rstrip() + "\n" for line in session.execute(step).splitlines())
        place = f"{block.page}:{block.line}: $ {step.command}"
        assert pattern(step.printed).fullmatch(printed), f"{place}\n{printed}"
        assert session.code == 0 or step.printed, f"{place}: exit {session.code}"
