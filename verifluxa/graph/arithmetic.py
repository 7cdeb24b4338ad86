"""Which arithmetic governs a claim about a network: the one place that decides it, for prover and checker.

- `float32`, `float64`: every evaluation of the network's own operations that the type allows; only in the network's own
  type does that say anything about it.
- `real`: exact real arithmetic over the stored numbers, of either type.
"""

from __future__ import annotations

from verifluxa.errors import UsageError

LARGEST = {"float32": 2.0**127, "float64": 2.0**1023, "real": 2.0**1000}
"""No value that is read and no intermediate sum may reach this: it may overflow on some path of evaluation, or, in
`real`, in the verifier's own."""
ARITHMETICS = ("float32", "float64", "real")


def check_known(arithmetic: str) -> None:
    """Refuses a name that is no arithmetic.

    Raises:
        UsageError: VF4010.
    """
    if arithmetic not in ARITHMETICS:
        raise UsageError("VF4010", f"there is no arithmetic `{arithmetic}`", expected=" or ".join(ARITHMETICS))


def within(claim: str, dtype: str) -> str:
    """The arithmetic in which a network is judged within a claim: exact with it, else that of its own float type.

    >>> within("real", "float64"), within("float32", "float64")
    ('real', 'float64')
    """
    return "real" if claim == "real" else dtype


def governing(requested: str | None, dtype: str) -> str:
    """The arithmetic of a claim about a network that computes in `dtype`; without a request that of the network.

    Raises:
        UsageError: VF4010 for an unknown one, VF4011 for that of another float type.
    """
    arithmetic = requested or dtype
    check_known(arithmetic)
    if arithmetic != within(arithmetic, dtype):
        raise UsageError(
            "VF4011",
            f"the model computes in {dtype}, so a proof in {arithmetic} says nothing about it",
            expected=f"--arithmetic {dtype} (or real)",
        )
    return arithmetic
