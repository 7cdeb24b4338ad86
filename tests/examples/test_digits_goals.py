"""The goals and triggers of `examples/digits` beside a bound: each has its expected verdict."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from verifluxa.replay import replay_result
from verifluxa.result.result import Result
from verifluxa.verdict import Verdict
from verifluxa.verify import Request, run

DIGITS = Path(__file__).parents[2] / "examples" / "digits"

VERDICTS = {
    "goals.vfx": {
        "is_there_a_backdoor": Verdict.FALSIFIED,
        "how_bad": Verdict.CERTIFIED,
        "easier_before": Verdict.CERTIFIED,
        "margin_is_bounded": Verdict.CERTIFIED,
    },
    "triggers.vfx": {"waves": Verdict.CERTIFIED, "any_of_them": Verdict.CERTIFIED},
}


def verified(name: str) -> Result:
    return run(Request(str(DIGITS / name)))


@pytest.mark.parametrize("name", VERDICTS)
def test_verdicts(name: str, tmp_path: Path) -> None:
    result = verified(name)
    assert {item.name: item.verdict for item in result.properties} == VERDICTS[name]
    by_name = {item.name: item for item in result.properties}
    if name == "goals.vfx":
        measured, compared = by_name["how_bad"], by_name["easier_before"]
        assert measured.proved.rate - measured.found.rate <= Fraction(1, 20)
        assert compared.proved.rate <= compared.compared.found.rate
        (again,) = replay_result(result.write(tmp_path))
        assert again.reproduced
