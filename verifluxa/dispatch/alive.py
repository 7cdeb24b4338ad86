"""Which process writes a file, told apart from a later one with the same number."""

from __future__ import annotations

import os
from pathlib import Path


def this_process() -> str:
    """Host, number and start of this process, as one word."""
    return f"{_host()}:{os.getpid()}:{_start(os.getpid())}"


def is_alive(name: str) -> bool:
    """Whether the process of that name still runs; on another host we cannot know, and say no."""
    host, _, rest = name.partition(":")
    number, _, start = rest.partition(":")
    if host != _host() or not number.isdigit() or int(number) == os.getpid():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return _start(int(number)) == start


def _host() -> str:
    return os.uname().nodename if hasattr(os, "uname") else "here"


def _start(number: int) -> str:
    """When the process began, in clock ticks since boot; empty where the system does not tell (not Linux)."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
