"""Writing a result: each file whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from verifluxa.errors import UsageError
from verifluxa.result.document import document, dumps
from verifluxa.result.result import Result

RESULT_FILE = "result.json"


def write_result(result: Result, folder: str | Path) -> Path:
    """Writes `result.json` into a folder (made if needed); returns its path.

    Raises:
        UsageError: VF4406 when it cannot be written.
    """
    path = Path(folder) / RESULT_FILE
    write_whole(path, dumps(document(result)).encode("utf-8"))
    return path


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file so that a reader sees the old content or the new, never a part (temporary file, rename).

    Raises:
        UsageError: VF4406 when it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(0o666 & ~umask())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def check_writable(folder: Path) -> None:
    """Says before a long run, not after it, that its results could not be written. Writes nothing.

    Raises:
        UsageError: VF4406.
    """
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise cannot_write(folder, NotADirectoryError(f"{existing} is not a folder"))
    if not os.access(existing, os.W_OK | os.X_OK):
        raise cannot_write(folder, PermissionError(f"{existing} is not writable"))


def cannot_write(path: Path, error: OSError) -> UsageError:
    """The error for a place that cannot be written."""
    return UsageError(
        "VF4406",
        f"cannot write here: {error.strerror or error}",
        place=str(path),
        expected="a place that can be made or written to",
        remedy="give another place, or make this one writable",
    )


def umask() -> int:
    """The process's mask; the only way to read it is to set it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
