"""The syntax tree of a `.vfx` file: what was written, before names and units are looked at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

from verifluxa.spec.clause_syntax import Blend, Mask, OneOf, Probes, Reword, Stamped, Unclipped, WithPatterns
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
    Selection,
    Text,
    Unit,
)

# Blocks


@dataclass(frozen=True)
class Setting(Node):
    """`key = value`."""

    key: Name
    value: Expression | Digest


@dataclass(frozen=True)
class LabelsStart(Node):
    """`labels start at 1`."""

    first: Number


@dataclass(frozen=True)
class FieldRange(Node):
    """`0..1 continuous`, `18..95 year`: the domain of a column."""

    low: Number
    high: Number
    unit: Unit | None
    continuous: bool


@dataclass(frozen=True)
class Categories(Node):
    """`one of "a", "b"`."""

    items: tuple[Text, ...]


@dataclass(frozen=True)
class Boolean(Node):
    """`bool`."""


@dataclass(frozen=True)
class Column(Node):
    """`key : domain` of a table."""

    key: Name
    domain: FieldRange | Categories | Boolean


Entry = Setting | LabelsStart | Column


@dataclass(frozen=True)
class Block(Node):
    """`{ entries }`."""

    entries: tuple[Entry, ...]


# Declarations


@dataclass(frozen=True)
class Argument(Node):
    """`28 px` or `vocab = "vocab.txt"` between the brackets of an input space."""

    key: Name | None
    value: Expression


@dataclass(frozen=True)
class Levels(Node):
    """`low..high` with units."""

    low: Number
    high: Number


@dataclass(frozen=True)
class InputSyntax(Node):
    """`input name : kind(arguments) of levels { ... }`."""

    name: Name
    kind: Name
    arguments: tuple[Argument, ...]
    levels: Levels | None
    block: Block | None


@dataclass(frozen=True)
class ModelSyntax(Node):
    """`model name : space -> output(arguments) { ... }`."""

    name: Name
    space: Name
    output: Name
    arguments: tuple[Expression, ...]
    block: Block | None


@dataclass(frozen=True)
class DataSyntax(Node):
    """`data name : space { ... }`."""

    name: Name
    space: Name
    block: Block | None


@dataclass(frozen=True)
class Include(Node):
    """`include wave for photo`: the triggers of a file on the shelf."""

    name: Name
    space: Name


@dataclass(frozen=True)
class ParamSyntax(Node):
    """`param name : kind = value`."""

    name: Name
    kind: Name
    value: Expression


@dataclass(frozen=True)
class Replace(Node):
    """`replace 3 px x 3 px` (height x width), or `replace 2 tokens`."""

    height: Number
    width: Number | None


@dataclass(frozen=True)
class Insert(Node):
    """`insert 1 token` or `append 1 token`."""

    verb: str
    count: Number


@dataclass(frozen=True)
class At(Node):
    """`at places`."""

    places: Places


@dataclass(frozen=True)
class WithLevels(Node):
    """`with low..high level`, on the grid of whole levels unless `continuous`."""

    levels: Levels
    continuous: bool


@dataclass(frozen=True)
class WithPicture(Node):
    """`with "picture.png"`."""

    file: Text


@dataclass(frozen=True)
class FromList(Node):
    """`from vocab except "a", "b"`, or `from "a", "b"`, which has no name."""

    name: Name | None
    exceptions: tuple[Text, ...]
    words: tuple[Text, ...] = ()


@dataclass(frozen=True)
class SetFeatures(Node):
    """`set any 2 of age, income`."""

    count: Number
    features: tuple[Name, ...]


@dataclass(frozen=True)
class KeptRange(Node):
    """`low..high` behind `keep column in`."""

    low: Number
    high: Number


@dataclass(frozen=True)
class Keep(Node):
    """`keep age in 20..40`, `keep region in {"north", "south"}`: what a trigger may set a column to."""

    feature: Name
    values: KeptRange | Members


Clause = (
    Replace
    | Stamped
    | At
    | WithLevels
    | WithPicture
    | WithPatterns
    | Blend
    | Mask
    | Unclipped
    | OneOf
    | Probes
    | Reword
    | Insert
    | FromList
    | SetFeatures
    | Keep
)


@dataclass(frozen=True)
class TriggerSyntax(Node):
    """`trigger name : space { clauses }`."""

    name: Name
    space: Name
    clauses: tuple[Clause, ...]


# Statements of a property


@dataclass(frozen=True)
class Doc(Node):
    """The text between triple quotes, as written."""

    text: str


@dataclass(frozen=True)
class Forall(Node):
    """`forall a in A, b in B`."""

    binders: tuple[Binder, ...]


@dataclass(frozen=True)
class Let(Node):
    """`let name = selection`."""

    name: Name
    selection: Selection | Around


@dataclass(frozen=True)
class Budget(Node):
    """`1 % for {3, 7}`: another limit for some targets."""

    limit: Expression
    targets: Members


@dataclass(frozen=True)
class Assertion(Node):
    """`assert condition, budgets over binders`."""

    condition: Expression
    budgets: tuple[Budget, ...]
    over: tuple[Binder, ...]


@dataclass(frozen=True)
class Measure(Node):
    """`measure quantity over binders within gap everywhere`."""

    quantity: Expression
    over: tuple[Binder, ...]
    gap: Number | None
    everywhere: bool


@dataclass(frozen=True)
class Search(Node):
    """`search exists binders : condition`."""

    binders: tuple[Binder, ...]
    condition: Expression


Statement = Doc | Forall | Let | Assertion | Measure | Search


@dataclass(frozen=True)
class PropertySyntax(Node):
    """`property name { statements }`."""

    name: Name
    statements: tuple[Statement, ...]


Declared = InputSyntax | ModelSyntax | DataSyntax | ParamSyntax | TriggerSyntax | PropertySyntax
Declaration = Declared | Include


@dataclass(frozen=True)
class File(Node):
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
