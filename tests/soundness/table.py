"""The ground-truth table: named questions with the answers that are right in real arithmetic and in float32."""

from __future__ import annotations

from functools import cache

from tests.soundness import table_images, table_precision, table_scalar, table_shared
from tests.soundness.cases import Case


@cache
def table() -> dict[str, Case]:
    """All cases by name.

    Raises:
        ValueError: if two cases share a name.
    """
    modules = (table_scalar, table_shared, table_images, table_precision)
    cases = [case for module in modules for case in module.cases()]
    named = {case.name: case for case in cases}
    if len(named) != len(cases):
        names = [case.name for case in cases]
        raise ValueError(f"two cases share the name {next(name for name in names if names.count(name) > 1)!r}")
    return named
