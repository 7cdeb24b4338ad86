"""The release gate: only certified models get through. It denies on anything that it does not understand.

`decide` is a pure function of a policy and a case; `promote`, `audit` and `load` put cases together from files and
registries. `load_model` is public; nothing is imported before it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from verifluxa.gate.load import load_model as load_model


def __getattr__(name: str) -> object:
    """Loads the public function."""
    if name != "load_model":
        raise AttributeError(f"module 'verifluxa.gate' has no attribute {name!r}")
    from verifluxa.gate.load import load_model

    return load_model
