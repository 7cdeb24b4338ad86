"""The small parts of the syntax tree: names, numbers, expressions, places, and what variables range over.

Every node is frozen and has the `Span` of its text. Spans do not take part in comparison, so two texts
that say the same are equal trees.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from lark import ast_utils
from lark.ast_utils import AsList

from verifluxa.errors import Span


@dataclass(frozen=True)
class Node:
    """A node of the syntax tree, and where its text is."""

    span: Span = field(compare=False, kw_only=True)


@dataclass(frozen=True)
class Rule(Node, ast_utils.Ast):
    """A node that is built from the grammar's rule of its name: its fields are what the rule keeps, in order.

    A field that is `bool` says whether its word is there. With `AsList`, all that the rule keeps is the one field.
    """


@dataclass(frozen=True)
class Name(Node):
    """A name where it is introduced or used."""

    text: str


@dataclass(frozen=True)
class Unit(Node):
    """A unit behind a number: `px`, `%`, `eur/year`."""

    text: str


@dataclass(frozen=True)
class Number(Node):
    """A number as written, its exact value (sign included, `%` not applied) and its unit."""

    text: str
    value: Fraction
    unit: Unit | None


@dataclass(frozen=True)
class Text(Node):
    """A string, escapes resolved."""

    value: str


@dataclass(frozen=True)
class Digest(Rule):
    """`sha256:...`, not yet looked at."""

    text: str


# Expressions


@dataclass(frozen=True)
class Reference(Node):
    """A name used as a value."""

    name: str


@dataclass(frozen=True)
class Call(Rule):
    """`name(arguments)`: a function of the language, a model, or a trigger."""

    name: Name
    arguments: tuple[Expression, ...]


@dataclass(frozen=True)
class Index(Rule):
    """`answer[2]`, `answer["speed"]`: one of the numbers that a model returns."""

    value: Expression
    index: Expression


@dataclass(frozen=True)
class ListOf(Rule, AsList):
    """`[1, 2, 3]`: one number per channel."""

    items: tuple[Expression, ...]


@dataclass(frozen=True)
class Minus(Rule):
    """`-operand`."""

    operand: Expression


@dataclass(frozen=True)
class Arithmetic(Rule):
    """`left operator right` with `+`, `-`, `*`, `/`."""

    left: Expression
    operator: str
    right: Expression


@dataclass(frozen=True)
class Comparison(Rule):
    """`left operator right` with `<=`, `>=`, `==`, `!=`, `<`, `>`."""

    left: Expression
    operator: str
    right: Expression


@dataclass(frozen=True)
class InRange(Rule):
    """`value in low..high`."""

    value: Expression
    low: Expression
    high: Expression


@dataclass(frozen=True)
class InSet(Rule):
    """`value in {a, b}`."""

    value: Expression
    members: Members


@dataclass(frozen=True)
class Not(Rule):
    """`not operand`."""

    operand: Expression


@dataclass(frozen=True)
class Both(Rule, AsList):
    """`a and b and c`."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True)
class Either(Rule, AsList):
    """`a or b or c`."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True)
class Rate(Rule):
    """`rate(x in inputs : condition)`: the share of inputs that meet the condition."""

    binder: Binder
    condition: Expression


@dataclass(frozen=True)
class Strongest(Rule):
    """`max rate(...)`: the rate of the strongest trigger."""

    rate: Rate


@dataclass(frozen=True)
class StrongestOf(Rule):
    """`max rate of model`: used to compare two models."""

    model: Name


Expression = (
    Number
    | Text
    | Reference
    | Call
    | Index
    | ListOf
    | Minus
    | Arithmetic
    | Comparison
    | InRange
    | InSet
    | Not
    | Both
    | Either
    | Rate
    | Strongest
    | StrongestOf
)

# Places of a trigger


@dataclass(frozen=True)
class Anywhere(Rule):
    """`at any`."""


@dataclass(frozen=True)
class Corners(Rule):
    """`at corners`."""


@dataclass(frozen=True)
class Point(Rule):
    """`(row, column)` of the top-left pixel."""

    row: Number
    column: Number


@dataclass(frozen=True)
class Together(Rule, AsList):
    """`(0, 0) and (24, 24)`: two places at once."""

    points: tuple[Point, ...]


@dataclass(frozen=True)
class Points(Rule, AsList):
    """`at (0, 0), (24, 24)`."""

    points: tuple[Point | Together, ...]


@dataclass(frozen=True)
class Steps(Rule):
    """`first..last step step`; a single number has neither last nor step."""

    first: Number
    last: Number | None
    step: Number | None


@dataclass(frozen=True)
class GridPlaces(Rule):
    """`at rows a..b step s, columns c..d`."""

    rows: Steps
    columns: Steps


@dataclass(frozen=True)
class Positions(Rule, AsList):
    """`at positions 0, 3..5`: in a text, or in time."""

    ranges: tuple[Steps, ...]


Places = Anywhere | Corners | Points | GridPlaces | Positions

# What a variable ranges over


@dataclass(frozen=True)
class Selection(Rule):
    """`data where condition`; also a trigger's bare name, which only the checker can tell apart."""

    name: Name
    condition: Expression | None = None


@dataclass(frozen=True)
class Around(Rule):
    """`around data within 2 level`."""

    name: Name
    radius: Number


@dataclass(frozen=True)
class TriggerAt(Rule):
    """`trigger at places`: the trigger narrowed to some of its places."""

    name: Name
    places: Places


@dataclass(frozen=True)
class Members(Rule, AsList):
    """`{3, 7}`."""

    items: tuple[Expression, ...]


Source = Selection | Around | TriggerAt | Members | Call


@dataclass(frozen=True)
class Binder(Rule):
    """`name in source`."""

    name: Name
    source: Source
