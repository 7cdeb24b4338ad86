"""House rules that no other tool checks: places of machines, error codes and their pages."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.made import MADE

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "verifluxa"
PAGES = PACKAGE / "explain"
SOURCES = sorted(PACKAGE.rglob("*.py"))
CODE = re.compile(r"VF\d{4}")
# Put together here, so that this file does not hold what it looks for.
MACHINE_PATH = re.compile(rb"(?<![\w.:/-])/(?:" + b"|".join([b"work", b"home", b"root", b"Users"]) + rb")/[\w.]")
INDEX_HOST = re.compile(
    b"|".join(
        [
            rb"pypi\." + rb"org",
            rb"python" + rb"hosted\.org",
            rb"download\.py" + rb"torch\.org",
            rb"--(?:extra-)?index" + rb"-url[ =]\S*://",
        ]
    )
)


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _strings(path: Path) -> Iterator[str]:
    """String literals of a module, without its docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    plain = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in plain:
            yield node.value


def _codes_in_source() -> set[str]:
    return {text for path in SOURCES for text in _strings(path) if CODE.fullmatch(text)}


def test_every_error_code_has_its_page_and_every_page_its_code() -> None:
    assert _codes_in_source() == {path.stem for path in PAGES.glob("*.md")}


@pytest.mark.parametrize("page", sorted(PAGES.glob("*")), ids=lambda path: path.name)
def test_a_page_has_a_title_and_says_what_is_wrong_and_what_is_right(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    assert re.fullmatch(rf"# {page.stem}: \S.*[^.]", lines[0])
    assert 8 <= len(lines) <= 45
    assert max(len(line) for line in lines) <= 120
    text = "\n".join(lines).lower()
    assert "wrong" in text
    assert "right" in text


def test_no_file_holds_a_path_of_a_machine_or_an_index_host(repository_files: list[Path]) -> None:
    found = []
    for path in repository_files:
        data = path.read_bytes()
        found += [
            f"{_name(path)}: {match.group()!r}" for rule in (MACHINE_PATH, INDEX_HOST) for match in rule.finditer(data)
        ]
    assert found == []


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (MACHINE_PATH, "see /ho" + "me/ann/x"),
        (MACHINE_PATH, '"/wo' + 'rk/a"'),
        (INDEX_HOST, "https://pypi." + "org/simple"),
    ],
)
def test_the_rules_find_what_they_look_for(rule: re.Pattern[bytes], text: str) -> None:
    assert rule.search(text.encode())


def test_links_in_the_documents_lead_somewhere(repository_files: list[Path]) -> None:
    broken = []
    made = {str(name) for name in MADE}
    for path in repository_files:
        if path.suffix != ".md":
            continue
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            there = path.parent / target
            known = there.exists() or there.resolve().relative_to(ROOT).as_posix() in made
            if "://" not in target and not target.startswith("mailto:") and not known:
                broken.append(f"{_name(path)}: {target}")
    assert broken == []


def test_every_room_starts_with_a_line_that_says_what_it_is_for() -> None:
    rooms = list(PACKAGE.rglob("__init__.py"))
    assert [_name(path) for path in rooms if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))] == []
