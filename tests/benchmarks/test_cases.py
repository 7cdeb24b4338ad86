"""The case that both sides of the bounds benchmark get: the same function, the same items, sound native bounds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from benchmarks import bench_bounds, bench_digits
from benchmarks.asking import ask
from benchmarks.bounds_case import BoundsCase
from benchmarks.peers.environment import NotInstalled
from benchmarks.questions import Setting, digits, known, lifted, problem
from verifluxa.dispatch.cluster import load_cluster
from verifluxa.strategy.load import load_strategy
from verifluxa.verdict import Verdict

Floats = NDArray[np.float64]
PLACES = "(3, 14), (20, 5)"
TARGETS = (7, 2)


def _case(model: str) -> BoundsCase:
    graph = bench_bounds.pools() if model == "pools" else None
    asked = problem(Setting("clean_cnn" if graph else model, 3, PLACES, inputs=6), graph)
    return BoundsCase(asked, np.arange(3), 2, TARGETS)


def _rows(file: dict[str, Any], pictures: Floats) -> Floats:
    """The peer's function, evaluated with torch in float64."""
    state = torch.as_tensor(pictures)
    for layer in json.loads(str(file["layers"])):
        if layer["kind"] == "relu":
            state = state.relu()
        elif layer["kind"] == "flatten":
            state = state.flatten(1)
        elif layer["kind"] == "maxpool":
            state = torch.max_pool2d(state, layer["window"])
        else:
            weight, bias = (torch.as_tensor(file[layer[name]]).double() for name in ("weight", "bias"))
            if layer["kind"] == "affine":
                state = state @ weight.T + bias
            else:
                state = torch.conv2d(state, weight, bias, layer["stride"], layer["pad"])
    return np.asarray((torch.as_tensor(file["coefficients"]) @ state[:, :, None])[..., 0])


def _stamped(file: dict[str, Any], tau: Floats) -> Floats:
    """The encoded picture of each item with its patch."""
    pictures = file["images"][file["image"]]
    flat = pictures.reshape(len(pictures), -1).copy()
    np.put_along_axis(flat, file["positions"][file["place"]], tau, 1)
    return np.asarray(flat.reshape(pictures.shape))


def _deployed(case: BoundsCase, tau: Floats) -> Floats:
    """The rows of each item by the deployed graph: place by place, box by box, image by image."""
    values, item = [], 0
    for place in case.problem.placements:
        for _ in range(case.boxes):
            for image in case.images:
                picture = case.problem.inputs[image].ravel().copy()
                picture[place.stamp.positions] = tau[item]
                output = case.problem.graph.run(picture.reshape(1, *case.problem.graph.input_shape))[0]
                values.append(case.problem.constraints.coefficients[case.rows] @ output)
                item += 1
    return np.array(values)


@pytest.mark.parametrize("model", ["clean", "clean_cnn", "pools"])
def test_the_peer_gets_the_same_function_and_the_native_bounds_hold(model: str, tmp_path: Path) -> None:
    case = _case(model)
    case.save(tmp_path / "case.npz")
    with np.load(tmp_path / "case.npz") as loaded:
        file = dict(loaded)
    assert len(file["place"]) == case.items == 12
    assert (np.diff(file["place"]) >= 0).all()
    upper = case.native_upper()
    assert upper.shape == (12, 18)
    random = np.random.default_rng(5)
    for _ in range(5):
        tau = file["lower"] + random.random(file["lower"].shape) * (file["upper"] - file["lower"])
        rows = _rows(file, _stamped(file, tau))
        assert rows == pytest.approx(_deployed(case, 255 * tau), abs=1e-3)
        assert (rows <= upper).all()


def test_the_boxes_of_a_case_tile_the_levels() -> None:
    lower, upper = _case("clean").ends
    assert lower[:, 0].tolist() == [0, 128]
    assert upper[:, 0].tolist() == [127, 255]
    assert (lower[:, 1:] == 0).all()
    assert (upper[:, 1:] == 255).all()


def test_a_fresh_native_side_gives_the_same_bounds() -> None:
    case = _case("clean")
    fresh = BoundsCase(case.problem, case.images, case.boxes, case.targets, fresh=True)
    assert (fresh.native_upper() == case.native_upper()).all()


def test_without_its_peer_the_benchmark_says_so() -> None:
    def missing() -> None:
        raise NotInstalled("no network")

    (record,) = bench_bounds.run(True, missing, bench_bounds.SMALL[:1])
    assert record.ours
    assert record.ours > 0
    assert record.theirs is None
    assert record.peer == "auto-LiRPA 0.3: peer not installed (no network)"


def test_digits_beyond_the_two_hundred_are_moved_copies() -> None:
    data = digits(250)
    assert len(data.inputs) == len(data.labels) == 250
    assert (data.inputs[200:, :, :, 1:] == data.inputs[:50, :, :, :-1]).all()
    assert (data.labels[200:] == data.labels[:50]).all()


def test_as_many_digits_are_known_as_asked_for() -> None:
    asked = problem(known(Setting(places=PLACES), lifted("clean"), 25))
    assert len(asked.inputs) == 25


def test_every_question_is_asked() -> None:
    asked = problem(Setting(places=PLACES, inputs=12))
    answers = ask(asked, load_strategy("balanced"), load_cluster("laptop"))
    assert {outcome.question for outcome in answers.outcomes} == set(asked.all_questions())
    assert len(answers.outcomes) == answers.total == 20
    assert answers.share(Verdict.CERTIFIED) + answers.share(Verdict.FALSIFIED) == answers.decided == 100


def test_past_the_budget_nothing_is_decided() -> None:
    asked = problem(Setting(places=PLACES, inputs=12))
    answers = ask(asked, load_strategy("balanced"), load_cluster("laptop"), budget=-1.0)
    assert answers.decided == 0
    assert len(answers.outcomes) == 20


def test_the_table_tells_the_cases_apart() -> None:
    labels = [bench_digits._label(Setting(rate=rate)) for rate in bench_digits.RATES]
    assert len(set(labels)) == len(labels)
    kinds = [kind.label for kind in bench_bounds.KINDS]
    assert len(set(kinds)) == len(kinds)


def test_optimised_slopes_are_no_worse_than_the_rule() -> None:
    case = BoundsCase(problem(Setting("clean", 5, "(12, 12)", inputs=6)), np.arange(3), 2, TARGETS)
    optimised, plain = case.alpha_upper(4), case.native_upper()
    assert optimised.shape == plain.shape
    assert (optimised <= plain + 1e-6).all()
