"""Two thousand drawn examples in parts, each with a seed of its own: parts share cores, and one part soon ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

PARTS = 100
EACH = settings(
    max_examples=2000 // PARTS + 1,  # the first one of each part is the simplest that there is
    deadline=None,
    derandomize=True,
    suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large),
)
in_parts = pytest.mark.parametrize("part", range(PARTS))


def explore(part: int, body: Callable[..., None], *drawn: st.SearchStrategy[Any]) -> None:
    """Runs a body on one part of the examples.

    Args:
        part: which one, from 0.
        body: what is run on each example; a failure is an exception.
        drawn: where its arguments come from.
    """
    seed(part)(EACH(given(*drawn)(body)))()
