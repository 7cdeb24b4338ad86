"""VNN-LIB 1.0 (as VNN-COMP uses it) and 2.0 (one network): boxes of inputs, and an OR of ANDs over the outputs.

https://www.vnnlib.org; the standard's grammar, https://github.com/VNNLIB/VNNLIB-Standard
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from math import prod
from typing import NamedTuple

from verifluxa.errors import DataError, Span

MOST_BYTES = 16_000_000
MOST_TOKENS = 1_000_000
MOST_DEPTH = 64
LONGEST_WORD = 1_200
"""Characters of one word: enough for the exact decimal digits of any double."""

_TOKEN = re.compile(r'([()]|\[[0-9, \t]*\]|"[^"]*"|[^\s()\[\];"]+)|;.*|([^ \t\r])')
"""In a line: a word, a comment, or what is none of them; blanks match nothing."""
_BRACKETED = "an expression in brackets"


class Mark(NamedTuple):
    """Where a word begins; made into a `Span` only for a message, since thousands are read and none is shown."""

    file: str
    line: int
    column: int

    @property
    def span(self) -> Span:
        """The place as messages name it."""
        return Span(self.file, self.line, self.column, self.line, self.column + 1)


class Word(NamedTuple):
    """A name, a number, a text; indices in square brackets belong to the word in front: `X[0,1]`."""

    text: str
    place: Mark


class Group(NamedTuple):
    """What stands between two brackets."""

    items: tuple[Expression, ...]
    place: Mark

    @property
    def head(self) -> str:
        """The first word; empty where there is none."""
        first = self.items[0] if self.items else None
        return first.text if isinstance(first, Word) else ""


Expression = Word | Group


def malformed(message: str, place: Mark, expected: str | None = None) -> DataError:
    """The error for what is no VNN-LIB."""
    remedy = "the file must be VNN-LIB 1.0 as VNN-COMP uses it, or VNN-LIB 2.0 with one network"
    return DataError("VF3401", message, place=place.span, expected=expected, remedy=remedy)


def too_large(message: str, place: Mark | str, expected: str) -> DataError:
    """The error for what goes past a limit."""
    where = place.span if isinstance(place, Mark) else place
    return DataError("VF3404", message, place=where, expected=expected, remedy="split the question into smaller ones")


def read_expressions(data: bytes, file: str, most_words: int = MOST_TOKENS) -> list[Group]:
    """All expressions of a file, in order.

    Args:
        data: the file's bytes.
        file: its name, for places.
        most_words: brackets count as well.

    Raises:
        DataError: VF3401 for what is malformed, VF3404 past a limit.
    """
    if len(data) > MOST_BYTES:
        raise too_large(f"the file has {len(data):,} bytes", file, f"at most {MOST_BYTES:,}")
    start = Mark(file, 1, 1)
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError as error:
        raise malformed(f"byte {error.start} is not ASCII", start) from None
    done: list[Group] = []
    stack: list[tuple[Mark, list[Expression]]] = []
    for token, line, column in _tokens(text, file, most_words):
        if token == ")":
            if not stack:
                raise malformed("a closing bracket has no opening one", Mark(file, line, column), _BRACKETED)
            place, items = stack.pop()
            (stack[-1][1] if stack else done).append(Group(tuple(items), place))
            continue
        here = Mark(file, line, column)
        if token == "(":
            if len(stack) == MOST_DEPTH:
                raise too_large("brackets are nested too deep", here, f"at most {MOST_DEPTH} levels")
            stack.append((here, []))
        elif not stack:
            raise malformed(f"`{_short(token)}` stands alone", here, _BRACKETED)
        else:
            _append(stack[-1][1], Word(token, here))
    if stack:
        raise malformed("this bracket is never closed", stack[-1][0], "`)`")
    return done


def _append(items: list[Expression], word: Word) -> None:
    if not word.text.startswith("["):
        items.append(word)
        return
    before = items[-1] if items else None
    if not isinstance(before, Word) or before.text.endswith("]"):
        raise malformed("indices stand behind no name", word.place, "such as X[0]")
    items[-1] = Word(before.text + re.sub(r"\s", "", word.text), before.place)


def _tokens(text: str, file: str, most: int) -> Iterator[tuple[str, int, int]]:
    """Brackets and words with their lines and columns."""
    count = 0
    for line, content in enumerate(text.split("\n"), 1):
        for found in _TOKEN.finditer(content):
            token = found[1]
            if token is None:
                if found[2] is not None:
                    raise malformed(f"`{found[2]}` is not understood here", Mark(file, line, found.start() + 1))
                continue
            count += 1
            if count > most:
                here = Mark(file, line, found.start() + 1)
                raise too_large("there are too many words", here, f"at most {most:,}")
            if len(token) > LONGEST_WORD:
                here = Mark(file, line, found.start() + 1)
                raise too_large(f"a word has {len(token):,} characters", here, f"at most {LONGEST_WORD:,}")
            yield token, line, found.start() + 1


def _short(token: str) -> str:
    return token if len(token) <= 40 else token[:37] + "..."


MOST_INPUTS = 4_096
MOST_OUTPUTS = 4_096
MOST_CASES = 4_096
MOST_TERMS = 1_000_000
LARGEST = Fraction(10) ** 30
MOST_BITS = 16_384
"""Of numerator and denominator of a number that was multiplied."""

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,3})?")
_OLD_NAME = re.compile(r"([XY])_(0|[1-9]\d{0,8})")
_INDEXED = re.compile(r"([A-Za-z]\w*)\[((?:\d{1,9}(?:,\d{1,9})*)?)\]")

Variable = tuple[str, int]
"""`X` or `Y`, and a position in C order."""


@dataclass(frozen=True)
class Linear:
    """A linear expression: factors by variable, and a constant."""

    factors: dict[Variable, Fraction]
    constant: Fraction

    def plus(self, other: Linear, factor: int = 1) -> Linear:
        """The sum with a multiple of another."""
        return _sum([(self, 1), (other, factor)])

    def times(self, factor: Fraction) -> Linear:
        """A multiple."""
        return Linear({name: value * factor for name, value in self.factors.items() if factor}, self.constant * factor)


@dataclass(frozen=True)
class Condition:
    """`value >= 0`, or `value > 0` where it is not closed."""

    value: Linear
    closed: bool
    place: Mark


@dataclass(frozen=True)
class Region:
    """A box of inputs, and which outputs are looked for there.

    Attributes:
        lower, upper: exact ends, one per input.
        alternatives: an OR of ANDs of conditions over the outputs.
    """

    lower: tuple[Fraction, ...]
    upper: tuple[Fraction, ...]
    alternatives: tuple[tuple[Condition, ...], ...]

    def contains(self, point: Iterable[float]) -> bool:
        """Whether a point lies inside, exactly."""
        return all(
            low <= Fraction(x) <= high for low, x, high in zip(self.lower, map(float, point), self.upper, strict=True)
        )


@dataclass(frozen=True)
class Query:
    """A question: is there an input in one of the regions with such outputs?

    Attributes:
        version: 1 or 2.
        inputs, outputs: how many there are.
        regions: without those whose box is empty.
    """

    version: int
    inputs: int
    outputs: int
    regions: tuple[Region, ...]


def read_vnnlib(data: bytes, file: str) -> Query:
    """Reads a question.

    Args:
        data: the file's bytes.
        file: its name, for places.

    Raises:
        DataError: VF3401 for what is malformed, VF3402 for an input without bounds, VF3403 for what goes beyond
            boxes and linear conditions, VF3404 past a limit.
    """
    groups = read_expressions(data, file)
    names = _Names(2 if groups and groups[0].head == "vnnlib-version" else 1)
    asserts: list[Group] = []
    for group in groups:
        if group.head == "assert":
            asserts.append(group)
        else:
            _declare(names, group)
    whole = Mark(file, 1, 1)
    counts = [_count(names, kind, whole) for kind in "XY"]
    always: list[Condition] = []
    cases: list[tuple[Condition, ...]] = [()]
    for group in asserts:
        if len(group.items) != 2:
            raise malformed("`assert` takes one condition", group.place)
        found = _cases(names, group.items[1])
        if len(found) == 1:
            always += found[0]
        else:
            cases = _both(cases, found, group.place)
    return Query(names.version, counts[0], counts[1], _regions(always, cases, counts[0], whole))


@dataclass
class _Names:
    """The declared variables: in 1.0 single ones, in 2.0 two tensors; `read`: words of conditions read so far."""

    version: int
    single: dict[str, set[int]] = field(default_factory=lambda: {"X": set(), "Y": set()})
    tensors: dict[str, tuple[str, tuple[int, ...]]] = field(default_factory=dict)
    read: dict[str, Linear] = field(default_factory=dict)

    def linear(self, word: Word) -> Linear:
        """A number or a variable; each is looked at once."""
        found = self.read.get(word.text)
        if found is None:
            number = _NUMBER.fullmatch(word.text)
            found = Linear({}, _number(word)) if number else Linear({self.find(word): Fraction(1)}, Fraction(0))
            self.read[word.text] = found
        return found

    def find(self, word: Word) -> Variable:
        """The variable that a word names."""
        if self.version == 1:
            old = _OLD_NAME.fullmatch(word.text)
            if old is not None and int(old[2]) in self.single[old[1]]:
                return old[1], int(old[2])
        else:
            new = _INDEXED.fullmatch(word.text)
            name, indices = (new[1], _indices(new[2])) if new else (word.text, ())
            if name in self.tensors:
                return self._element(word, name, indices)
        raise malformed(f"`{word.text[:40]}` is neither a number nor a declared variable", word.place)

    def _element(self, word: Word, name: str, indices: tuple[int, ...]) -> Variable:
        kind, shape = self.tensors[name]
        if len(indices) != len(shape) or any(i >= size for i, size in zip(indices, shape, strict=True)):
            raise malformed(f"`{word.text[:40]}` lies outside its shape {list(shape)}", word.place)
        position = 0
        for i, size in zip(indices, shape, strict=True):
            position = position * size + i
        return kind, position


def _indices(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(",")) if text else ()


def _declare(names: _Names, group: Group) -> None:
    words = [item.text for item in group.items if isinstance(item, Word)]
    if names.version == 1 and group.head == "declare-const" and len(words) == len(group.items) == 3:
        found = _OLD_NAME.fullmatch(words[1])
        if found is None or words[2] != "Real":
            raise malformed("this declares no input X_i or output Y_j", group.place, "(declare-const X_0 Real)")
        if int(found[2]) in names.single[found[1]]:
            raise malformed(f"`{words[1]}` is declared twice", group.place)
        names.single[found[1]].add(int(found[2]))
    elif names.version == 2 and group.head == "vnnlib-version" and words[1:] in (["<2.0>"], ["<2>"]):
        return
    elif names.version == 2 and group.head == "declare-network":
        _network(names, group)
    else:
        raise malformed(f"`{group.head[:40]}` is not understood here", group.place, "a declaration or an `assert`")


def _network(names: _Names, group: Group) -> None:
    if names.tensors:
        raise _beyond("there is a second network", group.place, "a question about one network")
    if len(group.items) < 2 or not isinstance(group.items[1], Word):
        raise malformed("the network has no name", group.place)
    for item in group.items[2:]:
        kind = {"declare-input": "X", "declare-output": "Y"}.get(item.head if isinstance(item, Group) else "")
        words = [part.text for part in item.items if isinstance(part, Word)] if isinstance(item, Group) else []
        typed = _INDEXED.fullmatch(words[2]) if len(words) in (3, 4) else None
        if kind is None or typed is None:
            raise _beyond("this declaration is not supported", item.place, "(declare-input X float32 [1,4])")
        if kind in (known for known, _ in names.tensors.values()) or words[1] in names.tensors:
            raise _beyond("there is a second input or output", item.place, "one tensor of each")
        names.tensors[words[1]] = (kind, _indices(typed[2]))


def _count(names: _Names, kind: str, whole: Mark) -> int:
    what, most = ("input", MOST_INPUTS) if kind == "X" else ("output", MOST_OUTPUTS)
    if names.version == 1:
        known = names.single[kind]
        count = len(known)
        if known and max(known) != count - 1:
            missing = min(set(range(count)) - known)
            raise malformed(f"{kind}_{missing} is not declared, but {kind}_{max(known)} is", whole)
    else:
        count = sum(prod(shape) for k, shape in names.tensors.values() if k == kind)
    if not count:
        raise malformed(f"no {what} is declared", whole)
    if count > most:
        raise too_large(f"there are {count:,} {what}s", whole, f"at most {most:,}")
    return count


def _beyond(message: str, place: Mark, expected: str) -> DataError:
    return DataError(
        "VF3403",
        message,
        place=place.span,
        expected=expected,
        remedy="only boxes of inputs and linear conditions on outputs are read",
    )


def _cases(names: _Names, item: Expression) -> list[tuple[Condition, ...]]:
    """A condition as an OR of ANDs."""
    if isinstance(item, Word):
        raise malformed(f"`{item.text[:40]}` is no condition", item.place)
    if item.head in ("and", "or"):
        parts = [_cases(names, part) for part in item.items[1:]]
        if not parts:
            raise malformed(f"`{item.head}` of nothing", item.place)
        if item.head == "or":
            return _few([case for part in parts for case in part], item.place)
        cases: list[tuple[Condition, ...]] = [()]
        for part in parts:
            cases = _both(cases, part, item.place)
        return cases
    compare = _COMPARE.get(item.head)
    if compare is None or (item.head == "==" and names.version == 1):
        raise _beyond(f"`{item.head[:40]}` is no condition that is read", item.place, "and, or, <=, >=, <, >")
    if len(item.items) != 3:
        raise malformed(f"`{item.head}` compares two values", item.place)
    left, right = (_linear(names, part) for part in item.items[1:])
    return [tuple(Condition(value, closed, item.place) for value, closed in compare(left, right))]


_COMPARE: dict[str, Callable[[Linear, Linear], list[tuple[Linear, bool]]]] = {
    "<=": lambda a, b: [(b.plus(a, -1), True)],
    ">=": lambda a, b: [(a.plus(b, -1), True)],
    "<": lambda a, b: [(b.plus(a, -1), False)],
    ">": lambda a, b: [(a.plus(b, -1), False)],
    "==": lambda a, b: [(a.plus(b, -1), True), (b.plus(a, -1), True)],
}


def _both(
    first: list[tuple[Condition, ...]], second: list[tuple[Condition, ...]], place: Mark
) -> list[tuple[Condition, ...]]:
    if len(first) * len(second) > MOST_CASES:
        raise too_large("the conditions have too many cases", place, f"at most {MOST_CASES:,}")
    return _few([a + b for a in first for b in second], place)


def _few(cases: list[tuple[Condition, ...]], place: Mark) -> list[tuple[Condition, ...]]:
    if len(cases) > MOST_CASES:
        raise too_large("the conditions have too many cases", place, f"at most {MOST_CASES:,}")
    if sum(map(len, cases)) > MOST_TERMS:
        raise too_large("the conditions are too long", place, f"at most {MOST_TERMS:,} comparisons in all cases")
    return cases


def _linear(names: _Names, item: Expression) -> Linear:
    """A linear expression.

    Raises:
        DataError: VF3403 where two variables are multiplied, or for another operation.
    """
    if isinstance(item, Word):
        return names.linear(item)
    parts = [_linear(names, part) for part in item.items[1:]]
    if item.head not in ("+", "-", "*") or not parts:
        raise _beyond(f"`{item.head[:40]}` is no operation that is read", item.place, "+, - or * of numbers and names")
    if item.head != "*":
        sign = 1 if item.head == "+" else -1
        if len(parts) == 1:
            return parts[0].times(Fraction(sign))
        return _sum([(parts[0], 1), *((part, sign) for part in parts[1:])])
    total = parts[0]
    for part in parts[1:]:
        if total.factors and part.factors:
            raise _beyond("two variables are multiplied", item.place, "a linear condition")
        total = part.times(total.constant) if part.factors else total.times(part.constant)
        if any(_digits(value) > MOST_BITS for value in (total.constant, *total.factors.values())):
            raise too_large("a product has too many digits", item.place, f"at most {MOST_BITS} bits")
    return total


def _sum(parts: list[tuple[Linear, int]]) -> Linear:
    factors: dict[Variable, Fraction] = {}
    constant = Fraction(0)
    for part, sign in parts:
        if part.constant:
            constant += sign * part.constant
        for name, value in part.factors.items():
            signed = value if sign == 1 else -value
            factors[name] = factors[name] + signed if name in factors else signed
    return Linear({name: value for name, value in factors.items() if value}, constant)


def _digits(value: Fraction) -> int:
    return value.numerator.bit_length() + value.denominator.bit_length()


def _number(word: Word) -> Fraction:
    value = Fraction(word.text)
    if abs(value) > LARGEST:
        raise too_large(f"`{word.text[:40]}` is too large a number", word.place, "numbers up to 1e30")
    return value


def _regions(
    always: list[Condition], cases: list[tuple[Condition, ...]], count: int, whole: Mark
) -> tuple[Region, ...]:
    """Puts cases of one box together; leaves empty boxes out."""
    first, rest = _box(always, ({}, {}))
    boxes: dict[tuple[tuple[Fraction, ...], tuple[Fraction, ...]], list[tuple[Condition, ...]]] = {}
    for case in cases:
        (lower, upper), own = _box(case, first)
        missing = min((i for i in range(count) if i not in lower or i not in upper), default=None)
        if missing is not None:
            side = "lower" if missing not in lower else "upper"
            raise DataError(
                "VF3402",
                f"input {missing} has no {side} bound",
                place=whole.span,
                expected="a lower and an upper bound for each input",
                remedy=f"(assert (>= X_{missing} 0.0)) and (assert (<= X_{missing} 1.0)), with your numbers",
            )
        if not rest + own:
            raise _beyond("a case says nothing about the outputs", whole, "at least one condition on an output")
        if all(lower[i] <= upper[i] for i in range(count)):
            key = (tuple(lower[i] for i in range(count)), tuple(upper[i] for i in range(count)))
            boxes.setdefault(key, []).append(rest + own)
    return tuple(Region(*ends, tuple(alternatives)) for ends, alternatives in boxes.items())


_Ends = tuple[dict[int, Fraction], dict[int, Fraction]]


def _box(conditions: Iterable[Condition], ends: _Ends) -> tuple[_Ends, tuple[Condition, ...]]:
    """Narrows a box by the conditions that speak of one input; returns the others, which speak of outputs."""
    lower, upper = dict(ends[0]), dict(ends[1])
    others = []
    for condition in conditions:
        kinds = {kind for kind, _ in condition.value.factors}
        if kinds == {"Y"}:
            others.append(condition)
            continue
        if kinds != {"X"} or len(condition.value.factors) != 1:
            what = "compares numbers alone" if not kinds else "joins inputs with other variables"
            raise _beyond(f"this condition {what}", condition.place, "bounds of one input, or outputs alone")
        if not condition.closed:
            raise _beyond("this bound of an input is strict", condition.place, "<= or >=")
        (((_, index), factor),) = condition.value.factors.items()
        constant = condition.value.constant
        end = -constant if factor == 1 else constant if factor == -1 else -constant / factor
        if abs(end) > LARGEST:
            raise too_large(f"the bound of input {index} is too large", condition.place, "numbers up to 1e30")
        if factor > 0:
            lower[index] = max(end, lower[index]) if index in lower else end
        else:
            upper[index] = min(end, upper[index]) if index in upper else end
    return (lower, upper), tuple(others)
