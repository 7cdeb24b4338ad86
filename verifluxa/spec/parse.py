"""Text to syntax tree. After an error parsing goes on at the next declaration, so that several are shown at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from itertools import islice

from lark import Lark, Token, Tree, UnexpectedInput
from lark.lark import PostLex

from verifluxa.errors import ManyErrors, Span, SpecError, VerifluxaError
from verifluxa.spec.build import build
from verifluxa.spec.explain_syntax import BLOCK_START, explain, position
from verifluxa.spec.read import clean
from verifluxa.spec.syntax import File, walk

MAX_TOKENS = 50_000
"""More words and signs than any spec has; keeps the time for a hostile file to a second or two."""
MAX_DEPTH = 100
"""Deepest nesting of expressions; what follows may then use recursion."""
MAX_ERRORS = 20
"""Errors shown at once; later ones are usually echoes."""

_TOKENS = re.compile(r'#[^\n]*|"""[\s\S]*?"""|"(?:\\[^\n]|[^"\\\n])*"|\w+|[^\w\s]')


def parse(text: str, path: str) -> File:
    """Parses a spec.

    Args:
        text: the text of the file.
        path: its name, for places in messages.

    Raises:
        SpecError: VF1002, VF1004 to VF1009, VF1012 or VF1013: the one error that was found.
        ManyErrors: several such errors.
    """
    text = clean(text, path)
    _bounded(text, path)
    found = _tree(text, path)
    if not isinstance(found, Tree):
        raise combined(found)
    file, errors = build(found, path)
    errors += too_deep(file)
    if errors:
        raise combined(errors)
    return file


@cache
def grammar() -> Lark:
    """The parser; made once, in less than a tenth of a second."""
    text = files("verifluxa.spec").joinpath("grammar.lark").read_text(encoding="utf-8")
    options = {"parser": "lalr", "lexer": "contextual", "propagate_positions": True, "maybe_placeholders": True}
    return Lark(text, start="file", postlex=WholeWords(), **options)


class WholeWords(PostLex):
    """Lets the lexer see a name everywhere, so that `anywhere` is one word and not the keyword `any` and a rest."""

    always_accept = ("NAME",)

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        """The tokens as they are."""
        return stream


def combined(errors: Sequence[SpecError]) -> VerifluxaError:
    """One error as it is; several as one `ManyErrors`, in the order of the text, without echoes."""
    ordered: dict[tuple[str, str], VerifluxaError] = {}
    for error in sorted(errors, key=_order):
        ordered.setdefault((error.code, str(error.place)), error)
    kept = list(ordered.values())[:MAX_ERRORS]
    return kept[0] if len(kept) == 1 else ManyErrors(kept)


def too_deep(file: File) -> list[SpecError]:
    """VF1009 at the first expression that is nested too deeply."""
    deep = (node.span for node, depth in walk(file) if depth > MAX_DEPTH)
    return [
        SpecError(
            "VF1009",
            f"this is nested more than {MAX_DEPTH} levels deep",
            place=span,
            remedy="split the expression, or give parts of it a name with `let` or `param`",
        )
        for span in islice(deep, 1)
    ]


def _tree(text: str, path: str) -> Tree[Token] | list[SpecError]:
    """The parse tree, or every error: after each one parsing starts again at the next declaration."""
    parser, begin, errors = grammar(), 0, list[SpecError]()
    while len(errors) < MAX_ERRORS:
        try:
            tree = parser.parse(_blank(text[:begin]) + text[begin:])
        except UnexpectedInput as error:
            errors.append(explain(error, parser, text, path))
            following = BLOCK_START.search(text, _line_start(text, position(error, text)))
            while following is not None and following.start(1) <= begin:
                following = BLOCK_START.search(text, following.end())
            if following is None:
                return errors
            begin = following.start(1)
        else:
            return errors or tree
    return errors


def _bounded(text: str, path: str) -> None:
    if sum(1 for _ in islice(_TOKENS.finditer(text), MAX_TOKENS + 1)) > MAX_TOKENS:
        raise SpecError(
            "VF1002",
            f"the spec has more than {MAX_TOKENS:,} words and signs",
            place=path,
            remedy="say places as ranges (`at rows 0..25 step 5, columns 0..25`), or split the file",
        )


def _line_start(text: str, index: int) -> int:
    return text.rfind("\n", 0, index) + 1


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def _order(error: SpecError) -> tuple[int, int]:
    place = error.place
    return (place.line, place.column) if isinstance(place, Span) else (0, 0)
