"""Names: each declared once, looked up with a suggestion when it is unknown, reported when it is not used."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from verifluxa.errors import Span, SpecError
from verifluxa.spec import syntax
from verifluxa.spec.problems import FollowUpError, Problems
from verifluxa.spec.terms import Around, Call, Name, Reference, Selection, StrongestOf, TriggerAt

Value = TypeVar("Value")

FUNCTIONS = ("class", "label", "correct", "abs", "classes")
"""Functions of the language."""
RESERVED = frozenset({*FUNCTIONS, "rate", "level"})
"""Names with a meaning of their own, which a file may not take."""

KINDS: Mapping[type, str] = {
    syntax.InputSyntax: "input space",
    syntax.ModelSyntax: "model",
    syntax.DataSyntax: "data set",
    syntax.TriggerSyntax: "trigger",
    syntax.ParamSyntax: "param",
    syntax.PropertySyntax: "property",
}


@dataclass(frozen=True)
class Table:
    """What each declared name stands for: its kind in words and where it is declared."""

    kinds: Mapping[str, str]
    places: Mapping[str, Span]

    def find(self, name: Name, kind: str, values: Mapping[str, Value | None], also: Iterable[str] = ()) -> Value:
        """The value of a name of a given kind; `also` are further names worth a suggestion.

        Raises:
            SpecError: VF1020 when the name is unknown, VF1022 when it names something else.
            FollowUpError: the declaration itself is wrong.
        """
        if name.text in values:
            value = values[name.text]
            if value is None:
                raise FollowUpError
            return value
        if name.text in self.kinds and self.kinds[name.text] != kind:
            raise SpecError(
                "VF1022",
                f"`{name.text}` is {article(self.kinds[name.text])}, not {article(kind)}",
                place=name.span,
                expected=_choices(kind, values),
            )
        near = did_you_mean(name.text, [*values, *also])
        other = None if near else closest(name.text, self.kinds)
        if other is not None:
            raise SpecError(
                "VF1020",
                f"nothing is called `{name.text}`",
                place=name.span,
                expected=f"a name that the spec declares, such as the {self.kinds[other]} `{other}`",
                remedy=f"did you mean `{other}`?",
            )
        raise SpecError(
            "VF1020",
            f"there is no {kind} called `{name.text}`",
            place=name.span,
            expected=_choices(kind, values),
            remedy=near or _declare(kind),
        )


def declare(file: syntax.File, problems: Problems) -> Table:
    """All names of a file; a name that is taken twice or reserved is reported."""
    kinds: dict[str, str] = {}
    places: dict[str, Span] = {}
    properties: dict[str, Span] = {}
    for item in file.items:
        own = properties if isinstance(item, syntax.PropertySyntax) else places
        problems.attempt(partial(fresh, item.name, own))
        own.setdefault(item.name.text, item.name.span)
        if own is places:
            kinds.setdefault(item.name.text, KINDS[type(item)])
    return Table(kinds, places)


def fresh(name: Name, taken: Mapping[str, Span]) -> None:
    """Checks that a name is new.

    Raises:
        SpecError: VF1021 when it is taken, VF1028 when the language itself uses it.
    """
    if name.text in RESERVED:
        raise SpecError(
            "VF1028",
            f"`{name.text}` has a meaning of its own and cannot be declared",
            place=name.span,
            remedy="choose another name",
        )
    if name.text in taken:
        raise SpecError(
            "VF1021",
            f"the name `{name.text}` is already taken, on line {taken[name.text].line}",
            place=name.span,
            remedy="give one of the two another name",
        )


def same_space(wanted: str, given: str, what: str, place: Span) -> None:
    """Checks that two input spaces are one.

    Raises:
        SpecError: VF1066 when they are not.
    """
    if wanted != given:
        raise SpecError(
            "VF1066",
            f"{what} works on `{wanted}`, the input is of `{given}`",
            place=place,
            expected=f"an input of `{wanted}`",
            remedy="model, trigger and data of a property share one input space",
        )


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """`did you mean ...?`, when a known name is near."""
    near = closest(name, known)
    return None if near is None else f"did you mean `{near}`?"


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is nearest, where one is near."""
    near = difflib.get_close_matches(name, list(dict.fromkeys(known)), 1, 0.6)
    return near[0] if near and near[0] != name else None


def article(words: str) -> str:
    """The words with `a` or `an`."""
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


def unused(file: syntax.File, problems: Problems) -> None:
    """VF1101 for each declaration that nothing uses."""
    used = {name for item in file.items for name in uses(item)}
    if any(isinstance(node, StrongestOf) for node, _ in syntax.walk(file)):
        # `max rate of` speaks of the only data set without naming it.
        used |= {item.name.text for item in file.items if isinstance(item, syntax.DataSyntax)}
    for item in file.items:
        if not isinstance(item, syntax.PropertySyntax | syntax.Include) and item.name.text not in used:
            kind = KINDS[type(item)]
            problems.warn("VF1101", f"the {kind} `{item.name.text}` is never used", item.name.span, "use or delete it")


def uses(root: syntax.Declaration | syntax.Statement) -> set[str]:
    """Every name that a declaration or statement refers to."""
    found = (
        {root.space.text}
        if isinstance(root, syntax.ModelSyntax | syntax.DataSyntax | syntax.TriggerSyntax | syntax.Include)
        else set()
    )
    for node, _ in syntax.walk(root):
        match node:
            case Reference(name=name):
                found.add(name)
            case (
                Call(name=Name(text=name))
                | Selection(name=Name(text=name))
                | Around(name=Name(text=name))
                | TriggerAt(name=Name(text=name))
            ):
                found.add(name)
            case StrongestOf(model=Name(text=name)):
                found.add(name)
            case syntax.Clause():
                found.update(name.text for name in node.mentions())
    return found


def _choices(kind: str, values: Mapping[str, object]) -> str | None:
    names = ", ".join(f"`{name}`" for name in list(values)[:8])
    return f"{article(kind)}: {names}" if names else None


def _declare(kind: str) -> str | None:
    examples = {
        "input space": "declare one: `input digit : image(28 px, 28 px, 1 ch) of 0..255 level`",
        "model": 'declare one: `model digits : digit -> class(10) { file = "model.jld2" }`',
        "data set": 'declare one: `data eval : digit { file = "eval.npz" }`',
        "trigger": "declare one: `trigger patch : digit { replace 3 px x 3 px at any with 0..255 level }`",
        "param": "declare one: `param max_rate : fraction = 5 %`",
    }
    return examples.get(kind)
