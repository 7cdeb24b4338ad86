"""A peer that fails at its first question and ends in the middle of its second."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from benchmarks.peers.instances import Found, answer_all


def solve(onnx: Path, vnnlib: Path, limit: int) -> Found:
    """Fails, or ends the process."""
    if onnx.name == "c":
        os._exit(3)
    raise ValueError("no such operator")


if __name__ == "__main__":
    sys.exit(answer_all(solve))
