"""Texts: `tokens(32, vocab = "vocab.txt") { pad = "[PAD]" }`, `insert 1 token at any from vocab except "[PAD]"`."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from functools import partial
from typing import TypeVar

from verifluxa.errors import Span, SpecError
from verifluxa.spec.blocks import Known, settings, word, wrong_value
from verifluxa.spec.names import did_you_mean
from verifluxa.spec.paths import beside, inside
from verifluxa.spec.problems import Problems
from verifluxa.spec.space_types import TokenSpace, WordTrigger
from verifluxa.spec.syntax import (
    At,
    FromList,
    InputSyntax,
    Insert,
    LabelsStart,
    Replace,
    Setting,
    TriggerSyntax,
)
from verifluxa.spec.terms import Anywhere, Number, Positions, Text
from verifluxa.spec.units import measured, whole
from verifluxa.spec.vocabulary import read_vocabulary

MAX_LENGTH = 65_536
MAX_COUNT = 8
EXAMPLE = '`tokens(32, vocab = "vocab.txt") { pad = "[PAD]" }`'
BLOCK = Known("text", ("pad", "unknown", "overflow"))
_FROM = '`from vocab except "[PAD]"`, or `from "cf", "mn"`'
_TRIGGER = '`insert 1 token`, `at any`, `from vocab except "[PAD]"`'

Part = TypeVar("Part", At, FromList)


def check_tokens(syntax: InputSyntax, problems: Problems) -> TokenSpace:
    """The space of a text.

    Raises:
        SpecError: VF1084 when its arguments are not a length and a vocabulary, VF1051, VF1080 and VF1081 for the
            vocabulary's file, VF1030, VF1032 and VF1038 for the length. Wrong settings are reported: VF1023 to
            VF1025, and VF1082 for a word that the vocabulary does not have.
    """
    length, file = _arguments(syntax)
    place = file.span
    vocabulary = read_vocabulary(beside(place.file, inside(file.value, place)), place)
    entries = settings(syntax.block, BLOCK, problems)
    numbers = {text: number for number, text in enumerate(vocabulary.words)}

    def number_of(key: str) -> int | None:
        if key not in entries:
            return None
        return problems.attempt(lambda: _number(_text(entries[key]), numbers))

    overflow = entries.get("overflow")
    chosen = None if overflow is None else problems.attempt(partial(word, overflow, ("truncate", "error"), "VF1084"))
    return TokenSpace(
        name=syntax.name.text,
        length=length,
        words=vocabulary.words,
        vocab=file.value,
        vocab_sha256=vocabulary.sha256,
        pad=number_of("pad"),
        unknown=number_of("unknown"),
        truncate=chosen == "truncate",
        tokenizer=vocabulary.tokenizer,
    )


def _arguments(syntax: InputSyntax) -> tuple[int, Text]:
    plain = [argument.value for argument in syntax.arguments if argument.key is None]
    named = {argument.key.text: argument.value for argument in syntax.arguments if argument.key is not None}
    length, vocab = plain[0] if len(plain) == 1 else None, named.get("vocab")
    if not isinstance(length, Number) or not isinstance(vocab, Text) or set(named) != {"vocab"} or syntax.levels:
        raise SpecError(
            "VF1084",
            "a text is declared with its length and its vocabulary",
            place=syntax.kind.span,
            expected=EXAMPLE,
            remedy="the vocabulary's line, counted from 0, is the token's number",
        )
    return whole(_tokens(length, "the length"), length.span, "the length of a text", 1, MAX_LENGTH), vocab


def _tokens(number: Number, what: str, needed: bool = False) -> Fraction:
    """The value of a number of tokens; `token` and `tokens` are one unit."""
    unit = None if number.unit is None else number.unit.text
    if unit in ("token", "tokens") or (unit is None and not needed):
        return number.value
    return measured(number, "token" if number.value == 1 else "tokens", what)


def _text(setting: Setting | LabelsStart) -> Text:
    value = setting.value if isinstance(setting, Setting) else None
    if not isinstance(value, Text):
        raise wrong_value(setting, 'a word of the vocabulary in quotes, such as `"[PAD]"`')
    return value


def _number(text: Text, numbers: Mapping[str, int]) -> int:
    if text.value in numbers:
        return numbers[text.value]
    near = did_you_mean(text.value, [word for word in numbers if abs(len(word) - len(text.value)) < 3])
    raise SpecError(
        "VF1082",
        f"the vocabulary has no word {show(text.value)}",
        place=text.span,
        expected=f"one of its {len(numbers):,} words, exactly as it stands there",
        remedy=near or "look into the vocabulary's file: words are often in lower case",
    )


def show(word: str) -> str:
    """A word between quotes, shortened, with nothing that moves a terminal."""
    kept = word if len(word) <= 40 else word[:39] + "…"
    return '"' + "".join(letter if letter.isprintable() else "?" for letter in kept) + '"'


def check_word_trigger(syntax: TriggerSyntax, space: TokenSpace, problems: Problems) -> WordTrigger:
    """The family of a trigger of words.

    Raises:
        SpecError: VF1083 for a part that texts do not have, VF1085 when a part is missing, when it is longer than the
            text or a place is outside, VF1024 when one is given twice, VF1082 for an unknown word, VF1086 when no word
            is left, VF1030 to VF1032 and VF1038 for its numbers.
    """
    for clause in syntax.clauses:
        _fits(clause, space)
    verb, count = _put(syntax, space)
    words = tuple(sorted(_words(_only(syntax, FromList, "from", _FROM), space)))
    if verb == "append":
        return WordTrigger(syntax.name.text, space.name, True, count, (0,), words, appends=True)
    places = _places(_only(syntax, At, "at", "`at any`, or `at positions 0, 3..5`"), space, count, problems)
    return WordTrigger(syntax.name.text, space.name, verb == "insert", count, places, words)


def _fits(clause: object, space: TokenSpace) -> None:
    if isinstance(clause, Insert | At | FromList) or (isinstance(clause, Replace) and clause.width is None):
        return
    raise SpecError(
        "VF1083",
        f"`{space.name}` is a text, and this is no part of a trigger of words",
        place=clause.span,  # type: ignore[attr-defined]
        expected=_TRIGGER,
    )


def _put(syntax: TriggerSyntax, space: TokenSpace) -> tuple[str, int]:
    found = [clause for clause in syntax.clauses if isinstance(clause, Insert | Replace)]
    if len(found) > 1:
        raise SpecError("VF1024", "this part of the trigger is given twice", place=found[1].span)
    if not found:
        raise _missing(syntax, "insert` or `replace", "`insert 1 token`, or `replace 2 tokens`")
    clause = found[0]
    verb = clause.verb if isinstance(clause, Insert) else "replace"
    if verb == "append":
        _appends(syntax, clause.span, space)
    number = clause.count if isinstance(clause, Insert) else clause.height
    value = _tokens(number, "how many tokens are put", needed=True)
    count = whole(value, number.span, "the number of tokens", 1, MAX_COUNT)
    if count > space.length:
        raise _outside(f"{count} tokens are more than a text of {space.length} has", number.span, space, count)
    return verb, count


def _appends(syntax: TriggerSyntax, place: Span, space: TokenSpace) -> None:
    at = next((clause for clause in syntax.clauses if isinstance(clause, At)), None)
    if at is not None or space.pad is None:
        raise SpecError(
            "VF1085",
            "what is appended has no `at`: it stands behind the last word of each text"
            if at is not None
            else f"`{space.name}` names no `pad`, so its texts have no end to append to",
            place=place if at is None else at.span,
            expected='`append 1 token from vocab except "[PAD]"`, and `pad` in the input space',
        )


def _only(syntax: TriggerSyntax, kind: type[Part], name: str, example: str) -> Part:
    found = [clause for clause in syntax.clauses if isinstance(clause, kind)]
    if not found:
        raise _missing(syntax, name, example)
    if len(found) > 1:
        raise SpecError("VF1024", "this part of the trigger is given twice", place=found[1].span)
    return found[0]


def _missing(syntax: TriggerSyntax, name: str, example: str) -> SpecError:
    return SpecError(
        "VF1085",
        f"the trigger `{syntax.name.text}` has no `{name}`",
        place=syntax.name.span,
        expected=example,
        remedy=f"a trigger of words has three parts: {_TRIGGER}",
    )


def _outside(message: str, place: Span, space: TokenSpace, count: int) -> SpecError:
    return SpecError(
        "VF1085",
        message,
        place=place,
        expected=f"positions 0..{space.length - count} of `{space.name}`, counted from 0"
        if count <= space.length
        else f"at most {space.length} tokens",
    )


def _places(at: At, space: TokenSpace, count: int, problems: Problems) -> tuple[int, ...]:
    last = space.length - count
    if isinstance(at.places, Anywhere):
        return tuple(range(last + 1))
    if not isinstance(at.places, Positions):
        raise SpecError(
            "VF1083",
            "a place in a text is one number",
            place=at.places.span,
            expected="`at any`, or `at positions 0, 3..5`",
        )
    found: set[int] = set()
    for steps in at.places.ranges:
        first = whole(steps.first.value, steps.first.span, "a position", 0)
        end = first if steps.last is None else whole(steps.last.value, steps.last.span, "a position", 0)
        step = 1 if steps.step is None else whole(steps.step.value, steps.step.span, "a step")
        if end < first or end > last:
            reason = "is upside down" if end < first else "leaves no room in the text"
            raise _outside(f"{first}..{end} {reason}", steps.span, space, count)
        found |= set(range(first, end + 1, step))
    return tuple(sorted(found))


def _words(clause: FromList, space: TokenSpace) -> set[int]:
    numbers = {text: number for number, text in enumerate(space.words)}
    listed = {_number(text, numbers) for text in clause.words}
    if clause.name is not None and clause.name.text != "vocab":
        raise SpecError(
            "VF1020",
            f"there is no list of words called `{clause.name.text}`",
            place=clause.name.span,
            expected='`vocab`, the vocabulary of the text, or the words themselves: `from "cf", "mn"`',
            remedy=did_you_mean(clause.name.text, ["vocab"]),
        )
    left = (listed or set(range(len(space.words)))) - {_number(text, numbers) for text in clause.exceptions}
    if not left:
        raise SpecError("VF1086", "no word is left that the trigger could put", place=clause.span)
    return left
