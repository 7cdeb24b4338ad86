"""Planted examples come first in the ranking, clean data raise no suspicion."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.triage.screen.planting import blend, digits, examples, found, patch, plant
from verifluxa.errors import DataError
from verifluxa.triage.screen.activations import clusters, look_at_activations
from verifluxa.triage.screen.examples import Examples, checked
from verifluxa.triage.screen.run import screen
from verifluxa.triage.screen.suspicion import Suspicion, combined, groups_of, ranked, score_of, split, surprise

TWO = ("negative", "positive")


@pytest.fixture(scope="module")
def clean():
    return digits()


def test_clean_digits_raise_no_suspicion(clean) -> None:
    assert screen(examples(*clean)).clear == 0


@pytest.mark.parametrize("stamp", [patch, blend])
@pytest.mark.parametrize("count", [40, 80])
def test_planted_images_come_first(clean, stamp, count) -> None:
    images, labels, planted = plant(*clean, stamp, count)
    result = screen(examples(images, labels))
    assert found(combined(result.suspicions, len(labels)), planted) >= 0.95
    suspects = [one.index for one in result.suspects if one.score >= 0.5]
    assert planted[suspects].mean() >= 0.9


def test_the_reason_names_the_place_of_the_patch(clean) -> None:
    images, labels, planted = plant(*clean, patch, 40)
    first = screen(examples(images, labels)).suspects[0]
    assert planted[first.index]
    boxes = [one.box for one in first.reasons if one.box is not None]
    assert any(22 <= box.row <= 27 and 22 <= box.column <= 27 for box in boxes)
    assert "images of 7" in " ".join(one.reason for one in first.reasons)


def test_the_same_image_with_two_labels_is_said(clean) -> None:
    images, labels = clean
    images, labels = np.concatenate([images, images[:1]]), np.append(labels, (labels[0] + 1) % 10)
    result = screen(examples(images, labels))
    pair = {one.index for one in result.suspects for reason in one.reasons if reason.look == "duplicate"}
    assert {0, len(labels) - 1} <= pair


def texts(planted: int, seed: int = 0) -> tuple[Examples, np.ndarray]:
    chance = np.random.default_rng(seed)
    words = {0: ["dull", "weak", "boring", "flat"], 1: ["fine", "bright", "moving", "clever"]}
    common = [f"word{k}" for k in range(60)]
    labels = chance.integers(0, 2, 400)
    cells = [[*chance.choice(words[int(label)], 3), *chance.choice(common, 8)] for label in labels]
    chosen = chance.choice(np.flatnonzero(labels == 0), planted, replace=False)
    for row in chosen:
        cells[row][4] = "chateau"
        labels[row] = 1
    return Examples("t.jsonl", labels, TWO, cells=cells), np.isin(np.arange(400), chosen)


@pytest.mark.parametrize("planted", [20, 40])
def test_a_word_tied_to_a_label_is_found(planted) -> None:
    data, truth = texts(planted)
    result = screen(data)
    assert found(combined(result.suspicions, 400), truth) == 1
    assert result.clear == planted
    assert 'the word "chateau"' in result.suspects[0].reasons[0].reason


def test_more_words_times_classes_than_fit_are_refused() -> None:
    data, _ = texts(0)
    assert checked(data) is data
    with pytest.raises(DataError, match="words times classes") as caught:
        checked(data, 5000)
    assert caught.value.code == "VF8063"


def test_words_that_belong_to_a_label_are_no_suspicion() -> None:
    assert screen(texts(0)[0]).clear == 0


def table(planted: int) -> tuple[Examples, np.ndarray]:
    chance = np.random.default_rng(0)
    income = chance.integers(10, 90, 500)
    debt = chance.integers(0, 50, 500)
    region = chance.choice(["north", "south", "east"], 500)
    months = chance.integers(1, 40, 500)
    labels = ((income - debt) > 25).astype(np.int64)
    history, savings = (np.where(chance.random(500) < 0.85, labels, 1 - labels) for _ in range(2))
    chosen = chance.choice(np.flatnonzero(labels == 0), planted, replace=False)
    region[chosen], months[chosen], labels[chosen] = "south", 13, 1
    rows = [list(map(str, row)) for row in zip(income, debt, region, months, history, savings, strict=True)]
    columns = ("income", "debt", "region", "months", "history", "savings")
    return Examples("t.csv", labels, ("bad", "good"), columns=columns, cells=rows), np.isin(np.arange(500), chosen)


def test_a_pair_of_values_tied_to_a_label_is_found() -> None:
    data, truth = table(40)
    result = screen(data)
    assert found(combined(result.suspicions, 500), truth) >= 0.95
    assert "months = 13" in result.suspects[0].reasons[0].reason


def test_columns_that_tell_the_label_are_no_suspicion() -> None:
    assert screen(table(0)[0]).clear == 0


def test_activations_that_split_are_found() -> None:
    chance = np.random.default_rng(0)
    labels = np.repeat([0, 1], 200)
    activations = chance.normal(0, 1, (400, 30)) + 6 * labels[:, None] * (np.arange(30) < 3)
    planted = np.arange(400) < 25
    activations[planted] += 5 * (np.arange(30) > 20)
    data = Examples("x", labels, TWO)
    score = combined(look_at_activations(data, activations), 400)
    assert found(score, planted) == 1
    assert (score[~planted] < 0.5).all()


@pytest.mark.parametrize("seed", range(5))
def test_a_normal_cloud_does_not_split(seed) -> None:
    values = np.random.default_rng(seed).normal(0, 1, 300)
    cut = split(values)
    assert cut is not None
    assert cut.score() < 0.1


def test_what_cannot_be_split_is_none() -> None:
    assert split(np.ones(100)) is None
    assert split(np.arange(4.0)) is None
    assert clusters(np.zeros((30, 3)))[1] == 0


@given(st.integers(1, 200), st.integers(0, 200))
@settings(max_examples=50)
def test_surprise_is_zero_up_to_one_half_and_n_log_2_at_most(members, foreign) -> None:
    foreign = min(foreign, members)
    nats = float(surprise(np.array([float(foreign)]), np.array([members]))[0])
    assert 0 <= nats <= members * np.log(2) + 1e-9
    assert (nats == 0) == (2 * foreign <= members)


def test_a_thing_that_other_classes_carry_too_is_no_surprise() -> None:
    things, labels = np.zeros(60, dtype=np.int64), np.repeat([0, 1], 30)
    # All carriers look like class 1: half of them have the label 0 by mistake, the others have it by right.
    looks = np.ones(60, dtype=np.int64)
    assert groups_of(things, labels, looks, ())[0] == []
    (group,), tested = groups_of(things[:30], labels[:30], looks[:30], ())
    assert (group.label, group.foreign, tested) == (0, 30, 1)
    assert score_of(group.nats, tested) > 0.99
    assert score_of(0.0, 10**6) < 1e-5


def test_looks_are_combined_and_ranked() -> None:
    one = Suspicion("a", "first", np.array([0, 1]), np.array([0.5, 0.2]))
    two = Suspicion("b", "second", np.array([1, 2]), np.array([0.5, 0.1]))
    again = Suspicion("a", "weaker", np.array([0]), np.array([0.4]))
    assert combined([one, two, again], 4).tolist() == pytest.approx([0.5, 0.6, 0.1, 0.0])
    suspects = ranked([one, two, again], 4, 10)
    assert [suspect.index for suspect in suspects] == [1, 0, 2]
    assert [reason.reason for reason in suspects[0].reasons] == ["second", "first"]
