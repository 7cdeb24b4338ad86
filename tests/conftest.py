"""What holds for all tests."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from jaxtyping import install_import_hook

# Types and array shapes of the engine are checked at run time, in tests only: before anything of it is imported.
install_import_hook("verifluxa.bounds", "beartype.beartype")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Nothing that is collected is garbage: to look for some in it would take a quarter of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
