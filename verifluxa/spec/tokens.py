"""The space of texts: `tokens(32, vocab = "vocab.txt") { pad = "[PAD]" }`, and the vocabulary files that it names."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from pathlib import Path

from verifluxa.errors import Span, SpecError
from verifluxa.files import read_file
from verifluxa.spec.blocks import Known, settings, word, wrong_value
from verifluxa.spec.names import did_you_mean
from verifluxa.spec.numbers import measured, whole
from verifluxa.spec.paths import beside, inside
from verifluxa.spec.problems import Problems
from verifluxa.spec.spec import TokenSpace
from verifluxa.spec.syntax import InputSyntax, LabelsStart, Setting
from verifluxa.spec.terms import Number, Text

MAX_BYTES = 2**26
MAX_WORDS = 2**20
MAX_LETTERS = 256


@dataclass(frozen=True)
class Vocabulary:
    """The words in the order of their numbers, and the digest of the file."""

    words: tuple[str, ...] = field(repr=False)
    sha256: str
    tokenizer: bool


def read_vocabulary(path: Path, place: Span) -> Vocabulary:
    """Reads a vocabulary.

    Raises:
        SpecError: VF1080 when the file cannot be read or is too large, VF1081 when it is no vocabulary.
    """
    content = _content(path, place)
    tokenizer = path.suffix == ".json"
    words = _of_tokenizer(content, path, place) if tokenizer else _of_lines(content, path, place)
    if not 2 <= len(words) <= MAX_WORDS:
        raise _wrong(f"it has {len(words):,} words", path, place)
    first: dict[str, int] = {}
    for number, entry in enumerate(words):
        if reason := odd_text(entry):
            raise _wrong(f"word {number} {reason}", path, place)
        if entry in first:
            raise _wrong(f"word {number} is word {first[entry]} again", path, place)
        first[entry] = number
    return Vocabulary(tuple(words), "sha256:" + hashlib.sha256(content).hexdigest(), tokenizer)


def _content(path: Path, place: Span) -> bytes:
    try:
        return read_file(path, MAX_BYTES)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise _unread(path, reason, place) from None


def _of_lines(content: bytes, path: Path, place: Span) -> list[str]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _wrong(f"it is not UTF-8 text (byte {error.start})", path, place) from None
    # Only line ends end a word: `splitlines` would also break at characters that hide in words.
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return lines[:-1] if lines and not lines[-1] else lines


def _of_tokenizer(content: bytes, path: Path, place: Span) -> list[str]:
    try:
        model = json.loads(content)["model"]["vocab"]
        numbered = model if isinstance(model, dict) else {entry[0]: n for n, entry in enumerate(model)}
        words = {int(number): str(word) for word, number in numbered.items()}
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        raise _wrong("it is no `tokenizer.json` with a vocabulary", path, place) from None
    if sorted(words) != list(range(len(numbered))):
        raise _wrong("its numbers are not 0, 1, 2, ... each once", path, place)
    return [words[number] for number in range(len(words))]


def odd_text(word: str) -> str | None:
    """What is wrong with a word: nothing in it, too much, or something that is not seen."""
    if not word.strip():
        return "is empty"
    if len(word) > MAX_LETTERS:
        return f"has {len(word):,} characters"
    hidden = next((letter for letter in word if unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp")), None)
    return None if hidden is None else f"has the hidden character U+{ord(hidden):04X}"


def _unread(path: Path, reason: str, place: Span) -> SpecError:
    return SpecError(
        "VF1080",
        f"the vocabulary `{path.name}` cannot be read: {reason}",
        place=place,
        expected="a file beside the spec: a word a line, or a `tokenizer.json`",
        remedy="check the path, which is relative to the spec",
    )


def _wrong(reason: str, path: Path, place: Span) -> SpecError:
    return SpecError(
        "VF1081",
        f"`{path.name}` is no vocabulary: {reason}",
        place=place,
        expected="UTF-8 text with a word a line, each once; the line, counted from 0, is the token's number",
        remedy="write the vocabulary that the model was trained with",
    )


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
