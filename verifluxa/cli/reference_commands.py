"""What the program says of itself: `verifluxa explain`, the page of an error code, and `verifluxa supports`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Annotated

import typer

from verifluxa.errors import UsageError

if TYPE_CHECKING:
    from verifluxa.cli.support_table import SupportRow


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


FORMATS = (
    "JLD2 and BSON: a whole model, a Flux.state, a list of arrays",
    "NPZ and safetensors: a flattened Flux.state",
    "ONNX: float32 or float64, operators of ONNX itself",
)
WIDTH = 96


def supports() -> int:
    """Lists the files, layers, activations, triggers and properties that are understood, and those provable."""
    from verifluxa.cli.output import print_words

    print_words(_supported())
    return 0


def _supported() -> Iterator[str]:
    from verifluxa.cli import support_table
    from verifluxa.dispatch.cluster import KINDS
    from verifluxa.graph.arithmetic import ARITHMETICS
    from verifluxa.library import Library, names

    yield from _listed("model files", list(FORMATS))
    yield ""
    yield from _table("layer", support_table.layer_rows())
    yield ""
    yield from _table("activation", support_table.activation_rows())
    yield ""
    yield from _table("operation", support_table.operation_rows())
    reasons = support_table.reasons()
    if reasons:
        yield ""
        yield "without bounds, so that a proof is unknown(unsupported):"
        yield from (f"  {name}: {reason}" for name, reason in reasons.items())
    yield from _listed("refused by name", list(support_table.NOT_LIFTED))
    yield from _listed("input spaces", ["image", "tokens: texts by a vocabulary", "table: columns", "series: in time"])
    yield from _listed("triggers", TRIGGERS)
    yield from _listed("properties", ["rate bound, targeted or untargeted", "per input"])
    yield from _listed("arithmetics", list(ARITHMETICS))
    yield from _listed("strategies", list(names(Library.SOLVERS)))
    yield from _listed("clusters", [*names(Library.CLUSTER), f"your own: {' or '.join(KINDS)}"])


def _table(title: str, rows: Sequence[SupportRow]) -> Iterator[str]:
    from verifluxa.cli.support_table import COLUMNS

    lines = [(title, *COLUMNS), *((row.name, *row.cells) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


TRIGGERS = [
    "image: patches that are replaced, at any, corners, listed places or ranges; docs/reference/language.md has more",
    "tokens: insert or replace k words, at any or listed positions, from the vocabulary with exceptions or from a list",
    "table: set any k of listed columns, within ranges, categories and what `keep` leaves",
    "series: a stretch of steps that is replaced, at any or listed positions",
]


def _listed(title: str, items: list[str]) -> Iterator[str]:
    yield f"{title}:"
    line = " "
    for item in items:
        if len(line) + len(item) + 2 > WIDTH and line.strip():
            yield line
            line = " "
        line += f" {item}," if item is not items[-1] else f" {item}"
    yield line
