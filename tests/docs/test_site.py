"""The site: it builds without a warning, needs nothing from elsewhere, and shows every page."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.commands import commands
from docs.made import MADE
from docs.stage import place, sources
from verifluxa.cli.reference_commands import codes

ROOT = Path(__file__).resolve().parents[2]
LOADED = re.compile(r"<(?:script|img|link|iframe|source|video|audio)\b[^>]*?\b(?:src|href)=\"([^\"]+)\"")
IMPORTED = re.compile(r"(?:@import|url\()\s*[\"']?(?:https?:)?//")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` builds it; a warning, such as a link that leads nowhere, is an error."""
    staged, built = tmp_path_factory.mktemp("staged"), tmp_path_factory.mktemp("built")
    _check("docs.stage", str(staged))
    _check("sphinx", "-q", "-W", "--keep-going", "-c", str(ROOT / "docs"), str(staged), str(built))
    return built


def _check(module: str, *arguments: str) -> None:
    command = [sys.executable, "-m", module, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_page_is_built_and_stands_in_the_sidebar(site: Path) -> None:
    home = (site / "index.html").read_text(encoding="utf-8")
    for name in [*map(place, sources()), *map(place, MADE)]:
        page = name.with_suffix(".html")
        assert (site / page).is_file()
        if page.name != "index.html" and "errors" not in page.parts:
            assert f'href="{page}"' in home, page


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    loaded = {link for page in site.rglob("*.html") for link in LOADED.findall(page.read_text(encoding="utf-8"))}
    assert loaded
    assert {link for link in loaded if "//" in link} == set()
    assert [page for page in site.rglob("*.css") if IMPORTED.search(page.read_text(encoding="utf-8"))] == []


def test_every_error_and_every_command_is_shown(site: Path) -> None:
    errors = "".join(page.read_text(encoding="utf-8") for page in (site / "reference" / "errors").glob("*.html"))
    assert [code for code in codes() if f'id="{code.lower()}"' not in errors] == []
    page = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    for command in commands():
        assert f">{command.name}<" in page
        assert all(item.help for item in command.parameters), command.name
        assert [item.value for item in command.parameters if item.value not in page] == []
