"""Which arithmetic governs a claim about a network: the one place that decides it.

- `float32`, `float64`: every evaluation of the network's own operations that the type allows; only in the network's own
  type does that say anything about it.
- `real`: exact real arithmetic over the stored numbers, of either type.
"""

from __future__ import annotations

from verifluxa.errors import UsageError

ARITHMETICS = ("float32", "float64", "real")


def check_known(arithmetic: str) -> None:
    """Refuses a name that is no arithmetic.

    Raises:
        UsageError: VF4010.
    """
    if arithmetic not in ARITHMETICS:
        raise UsageError("VF4010", f"there is no arithmetic `{arithmetic}`", expected=" or ".join(ARITHMETICS))


def governing(requested: str | None, dtype: str) -> str:
    """The arithmetic of a claim about a network that computes in `dtype`; without a request that of the network.

    Raises:
        UsageError: VF4010 for an unknown one, VF4011 for that of another float type.
    """
    arithmetic = requested or dtype
    check_known(arithmetic)
    if arithmetic not in ("real", dtype):
        raise UsageError(
            "VF4011",
            f"the model computes in {dtype}, so a proof in {arithmetic} says nothing about it",
            expected=f"--arithmetic {dtype} (or real)",
        )
    return arithmetic
