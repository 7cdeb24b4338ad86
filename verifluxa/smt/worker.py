"""The solver's own process: reads queries as JSON lines, answers each with one. Nothing of Verifluxa is loaded here.

Started by file name, so that neither torch nor the caller's main module is imported. It ends when its input ends:
a reader thread notices even while the solver works, so that no orphan goes on when the caller is killed.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
from typing import Any

import z3

HEADROOM_MB = 1024
"""Address space beside the solver's own limit: Python, libraries, the text of a query."""


def main() -> None:
    """Serves queries until the input ends. The one argument is the memory limit in megabytes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the caller's business: it ends this process
    limit = int(sys.argv[1])
    z3.set_param("memory_max_size", limit)
    _limit_address_space(limit + HEADROOM_MB)
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_read, args=(lines,), daemon=True).start()
    while True:
        query = json.loads(lines.get())
        try:
            reply = answer(query)
        except MemoryError:
            reply = {"answer": "unknown", "reason": "out of memory"}
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()


def _read(lines: queue.Queue[str]) -> None:
    for line in sys.stdin:
        lines.put(line)
    os._exit(0)


def _limit_address_space(megabytes: int) -> None:
    try:
        import resource
    except ImportError:  # not a POSIX system: the solver's own limit has to do
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = megabytes * 2**20
    if hard == resource.RLIM_INFINITY or wanted < hard:
        resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))


def answer(query: dict[str, Any]) -> dict[str, Any]:
    """Decides one query.

    Args:
        query: `text` (SMT-LIB), `names` (of the variables wanted), `milliseconds`.

    Returns:
        `answer`: sat, unsat, unknown or malformed; with `values` (rationals as text) or `reason`.
    """
    solver = z3.Solver()
    solver.set("timeout", query["milliseconds"])
    try:
        solver.from_string(query["text"])
    except z3.Z3Exception as error:
        return {"answer": "unknown" if "memory" in str(error) else "malformed", "reason": str(error)}
    try:
        result = solver.check()
        if result == z3.sat:
            return {"answer": "sat", "values": _values(solver.model(), query["names"])}
        return {"answer": str(result), "reason": "" if result == z3.unsat else solver.reason_unknown()}
    except z3.Z3Exception as error:
        return {"answer": "unknown", "reason": str(error)}


def _values(model: z3.ModelRef, names: list[str]) -> dict[str, str]:
    """Values of variables as text; those that the model leaves free are left out."""
    found = {declaration.name(): model[declaration] for declaration in model.decls()}
    return {
        name: str(found[name].as_fraction() if z3.is_rational_value(found[name]) else found[name].as_long())
        for name in names
        if name in found
    }


if __name__ == "__main__":
    main()
