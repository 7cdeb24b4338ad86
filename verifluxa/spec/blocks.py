"""What stands between `{` and `}`: known settings, each once, each with a value of its type; clauses of triggers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from verifluxa.errors import SpecError
from verifluxa.spec.names import article, did_you_mean
from verifluxa.spec.paths import inside
from verifluxa.spec.problems import Problems, unsupported
from verifluxa.spec.syntax import Block, Clause, Column, Entry, LabelsStart, Setting, TriggerSyntax
from verifluxa.spec.terms import Digest, Reference, Text

LABELS_START = "labels start at"
_DIGEST = re.compile(r"sha256:[0-9a-fA-F]{64}")
_VERSION = re.compile(r"(?:0|[1-9][0-9]{0,2})(?:\.(?:0|[1-9][0-9]{0,2})){2}")

Part = TypeVar("Part", bound=Clause)


@dataclass(frozen=True)
class Known:
    """What a block may hold: `now` is checked, `later` is in the language and not supported yet."""

    owner: str
    now: tuple[str, ...]
    later: tuple[str, ...] = ()


def settings(block: Block | None, known: Known, problems: Problems) -> Mapping[str, Setting | LabelsStart]:
    """The entries of a block by name; wrong ones are reported and left out."""
    found: dict[str, Setting | LabelsStart] = {}
    for entry in block.entries if block is not None else ():
        kept = problems.attempt(partial(_entry, entry, known, found))
        if kept is not None:
            found[_key(kept)] = kept
    return found


def clause(syntax: TriggerSyntax, kind: type[Part]) -> Part | None:
    """The one clause of a kind that a trigger has, or None.

    Raises:
        SpecError: VF1024 when it is given twice.
    """
    found = [one for one in syntax.clauses if isinstance(one, kind)]
    if len(found) > 1:
        raise SpecError("VF1024", "this part of the trigger is given twice", place=found[1].span)
    return found[0] if found else None


def needed(syntax: TriggerSyntax, kind: type[Part], missing: SpecError) -> Part:
    """The one clause of a kind that a trigger must have.

    Raises:
        SpecError: VF1024 when it is given twice; `missing` when it is not there.
    """
    found = clause(syntax, kind)
    if found is None:
        raise missing
    return found


def all_fit(syntax: TriggerSyntax, fits: Callable[[Clause], bool], message: str, expected: str) -> None:
    """Checks that a trigger has clauses of its family only.

    Raises:
        SpecError: VF1083 with the message, at the first clause that does not fit.
    """
    for one in syntax.clauses:
        if not fits(one):
            raise SpecError("VF1083", message, place=one.span, expected=expected)


def path(setting: Setting | LabelsStart) -> str:
    """The path that a setting names.

    Raises:
        SpecError: VF1025 when it is not a text, VF1051 when it leaves the spec's folder.
    """
    value = setting.value if isinstance(setting, Setting) else None
    if not isinstance(value, Text):
        raise wrong_value(setting, 'a path in quotes, such as `"model.jld2"`')
    return inside(value.value, value.span)


def word(setting: Setting | LabelsStart, choices: tuple[str, ...], code: str) -> str:
    """One of a few words, bare or in quotes.

    Raises:
        SpecError: `code` when it is another one, VF1025 when it is no word.
    """
    value = setting.value if isinstance(setting, Setting) else None
    expected = " or ".join(f"`{choice}`" for choice in choices)
    if not isinstance(value, Reference | Text):
        raise wrong_value(setting, expected)
    text = value.name if isinstance(value, Reference) else value.value
    if text not in choices:
        raise SpecError(
            code, f"`{text}` is not known here", place=value.span, expected=expected, remedy=did_you_mean(text, choices)
        )
    return text


def digest(setting: Setting | LabelsStart) -> str:
    """`sha256:` and 64 hex digits, in lower case.

    Raises:
        SpecError: VF1052 when it has another form.
    """
    value = setting.value if isinstance(setting, Setting) else None
    text = value.text if isinstance(value, Digest) else value.value if isinstance(value, Text) else ""
    if _DIGEST.fullmatch(text) is None:
        digits = f", not {len(text) - 7}" if text.startswith("sha256:") else ""
        raise SpecError(
            "VF1052",
            "this is not a sha256 digest",
            place=value.span if value is not None else setting.span,
            expected=f"`sha256:` and 64 hex digits{digits}",
            remedy="`verifluxa pin SPEC` writes the right one",
        )
    return text.lower()


def version(setting: Setting | LabelsStart) -> str:
    """Three numbers in quotes, `"0.16.7"`.

    Raises:
        SpecError: VF1025 when it is not a text, VF1056 when it has another form.
    """
    value = setting.value if isinstance(setting, Setting) else None
    if not isinstance(value, Text):
        raise wrong_value(setting, 'a version in quotes, such as `"0.16.7"`')
    if _VERSION.fullmatch(value.value) is None:
        raise SpecError(
            "VF1056",
            "this is not a version of Flux",
            place=value.span,
            expected='three numbers, such as `"0.16.7"`',
            remedy="in Julia, `pkgversion(Flux)` or `] status Flux` prints it",
        )
    return value.value


def wrong_value(setting: Setting | LabelsStart, expected: str) -> SpecError:
    """VF1025: the value of a setting is of the wrong type."""
    place = setting.value.span if isinstance(setting, Setting) else setting.span
    return SpecError("VF1025", f"`{_key(setting)}` does not take this value", place=place, expected=expected)


def _entry(entry: Entry, known: Known, found: Mapping[str, object]) -> Setting | LabelsStart:
    if isinstance(entry, Column):
        raise SpecError(
            "VF1023",
            f"{article(known.owner)} has no columns",
            place=entry.span,
            expected=", ".join(f"`{name}`" for name in known.now) or "nothing",
            remedy=f"`{entry.key.text} : ...` belongs into `input ... : table {{ ... }}`",
        )
    key = _key(entry)
    place = entry.key.span if isinstance(entry, Setting) else entry.span
    if key in known.later:
        raise unsupported(f"`{key}` of {article(known.owner)}", place)
    if key not in known.now:
        raise SpecError(
            "VF1023",
            f"{article(known.owner)} has no setting `{key}`",
            place=place,
            expected=", ".join(f"`{name}`" for name in known.now) or "no settings",
            remedy=did_you_mean(key, known.now),
        )
    if key in found:
        raise SpecError("VF1024", f"`{key}` is given twice", place=place, remedy="delete one of them")
    return entry


def _key(entry: Setting | LabelsStart) -> str:
    return entry.key.text if isinstance(entry, Setting) else LABELS_START
