"""From text to a checked `Spec`: names, units, shapes, selections and statements, all errors in one pass."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from types import MappingProxyType
from typing import TypeVar, cast

from verifluxa.errors import Span, SpecError, UsageError
from verifluxa.library import Library, find, names
from verifluxa.spec import syntax
from verifluxa.spec.meaning import Declarations
from verifluxa.spec.models import check_data, check_model
from verifluxa.spec.names import Table, declare, did_you_mean, unused
from verifluxa.spec.params import check_params
from verifluxa.spec.parse import combined, parse
from verifluxa.spec.problems import FollowUpError, Problems, SpecWarning
from verifluxa.spec.properties import check_property
from verifluxa.spec.read import decode, read_bytes
from verifluxa.spec.spaces import check_space
from verifluxa.spec.spec import DataDecl, InputSpace, Property, Spec, Trigger
from verifluxa.spec.syntax import Declaration, File, Include, TriggerSyntax
from verifluxa.spec.terms import Node
from verifluxa.spec.triggers.table import check_trigger
from verifluxa.spec.triggers.union import check_union, is_union

VERSION = 1
"""The language version that `spec 1` names."""

Item = TypeVar("Item", syntax.InputSyntax, syntax.ModelSyntax, syntax.DataSyntax, syntax.TriggerSyntax)
Result = TypeVar("Result")
_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Checked:
    """A spec that may be proved, and what is odd about it."""

    spec: Spec
    warnings: tuple[SpecWarning, ...]


def load_spec(path: str, settings: Mapping[str, str] = _NOTHING) -> Checked:
    """Reads and checks a spec file.

    Args:
        path: the file; paths in it are relative to its folder.
        settings: values of params from the command line (`--set name=value`), as text.

    Raises:
        SpecError: the one error that was found (VF10xx).
        ManyErrors: several, in the order of the text.
    """
    content = read_bytes(path)
    return _checked(parse(decode(content, path), path), content, path, settings)


def parse_spec(text: str, path: str, settings: Mapping[str, str] = _NOTHING) -> Checked:
    """Checks the text of a spec.

    Args:
        text: the whole text.
        path: the name of the file, for places in messages.
        settings: values of params from the command line (`--set name=value`), as text.

    Raises:
        SpecError: the one error that was found (VF10xx).
        ManyErrors: several, in the order of the text.
    """
    return _checked(parse(text, path), text.encode("utf-8"), path, settings)


def _checked(file: syntax.File, content: bytes, path: str, settings: Mapping[str, str]) -> Checked:
    problems = Problems()
    written, file = file, expanded(file, problems)
    problems.attempt(partial(_version, file))
    declarations = _declarations(file, declare(file, problems), settings, problems)
    properties = _properties(file, declarations, problems)
    if problems.errors:
        raise combined(problems.errors)
    unused(written, problems)
    spec = Spec(
        path=path,
        sha256="sha256:" + hashlib.sha256(content).hexdigest(),
        spaces=_present(declarations.spaces),
        models=_present(declarations.models),
        data=_present(declarations.data),
        triggers=_present(declarations.triggers),
        params=tuple((name, value) for name, value in declarations.params.items() if value is not None),
        properties=properties,
    )
    return Checked(spec, tuple(sorted(problems.warnings, key=lambda warning: warning.place or file.span)))


def _version(file: syntax.File) -> None:
    if file.version is None:
        raise SpecError(
            "VF1010",
            "the first line does not say which version of the language this is",
            place=_first(file),
            expected="`spec 1`",
            remedy="write `spec 1` as the first line",
        )
    if file.version.value != VERSION:
        raise SpecError(
            "VF1011",
            f"version {file.version.text} of the language is not known",
            place=file.version.span,
            expected=f"`spec {VERSION}`",
            remedy="a newer verifluxa may know it",
        )


def _first(file: syntax.File) -> Span:
    return replace(file.span, end_line=file.span.line, end_column=file.span.column + 1)


def _declarations(file: syntax.File, table: Table, settings: Mapping[str, str], problems: Problems) -> Declarations:
    params = check_params(file, settings, problems)
    spaces = _each(file, syntax.InputSyntax, lambda item: check_space(item, problems), problems)

    def space(item: syntax.ModelSyntax | syntax.DataSyntax | syntax.TriggerSyntax) -> InputSpace:
        return cast(InputSpace, table.find(item.space, "input space", spaces))

    def check_data_of(item: syntax.DataSyntax) -> DataDecl:
        found = check_data(item, models.values(), params, problems)
        space(item)
        return found

    models = _each(file, syntax.ModelSyntax, lambda item: check_model(item, space(item), problems), problems)
    data = _each(file, syntax.DataSyntax, check_data_of, problems)
    return Declarations(table, spaces, models, data, _triggers(file, table, space, problems), params)


def _triggers(
    file: syntax.File, table: Table, space: Callable[[syntax.TriggerSyntax], InputSpace], problems: Problems
) -> dict[str, Trigger | None]:
    """Families first, then unions of them: declarations come in any order."""

    def check_single(item: syntax.TriggerSyntax) -> Trigger:
        if is_union(item):
            raise FollowUpError
        return check_trigger(item, space(item), problems)

    singles = _each(file, syntax.TriggerSyntax, check_single, problems)

    def check_joined(item: syntax.TriggerSyntax) -> Trigger:
        if not is_union(item):
            raise FollowUpError
        return check_union(item, space(item), table, singles)

    unions = _each(file, syntax.TriggerSyntax, check_joined, problems)
    return {name: single or unions[name] for name, single in singles.items()}


def _each(
    file: syntax.File, kind: type[Item], check: Callable[[Item], Result], problems: Problems
) -> dict[str, Result | None]:
    """Checks every declaration of one kind; of two with one name, the first counts."""
    found: dict[str, Result | None] = {}
    for item in file.items:
        if isinstance(item, kind):
            result = problems.attempt(partial(check, item))
            found.setdefault(item.name.text, result)
    return found


def _properties(file: syntax.File, declarations: Declarations, problems: Problems) -> tuple[Property, ...]:
    items = [item for item in file.items if isinstance(item, syntax.PropertySyntax)]
    if not items:
        problems.errors.append(
            SpecError(
                "VF1060",
                "the spec has no property, so there is nothing to prove",
                place=_first(file),
                expected="at least one `property name { ... }`",
            )
        )
    found = [problems.attempt(partial(check_property, item, declarations, problems)) for item in items]
    return tuple(item for item in found if item is not None)


def _present(values: Mapping[str, Result | None]) -> tuple[Result, ...]:
    return tuple(value for value in values.values() if value is not None)


# `include wave for photo`: the trigger families of a file in the library, for an input space of this one.
#
# The content is resolved when the spec is checked and enters the property digest like any other trigger, so a library
# that changes shows. Places of errors are those of the `include`.

Any_ = TypeVar("Any_")


def expanded(file: File, problems: Problems) -> File:
    """The file with the triggers that it includes in place of each `include`; wrong ones are reported and left out."""
    if not any(isinstance(item, Include) for item in file.items):
        return file
    items: list[Declaration] = []
    for item in file.items:
        if isinstance(item, Include):
            items += problems.attempt(partial(_included, item)) or ()
        else:
            items.append(item)
    return replace(file, items=tuple(items))


def _included(include: Include) -> tuple[TriggerSyntax, ...]:
    """The families of a file in the library, declared for the named input space.

    Raises:
        SpecError: VF1020 when there is no such file, VF1060 when it declares no trigger.
    """
    name = include.name.text
    try:
        resource = find(Library.SPECS, name)
    except UsageError:
        known = names(Library.SPECS)
        raise SpecError(
            "VF1020",
            f"there is no spec called `{name}` in the library",
            place=include.name.span,
            expected=", ".join(f"`{one}`" for one in known[:12]) + (", ..." if len(known) > 12 else ""),
            remedy=did_you_mean(name, known),
        ) from None
    found = [item for item in parse(resource.text, name).items if isinstance(item, TriggerSyntax)]
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
