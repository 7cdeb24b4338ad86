"""`include wave for photo`: the trigger families of a file on the shelf, for an input space of this one.

The content is resolved when the spec is checked and enters the property digest like any other trigger, so a shelf that
changes shows. Places of errors are those of the `include`.
"""

from __future__ import annotations

from dataclasses import fields, replace
from functools import partial
from typing import TypeVar

from verifluxa.errors import Span, SpecError, UsageError
from verifluxa.library import Shelf, find, names
from verifluxa.spec.names import did_you_mean
from verifluxa.spec.parse import parse
from verifluxa.spec.problems import Problems
from verifluxa.spec.syntax import Declaration, File, Include, TriggerSyntax
from verifluxa.spec.terms import Node

Any_ = TypeVar("Any_")


def expanded(file: File, problems: Problems) -> File:
    """The file with the triggers that it includes in place of each `include`; wrong ones are reported and left out."""
    if not any(isinstance(item, Include) for item in file.items):
        return file
    items: list[Declaration] = []
    for item in file.items:
        if isinstance(item, Include):
            items += problems.attempt(partial(_triggers, item)) or ()
        else:
            items.append(item)
    return replace(file, items=tuple(items))


def _triggers(include: Include) -> tuple[TriggerSyntax, ...]:
    """The families of a file on the shelf, declared for the named input space.

    Raises:
        SpecError: VF1020 when there is no such file, VF1060 when it declares no trigger.
    """
    name = include.name.text
    try:
        shelved = find(Shelf.SPECS, name)
    except UsageError:
        known = names(Shelf.SPECS)
        raise SpecError(
            "VF1020",
            f"there is no spec called `{name}` on the shelf",
            place=include.name.span,
            expected=", ".join(f"`{one}`" for one in known[:12]) + (", ..." if len(known) > 12 else ""),
            remedy=did_you_mean(name, known),
        ) from None
    found = [item for item in parse(shelved.text, name).items if isinstance(item, TriggerSyntax)]
    if not found:
        raise SpecError("VF1060", f"`{name}` declares no trigger", place=include.name.span)
    return tuple(replace(_moved(item, include.span), space=include.space) for item in found)


def _moved(value: Any_, span: Span) -> Any_:
    """A part of a tree with another place."""
    if isinstance(value, tuple):
        return tuple(_moved(item, span) for item in value)  # type: ignore[return-value]
    if not isinstance(value, Node):
        return value
    parts = {item.name: _moved(getattr(value, item.name), span) for item in fields(value) if item.name != "span"}
    return replace(value, span=span, **parts)
