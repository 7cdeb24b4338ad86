"""A parser's failure in the user's words: what stands there, what could stand there, and how to mend it."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Collection

from lark import Lark, UnexpectedCharacters, UnexpectedInput, UnexpectedToken
from lark.lexer import PatternStr

from verifluxa.errors import Span, SpecError

BLOCK_START = re.compile(r"^[ \t]*((?:input|model|data|trigger|param|property)\b)[ \t]+[A-Za-z_]\w*[ \t]*[:{]", re.M)
"""Where a declaration begins; parsing goes on there after an error."""

_TOKEN = re.compile(r'[A-Za-z_]\w*|[0-9][\w.]*|"(?:\\[^\n]|[^"\\\n])*"|<=|>=|==|!=|->|\.\.|[{}()\[\],:=<>+*/%-]')
_SKIP = re.compile(r'#[^\n]*|"""[\s\S]*?"""|"(?:\\[^\n]|[^"\\\n])*"|[{}()\[\]]')
_CLOSES = {"{": "}", "(": ")", "[": "]"}

_VALUES = frozenset({"NUMBER", "NAME", "STRING", "LPAR", "MINUS", "LSQB", "NOT", "RATE", "MAX"})
_OPERATORS = frozenset({"COMPARE", "PLUS", "MINUS", "TIMES", "DIVIDE", "AND", "OR", "IN"})
_DECLARATIONS = frozenset({"INPUT", "MODEL", "DATA", "TRIGGER", "PARAM", "PROPERTY", "INCLUDE"})
_COMPARISONS = frozenset({"<=", ">=", "==", "!=", "<", ">"})
_GROUPS = (
    (
        _DECLARATIONS,
        _DECLARATIONS,
        "a declaration (`input`, `model`, `data`, `trigger`, `include`, `param`, `property`)",
    ),
    (frozenset({"PLUS"}), _OPERATORS, "an operator"),
    (frozenset({"NAME", "NUMBER", "MINUS"}), _VALUES, "a value"),
    (frozenset({"NUMBER", "MINUS"}), frozenset({"NUMBER", "MINUS"}), "a number"),
)
"""When all of the first can stand here, the second are called by one word."""
_WORDS = {
    "NAME": "a name",
    "KEY": "a setting such as `file = ...`",
    "NUMBER": "a number",
    "STRING": 'a text in quotes, `"..."`',
    "LONG_STRING": 'a doc text in `"""`',
    "DIGEST": "a digest `sha256:...`",
    "RATIO": "a unit such as `eur/year`",
    "COMPARE": "a comparison such as `<=`",
}


def position(error: UnexpectedInput, text: str) -> int:
    """Index of the character at which the parser stopped; behind the last token when something is missing there."""
    if isinstance(error, UnexpectedToken) and at_end(error):
        return error.token.end_pos or 0
    return error.pos_in_stream if error.pos_in_stream is not None else len(text)


def at_end(error: UnexpectedInput) -> bool:
    """Whether the text stopped where something had to follow."""
    return isinstance(error, UnexpectedToken) and error.token.type == "$END"


def explain(error: UnexpectedInput, parser: Lark, text: str, path: str) -> SpecError:
    """The error that the user sees for a failure of the parser."""
    start = position(error, text)
    ended = at_end(error)
    if not ended and text[start] == '"' and _unclosed(text, start):
        return _open_string(text, start, path)
    opened = _open_bracket(text, start)
    if opened is not None and (ended or _starts_declaration(text, start)):
        return _open_block(text, opened, path)
    found = None if ended else _TOKEN.match(text, start)
    if isinstance(error, UnexpectedCharacters) and found is None and not ended:
        return _strange(text, start, path)
    return _unexpected(
        text[start : found.end()] if found else "", _accepted(error), parser, span(text, path, start, found)
    )


def span(text: str, path: str, start: int, found: re.Match[str] | None = None) -> Span:
    """The place of a match, or of one character."""
    line = text.count("\n", 0, start) + 1
    column = start - (text.rfind("\n", 0, start) + 1) + 1
    width = 1 if found is None else len(found.group().split("\n", 1)[0])
    return Span(path, line, column, line, column + max(width, 1))


def _starts_declaration(text: str, start: int) -> bool:
    match = BLOCK_START.match(text, text.rfind("\n", 0, start) + 1)
    return match is not None and match.start(1) == start


def _accepted(error: UnexpectedInput) -> Collection[str]:
    interactive = getattr(error, "interactive_parser", None)
    if interactive is None:
        return set()
    accepted: Collection[str] = interactive.accepts()
    return accepted


def _unexpected(found: str, accepted: Collection[str], parser: Lark, place: Span) -> SpecError:
    literal = {
        terminal.name: terminal.pattern.value
        for terminal in parser.terminals
        if terminal.name in accepted and isinstance(terminal.pattern, PatternStr)
    }
    near = difflib.get_close_matches(found.lower(), [word for word in literal.values() if word.isalpha()], 1, 0.7)
    shown = found if len(found) <= 40 else found[:40] + "..."
    return SpecError(
        "VF1004",
        f"`{shown}` cannot stand here" if found else "the file ends too early",
        place=place,
        expected=_expected(accepted, literal),
        remedy=f"did you mean `{near[0]}`?" if near and near[0] != found else _hint(found, accepted),
    )


def _hint(found: str, accepted: Collection[str]) -> str | None:
    if found in _COMPARISONS and "COMPARE" not in accepted:
        return "comparisons are not chained: write `a <= b and b <= c`, or `b in a..c`"
    if accepted == {"__ANON_0"}:
        return "a model says what it gives: `model digits : digit -> class(10) { ... }`"
    return "settings are written with `=`, as in `file = ...`; `:` is for columns" if "BOOL" in accepted else None


def _expected(accepted: Collection[str], literal: dict[str, str]) -> str | None:
    left, words = set(accepted) - {"$END"}, []
    for sign, group, word in _GROUPS:
        if sign <= left:
            words.append(word)
            left -= group
    words += [f"`{literal[name]}`" if name in literal else _WORDS.get(name, name) for name in sorted(left)]
    if not words:
        return None
    shown = words[:10]
    return " or ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _unclosed(text: str, start: int) -> bool:
    if text.startswith('"""', start):
        return text.find('"""', start + 3) < 0
    return re.compile(r'"(?:\\[^\n]|[^"\\\n])*"').match(text, start) is None


def _open_string(text: str, start: int, path: str) -> SpecError:
    long = text.startswith('"""', start)
    line = re.compile(r"[^\n]*").match(text, start)
    return SpecError(
        "VF1006",
        "this doc text is never closed" if long else "this text is not closed on its line",
        place=span(text, path, start, line),
        expected='`"""`' if long else 'a closing `"`',
        remedy="close it with three quotes" if long else 'a longer text goes between `"""` and `"""`, as a doc text',
    )


def _open_bracket(text: str, end: int) -> int | None:
    """Index of the innermost bracket before `end` that is still open."""
    opened: list[int] = []
    for match in _SKIP.finditer(text, 0, end):
        if match.group() in _CLOSES:
            opened.append(match.start())
        elif opened and match.group() == _CLOSES[text[opened[-1]]]:
            opened.pop()
    return opened[-1] if opened else None


def _open_block(text: str, opened: int, path: str) -> SpecError:
    bracket = text[opened]
    return SpecError(
        "VF1008",
        f"this `{bracket}` is never closed",
        place=span(text, path, opened),
        expected=f"`{_CLOSES[bracket]}` before the next declaration or the end of the file",
        remedy=f"add the missing `{_CLOSES[bracket]}`",
    )


def _strange(text: str, start: int, path: str) -> SpecError:
    character = text[start]
    title = unicodedata.name(character, "no name").lower()
    code = "" if character.isascii() else f", U+{ord(character):04X} {title}"
    return SpecError(
        "VF1007",
        f"the character `{character}`{code} has no meaning here",
        place=span(text, path, start),
        expected="names of ASCII letters, digits and `_`, numbers, texts in quotes, comments after `#`",
        remedy=_LOOKALIKE.get(character),
    )


_LOOKALIKE = {
    "\u201c": 'use the straight quote `"`',
    "\u201d": 'use the straight quote `"`',
    "'": 'use the double quote `"`',
    "\u2264": "write `<=`",
    "\u2265": "write `>=`",
    "\u2260": "write `!=`",
    "\u2200": "write `forall`",
    "\u2203": "write `exists`",
    "\u00d7": "write `x`",
    "\u2212": "write `-`",
    "&": "write `and`",
    "|": "write `or`",
    "!": "write `not` or `!=`",
    ";": "nothing is needed between entries",
}
