"""Renders the documents as a few plain HTML pages: `make docs`. Fails on a link that leads nowhere."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from markdown_it import MarkdownIt

HERE = Path(__file__).parent
ROOT = HERE.parent
EXTRA = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
SHELVES = ("specs", "solvers", "cluster", "examples")
LINK = re.compile(r'(href|src)="([^"#:]+)(#[^"]*)?"')
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body {{ max-width: 52rem; margin: 2rem auto; padding: 0 1rem; font: 16px/1.5 sans-serif }}
pre {{ background: #f4f4f4; padding: 0.8rem; overflow: auto }} code {{ font-family: monospace }}
table {{ border-collapse: collapse }} td, th {{ border: 1px solid #ccc; padding: 0.3rem 0.6rem; text-align: left }}
</style></head><body>
{body}
</body></html>
"""


def sources() -> list[Path]:
    """Every document of the repository that is rendered."""
    found = [*HERE.rglob("*.md"), *(ROOT / name for name in EXTRA)]
    found += [path for shelf in SHELVES for path in (ROOT / shelf).rglob("*.md")]
    found += (ROOT / "verifluxa" / "explain").glob("*.md")
    return sorted(path for path in found if path.exists())


def render(path: Path) -> tuple[str, list[str]]:
    """The page of one document, and the targets of its links that do not exist."""
    text = path.read_text(encoding="utf-8")
    body = MarkdownIt("commonmark").enable("table").render(text)
    broken = [target for _, target, _ in LINK.findall(body) if not (path.parent / target).exists()]
    body = LINK.sub(lambda m: f'{m[1]}="{re.sub("[.]md$", ".html", m[2])}{m[3] or ""}"', body)
    return PAGE.format(title=text.splitlines()[0].lstrip("# "), body=body), broken


def main() -> int:
    """Renders everything; the exit code tells whether all links lead somewhere."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    missing = []
    for path in sources():
        page, broken = render(path)
        missing += [f"{path.relative_to(ROOT)}: {target}" for target in broken]
        target = out / path.relative_to(ROOT).with_suffix(".html")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(page, encoding="utf-8")
    print("\n".join(missing) or f"{out / 'docs' / 'index.html'}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
