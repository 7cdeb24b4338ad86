"""What this checker does not recompute, entry by entry, and why; a proof about it stays unrechecked."""

from __future__ import annotations

from verifluxa.certificate.check.functions import function_of
from verifluxa.graph.ops import Activation

LAST_ONLY = frozenset({"softmax", "logsoftmax"})

NOT_RECHECKED: dict[str, str] = {
    "add": "the checker recomputes chains, not branches",
    "concat": "the checker recomputes chains, not branches",
    "multiply": "there are no bounds for it",
    "matmul": "there are no bounds for it",
    "embedding": "there are no bounds for it",
    "normalise": "there are no bounds for it",
}
"""Kinds of operations."""

_SAMPLED = "its lines are sampled with a curvature bound, which the checker does not repeat"
NOT_RECHECKED_FUNCTIONS: dict[str, str] = {
    **dict.fromkeys(("elu", "selu", "celu", "softplus", "softsign", "logsigmoid", "logcosh"), _SAMPLED),
    **dict.fromkeys(("hardsigmoid", "hardswish", "softshrink", "tanhshrink"), _SAMPLED),
    **dict.fromkeys(("gelu", "swish", "mish", "lisht"), _SAMPLED),
    "trelu": "there are no bounds for it",
}
"""Activations."""


def rechecked(kind: str) -> str:
    """`yes`, `last step` or `no` for a kind of operation."""
    return "last step" if kind in LAST_ONLY else "no" if kind in NOT_RECHECKED else "yes"


def rechecks(function: str) -> bool:
    """Whether an activation with its usual parameter is recomputed."""
    return function_of(Activation(function)) is not None
