"""Runs in Marabou's own environment: answers the instances of a folder, one JSON line each. Imports nothing of ours."""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path

warnings.simplefilter("ignore")
from maraboupy import Marabou  # noqa: E402


def main() -> int:
    """Answers `FOLDER/instances.csv`; the seconds of each line are its limit."""
    folder = Path(sys.argv[1])
    for line in (folder / "instances.csv").read_text(encoding="utf-8").splitlines():
        onnx, vnnlib, limit = line.split(",")
        started = time.process_time()
        answer: dict[str, object]
        try:
            network = Marabou.read_onnx(str(folder / onnx))
            options = Marabou.createOptions(verbosity=0, timeoutInSeconds=int(limit), numWorkers=1)
            word, values, _ = network.solve(verbose=False, options=options, propertyFilename=str(folder / vnnlib))
            answer = {"answer": str(word).lower()}
            if values:
                answer["point"] = [values[int(i)] for i in network.inputVars[0].flatten()]
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the peer's answer to this instance
            answer = {"answer": "error", "message": f"{type(error).__name__}: {error}"[:300]}
        print("answer", json.dumps({**answer, "seconds": time.process_time() - started}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
