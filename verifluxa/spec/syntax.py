"""The syntax tree of a `.vfx` file: what was written, before names and units are looked at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from lark.ast_utils import AsList

from verifluxa.spec.terms import (
    Around,
    Binder,
    Digest,
    Expression,
    Members,
    Name,
    Node,
    Number,
    Places,
    Rule,
    Selection,
    Text,
    Unit,
)


class Line:
    """Marks a node whose text begins a line of its own in a formatted spec."""


# Blocks


@dataclass(frozen=True)
class Setting(Rule, Line):
    """`key = value`."""

    key: Name
    value: Expression | Digest


@dataclass(frozen=True)
class LabelsStart(Rule, Line):
    """`labels start at 1`."""

    first: Number


@dataclass(frozen=True)
class FieldRange(Rule):
    """`0..1 continuous`, `18..95 year`: the domain of a column."""

    low: Number
    high: Number
    unit: Unit | None
    continuous: bool


@dataclass(frozen=True)
class Categories(Rule, AsList):
    """`one of "a", "b"`."""

    items: tuple[Text, ...]


@dataclass(frozen=True)
class Boolean(Rule):
    """`bool`."""


@dataclass(frozen=True)
class Column(Rule, Line):
    """`key : domain` of a table."""

    key: Name
    domain: FieldRange | Categories | Boolean


Entry = Setting | LabelsStart | Column


@dataclass(frozen=True)
class Block(Rule, AsList):
    """`{ entries }`."""

    entries: tuple[Entry, ...]


# Declarations


@dataclass(frozen=True)
class Argument(Rule):
    """`28 px` or `vocab = "vocab.txt"` between the brackets of an input space."""

    key: Name | None
    value: Expression


@dataclass(frozen=True)
class Levels(Rule):
    """`low..high` with units."""

    low: Number
    high: Number


@dataclass(frozen=True)
class InputSyntax(Rule, Line):
    """`input name : kind(arguments) of levels { ... }`."""

    name: Name
    kind: Name
    arguments: tuple[Argument, ...]
    levels: Levels | None
    block: Block | None


@dataclass(frozen=True)
class ModelSyntax(Rule, Line):
    """`model name : space -> output(arguments) { ... }`."""

    name: Name
    space: Name
    output: Name
    arguments: tuple[Expression, ...]
    block: Block | None


@dataclass(frozen=True)
class DataSyntax(Rule, Line):
    """`data name : space { ... }`."""

    name: Name
    space: Name
    block: Block | None


@dataclass(frozen=True)
class Include(Rule, Line):
    """`include wave for photo`: the triggers of a file in the library."""

    name: Name
    space: Name


@dataclass(frozen=True)
class ParamSyntax(Rule, Line):
    """`param name : kind = value`."""

    name: Name
    kind: Name
    value: Expression


# Triggers; a clause of one family only stands in the file of that family, see `triggers`


@dataclass(frozen=True)
class Clause(Rule, Line):
    """A part of a trigger between `{` and `}`."""

    def mentions(self) -> tuple[Name, ...]:
        """The declarations that it names."""
        return ()


@dataclass(frozen=True)
class Replace(Clause):
    """`replace 3 px x 3 px` (height x width), or `replace 2 tokens`."""

    height: Number
    width: Number | None


@dataclass(frozen=True)
class At(Clause):
    """`at places`."""

    places: Places


@dataclass(frozen=True)
class WithLevels(Clause):
    """`with low..high level`, on the grid of whole levels unless `continuous`."""

    levels: Levels
    continuous: bool


@dataclass(frozen=True)
class WithPicture(Clause):
    """`with "picture.png"`."""

    file: Text


@dataclass(frozen=True)
class TriggerSyntax(Rule, Line):
    """`trigger name : space { clauses }`."""

    name: Name
    space: Name
    clauses: tuple[Clause, ...]


# Statements of a property


@dataclass(frozen=True)
class Doc(Node, Line):
    """The text between triple quotes, as written."""

    text: str


@dataclass(frozen=True)
class Forall(Rule, Line):
    """`forall a in A, b in B`."""

    binders: tuple[Binder, ...]


@dataclass(frozen=True)
class Let(Rule, Line):
    """`let name = selection`."""

    name: Name
    selection: Selection | Around


@dataclass(frozen=True)
class Budget(Rule):
    """`1 % for {3, 7}`: another limit for some targets."""

    limit: Expression
    targets: Members


@dataclass(frozen=True)
class Assertion(Rule, Line):
    """`assert condition, budgets over binders`."""

    condition: Expression
    budgets: tuple[Budget, ...]
    over: tuple[Binder, ...]


@dataclass(frozen=True)
class Measure(Rule, Line):
    """`measure quantity over binders within gap everywhere`."""

    quantity: Expression
    over: tuple[Binder, ...]
    gap: Number | None
    everywhere: bool


@dataclass(frozen=True)
class Search(Rule, Line):
    """`search exists binders : condition`."""

    binders: tuple[Binder, ...]
    condition: Expression


Statement = Doc | Forall | Let | Assertion | Measure | Search


@dataclass(frozen=True)
class PropertySyntax(Rule, Line):
    """`property name { statements }`."""

    name: Name
    statements: tuple[Statement, ...]


Declared = InputSyntax | ModelSyntax | DataSyntax | ParamSyntax | TriggerSyntax | PropertySyntax
Declaration = Declared | Include


@dataclass(frozen=True)
class File(Rule):
    """A whole file. `version` is the number behind `spec`."""

    version: Number | None
    items: tuple[Declaration, ...]


def walk(root: Node) -> Iterator[tuple[Node, int]]:
    """All nodes of a tree in the order of the text, with their depth; without recursion, so any depth is safe."""
    stack = [(root, 0)]
    while stack:
        node, depth = stack.pop()
        yield node, depth
        stack += [(child, depth + 1) for child in reversed(children(node))]


def children(node: Node) -> list[Node]:
    """The nodes directly below a node."""
    values = [getattr(node, item.name) for item in fields(node)]
    groups = [value if isinstance(value, tuple) else (value,) for value in values]
    return [part for group in groups for part in group if isinstance(part, Node)]
