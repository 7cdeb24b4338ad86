"""Every shipped property file, strategy and cluster is understood, and property files are formatted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from verifluxa.dispatch.cluster import load_cluster
from verifluxa.library import Shelf, names
from verifluxa.spec.check import load_spec
from verifluxa.spec.format import format_spec
from verifluxa.strategy.load import load_strategy

ROOT = Path(__file__).parents[2]
SPECS = sorted([*(ROOT / "specs").glob("*.vfx"), *(ROOT / "examples").rglob("*.vfx")])


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.name)
def test_property_files_check_without_a_warning_and_are_formatted(path: Path) -> None:
    checked = load_spec(str(path))
    assert checked.warnings == ()
    assert checked.spec.properties
    text = path.read_text(encoding="utf-8")
    assert format_spec(text, str(path)) == text


def test_the_ready_specs_name_no_files_and_differ_only_in_what_they_state() -> None:
    ready = [load_spec(str(path)).spec for path in SPECS if path.parent.name == "specs"]
    assert all(model.file is None for spec in ready for model in spec.models)
    assert all(data.file is None for spec in ready for data in spec.data)
    assert sorted(len(spec.properties[0].statement.trigger.places) for spec in ready) == [4, 676]


def test_strategies_are_understood_and_have_the_stages_that_their_readme_gives() -> None:
    readme = (ROOT / "solvers" / "README.md").read_text()
    for name in names(Shelf.SOLVERS):
        stages = [getattr(stage, "method", stage.kind) for stage in load_strategy(name).stages]
        assert f"| `{name}` | {', '.join(stages)} |" in readme


@pytest.mark.parametrize("document", ["specs/README.md", "solvers/README.md", "cluster/README.md", "CONTRIBUTING.md"])
def test_modules_that_the_documents_name_exist(document: str) -> None:
    named = re.findall(r"`(verifluxa/[\w/]+(?:\.py)?)`?", (ROOT / document).read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_clusters_are_understood() -> None:
    assert {name: load_cluster(name).kind for name in names(Shelf.CLUSTER)} == {
        "laptop": "in-process",
        "local": "processes",
    }
