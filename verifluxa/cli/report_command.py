"""`verifluxa report`: a page of a result, or of two side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from verifluxa.cli.arguments import MovedData, MovedModels, MovedSpec
from verifluxa.cli.options import check_ending, pairs

PAGE = "report.html"
COMPARISON = "comparison.html"


def report(
    result: Annotated[Path, typer.Argument(metavar="RESULT", help="The result.json that `verify --out` wrote.")],
    other: Annotated[
        Path | None, typer.Argument(metavar="RESULT2", help="Another one, to be compared with.", show_default=False)
    ] = None,
    model: MovedModels = None,
    model2: Annotated[
        list[str] | None, typer.Option("--model2", metavar="NAME=FILE", help="The same for RESULT2.")
    ] = None,
    data: MovedData = None,
    spec: MovedSpec = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="The page; report.html beside RESULT by default."),
    ] = None,
) -> int:
    """Writes one HTML page that explains a result: it needs no network, no scripts, and can be printed or sent.

    With a second result both stand side by side: a clean and a suspect model, an old and a new one.
    Triggers are evaluated again where the spec, models and data are there, with the digests that the result names.
    """
    from verifluxa.cli.output import print_words
    from verifluxa.inputs import Choice
    from verifluxa.report.page.compare import comparison
    from verifluxa.report.page.page import page
    from verifluxa.report.story import account
    from verifluxa.result.write import write_whole

    if model2 and other is None:
        raise typer.BadParameter("--model2 needs RESULT2")
    check_ending(out, "the report is one HTML page", ".html", ".htm")
    files = pairs("--data", data)
    told = account(result, Choice(pairs("--model", model), files), spec)
    if other is None:
        text = page(told)
    else:
        text = comparison(told, account(other, Choice(pairs("--model2", model2), files), spec))
    path = out or result.parent / (PAGE if other is None else COMPARISON)
    write_whole(path, text.encode("utf-8", errors="backslashreplace"))
    print_words([f"written: {path}"])
    return 0
