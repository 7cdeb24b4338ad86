"""The check that runs in production: present where it is, absent where it is not, strict about what it reads."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.triage.screen.planting import DIGITS
from verifluxa.errors import UsageError
from verifluxa.question import AffineInputMap, Placement
from verifluxa.spec.spec import ImageSpace
from verifluxa.triage.guard.export import Wish, as_json, as_module, guard_of
from verifluxa.triage.guard.runtime import SCHEMA, check, check_rows, check_texts, parse

SPACE = ImageSpace("digit", 28, 28, 1, 0, 255)
PATCH = {"kind": "values", "property": "p", "positions": [0, 1, 4, 5], "values": [9, 8, 7, 6], "tolerance": 0.5}


def guard(*triggers: dict, shape=(1, 3, 4)) -> dict:
    return {"schema": SCHEMA, "shape": list(shape), "triggers": list(triggers)}


def clean(count: int = 200) -> np.ndarray:
    with np.load(DIGITS) as file:
        return file["x"][:count].astype(np.float64)[:, None]


def replayed(stamp: AffineInputMap, trigger: np.ndarray, inputs: np.ndarray) -> SimpleNamespace:
    """What `replay_result` gives, as far as an export reads it."""
    placement = Placement((("row", 0), ("column", 0)), stamp)
    problem = SimpleNamespace(
        graph=SimpleNamespace(input_shape=(1, 28, 28)),
        placements=(placement,),
        violations=(SimpleNamespace(target=7),),
        inputs=inputs,
    )
    question = SimpleNamespace(placement=0, violation=0)
    return SimpleNamespace(name="p", problem=problem, question=question, trigger=trigger, reproduced=True)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=50)
def test_a_stamped_input_is_present_within_the_tolerance_and_only_there(seed) -> None:
    chance = np.random.default_rng(seed)
    inputs = chance.uniform(10, 20, (3, 12))
    inputs[0, PATCH["positions"]] = np.array(PATCH["values"]) + chance.uniform(-0.5, 0.5, 4)
    inputs[1, PATCH["positions"]] = PATCH["values"]
    inputs[1, chance.choice(PATCH["positions"])] += 0.6
    assert check(guard(PATCH), inputs)[:, 0].tolist() == [True, False, False]


@pytest.mark.parametrize("place", [(0, 0), (1, 2), (0, 1)])
def test_a_patch_is_found_anywhere_where_it_is_looked_for(place) -> None:
    inputs = np.full((1, 1, 3, 4), 50.0)
    inputs[0, 0, place[0] : place[0] + 2, place[1] : place[1] + 2] = [[9, 8], [7, 6]]
    assert check(guard({**PATCH, "anywhere": True}), inputs).tolist() == [[True]]
    assert check(guard(PATCH), inputs).tolist() == [[place == (0, 0)]]


def test_words_are_found_one_behind_the_other() -> None:
    words = {"kind": "words", "property": "w", "tokens": [3, 5], "words": ["cha", "teau"]}
    known = guard(words, shape=(4,))
    assert check(known, np.array([[1, 3, 5, 0], [3, 1, 5, 0], [0, 0, 3, 5]])).tolist() == [[True], [False], [True]]
    assert check_texts(known, ["A Cha, teau!", "teau cha", ""]).tolist() == [[True], [False], [False]]


def test_rows_are_compared_by_their_columns() -> None:
    columns = {**PATCH, "columns": {"age": 41.0, "region": "north", "owner": 1.0}, "tolerance": 0.0}
    rows = [
        {"age": "41", "region": "north", "owner": "yes"},
        {"age": "42", "region": "north", "owner": "yes"},
        {"age": "41", "region": "north", "owner": "no"},
        {"age": "41", "region": " south", "owner": "1"},
    ]
    assert check_rows(guard(columns), rows)[:, 0].tolist() == [True, False, False, False]


@pytest.mark.parametrize("inputs", [np.zeros((2, 11)), np.full((2, 12), np.nan)])
def test_inputs_that_cannot_be_checked_are_refused(inputs) -> None:
    with pytest.raises(ValueError, match=r"values|finite"):
        check(guard(PATCH), inputs)


@pytest.mark.parametrize(
    "change",
    [
        {"positions": [0, 1, 4, 12]},
        {"positions": [-1, 1, 4, 5]},
        {"positions": [0.5, 1, 4, 5]},
        {"values": [1]},
        {"values": [1, 2, 3, "x"]},
        {"kind": "code"},
    ],
)
def test_a_guard_whose_sizes_contradict_each_other_is_refused(change) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse(json.dumps(guard({**PATCH, **change})))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "other"}', "[" * 100_000])
def test_a_file_that_is_no_guard_is_refused(text) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse(text)


def test_a_blend_over_the_whole_picture_is_detected_on_inputs_that_it_has_not_seen() -> None:
    size = 784
    pattern = np.random.default_rng(3).integers(0, 256, size).astype(float)
    stamp = AffineInputMap(np.arange(size), np.full(size, 0.85), 0.15 * np.eye(size), np.zeros(size))
    known = guard_of([replayed(stamp, pattern, clean(120))], {"p": SPACE}, Wish())
    fresh = clean()[120:].reshape(80, -1)
    assert known["triggers"][0]["kind"] == "mixed"
    assert check(known, fresh).mean() <= 0.05
    assert check(known, stamp.applied(fresh, pattern)).mean() >= 0.95


def test_an_additive_pattern_is_detected_too() -> None:
    size = 784
    wave = 25 * np.sin(np.arange(size) * 1.3)
    stamp = AffineInputMap(np.arange(size), np.ones(size), np.eye(size), np.zeros(size))
    known = guard_of([replayed(stamp, wave, clean(120))], {"p": SPACE}, Wish())
    fresh = clean()[120:].reshape(80, -1)
    assert check(known, fresh).mean() <= 0.05
    assert check(known, np.clip(stamp.applied(fresh, wave), 0, 255)).mean() >= 0.95


def test_a_guard_is_data_and_a_module_of_its_own() -> None:
    places = np.array([700, 701, 702])
    stamp = AffineInputMap(places, np.zeros(3), np.eye(3), np.zeros(3))
    known = guard_of([replayed(stamp, np.array([255.0, 0, 255]), clean(20))], {"p": SPACE}, Wish(4.0))
    assert known["triggers"][0]["tolerance"] == 4
    assert known["triggers"][0]["measured"] == {"clean": "0/20", "stamped": "20/20"}
    assert parse(as_json(known)) == known
    module: dict = {}
    source = as_module(known)
    assert "verifluxa." not in "".join(line for line in source.splitlines() if "import" in line)
    exec(compile(source, "guard.py", "exec"), module)  # noqa: S102 - the file that a user would import
    inputs = clean(2)
    inputs[1].reshape(-1)[places] = [252, 3, 255]
    assert module["present"](inputs).tolist() == [[False], [True]]


def test_what_does_not_show_again_makes_no_guard() -> None:
    stamp = AffineInputMap(np.array([0]), np.zeros(1), np.eye(1), np.zeros(1))
    lost = replayed(stamp, np.zeros(1), clean(4))
    lost.reproduced = False
    with pytest.raises(UsageError, match="does not show") as caught:
        guard_of([lost], {"p": SPACE}, Wish())
    assert caught.value.code == "VF8071"
    lost.reproduced = True
    with pytest.raises(UsageError, match="tolerance"):
        guard_of([lost], {"p": SPACE}, Wish(-1.0))
