"""`verifluxa report`: a page of a result, or of two side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PAGE = "report.html"
COMPARISON = "comparison.html"


def report(
    result: Annotated[Path, typer.Argument(metavar="RESULT", help="The result.json that `verify --out` wrote.")],
    other: Annotated[
        Path | None, typer.Argument(metavar="RESULT2", help="Another one, to be compared with.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="The page; report.html beside RESULT by default."),
    ] = None,
) -> int:
    """Writes one HTML page that explains a result: it needs no network, no scripts, and can be printed or sent.

    With a second result both stand side by side: a clean and a suspect model, an old and a new one.
    """
    from verifluxa.cli.output import print_words
    from verifluxa.report.page.compare import comparison
    from verifluxa.report.page.page import page
    from verifluxa.report.story import account
    from verifluxa.result.write import write_whole

    told = account(result)
    text = page(told) if other is None else comparison(told, account(other))
    path = out or result.parent / (PAGE if other is None else COMPARISON)
    write_whole(path, text.encode("utf-8", errors="backslashreplace"))
    print_words([f"written: {path}"])
    return 0
