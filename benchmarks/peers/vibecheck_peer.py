"""Runs in vibecheck's own environment."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

warnings.simplefilter("ignore")
from vibecheck import verify  # noqa: E402

from benchmarks.peers.instances import Found, answer_all  # noqa: E402

MARGIN = 2
"""Seconds before its limit at which it stops by itself; added, so that it has as many as the others."""


def solve(onnx: Path, vnnlib: Path, limit: int) -> Found:
    """One instance, on the CPU."""
    result = verify(str(onnx), str(vnnlib), timeout=limit + MARGIN, device="cpu")
    point = None if result.counterexample is None else result.counterexample["X"].flatten().tolist()
    return str(result.verdict), point


if __name__ == "__main__":
    sys.exit(answer_all(solve))
