"""The one function that says which arithmetic governs a claim."""

from __future__ import annotations

import pytest

from verifluxa.errors import UsageError
from verifluxa.graph.arithmetic import ARITHMETICS, check_known, governing


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_networks_own_type_unless_real_is_asked_for(dtype: str) -> None:
    assert governing(None, dtype) == governing(dtype, dtype) == dtype
    assert governing("real", dtype) == "real"


@pytest.mark.parametrize(
    ("requested", "dtype", "code"),
    [("float64", "float32", "VF4011"), ("float32", "float64", "VF4011"), ("float16", "float32", "VF4010")],
)
def test_what_says_nothing_about_the_network_is_refused(requested: str, dtype: str, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        governing(requested, dtype)
    assert caught.value.code == code


def test_known_names() -> None:
    for name in ARITHMETICS:
        check_known(name)
    with pytest.raises(UsageError, match="there is no arithmetic `bfloat16`"):
        check_known("bfloat16")
