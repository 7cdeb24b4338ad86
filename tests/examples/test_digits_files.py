"""The files of the digit example belong together: digests, names, shapes, and what its README says."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "digits"
SPECS = sorted(FOLDER.glob("*.vfx"))


@pytest.mark.parametrize("spec", SPECS, ids=lambda path: path.name)
def test_a_spec_names_files_that_exist_and_the_digest_of_its_data(spec: Path) -> None:
    text = spec.read_text()
    named = re.findall(r'(?:file|architecture)\s*= "([^"]+)"', text)
    assert len(named) in (3, 5), "one model or two, and the data"
    assert all((FOLDER / name).is_file() for name in named)
    (digest,) = re.findall(r"sha256:([0-9a-f]{64})", text)
    (data,) = (name for name in named if name.endswith(".npz"))
    assert hashlib.sha256((FOLDER / data).read_bytes()).hexdigest() == digest


def test_the_data_are_two_hundred_digits_of_every_class() -> None:
    with np.load(FOLDER / "mnist_eval.npz", allow_pickle=False) as archive:
        x, y = archive["x"], archive["y"]
        assert sorted(archive) == ["x", "y"]
    assert (x.dtype, x.shape, y.dtype, y.shape) == (np.uint8, (200, 28, 28), np.uint8, (200,))
    assert (x.min(), x.max()) == (0, 255)
    assert set(y[:100].tolist()) == set(range(10))


def test_the_readme_speaks_of_every_file() -> None:
    text = (FOLDER / "README.md").read_text()
    assert [path.name for path in FOLDER.iterdir() if path.name not in text and path.name != "README.md"] == []
    assert len(SPECS) == 4
