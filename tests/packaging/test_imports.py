"""What is imported is declared, what is declared is imported, and light things stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DISTRIBUTIONS = {
    "PIL": "pillow",
    "z3": "z3-solver",
    "mlflow": "mlflow-skinny",
    "auto_LiRPA": "auto-lirpa",
    "yaml": "pyyaml",
    "markdown_it": "markdown-it-py",
}
# Installed by hand, since their metadata refuses today's torch: solvers/README.md.
BY_HAND = {"auto-lirpa"}


def _requirement_names(lines: list[str]) -> set[str]:
    found = set()
    for line in lines:
        name = line
        for mark in "[<>=!~; ":
            name = name.split(mark)[0]
        found.add(name.lower())
    return found


def _imports(folder: str) -> set[str]:
    """Distributions that the files of a folder import, at any depth of their functions."""
    own = {path.stem for path in (ROOT / folder).rglob("*.py")} | {"verifluxa", "tests", "benchmarks", "docs"}
    modules = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules.add(node.module.split(".")[0])
    outside = modules - set(sys.stdlib_module_names) - own
    return {DISTRIBUTIONS.get(name, name).lower().replace("_", "-") for name in outside}


def test_dependencies_are_exactly_what_is_imported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    core = _requirement_names(project["dependencies"])
    extras = {name for lines in project["optional-dependencies"].values() for name in _requirement_names(lines)}
    imported = _imports("verifluxa") - BY_HAND
    assert core - imported == set()
    assert imported - core - extras == set()


def test_what_the_tests_import_comes_with_the_test_extra() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    given = _requirement_names([*project["dependencies"], *project["optional-dependencies"]["test"]])
    assert _imports("tests") - given == set()


def test_every_requirement_is_pinned_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    names = [line.split("==")[0].lower().replace("_", "-") for line in lines]
    assert all(line.count("==") == 1 for line in lines)
    assert len(names) == len(set(names))
    wanted = _requirement_names(project["dependencies"])
    for requirements in project["optional-dependencies"].values():
        wanted |= _requirement_names(requirements)
    assert wanted - {"verifluxa"} <= set(names)


LIGHT = [
    "verifluxa",
    "verifluxa.errors",
    "verifluxa.verdict",
    "verifluxa.library",
    "verifluxa.graph.graph",
    "verifluxa.graph.activations",
    "verifluxa.question",
    "verifluxa.evidence",
    "verifluxa.spec",
    "verifluxa.flux",
    "verifluxa.data",
    "verifluxa.certificate",
    "verifluxa.certificate.check",
    "verifluxa.cli",
    "verifluxa.cli.main",
]


@pytest.mark.parametrize("module", LIGHT)
def test_reading_and_checking_load_no_engine(module: str) -> None:
    heavy = ("torch", "ray", "z3", "mlflow", "matplotlib", "onnx", "juliacall")
    code = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
