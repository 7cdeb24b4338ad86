"""Makes `dispatch_fakes` importable by that name, here and in the worker processes (spawn hands sys.path on)."""

import sys
from pathlib import Path

HERE = str(Path(__file__).resolve().parent)
if HERE not in sys.path:
    sys.path.insert(0, HERE)
