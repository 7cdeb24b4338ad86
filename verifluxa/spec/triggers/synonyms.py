"""Synonym sets: `replace words by synonyms "synonyms.txt"`, a file with a set of words a line."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from verifluxa.errors import Span, SpecError
from verifluxa.files import read_file
from verifluxa.spec.paths import beside, inside
from verifluxa.spec.problems import Problems
from verifluxa.spec.spec import InputSpace, Record, TokenSpace, Trigger
from verifluxa.spec.syntax import Clause, TriggerSyntax
from verifluxa.spec.terms import Text
from verifluxa.spec.tokens import MAX_BYTES, odd_text

MAX_WORDS = 2**16
"""Words of all sets together: each is a place of the trigger."""
MAX_SET = 2**12
SHOWN = 5


@dataclass(frozen=True)
class Reword(Clause):
    """`replace words by synonyms "synonyms.txt"`."""

    file: Text


@dataclass(frozen=True)
class SynonymTrigger(Trigger):
    """One word, wherever a text has it, becomes another one of its set.

    Attributes:
        sets: numbers of the tokens of each set, ascending; no token is in two of them.
    """

    sets: tuple[tuple[int, ...], ...] = field(repr=False)

    @property
    def places(self) -> tuple[int, ...]:
        """The words that may be replaced: each is a placement of its own."""
        return tuple(sorted(word for words in self.sets for word in words))

    @property
    def placements(self) -> int:
        """One for each word."""
        return sum(map(len, self.sets))

    def dimensions(self, space: InputSpace) -> int:
        """One: the word that stands in its place."""
        return 1

    def phrase(self, space: InputSpace) -> str:
        """`word, of 40 in 12 sets, replaced throughout by a synonym,`."""
        return f"word, of {self.placements:,} in {len(self.sets):,} sets, replaced throughout by a synonym,"

    def record(self) -> Record:
        """The sets."""
        return {"kind": "synonyms", "sets": [list(words) for words in self.sets]}

    def variants(self) -> int:
        """Each word by each other one of its set."""
        return sum(len(words) * (len(words) - 1) for words in self.sets)


def is_rewording(syntax: TriggerSyntax) -> bool:
    """Whether a trigger replaces words by synonyms."""
    return any(isinstance(clause, Reword) for clause in syntax.clauses)


def check_synonyms(syntax: TriggerSyntax, space: TokenSpace, problems: Problems) -> SynonymTrigger:
    """The family of a trigger that replaces one word by another of its set, wherever it stands.

    Words that the vocabulary does not have are left out with a warning, VF1108.

    Raises:
        SpecError: VF1057 for clauses beside it, VF1106 when the file cannot be read, VF1107 when it holds no sets.
    """
    if len(syntax.clauses) > 1:
        raise SpecError(
            "VF1057",
            "`replace words by synonyms` is a whole trigger, nothing goes with it",
            place=syntax.clauses[1].span,
            expected='`replace words by synonyms "synonyms.txt"`',
            remedy="give each family a trigger of its own, and `one of` them",
        )
    (clause,) = syntax.clauses
    assert isinstance(clause, Reword)
    place = clause.file.span
    path = beside(place.file, inside(clause.file.value, place))
    numbers = {word: number for number, word in enumerate(space.words)}
    sets: list[tuple[int, ...]] = []
    unknown: list[str] = []
    for words in _sets(path, place):
        unknown += [word for word in words if word not in numbers]
        known = tuple(sorted(numbers[word] for word in words if word in numbers))
        sets += [known] if len(known) > 1 else []
    if not sets:
        raise _wrong(path, f"no set has two words of the vocabulary of `{space.name}`", place)
    if unknown:
        listed = ", ".join(f"`{word}`" for word in unknown[:SHOWN]) + (", ..." if len(unknown) > SHOWN else "")
        problems.warn(
            "VF1108", f"the vocabulary lacks {len(unknown):,} of the synonyms, which are left out: {listed}", place
        )
    return SynonymTrigger(syntax.name.text, space.name, tuple(sets))


def _sets(path: Path, place: Span) -> list[list[str]]:
    """The words of each line that has some.

    Raises:
        SpecError: VF1106, VF1107.
    """
    try:
        text = read_file(path, MAX_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _wrong(path, f"it is not UTF-8 text (byte {error.start})", place) from None
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SpecError(
            "VF1106",
            f"the synonyms `{path.name}` cannot be read: {why}",
            place=place,
            expected="a file beside the spec, with a set of words a line",
            remedy="check the path, which is relative to the spec",
        ) from None
    found: list[list[str]] = []
    first: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        words = line.split()
        for word in words:
            if reason := odd_text(word):
                raise _wrong(path, f"a word of line {number} {reason}", place)
            if word in first:
                raise _wrong(path, f"`{word}` of line {number} stands on line {first[word]} already", place)
            first[word] = number
        if len(words) > MAX_SET or len(first) > MAX_WORDS:
            raise _wrong(path, f"line {number} has too many words, or all lines together have", place)
        found += [words] if words else []
    return found


def _wrong(path: Path, reason: str, place: Span) -> SpecError:
    return SpecError(
        "VF1107",
        f"`{path.name}` holds no synonyms: {reason}",
        place=place,
        expected="a set of words a line, apart by spaces, each word in one set",
        remedy=f"at most {MAX_SET:,} words a line and {MAX_WORDS:,} in all; join sets that share a word",
    )
