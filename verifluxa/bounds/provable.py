"""What has bounds, and, entry by entry, what has none and why: an operation is in exactly one of the two."""

from __future__ import annotations

from verifluxa.bounds.constants import WALKED as CONSTANTS
from verifluxa.bounds.functions import function_of
from verifluxa.bounds.linear_map import BUILD
from verifluxa.graph.ops import Activation

WALKED = frozenset({"input", "clip", "activation", *CONSTANTS})
"""Operations that `bounds.build` and `bounds.constants` walk themselves; clip and activation by `FUNCTIONS`."""

NOT_PROVABLE: dict[str, str] = {}
"""Operations that lift and run, and in a proof give unknown(unsupported)."""

NOT_PROVABLE_FUNCTIONS: dict[str, str] = {}
"""Activations that lift and run, and in a proof give unknown(unsupported)."""


def bound_support(kind: str) -> str:
    """`yes` or `no` for a kind of operation."""
    return "yes" if kind in BUILD or kind in WALKED else "no"


def has_bounds(function: str) -> bool:
    """Whether an activation with its usual parameter has bounds."""
    return function_of(Activation(function)) is not None
