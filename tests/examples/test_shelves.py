"""Every shipped property file, strategy and cluster is understood, and property files are formatted."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from verifluxa.dispatch.cluster import load_cluster
from verifluxa.inputs import Choice
from verifluxa.library import Library, names
from verifluxa.spec.check import load_spec
from verifluxa.spec.format import format_spec
from verifluxa.spec.spec import ImageSpace
from verifluxa.strategy.load import load_strategy
from verifluxa.verdict import Reason
from verifluxa.verify import Request, run

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
    readme = (ROOT / "specs" / "README.md").read_text()
    for path in SPECS:
        if path.parent.name == "specs":
            statement = load_spec(str(path)).spec.properties[0].statement
            (row,) = re.findall(rf"^\| `{path.stem}` \|.*\| (\d+) \|[^|]+\|$", readme, re.M)
            assert int(row) == statement.trigger.placements


IMAGES = [
    path
    for path in SPECS
    if path.parent.name == "specs" and isinstance(load_spec(str(path)).spec.spaces[0], ImageSpace)
]


@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.stem)
def test_a_ready_spec_runs_on_a_small_model(path: Path, tmp_path: Path) -> None:
    """Whatever it says of a network of one layer and five digits, it says it without an error."""
    spec = load_spec(str(path)).spec
    files = {}
    for number, model in enumerate(spec.models):
        weight = np.random.default_rng(number).normal(0, 0.05, (model.output.size, 784)).astype(np.float32)
        arrays = {"layers.2.weight": weight, "layers.2.bias": np.zeros(model.output.size, dtype=np.float32)}
        files[model.name] = str(tmp_path / f"{model.name}.npz")
        np.savez(files[model.name], **arrays)
        (tmp_path / "architecture.txt").write_text(f"Chain(Flux.flatten, Dense(784 => {model.output.size}))")
    copy = tmp_path / path.name
    copy.write_text(re.sub(r"(encode\s*= level / 255)", r'\1 architecture = "architecture.txt"', path.read_text()))
    images, labels = _few(next(iter(files.values())))
    np.savez(tmp_path / "eval.npz", x=images, y=labels)
    params = {"inputs": "3"} if any(name == "inputs" for name, _ in spec.params) else {}
    text = copy.read_text().replace("take = 100", "take = 3")
    copy.write_text(text)
    request = Request(str(copy), Choice(files, {"eval": str(tmp_path / "eval.npz")}, params), "quick", budget=1.5)
    result = run(request)
    assert all(item.reason is not Reason.UNSUPPORTED for item in result.properties)


def _few(model: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Three digits that a model answers differently, with its answers as labels."""
    with np.load(ROOT / "examples" / "digits" / "mnist_eval.npz") as archive, np.load(model) as arrays:
        images = archive["x"]
        answers = (images.reshape(len(images), -1) @ arrays["layers.2.weight"].T).argmax(1)
    first = np.unique(answers, return_index=True)[1] if answers.any() else np.arange(3)
    return images[first[:3]], answers[first[:3]]


def test_strategies_are_understood_and_have_the_stages_that_their_readme_gives() -> None:
    readme = (ROOT / "solvers" / "README.md").read_text()
    for name in names(Library.SOLVERS):
        stages = [getattr(stage, "method", stage.kind) for stage in load_strategy(name).stages]
        assert f"| `{name}` | {', '.join(stages)} |" in readme


@pytest.mark.parametrize("document", ["specs/README.md", "solvers/README.md", "cluster/README.md", "CONTRIBUTING.md"])
def test_modules_that_the_documents_name_exist(document: str) -> None:
    named = re.findall(r"`(verifluxa/[\w/]+(?:\.py)?)`?", (ROOT / document).read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_clusters_are_understood() -> None:
    assert {name: load_cluster(name).kind for name in names(Library.CLUSTER)} == {
        "gpu": "ray",
        "laptop": "in-process",
        "local": "processes",
        "ray": "ray",
    }
