"""Words: `insert 1 token at any from vocab except "[PAD]"`, `replace 2 tokens`, `append 1 token from "cf", "mn"`."""

from __future__ import annotations

from dataclasses import dataclass, field

from lark.ast_utils import AsList

from verifluxa.errors import Span, SpecError
from verifluxa.spec.blocks import all_fit, needed
from verifluxa.spec.names import did_you_mean
from verifluxa.spec.numbers import whole
from verifluxa.spec.placements import places_phrase, positions_of
from verifluxa.spec.problems import Problems
from verifluxa.spec.spec import InputSpace, Record, TokenSpace, Trigger
from verifluxa.spec.syntax import At, Clause, Replace, TriggerSyntax
from verifluxa.spec.terms import Name, Number, Text
from verifluxa.spec.tokens import tokens, word_number

MAX_COUNT = 8
EXAMPLE = '`insert 1 token`, `at any`, `from vocab except "[PAD]"`'
_FROM = '`from vocab except "[PAD]"`, or `from "cf", "mn"`'


@dataclass(frozen=True)
class Insert(Clause):
    """`insert 1 token` or `append 1 token`."""

    verb: str
    count: Number


class From(Clause):
    """Which words the trigger may put."""


@dataclass(frozen=True)
class FromList(From):
    """`from vocab except "a", "b"`."""

    name: Name
    exceptions: tuple[Text, ...]


@dataclass(frozen=True)
class FromWords(From, AsList):
    """`from "a", "b"`."""

    words: tuple[Text, ...]


@dataclass(frozen=True)
class WordTrigger(Trigger):
    """`count` tokens that are inserted or replaced, each out of `words`.

    Attributes:
        inserts: what stands at a place and behind it moves; else it is replaced.
        places: of the first token, counted from 0, ascending.
        words: numbers of the tokens that may be put, ascending.
        appends: behind the last token of each text that is no padding; `places` then says nothing.
    """

    inserts: bool
    count: int
    places: tuple[int, ...]
    words: tuple[int, ...] = field(repr=False)
    appends: bool = False

    @property
    def placements(self) -> int:
        """One at each place."""
        return len(self.places)

    def dimensions(self, space: InputSpace) -> int:
        """A word for each token."""
        return self.count

    def phrase(self, space: InputSpace) -> str:
        """`word out of 998, inserted at any of 32 positions,`."""
        what = "word" if self.count == 1 else f"sequence of {self.count} words"
        if self.appends:
            return f"{what} out of {len(self.words):,}, appended to the text,"
        verb = "inserted" if self.inserts else "put in place of others"
        return f"{what} out of {len(self.words):,}, {verb} at {places_phrase(self.places, 'position')},"

    def record(self) -> Record:
        """The verb, how many tokens, places and words."""
        return {
            "kind": "append" if self.appends else "insert" if self.inserts else "replace",
            "count": self.count,
            "places": list(self.places),
            "words": list(self.words),
        }

    def variants(self) -> int:
        """Each single word at each place."""
        return len(self.places) * len(self.words) if self.count == 1 else 0


def check_word_trigger(syntax: TriggerSyntax, space: TokenSpace, problems: Problems) -> WordTrigger:
    """The family of a trigger of words.

    Raises:
        SpecError: VF1083 for a part that texts do not have, VF1085 when a part is missing, when it is longer than the
            text or a place is outside, VF1024 when one is given twice, VF1082 for an unknown word, VF1086 when no word
            is left, VF1030 to VF1032 and VF1038 for its numbers.
    """
    message = f"`{space.name}` is a text, and this is no part of a trigger of words"
    all_fit(syntax, _fits, message, EXAMPLE)
    verb, count = _put(syntax, space)
    words = tuple(sorted(_words(needed(syntax, From, _missing(syntax, "from", _FROM)), space)))
    if verb == "append":
        return WordTrigger(syntax.name.text, space.name, True, count, (0,), words, appends=True)
    at = needed(syntax, At, _missing(syntax, "at", "`at any`, or `at positions 0, 3..5`"))

    def outside(first: int, end: int, place: Span) -> SpecError:
        reason = "is upside down" if end < first else "leaves no room in the text"
        return _outside(f"{first}..{end} {reason}", place, space, count)

    places = positions_of(at.places, space.length - count, "a position", "a place in a text", outside)
    return WordTrigger(syntax.name.text, space.name, verb == "insert", count, places, words)


def _fits(clause: Clause) -> bool:
    return isinstance(clause, Insert | At | From) or (isinstance(clause, Replace) and clause.width is None)


def _put(syntax: TriggerSyntax, space: TokenSpace) -> tuple[str, int]:
    found = [one for one in syntax.clauses if isinstance(one, Insert | Replace)]
    if len(found) > 1:
        raise SpecError("VF1024", "this part of the trigger is given twice", place=found[1].span)
    if not found:
        raise _missing(syntax, "insert` or `replace", "`insert 1 token`, or `replace 2 tokens`")
    put = found[0]
    verb = put.verb if isinstance(put, Insert) else "replace"
    if verb == "append":
        _appends(syntax, put.span, space)
    number = put.count if isinstance(put, Insert) else put.height
    value = tokens(number, "how many tokens are put", needed=True)
    count = whole(value, number.span, "the number of tokens", 1, MAX_COUNT)
    if count > space.length:
        raise _outside(f"{count} tokens are more than a text of {space.length} has", number.span, space, count)
    return verb, count


def _appends(syntax: TriggerSyntax, place: Span, space: TokenSpace) -> None:
    at = next((one for one in syntax.clauses if isinstance(one, At)), None)
    if at is not None or space.pad is None:
        raise SpecError(
            "VF1085",
            "what is appended has no `at`: it stands behind the last word of each text"
            if at is not None
            else f"`{space.name}` names no `pad`, so its texts have no end to append to",
            place=place if at is None else at.span,
            expected='`append 1 token from vocab except "[PAD]"`, and `pad` in the input space',
        )


def _missing(syntax: TriggerSyntax, name: str, example: str) -> SpecError:
    return SpecError(
        "VF1085",
        f"the trigger `{syntax.name.text}` has no `{name}`",
        place=syntax.name.span,
        expected=example,
        remedy=f"a trigger of words has three parts: {EXAMPLE}",
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


def _words(given: From, space: TokenSpace) -> set[int]:
    numbers = {text: number for number, text in enumerate(space.words)}
    if isinstance(given, FromWords):
        return {word_number(text, numbers) for text in given.words}
    assert isinstance(given, FromList)
    if given.name.text != "vocab":
        raise SpecError(
            "VF1020",
            f"there is no list of words called `{given.name.text}`",
            place=given.name.span,
            expected='`vocab`, the vocabulary of the text, or the words themselves: `from "cf", "mn"`',
            remedy=did_you_mean(given.name.text, ["vocab"]),
        )
    left = set(range(len(space.words))) - {word_number(text, numbers) for text in given.exceptions}
    if not left:
        raise SpecError("VF1086", "no word is left that the trigger could put", place=given.span)
    return left
