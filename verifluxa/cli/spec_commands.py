"""`verifluxa check`, `fmt`, `explain-spec` and `pin`: everything about a spec before any work is done."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from verifluxa.cli.options import Data, Params, SpecName, SpecNames, pairs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from verifluxa.spec.check import Checked
    from verifluxa.spec.spec import Spec


def check(spec: SpecNames, set_: Params = None) -> int:
    """Parses and type-checks specs. Files that are not there are only noted.

    Exit codes: 0 fine, 4 not.
    """
    from verifluxa.cli.messages import show_warnings
    from verifluxa.cli.output import print_words

    for name in spec:
        checked = _load(name, set_)
        show_warnings(checked.warnings)
        print_words([*_notes(checked.spec), f"{checked.spec.path}: fine, {_counted(len(checked.spec.properties))}"])
    return 0


def fmt(
    spec: Annotated[list[str], typer.Argument(metavar="SPEC...", help="`.vfx` files.")],
    check_only: Annotated[bool, typer.Option("--check", help="Write nothing; say whether they are formatted.")] = False,
) -> int:
    """Formats specs in place; comments stay.

    Exit codes with --check: 0 formatted, 1 not.
    """
    from verifluxa.cli.output import print_words
    from verifluxa.result.write import write_whole
    from verifluxa.spec.format import format_spec
    from verifluxa.spec.read import decode, read_bytes

    changed = 0
    for path in spec:
        text = decode(read_bytes(path), path)
        formatted = format_spec(text, path)
        if formatted != text:
            changed += 1
            print_words([f"{path}: {'not formatted' if check_only else 'formatted'}"])
            if not check_only:
                write_whole(Path(path), formatted.encode("utf-8"))
    return 1 if check_only and changed else 0


def explain_spec(spec: SpecName, set_: Params = None) -> int:
    """Says in plain words what a spec asks, and how much work that is, before any is done."""
    from verifluxa.cli.messages import show_warnings
    from verifluxa.cli.output import print_words, screen_of
    from verifluxa.spec.plain import cost, explain_property, machine_speed, total

    checked = _load(spec, set_)
    show_warnings(checked.warnings)
    speed, width = machine_speed(), screen_of(sys.stdout).width
    costs = []
    for prop in checked.spec.properties:
        explained = explain_property(checked.spec, prop)
        found = cost(prop, explained.counts, speed)
        costs.append(found)
        estimate = "known once the data is read" if found is None else f"about {found} of CPU time"
        words = [short for line in str(explained).splitlines() for short in _wrapped(line, width)]
        print_words([*words, f"    {'estimate':<15} {estimate}", ""])
    if len(costs) > 1:
        summed = total(costs)
        known = "known once the data is read" if summed is None else f"about {summed} of CPU time"
        print_words([f"all {len(costs)} properties", f"    {'estimate':<15} {known}", ""])
    last = (
        "Estimates are rates of small networks on this machine; larger ones, and what branches, take longer. Workers "
        "share the CPU time; on a busy machine a run takes longer than that."
    )
    print_words(textwrap.wrap(last, width))
    return 0


def pin(
    spec: Annotated[str, typer.Argument(metavar="SPEC", help="A `.vfx` file; it is changed.")],
    data: Data = None,
) -> int:
    """Writes the digests of the data files into a spec, so that no other data can take their place unnoticed."""
    from verifluxa.cli.output import print_words
    from verifluxa.inputs import check_names, data_digest
    from verifluxa.result.write import write_whole
    from verifluxa.spec.check import load_spec
    from verifluxa.spec.format import pin_spec
    from verifluxa.spec.read import decode, read_bytes

    chosen = pairs("--data", data)
    found = load_spec(spec).spec
    check_names("data set", chosen, [decl.name for decl in found.data])
    digests = {decl.name: data_digest(found, decl, chosen) for decl in found.data}
    text = decode(read_bytes(spec), spec)
    pinned = pin_spec(text, digests, spec)
    if pinned != text:
        write_whole(Path(spec), pinned.encode("utf-8"))
    print_words(f"{name}: {digest}" for name, digest in digests.items())
    return 0


def _load(spec: str, set_: list[str] | None) -> Checked:
    from verifluxa.inputs import find_spec
    from verifluxa.spec.check import load_spec

    return load_spec(find_spec(spec), pairs("--set", set_, "VALUE"))


def _notes(spec: Spec) -> Iterator[str]:
    """Files that the spec names and that are not there: `verify` will need them, or --model and --data."""
    from verifluxa.spec.paths import beside

    named = [("model", decl.name, file) for decl in spec.models for file in (decl.file, decl.architecture)]
    named += [("data", decl.name, file) for decl in spec.data for file in (decl.file, decl.labels)]
    for kind, name, file in named:
        if file is not None and not beside(spec.path, file).exists():
            yield f"note: {kind} {name}: {beside(spec.path, file)} is not there"
    for kind, names in (
        ("model", [decl.name for decl in spec.models if decl.file is None]),
        ("data", [decl.name for decl in spec.data if decl.file is None]),
    ):
        for name in names:
            yield f"note: {kind} {name} names no file; to verify, give --{kind} {name}=FILE"


def _wrapped(line: str, width: int) -> list[str]:
    """A long line as several, the further ones two columns deeper."""
    deeper = " " * (len(line) - len(line.lstrip()) + 2)
    return textwrap.wrap(line, width, subsequent_indent=deeper, break_on_hyphens=False, drop_whitespace=True) or [""]


def _counted(count: int) -> str:
    return f"{count} propert{'y' if count == 1 else 'ies'}"
