"""`verifluxa pin`: writes the digests of data files into a spec and leaves the rest of its text as it is."""

from __future__ import annotations

from collections.abc import Mapping

from verifluxa.errors import SpecError
from verifluxa.spec.names import did_you_mean
from verifluxa.spec.parse import parse
from verifluxa.spec.pieces import offsets
from verifluxa.spec.read import clean
from verifluxa.spec.syntax import Block, DataSyntax, Setting


def pin_spec(text: str, digests: Mapping[str, str], path: str = "spec.vfx") -> str:
    """The text with `digest = sha256:...` in the data sets that are named.

    Args:
        text: a spec that parses.
        digests: for each data set its `sha256:` and 64 hex digits.
        path: the name of the file, for places in messages.

    Raises:
        SpecError: the text does not parse, or VF1020: it declares no such data set.
    """
    mark, line_end = text[: text.startswith("\ufeff")], "\r\n" if "\r\n" in text else "\n"
    text = clean(text, path)
    declared = {item.name.text: item for item in parse(text, path).items if isinstance(item, DataSyntax)}
    for name in digests:
        if name not in declared:
            raise SpecError(
                "VF1020",
                f"there is no data set called `{name}`",
                place=path,
                expected=", ".join(f"`{known}`" for known in declared) or None,
                remedy=did_you_mean(name, declared),
            )
    changes = [_change(text, declared[name], digest) for name, digest in digests.items()]
    for first, last, new in sorted(changes, reverse=True):
        text = text[:first] + new + text[last:]
    return mark + text.replace("\n", line_end)


def _change(text: str, item: DataSyntax, digest: str) -> tuple[int, int, str]:
    """What to write in place of which part of the text."""
    if item.block is None:
        end = offsets(text, item.span)[1]
        return end, end, f" {{ digest = {digest} }}"
    settings = {entry.key.text: entry for entry in item.block.entries if isinstance(entry, Setting)}
    if "digest" in settings:
        return (*offsets(text, settings["digest"].value.span), digest)
    return _insert(text, item.block, settings.get("file"), digest)


def _insert(text: str, block: Block, file: Setting | None, digest: str) -> tuple[int, int, str]:
    start = offsets(text, block.span)[0] + 1
    if block.span.line == block.span.end_line:
        end = start if file is None else offsets(text, file.span)[1]
        return end, end, f" digest = {digest}" + " " * (text[end] == "}")
    if file is None:
        return start, start, f"\n  digest = {digest}"
    first, last = offsets(text, file.span)
    before = text[text.rfind("\n", 0, first) + 1 : first]
    indent = before if not before.strip() else "  "
    key = "digest".ljust(text[first:last].index("=") - 1)
    end = text.index("\n", last)
    return end, end, f"\n{indent}{key} = {digest}"
