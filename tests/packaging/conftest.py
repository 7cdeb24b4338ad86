"""The repository as others get it: its tracked files, and a wheel built and installed apart from it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SKIPPED = {".git", ".venv", "build", "dist", "__pycache__"}


@dataclass(frozen=True)
class Installed:
    """A wheel installed into a folder of its own, which stands in for an empty environment.

    Attributes:
        folder: holds the package and its metadata.
        wheel: the built file.
        cwd: an empty folder outside of the checkout.
    """

    folder: Path
    wheel: Path
    cwd: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs Python on the installed package, outside of the checkout."""
        environment = {**os.environ, "PYTHONPATH": str(self.folder)}
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=self.cwd, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel, built by way of the source distribution and installed without the network."""
    place = tmp_path_factory.mktemp("wheel")
    _check(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(place), str(ROOT))
    (wheel,) = place.glob("*.whl")
    options = ("--no-deps", "--no-index", "--quiet", "--target", str(place / "installed"))
    _check(sys.executable, "-m", "pip", "install", *options, str(wheel))
    (place / "elsewhere").mkdir()
    return Installed(place / "installed", wheel, place / "elsewhere")


def _check(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def repository_files() -> list[Path]:
    """Every file of the repository: what git tracks, or, without git, all but what is built."""
    listed = _git_files()
    if listed:
        return listed
    found = (path for path in ROOT.rglob("*") if path.is_file())
    return sorted(path for path in found if not SKIPPED & set(path.relative_to(ROOT).parts))


def _git_files() -> list[Path]:
    run: Callable[..., subprocess.CompletedProcess[str]] = subprocess.run
    try:
        done = run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return []
    paths = (ROOT / name for name in done.stdout.split("\0") if name)
    return sorted(path for path in paths if path.is_file())
