"""Strategy files: what they mean, and a clear message for each that is not understood."""

from __future__ import annotations

from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from verifluxa.errors import UsageError
from verifluxa.library import Library, Resource, names
from verifluxa.strategy.load import (
    AttackStage,
    BoundStage,
    BranchStage,
    Strategy,
    load_strategy,
    parse_strategy,
)


def parse(text: str) -> Strategy:
    return parse_strategy(Resource("mine", Path("mine.toml"), text, "sha256:00"))


@pytest.mark.parametrize("name", names(Library.SOLVERS))
def test_shipped_strategies_are_understood(name: str) -> None:
    strategy = load_strategy(name)
    assert strategy.name == name
    assert strategy.stages
    assert strategy.description
    assert strategy.sha256.startswith("sha256:")
    assert load_strategy(name) == strategy


def test_the_shipped_strategies_are_what_their_names_say() -> None:
    assert [stage.kind for stage in load_strategy("balanced").stages] == ["attack", "bound", "bound", "cross", "branch"]
    assert {stage.kind for stage in load_strategy("attack-only").stages} == {"attack"}
    assert "branch" not in {stage.kind for stage in load_strategy("quick").stages}


def test_values_and_defaults() -> None:
    strategy = parse(
        'schema = 1\nname = "other"\ndescription = "d"\nseed = 7\n'
        '[[stage]]\nkind = "attack"\nstarts = 5\n'
        '[[stage]]\nkind = "bound"\nmethod = "interval"\n'
        '[[stage]]\nkind = "branch"\nseconds = 3\njoint = true\ngate = 0.5\nslabs = 0\n'
        '[[stage]]\nkind = "bound"\n'
    )
    assert strategy.stages == (
        AttackStage(starts=5),
        BoundStage("interval"),
        BranchStage(seconds=3.0, joint=True, gate=0.5, slabs=0),
        BoundStage("crown"),
    )
    assert (strategy.name, strategy.seed, strategy.bounds, strategy.description) == ("mine", 7, "native", "d")
    branching = strategy.stages[2]
    assert isinstance(branching, BranchStage)
    assert isinstance(branching.seconds, float)


def test_older_files_say_strips_for_slabs() -> None:
    text = 'schema = 1\n[[stage]]\nkind = "branch"\n'
    assert parse(text + "strips = 7\n").stages == (BranchStage(slabs=7),)
    with pytest.raises(UsageError, match="strips"):
        parse(text + "strips = 7\nslabs = 7\n")


def test_without_a_kind_of_stage() -> None:
    strategy = load_strategy("balanced")
    assert [stage.kind for stage in strategy.without("attack").stages] == ["bound", "bound", "cross", "branch"]
    assert strategy.without("branch").sha256 == strategy.sha256


STAGE = "schema = 1\n[[stage]]\n"
BAD = {
    "no toml": "kind = ",
    "nested too deeply": "schema = 1\na = " + "[" * 5000,
    "empty": "",
    "no stage": "schema = 1\n",
    "stages that are none": "schema = 1\nstage = []\n",
    "a single table": 'schema = 1\n[stage]\nkind = "bound"\n',
    "a stage that is a number": "schema = 1\nstage = [1]\n",
    "another schema": 'schema = 2\n[[stage]]\nkind = "bound"\n',
    "a schema that is true": 'schema = true\n[[stage]]\nkind = "bound"\n',
    "an unknown key": 'schema = 1\nseeds = 3\n[[stage]]\nkind = "bound"\n',
    "an unknown key unlike any": 'schema = 1\nzzzz = 3\n[[stage]]\nkind = "bound"\n',
    "a seed below 0": 'schema = 1\nseed = -1\n[[stage]]\nkind = "bound"\n',
    "a seed that is true": 'schema = 1\nseed = true\n[[stage]]\nkind = "bound"\n',
    "a seed that is a text": 'schema = 1\nseed = "a"\n[[stage]]\nkind = "bound"\n',
    "another engine": 'schema = 1\nbounds = "lirpa"\n[[stage]]\nkind = "bound"\n',
    "an engine that is a list": 'schema = 1\nbounds = []\n[[stage]]\nkind = "bound"\n',
    "an unknown stage": STAGE + 'kind = "guess"\n',
    "a stage without a kind": STAGE + "boxes = 3\n",
    "a kind that is a list": STAGE + "kind = []\n",
    "an unknown method": STAGE + 'kind = "bound"\nmethod = "magic"\n',
    "a method that is a number": STAGE + 'kind = "bound"\nmethod = 3\n',
    "a key of another stage": STAGE + 'kind = "bound"\nboxes = 3\n',
    "a slip in a key": STAGE + 'kind = "branch"\nbox = 20000\n',
    "a number that is a text": STAGE + 'kind = "branch"\nboxes = "many"\n',
    "a whole number with a fraction": STAGE + 'kind = "branch"\nboxes = 2.5\n',
    "a number below 0": STAGE + 'kind = "branch"\nslabs = -1\n',
    "a number that is true": STAGE + 'kind = "branch"\nboxes = true\n',
    "a number that is far too large": STAGE + 'kind = "branch"\nboxes = 100000000000\n',
    "no time": STAGE + 'kind = "branch"\nseconds = 0\n',
    "time without end": STAGE + 'kind = "branch"\nseconds = inf\n',
    "time that is no number": STAGE + 'kind = "branch"\nseconds = nan\n',
    "a switch that is a number": STAGE + 'kind = "branch"\njoint = 1\n',
    "no starting points": STAGE + 'kind = "attack"\nstarts = 0\n',
    "no starting points when refining": STAGE + 'kind = "attack"\nrefine_starts = 0\n',
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_understood_is_refused(name: str, snapshot: SnapshotAssertion) -> None:
    with pytest.raises(UsageError) as caught:
        parse(BAD[name])
    assert caught.value.code == "VF4101"
    assert str(caught.value) == snapshot


def test_a_users_own_file_is_read_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(STAGE + 'kind = "bound"\n')
    strategy = load_strategy(str(path))
    assert (strategy.name, strategy.stages) == ("mine", (BoundStage(),))
    path.write_text("schema = 3\n")
    with pytest.raises(UsageError, match="this is not a strategy") as caught:
        load_strategy(str(path))
    assert caught.value.place == str(path)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UsageError, match="balnced") as caught:
        load_strategy("balnced")
    assert caught.value.code == "VF4001"
    assert "balanced" in str(caught.value.remedy)
