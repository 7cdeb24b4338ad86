"""`verifluxa explain`: the page of an error code."""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Annotated

import typer

from verifluxa.errors import UsageError


def explain(code: Annotated[str, typer.Argument(metavar="CODE", help="A code as in `error[VF1004]`.")]) -> int:
    """Explains an error code: what it means, a wrong and a right example, how to mend it."""
    from verifluxa.cli.output import emit

    emit(page(code))
    return 0


def page(code: str) -> str:
    """The page of a code.

    Raises:
        UsageError: VF4405 when there is no such code.
    """
    name = code.strip().strip("[]").upper()
    name = name if name.startswith("VF") else "VF" + name
    known = codes()
    if name not in known:
        raise UsageError(
            "VF4405",
            f"there is no error code `{code}`",
            expected="VF and four digits, as in `error[VF1004]`",
            remedy="copy the code from the message",
        )
    return (files("verifluxa") / "explain" / f"{name}.md").read_text(encoding="utf-8")


def codes() -> list[str]:
    """All codes that have a page, sorted."""
    names = (entry.name for entry in (files("verifluxa") / "explain").iterdir())
    return sorted(name.removesuffix(".md") for name in names if re.fullmatch(r"VF\d{4}\.md", name))
