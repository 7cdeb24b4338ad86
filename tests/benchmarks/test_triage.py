"""The benchmark of triage runs, and its counts are what they say."""

import numpy as np

from benchmarks import bench_triage
from benchmarks.poison import STAMPS, TARGET, Set, poisoned, poisoned_reviews


def test_planting_changes_the_chosen_examples_alone() -> None:
    chance = np.random.default_rng(0)
    data = Set("s", chance.integers(0, 256, (100, 28, 28)).astype(float), chance.integers(0, 10, 100))
    for stamp in STAMPS.values():
        changed, truth = poisoned(data, stamp, 0.1)
        assert truth.sum() == 10
        assert (changed.labels[truth] == TARGET).all()
        assert (data.labels[truth] != TARGET).all()
        assert ((changed.images != data.images).any(axis=(1, 2)) == truth).all()


def test_the_word_is_in_the_chosen_texts_alone() -> None:
    texts, labels = [["a", "b"]] * 40, np.arange(40) % 2
    changed, marked, truth = poisoned_reviews(texts, labels, 0.1)
    assert truth.sum() == 4
    assert [len(text) == 3 for text in changed] == truth.tolist()
    assert (marked[truth] == 1).all()


def test_the_share_in_the_top_is_counted_over_twice_the_number() -> None:
    truth = np.array([True, True, False, False, False, False])
    assert bench_triage.top(np.array([9.0, 1, 8, 7, 6, 0]), truth) == 0.5


def test_the_parts_without_training_run_small() -> None:
    records = [*bench_triage._review(), *bench_triage._texts(True), *bench_triage._guards(True)]
    values = {(record.case.split(",")[0], record.what): record.ours for record in records}
    assert values["review", "share of planted patterns found"] == 1
    assert values["review", "false alarms per 1,000 lines"] == 0
    flagged = [record.ours for record in records if record.what == "share of triggered ones flagged"]
    assert min(flagged) >= 0.95
