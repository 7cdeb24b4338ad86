"""The benchmark of hard questions runs, and its triples are what they say."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from benchmarks import bench_hard
from benchmarks.hard_questions import answer, graphs, need_of, recheck_answer, triples
from benchmarks.train import digits
from verifluxa.errors import CertificateError
from verifluxa.strategy.load import load_strategy
from verifluxa.strategy.work import Attacked
from verifluxa.verdict import Verdict


@pytest.fixture(autouse=True)
def only_the_examples_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VERIFLUXA_MNIST", raising=False)


def test_a_triple_has_its_place_and_its_victims() -> None:
    data = digits()
    found = list(triples(data, graphs(data, small=True)))
    assert len(found) == 12
    for triple in found:
        (placement,) = triple.problem.placements
        assert tuple(value for _, value in placement.label) == triple.place
        assert triple.problem.violations[0].target == triple.target
        assert not (triple.problem.labels == triple.target).any()
        assert len(triple.problem.labels) <= 100
        assert np.array_equal(triple.problem.selections[0], np.arange(len(triple.problem.labels)))
    assert need_of(Fraction(1, 5), 100) == 21


def test_a_small_run_gives_all_records() -> None:
    records = {record.what: record.ours for record in bench_hard.run(small=True)}
    assert records["questions"] == 4
    decided = records["decided, in %"]
    assert decided is not None
    assert 0 <= decided <= 100


def test_what_is_certified_is_recomputed_by_the_checker_and_nothing_else() -> None:
    data = digits()
    strategy = bench_hard.recheckable(load_strategy("balanced"))
    triple = next(iter(triples(data, graphs(data, small=True))))
    nothing = Attacked(triple.question(1))
    proved = answer(triple, len(triple.problem.labels), nothing, strategy)
    assert proved.outcome.verdict is Verdict.CERTIFIED
    assert recheck_answer(triple, proved) > 0
    with pytest.raises(CertificateError, match="VF5055"):
        recheck_answer(triple, replace(proved, need=1))
