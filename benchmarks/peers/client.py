"""Our end of a peer process: one request, one answer, over JSON lines."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.environment import PLACE, ROOT, NotInstalled, lirpa_python

MODULE = "benchmarks.peers.lirpa_peer"
LOG = PLACE / "lirpa.log"


class PeerFailed(Exception):
    """The peer could not do what it was asked; the message is its own."""


class LirpaPeer:
    """A running auto-LiRPA; a context manager. What it says on the side goes to `build/peers/lirpa.log`.

    Raises:
        NotInstalled: where its environment cannot be made, or the process does not start.
    """

    def __init__(self) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        command = [str(lirpa_python()), "-m", MODULE]
        with LOG.open("w", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
                cwd=ROOT,
            )
        try:
            self.version = str(self._ask({"hello": True})["version"])
        except PeerFailed as error:
            raise NotInstalled(f"{error}; see {LOG.relative_to(ROOT)}") from error

    def __enter__(self) -> LirpaPeer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()

    def load(self, case: Path, form: str, dtype: str, method: str = "CROWN") -> None:
        """Builds and traces the modules of a case in one form; not timed."""
        self._ask({"load": str(case), "form": form, "dtype": dtype, "method": method})

    def seconds(self) -> float:
        """CPU seconds of bounding all items once."""
        return float(self._ask({"time": True})["seconds"])

    def upper(self, out: Path) -> NDArray[np.float64]:
        """Upper bounds of all rows, in the order of the form's calls (by place), shape (items, rows)."""
        with np.load(self._ask({"bounds": str(out)})["written"]) as file:
            return np.asarray(file["upper"])

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            print(json.dumps(request), file=self._process.stdin, flush=True)
        except BrokenPipeError as error:
            raise PeerFailed("the peer's process has ended") from error
        line = self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "the peer's process has ended"}
        if "error" in answer:
            raise PeerFailed(str(answer["error"]))
        return answer
