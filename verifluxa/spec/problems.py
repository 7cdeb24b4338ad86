"""What checking finds: errors, gathered so that one pass shows all of them, and warnings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from verifluxa.errors import Span, SpecError

Result = TypeVar("Result")


@dataclass(frozen=True)
class SpecWarning:
    """Something that is legal and probably not meant. Same parts as an error; the exit code stays as it is."""

    code: str
    message: str
    place: Span | None = None
    expected: str | None = None
    remedy: str | None = None

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place is not None else ""
        parts = [f"{where}warning[{self.code}]: {self.message}"]
        if self.remedy is not None:
            parts.append(f"  help: {self.remedy}")
        return "\n".join(parts)


class FollowUpError(Exception):
    """A part was not checked since something it names is wrong itself, which has been reported there."""


@dataclass
class Problems:
    """The errors and warnings of one file, in the order in which they were found."""

    errors: list[SpecError] = field(default_factory=list)
    warnings: list[SpecWarning] = field(default_factory=list)

    def attempt(self, check: Callable[[], Result]) -> Result | None:
        """The result of a check, or None when it found an error, which is kept; others go on."""
        try:
            return check()
        except SpecError as error:
            self.errors.append(error)
        except FollowUpError:
            pass
        return None

    def warn(self, code: str, message: str, place: Span, remedy: str | None = None) -> None:
        """Keeps a warning."""
        self.warnings.append(SpecWarning(code, message, place, None, remedy))


def unsupported(what: str, place: Span, remedy: str | None = None) -> SpecError:
    """VF1014: the language has it, the checker does not support it yet."""
    return SpecError("VF1014", f"{what}: not supported yet", place=place, remedy=remedy)
