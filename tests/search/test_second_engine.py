"""A strategy on the second bounds engine: never wrong, nothing beyond `real`, and its evidence claims nothing."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from tests.certificate.steps import is_unrecorded
from tests.soundness.build import digested
from tests.soundness.judge import judge
from tests.soundness.table import table
from tests.soundness.truth import Oracle
from verifluxa.errors import UsageError
from verifluxa.library import Resource
from verifluxa.search.lirpa_bounds import check_engine
from verifluxa.strategy.decide import decide
from verifluxa.strategy.load import Strategy, parse_strategy
from verifluxa.verdict import Reason, Verdict

TEXT = """schema = 1
name = "second"
description = "bounds by auto-LiRPA"
bounds = "auto-lirpa"
"""
STAGES = '[[stage]]\nkind = "bound"\nmethod = "{}"\n'


def strategy(*methods: str, text: str = TEXT) -> Strategy:
    whole = text + "".join(STAGES.format(method) for method in methods)
    return parse_strategy(Resource("second", Path("second.toml"), whole, "sha256:00"))


def _installed() -> bool:
    try:
        return bool(version("auto-LiRPA"))
    except PackageNotFoundError:
        return False


needs_lirpa = pytest.mark.skipif(not _installed(), reason="auto-LiRPA is not installed; `make .venv` does it")
NAMES = [name for name, case in table().items() if case.problem.arithmetic == "real"]


def check(name: str) -> Verdict:
    """The case with the attack off, so that whatever is certified is the engine's own claim."""
    case = table()[name]
    (outcome,) = decide(case.problem, [case.question], strategy("interval", "crown"))
    oracle = Oracle(case.problem)
    judge(case.problem, outcome, oracle.truth(case.question), list(oracle.points(case.question)), oracle)
    assert outcome.verdict in (case.verdict, Verdict.UNKNOWN)
    assert outcome.verdict is not Verdict.FALSIFIED
    if outcome.tree is not None:
        assert is_unrecorded(outcome.tree)
        assert not outcome.tree.dropped
    return outcome.verdict


@needs_lirpa
def test_the_ground_truth_table_is_never_contradicted() -> None:
    """Every ninth case; the soak runs all."""
    verdicts = [check(name) for name in NAMES[::9]]
    assert Verdict.CERTIFIED in verdicts
    assert Verdict.UNKNOWN in verdicts


@needs_lirpa
@pytest.mark.soak
@pytest.mark.parametrize("name", NAMES)
def test_all_of_the_ground_truth_table_is_never_contradicted(name: str) -> None:
    check(name)


@pytest.mark.parametrize("arithmetic", ["float32", "float64"])
def test_it_proves_nothing_about_floats(arithmetic: str, snapshot: SnapshotAssertion) -> None:
    with pytest.raises(UsageError) as caught:
        check_engine(arithmetic)
    assert caught.value.code == "VF4013"
    assert str(caught.value) == snapshot
    case = table()[NAMES[0]]
    problem = digested(replace(case.problem, arithmetic=arithmetic))
    with pytest.raises(UsageError, match="knows nothing of rounding"):
        decide(problem, [case.question], strategy("crown"))


@pytest.mark.parametrize("kind", ["branch", "smt", "grid"])
def test_other_stages_need_native_bounds(kind: str) -> None:
    with pytest.raises(UsageError, match=f"stage `{kind}` needs") as caught:
        strategy(text=TEXT + f'[[stage]]\nkind = "{kind}"\n')
    assert caught.value.code == "VF4101"
    strategy(text=TEXT.replace("auto-lirpa", "native") + f'[[stage]]\nkind = "{kind}"\n')


@needs_lirpa
@pytest.mark.parametrize("name", ["clip of the input, at its peak", "clip of a hidden layer, .5 above its peak"])
def test_an_operation_that_it_does_not_bound_is_unsupported(name: str) -> None:
    case = table()[name]
    (outcome,) = decide(case.problem, [case.question], strategy("crown"))
    assert (outcome.verdict, outcome.reason) == (Verdict.UNKNOWN, Reason.UNSUPPORTED)
