"""Unions: `trigger either : digit { one of patch, wave }`, a trigger of one of several families of one space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lark.ast_utils import AsList

from verifluxa.errors import Span, SpecError
from verifluxa.spec.names import Table, same_space
from verifluxa.spec.spec import InputSpace, Record, Trigger
from verifluxa.spec.syntax import Clause, TriggerSyntax
from verifluxa.spec.terms import Name

MANY = 4
"""Families from which on they are only named."""
SHOWN = 10


@dataclass(frozen=True)
class OneOf(Clause, AsList):
    """`one of patch, wave`: a trigger of one of these families."""

    names: tuple[Name, ...]

    def mentions(self) -> tuple[Name, ...]:
        """The families."""
        return self.names


@dataclass(frozen=True)
class UnionTrigger(Trigger):
    """A trigger of one of several families of one space."""

    members: tuple[Trigger, ...]

    def families(self) -> tuple[Trigger, ...]:
        """The members."""
        return self.members

    @property
    def placements(self) -> int:
        """Those of all members."""
        return sum(member.placements for member in self.members)

    def dimensions(self, space: InputSpace) -> int:
        """The most of a member."""
        return max(member.dimensions(space) for member in self.members)

    def phrase(self, space: InputSpace) -> str:
        """The phrases of its members, or the names of many."""
        if len(self.members) <= MANY:
            return ", or ".join(member.phrase(space) for member in self.members)
        listed = ", ".join(f"`{member.name}`" for member in self.members[:SHOWN])
        more = f" and {len(self.members) - SHOWN} more" if len(self.members) > SHOWN else ""
        return f"trigger of {len(self.members)} families ({listed}{more})"

    def record(self) -> Record:
        """Those of its members, in order."""
        return {"kind": "one of", "members": [member.record() for member in self.members]}


def is_union(syntax: TriggerSyntax) -> bool:
    """Whether a trigger is one of several families."""
    return any(isinstance(clause, OneOf) for clause in syntax.clauses)


def check_union(
    syntax: TriggerSyntax, space: InputSpace, table: Table, known: Mapping[str, Trigger | None]
) -> UnionTrigger:
    """The union of families that are declared on their own.

    Args:
        syntax: the declaration.
        space: its input space.
        table: what each name of the file is.
        known: the families that are no unions.

    Raises:
        SpecError: VF1057 for other clauses beside `one of`, a family that is named twice or is a union itself, and
            families that are clipped beside such that are not; VF1066 for a family of another space; VF1020, VF1022.
    """
    if len(syntax.clauses) > 1:
        raise _not_joined("`one of` and other clauses do not go together", syntax.clauses[1].span)
    only = syntax.clauses[0]
    assert isinstance(only, OneOf)
    members: list[Trigger] = []
    for name in only.names:
        found: Trigger = table.find(name, "trigger", known)
        if isinstance(found, UnionTrigger) or found in members:
            raise _not_joined(f"`{name.text}` is a union itself, or named twice", name.span)
        same_space(space.name, found.space, f"the trigger `{syntax.name.text}`", name.span)
        members.append(found)
    if len({member.leaves_range(space) for member in members}) > 1 and any(one.is_clipped() for one in members):
        raise _not_joined("some of these are clipped and others are not", only.span)
    return UnionTrigger(syntax.name.text, space.name, tuple(members))


def _not_joined(what: str, place: Span) -> SpecError:
    return SpecError(
        "VF1057", what, place=place, expected="`one of patch, wave`", remedy="give each family a trigger of its own"
    )
