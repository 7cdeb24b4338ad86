"""Fixtures of the gate's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.gate.desk import Desk, make_desk
from tests.gate.plant import Plant, make_plant


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return make_desk(tmp_path)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    """The two digit models, verified once; whoever decides works on a copy or cleans the log."""
    return make_plant(tmp_path_factory.mktemp("plant"))
