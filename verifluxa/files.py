"""Opening files that somebody else may have put there: regular files only, and no link where none may be followed.

Every reader of the program opens through this module. A pipe would block its reader for ever, a device has no end, and
a link leads to files that were never meant to be read.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path, PurePosixPath

_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOCTTY", 0)
    # A pipe without a writer opens at once, so that its kind can be looked at.
    | getattr(os, "O_NONBLOCK", 0)
)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_FOLDER = getattr(os, "O_DIRECTORY", 0)
_KINDS = (
    (stat.S_ISDIR, "it is a folder"),
    (stat.S_ISFIFO, "it is a pipe"),
    (stat.S_ISSOCK, "it is a socket"),
    (stat.S_ISCHR, "it is a device"),
    (stat.S_ISBLK, "it is a device"),
)


class NotAFileError(OSError):
    """What was found is no regular file; `strerror` says what it is."""


def open_file(path: str | Path) -> BufferedReader:
    """Opens a regular file that the user named; links on the way are the user's own and are followed.

    Args:
        path: the file.

    Returns:
        A binary stream.

    Raises:
        NotAFileError: for anything but a regular file.
        OSError: when it cannot be opened.
        ValueError: for a path with a null byte.
    """
    return open(descriptor(path), "rb")


def open_inside(folder: str | Path, name: str) -> BufferedReader:
    """Opens a regular file below a folder whose content somebody else decides about.

    Args:
        folder: the folder; links on the way to it are followed.
        name: the file's path from the folder, with `/`. None of its parts may be `..` or a link.

    Returns:
        A binary stream.

    Raises:
        NotAFileError: for anything but a regular file, and for a name that leads out of the folder.
        OSError: when it cannot be opened; ELOOP for a link.
        ValueError: for a path with a null byte.
    """
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\\" in name:
        raise NotAFileError(errno.EINVAL, "its name leads out of the folder", name)
    return open(_inside(folder, parts), "rb")


def read_file(path: str | Path, most: int) -> bytes:
    """Reads a regular file of at most `most` bytes whole; see `open_file`.

    Raises:
        OSError: EFBIG when it is larger.
    """
    with open_file(path) as stream:
        return read_all(stream, most, str(path))


def read_all(stream: BufferedReader, most: int, name: str) -> bytes:
    """What is left of an open file, at most `most` bytes.

    Raises:
        OSError: EFBIG when there is more.
    """
    if os.fstat(stream.fileno()).st_size <= most:
        data = stream.read(most + 1)
        if len(data) <= most:
            return data
    raise OSError(errno.EFBIG, f"it has more than {most:,} bytes", name)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds a lock file, which is made where it is missing; everybody else waits. What is there is never emptied.

    Raises:
        NotAFileError: for anything but a regular file.
        OSError: when it cannot be opened; ELOOP for a link.
    """
    import fcntl

    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    found = os.open(path, flags, 0o600)
    try:
        if not stat.S_ISREG(os.fstat(found).st_mode):
            raise NotAFileError(errno.EINVAL, "it is no regular file", str(path))
        fcntl.flock(found, fcntl.LOCK_EX)
        yield
    finally:
        os.close(found)


def descriptor(path: str | Path, *, follow: bool = True, folder: int | None = None) -> int:
    """A descriptor of a regular file, for reading; the caller closes it.

    Args:
        path: the file.
        follow: whether a link in the last part is followed.
        folder: descriptor of the folder that `path` is relative to.

    Raises:
        NotAFileError, OSError, ValueError: as `open_file` does.
    """
    try:
        found = os.open(path, _FLAGS | (0 if follow else _NO_LINK), dir_fd=folder)
    except OSError as error:
        # A socket, or a device that nothing serves.
        if error.errno == errno.ENXIO:
            raise NotAFileError(errno.EINVAL, "it is no regular file", str(path)) from error
        raise
    mode = os.fstat(found).st_mode
    if stat.S_ISREG(mode):
        return found
    os.close(found)
    what = next((words for holds, words in _KINDS if holds(mode)), "it is no regular file")
    raise NotAFileError(errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL, what, str(path))


def _inside(folder: str | Path, parts: tuple[str, ...]) -> int:
    """Goes down one part at a time, so that no part can become a link between a look and its use."""
    if os.open not in os.supports_dir_fd:
        return _looked_at(Path(folder), parts)
    here = os.open(folder, os.O_RDONLY | _FOLDER)
    try:
        for part in parts[:-1]:
            below = os.open(part, os.O_RDONLY | _FOLDER | _NO_LINK, dir_fd=here)
            os.close(here)
            here = below
        return descriptor(parts[-1], follow=False, folder=here)
    finally:
        os.close(here)


def _looked_at(folder: Path, parts: tuple[str, ...]) -> int:
    """Where a system cannot open relative to a folder: each part is looked at before it is used."""
    for number in range(1, len(parts) + 1):
        if folder.joinpath(*parts[:number]).is_symlink():
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), "/".join(parts))
    return descriptor(folder.joinpath(*parts), follow=False)
