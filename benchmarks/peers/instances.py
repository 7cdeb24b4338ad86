"""A peer's process: answers the instances of a folder, one JSON line each. Imports nothing of ours."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

Found = tuple[str, Sequence[float] | None]
"""The peer's word, and the values of the inputs where it is `sat`."""


def answer_all(solve: Callable[[Path, Path, int], Found], folder: Path | None = None) -> int:
    """Answers `FOLDER/instances.csv`; the seconds of each line are its limit, the folder is the program's argument."""
    folder = folder or Path(sys.argv[1])
    for line in (folder / "instances.csv").read_text(encoding="utf-8").splitlines():
        onnx, vnnlib, limit = line.split(",")
        started = _seconds()
        answer: dict[str, object]
        try:
            word, point = solve(folder / onnx, folder / vnnlib, int(limit))
            answer = {"answer": word, **({} if point is None else {"point": [float(value) for value in point]})}
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the peer's answer to this instance
            answer = {"answer": "error", "message": f"{type(error).__name__}: {error}"[:300]}
        print("answer", json.dumps({**answer, "seconds": _seconds() - started}), flush=True)
    return 0


def _seconds() -> float:
    """CPU seconds of this process, and of its children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
