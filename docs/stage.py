"""Puts all pages of the repository into one tree for Sphinx, with the pages that are made from the code.

`python -m docs.stage build/docs-source`. Pages of `docs/` stand at the top of the tree, others where they stand in
the repository; links between them are written anew, and files that a page links to come along.
"""

from __future__ import annotations

import argparse
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from docs.made import MADE

ROOT = Path(__file__).resolve().parents[1]
DOCS = "docs"
BESIDE = ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
SHELVES = ("specs", "solvers", "cluster", "examples", "editors")
LINK = re.compile(r"\]\(([^)#\s:]+)(#[^)\s]*)?\)")
NAVIGATION: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Tutorial", ("tutorial.md",)),
    ("How-to", ("how-to/install.md", "how-to/models.md", "how-to")),
    ("Reference", ("reference/language.md", "reference/commands.md", "reference", "reference/errors/index.md")),
    ("Shelves", ("specs", "solvers", "cluster", "editors")),
    ("Examples", ("examples/digits", "examples")),
    ("Explanation", ("explanation/semantics.md", "explanation/engine.md", "explanation")),
    ("Benchmarks", ("benchmarks.md", "benchmark-tables.md")),
    ("Project", ("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")),
)
"""The sidebar: captions, and pages or folders; of a folder all that stands below it, so that new pages find a place."""
OWN_TREE = PurePosixPath("reference/errors")
"""Its pages stand below its index."""


def sources() -> list[Path]:
    """The documents of the repository that are pages."""
    found = [*(ROOT / DOCS).rglob("*.md"), *(ROOT / name for name in BESIDE)]
    found += [path for shelf in SHELVES for path in (ROOT / shelf).rglob("*.md")]
    return sorted(path.relative_to(ROOT) for path in found)


def place(path: PurePosixPath) -> PurePosixPath:
    """Where a file of the repository stands in the tree; both are relative."""
    if path in (PurePosixPath("README.md"), PurePosixPath(DOCS)):
        return PurePosixPath("index.md")
    return path.relative_to(DOCS) if path.parts[0] == DOCS else path


def linked(page: Path, target: str) -> PurePosixPath | None:
    """The file of the repository that a link of a page leads to, a folder's page for a folder; None for no file."""
    path = (ROOT / page.parent / target).resolve()
    if path.is_dir() and (path / "README.md").is_file():
        path = path / "README.md"
    if not path.is_relative_to(ROOT):
        return None
    name = PurePosixPath(path.relative_to(ROOT).as_posix())
    return name if path.is_file() or name in MADE else None


def relinked(page: Path, text: str, wanted: set[PurePosixPath]) -> str:
    """The text of a page with links that hold in the tree; files that it links to are added to `wanted`."""
    here = place(PurePosixPath(page.as_posix()))

    def write(match: re.Match[str]) -> str:
        name = linked(page, match[1])
        if name is None:
            return match[0]
        wanted.add(name)
        up = "../" * (len(here.parts) - 1)
        return f"]({up}{place(name)}{match[2] or ''})"

    return LINK.sub(write, text)


def navigation(pages: Iterable[PurePosixPath]) -> Iterator[str]:
    """The sidebar, as the home page declares it."""
    names = sorted(pages)
    for caption, places in NAVIGATION:
        found = dict.fromkeys(name for place in places for name in names if _below(name, place))
        yield from (
            f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n",
            *(str(name.with_suffix("")) for name in found),
            "```",
        )


def _below(page: PurePosixPath, place: str) -> bool:
    return str(page) == place or (page.is_relative_to(place) and not page.is_relative_to(OWN_TREE))


def _name(page: PurePosixPath) -> str:
    return str(page.with_suffix(""))


def stage(out: Path) -> None:
    """Writes the whole tree."""
    shutil.rmtree(out, ignore_errors=True)
    wanted: set[PurePosixPath] = set()
    pages = {
        place(PurePosixPath(page.as_posix())): relinked(page, (ROOT / page).read_text("utf-8"), wanted)
        for page in sources()
    }
    pages |= {place(name): make() for name, make in MADE.items()}
    pages[PurePosixPath("index.md")] += "\n".join(navigation(pages)) + "\n"
    for name, text in pages.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(text, encoding="utf-8")
    for name in wanted - set(MADE):
        if not (out / place(name)).exists():
            (out / place(name)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, out / place(name))


def main() -> None:
    """Stages below the folder that is given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    stage(parser.parse_args().out)


if __name__ == "__main__":
    main()
