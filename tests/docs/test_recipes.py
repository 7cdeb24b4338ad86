"""The recipes of CONTRIBUTING.md work: their blocks, put into a copy of the package, give what they promise."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.docs.blocks import RECIPES, ROOT, blocks

WHERE = re.compile(r"# (verifluxa/\S+), (?:(new)|(before|behind): (.+))")
ONCE = """
from verifluxa.certificate.check.run import check_certificate
from verifluxa.cli.main import run
from verifluxa.spec.format import format_spec

for name in ("activation", "trigger"):
    text = open(f"{name}.vfx").read()
    assert format_spec(text) == text
    run(["verify", f"{name}.vfx", "--out", name])
    run(["explain-spec", f"{name}.vfx"])
    report = check_certificate(f"{name}/certificate.json")
    assert report.accepted, report.text()
    print(report.text())
"""
SPEC = """spec 1

input im : image(2 px, 2 px, 1 ch) of 0..3 level

model m : im -> class(2) {
  file         = "%s.npz"
  architecture = "%s.txt"
  encode       = level
}

data e : im {
  file = "e.npz"
}
"""
SHARED = """
trigger t_{name} : im {{
  {clauses}
}}

property {name} {{
  forall t in t_{name}
  assert rate(x in e : class(m(t(x))) != label(x)) <= 50 %
}}
"""


def applied(folder: Path) -> dict[str, int]:
    """Puts the blocks where their first lines say; how many went into each file."""
    found: dict[str, int] = {}
    for block in blocks(ROOT / "CONTRIBUTING.md"):
        if block.kind not in RECIPES:
            continue
        head, _, text = block.text.partition("\n")
        said = WHERE.fullmatch(head)
        assert said is not None, head
        name, new, side, anchor = said.groups()
        path = folder / name
        if new:
            assert not path.exists()
            path.write_text(text, encoding="utf-8")
        else:
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            (at,) = (number for number, line in enumerate(lines) if anchor in line)
            apart = "\n\n" if text.startswith("def ") else ""
            lines.insert(at + (side == "behind"), text + apart)
            path.write_text("".join(lines), encoding="utf-8")
        found[name] = found.get(name, 0) + 1
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, set[str]]:
    """The folder in which both recipes were used, what was printed there, and the files that they touch."""
    folder = tmp_path_factory.mktemp("recipes")
    for name in ("verifluxa", "specs", "solvers", "cluster"):
        shutil.copytree(ROOT / name, folder / "copy" / name)
    touched = applied(folder / "copy")
    model(folder / "activation", "gaussian", [[0.1, 0.2, -0.1, 0.1]] * 3, [[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]], [0, -1])
    model(folder / "trigger", "relu", [[1.0, 1.0, 0.0, 0.0]] * 3, [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]], [5.5, 0])
    np.savez(folder / "e.npz", x=np.array([[[[0, 0], [1, 1]]], [[[1, 0], [2, 3]]]], np.uint8), y=np.zeros(2, np.int64))
    claims = {
        "activation": {"patched": "replace 1 px x 1 px\n  at any\n  with 0..3 level"},
        "trigger": {"broken": "bar 1 px\n  with 0..3 level", "kept": "bar 1 px\n  with 0..0 level"},
    }
    for name, properties in claims.items():
        shared = (SHARED.format(name=key, clauses=clauses) for key, clauses in properties.items())
        (folder / f"{name}.vfx").write_text(SPEC % (name, name) + "".join(shared))
    environment = {**os.environ, "PYTHONPATH": str(folder / "copy"), "COLUMNS": "100", "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(
        [sys.executable, "-c", ONCE], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return folder, ran.stdout, set(touched)


def model(path: Path, function: str, first: list[list[float]], second: list[list[float]], bias: list[float]) -> None:
    arrays = {
        "layers.2.weight": np.array(first, np.float32),
        "layers.2.bias": np.zeros(3, np.float32),
        "layers.3.weight": np.array(second, np.float32),
        "layers.3.bias": np.array(bias, np.float32),
    }
    np.savez(path.with_suffix(".npz"), **arrays)
    path.with_suffix(".txt").write_text(f"Chain(Flux.flatten, Dense(4 => 3, {function}), Dense(3 => 2))")


def verdicts(path: Path) -> dict[str, str]:
    result: dict[str, Any] = json.loads((path / "result.json").read_text(encoding="utf-8"))
    return {item["name"]: item["verdict"] for item in result["properties"]}


def test_a_new_activation_is_run_bounded_certified_and_rechecked(made: tuple[Path, str, set[str]]) -> None:
    folder, printed, _ = made
    assert verdicts(folder / "activation") == {"patched": "certified"}
    assert "patched: certified in float32 arithmetic: 4 questions, 4 leaves recomputed" in printed


def test_a_new_trigger_is_parsed_explained_lowered_and_decided(made: tuple[Path, str, set[str]]) -> None:
    folder, printed, _ = made
    assert verdicts(folder / "trigger") == {"broken": "falsified", "kept": "certified"}
    assert "bar of 1 rows of whole levels 0..3 at any of 2 places" in " ".join(printed.split())


def test_the_recipes_touch_as_many_files_as_they_say(made: tuple[Path, str, set[str]]) -> None:
    spec = {name for name in made[2] if name.startswith(("verifluxa/spec/", "verifluxa/lower/"))}
    assert (len(made[2] - spec), len(spec)) == (4, 5)
