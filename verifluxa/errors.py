"""Places in files, and the one tree of errors that a user may see.

Every error has a code (`VF1004`, explained by `verifluxa explain VF1004`), a message in the user's
words, the place, what was expected and what to do. Solver exceptions never become verdicts.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Span:
    """A place in a text file: 1-based lines and columns, the end is exclusive."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class VerifluxaError(Exception):
    """Something that the user can understand and mend.

    Attributes:
        code: `VF` and four digits; the page that `verifluxa explain` prints.
        message: one sentence, in the user's words.
        place: where: a span in a text file, or words such as a path inside a binary file.
        expected: what would have been right.
        remedy: what to do.
    """

    exit_code: int = 4
    """2: what was typed on the command line is wrong; 4: a file is, also one that an option names."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        place: Span | str | None = None,
        expected: str | None = None,
        remedy: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.place = place
        self.expected = expected
        self.remedy = remedy

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place is not None else ""
        parts = [f"{where}error[{self.code}]: {self.message}"]
        if self.expected is not None:
            parts.append(f"  expected: {self.expected}")
        if self.remedy is not None:
            parts.append(f"  help: {self.remedy}")
        return "\n".join(parts)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickles by its parts, so that a worker can hand it to the driver."""
        return (_rebuild, (type(self), self.code, self.message, self.place, self.expected, self.remedy))


def _rebuild(
    kind: type[VerifluxaError],
    code: str,
    message: str,
    place: Span | str | None,
    expected: str | None,
    remedy: str | None,
) -> VerifluxaError:
    return kind(code, message, place=place, expected=expected, remedy=remedy)


class SpecError(VerifluxaError):
    """VF1xxx: a `.vfx` file does not parse or type-check."""


class OptionError(SpecError):
    """VF1xxx: the spec is right, and a value that an option gives it is not."""

    exit_code = 2


class ModelError(VerifluxaError):
    """VF2xxx: a model file cannot be read, understood or trusted."""


class DataError(VerifluxaError):
    """VF3xxx: a data file cannot be read or does not fit its declaration."""


class UsageError(VerifluxaError):
    """VF4xxx: a wrong option, strategy, cluster or combination of them."""

    exit_code = 2


class TryAgainError(UsageError):
    """VF4427: nothing is wrong, but somebody else is in the way; the same command may succeed later."""

    exit_code = 75
    """As sysexits.h has it (EX_TEMPFAIL)."""


class CertificateError(VerifluxaError):
    """VF5xxx: a certificate, signature or evidence file is refused."""

    exit_code = 1


class MissingFileError(CertificateError):
    """VF5059: a file that a certificate speaks of is not there. Nothing was found wrong, and nothing was rechecked."""

    exit_code = 3


class GateError(VerifluxaError):
    """VF6xxx: a reason why the release gate denies, or why a policy, log or registry is refused."""

    exit_code = 1


class UnsupportedError(VerifluxaError):
    """VF7xxx: the engine has no sound answer for this; becomes unknown(unsupported)."""


class ManyErrors(VerifluxaError):
    """Several errors found in one pass, in the order of their places."""

    def __init__(self, errors: list[VerifluxaError]) -> None:
        first = errors[0]
        super().__init__(
            first.code,
            first.message,
            place=first.place,
            expected=first.expected,
            remedy=first.remedy,
        )
        self.errors = tuple(errors)
        self.exit_code = max(error.exit_code for error in errors)

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors)

    def __reduce__(self) -> tuple[object, ...]:
        return (ManyErrors, (list(self.errors),))
