"""Fixtures of the gate's tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gate.desk import Desk, make_desk
from tests.gate.plant import Plant, make_plant
from tests.gate.shop import Shop, fresh, open_shop


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return make_desk(tmp_path)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    """The two digit models, verified once; whoever decides works on a copy or cleans the log."""
    return make_plant(tmp_path_factory.mktemp("plant"))


@pytest.fixture(scope="session")
def open_once(made: Plant, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    root = tmp_path_factory.mktemp("attacked")
    shutil.copytree(made.root, root, dirs_exist_ok=True)
    for path in (root / "gate").glob("decisions.jsonl*"):
        path.unlink()
    plant = Plant(root)
    plant.policy.write_text(
        plant.policy.read_text().replace("max_age_days", "refusals_a_minute = 1000000\nmax_age_days")
    )
    return open_shop(root, plant)


@pytest.fixture
def shop(open_once: Shop) -> Iterator[Shop]:
    """Whatever a test changes of the policy is put back."""
    text = open_once.plant.policy.read_text()
    yield open_once
    open_once.plant.policy.write_text(text)


@pytest.fixture
def live(shop: Shop) -> tuple[Shop, str, str]:
    """A model with a certified version in production and a backdoored version 2; its name and first place."""
    name = fresh("live")
    reference, path = shop.certified(name)
    assert shop.alias(reference).status == 200
    shop.register(name, "badnets")
    return shop, name, path
