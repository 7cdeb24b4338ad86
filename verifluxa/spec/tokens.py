"""The space of texts: `tokens(32, vocab = "vocab.txt") { pad = "[PAD]" }`."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from functools import partial

from verifluxa.errors import SpecError
from verifluxa.spec.blocks import Known, settings, word, wrong_value
from verifluxa.spec.names import did_you_mean
from verifluxa.spec.paths import beside, inside
from verifluxa.spec.problems import Problems
from verifluxa.spec.space_types import TokenSpace
from verifluxa.spec.syntax import InputSyntax, LabelsStart, Setting
from verifluxa.spec.terms import Number, Text
from verifluxa.spec.units import measured, whole
from verifluxa.spec.vocabulary import read_vocabulary

MAX_LENGTH = 65_536
EXAMPLE = '`tokens(32, vocab = "vocab.txt") { pad = "[PAD]" }`'
BLOCK = Known("text", ("pad", "unknown", "overflow"))


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
        return problems.attempt(lambda: word_number(_text(entries[key]), numbers))

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
    return whole(tokens(length, "the length"), length.span, "the length of a text", 1, MAX_LENGTH), vocab


def tokens(number: Number, what: str, needed: bool = False) -> Fraction:
    """The value of a number of tokens; `token` and `tokens` are one unit.

    Raises:
        SpecError: VF1030 for another unit, VF1031 for none where it is `needed`.
    """
    unit = None if number.unit is None else number.unit.text
    if unit in ("token", "tokens") or (unit is None and not needed):
        return number.value
    return measured(number, "token" if number.value == 1 else "tokens", what)


def _text(setting: Setting | LabelsStart) -> Text:
    value = setting.value if isinstance(setting, Setting) else None
    if not isinstance(value, Text):
        raise wrong_value(setting, 'a word of the vocabulary in quotes, such as `"[PAD]"`')
    return value


def word_number(text: Text, numbers: Mapping[str, int]) -> int:
    """The number of a word.

    Raises:
        SpecError: VF1082 when the vocabulary does not have it.
    """
    if text.value in numbers:
        return numbers[text.value]
    near = did_you_mean(text.value, [word for word in numbers if abs(len(word) - len(text.value)) < 3])
    raise SpecError(
        "VF1082",
        f"the vocabulary has no word {_shown(text.value)}",
        place=text.span,
        expected=f"one of its {len(numbers):,} words, exactly as it stands there",
        remedy=near or "look into the vocabulary's file: words are often in lower case",
    )


def _shown(word: str) -> str:
    """A word between quotes, shortened, with nothing that moves a terminal."""
    kept = word if len(word) <= 40 else word[:39] + "…"
    return '"' + "".join(letter if letter.isprintable() else "?" for letter in kept) + '"'
