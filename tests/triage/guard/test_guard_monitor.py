"""The monitor: its false alarms over all time, its detections, its arithmetic."""

import numpy as np
import pytest

from verifluxa.errors import UsageError
from verifluxa.triage.guard.monitor import evidence, monitor


def stream(chance: np.random.Generator, count: int, share: float = 0.1, start: int = 0) -> list[str]:
    """Ten classes alike up to `start`; from then on class 7 has `share` and the others the rest."""
    even = np.full(10, 0.1)
    odd = np.full(10, (1 - share) / 9)
    odd[7] = share
    first = chance.choice(10, start, p=even) if start else np.zeros(0, dtype=int)
    return [str(k) for k in np.concatenate([first, chance.choice(10, count - start, p=odd)]).astype(int)]


def test_the_test_is_a_supermartingale_under_every_rate_up_to_the_limit() -> None:
    """Its mean over all outcomes of some records is at most 1, exactly counted."""
    limit, count = 0.3, 8
    for rate in (0.1, 0.3):
        total = 0.0
        for code in range(2**count):
            hits = np.array([code >> k & 1 for k in range(count)], dtype=bool)
            chance = rate ** hits.sum() * (1 - rate) ** (count - hits.sum())
            total += chance * np.exp(evidence(hits, limit)[-1])
        assert total <= 1 + 1e-9
        assert rate < limit or total == pytest.approx(1)


def test_false_alarms_at_any_time_keep_to_the_chosen_rate() -> None:
    chance = np.random.default_rng(0)
    alarms = sum(bool(monitor(stream(chance, 500), stream(chance, 1000), 0.2).alarms) for _ in range(100))
    # At most 20 of 100 are expected; more than 32 has a probability below 0.2 %.
    assert alarms <= 32


@pytest.mark.parametrize("start", [0, 2000])
def test_a_class_that_is_predicted_twice_as_often_is_found(start) -> None:
    chance = np.random.default_rng(1)
    found = monitor(stream(chance, 3000), stream(chance, start + 1500, 0.2, start), 0.01)
    (alarm,) = found.alarms
    assert alarm.name == "7"
    assert alarm.alarm is not None
    assert start < alarm.alarm <= start + 1200


def test_a_class_that_the_reference_does_not_have_is_tested_too() -> None:
    found = monitor(["a"] * 1000, ["a"] * 500 + ["b"] * 60, 0.01)
    assert [one.name for one in found.alarms] == ["b"]


def test_a_class_that_is_always_predicted_has_no_evidence() -> None:
    assert monitor(["a"] * 10, ["a"] * 1000, 0.01).alarms == ()


@pytest.mark.parametrize(("reference", "log", "rate"), [([], ["a"], 0.1), (["a"], [], 0.1), (["a"], ["a"], 1.0)])
def test_what_cannot_be_tested_is_refused(reference, log, rate) -> None:
    with pytest.raises(UsageError) as caught:
        monitor(reference, log, rate)
    assert caught.value.code == "VF8073"
