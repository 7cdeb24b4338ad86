"""Makes `result_fakes` importable, and its values fixtures."""

import sys
from pathlib import Path

import pytest

FAKES = str(Path(__file__).resolve().parents[1] / "result")
if FAKES not in sys.path:
    sys.path.insert(0, FAKES)

import result_fakes  # noqa: E402


@pytest.fixture
def problem():
    return result_fakes.image_problem()


@pytest.fixture
def per_input_problem():
    return result_fakes.image_problem(per_input=True)


@pytest.fixture
def falsified():
    return result_fakes.falsified_outcomes()


@pytest.fixture
def open_outcomes():
    return result_fakes.unknown_outcomes()
