"""A result document with one property of each verdict, and the facts that belong to it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from verifluxa.certificate.build import Facts, ModelFacts, PropertyFacts, build_statement
from verifluxa.certificate.population import population_bound
from verifluxa.certificate.statement import Statement, Subject


def digest(letter: str) -> str:
    return "sha256:" + letter * 64


RESULT: dict[str, Any] = {
    "schema": "verifluxa/result/1",
    "tool": {"name": "verifluxa", "version": "0.1.0"},
    "spec": {"path": "digits.vfx", "sha256": digest("1")},
    "params": {"max_rate": "1/20"},
    "models": [{"name": "digits", "path": "clean.jld2", "sha256": digest("2"), "graph_sha256": digest("3")}],
    "data": [{"name": "eval", "path": "eval.npz", "sha256": digest("4"), "counted": 3, "excluded": []}],
    "strategy": {"name": "balanced", "sha256": digest("5")},
    "arithmetic": "float32",
    "verdict": "falsified",
    "properties": [
        {
            "name": "holds",
            "verdict": "certified",
            "reason": None,
            "digest": digest("a"),
            "bound": {"found": "0", "proved": "1/3"},
            "questions": {"total": 4, "certified": 4, "falsified": 0, "unknown": 0},
            "counterexample": None,
            "stages": {"attack": 1.5, "crown": 2.5},
        },
        {
            "name": "broken",
            "verdict": "falsified",
            "reason": None,
            "digest": digest("b"),
            "bound": {"found": "2/3", "proved": "1"},
            "questions": {"total": 4, "certified": 2, "falsified": 1, "unknown": 1},
            "counterexample": {
                "placement": {"row": 24, "column": 3},
                "target": 7,
                "trigger": [[255, 0], [1.5, 3]],
                "inputs": [17, 20],
                "rate": "2/3",
                "replayed": True,
                "margin": "0.31",
                "holds_in": "every order",
            },
            "stages": {"attack": 1.5},
        },
        {
            "name": "open",
            "verdict": "unknown",
            "reason": "time",
            "digest": digest("c"),
            "bound": None,
            "questions": {"total": 3, "certified": 2, "falsified": 0, "unknown": 1},
            "counterexample": None,
            "stages": {"attack": 1.5, "split": 9.0},
        },
    ],
    "machine": {"cluster": "laptop", "workers": 1, "device": "cpu"},
}

FACTS = Facts(
    subjects=(Subject("clean.jld2", digest("2")), Subject("architecture.txt", digest("6"))),
    models={"digits": ModelFacts("jld2", "0.16.5", "float32")},
    properties={
        "holds": PropertyFacts(
            "eval", "take 3", (17, 18, 20), (), 2, 2, leaves=5, evidence=digest("e"), population=population_bound(0, 3)
        ),
        "broken": PropertyFacts("eval", "take 3", (17, 18, 20), (), 2, 2, leaves=2, evidence=digest("f")),
        "open": PropertyFacts("eval", "where correct", (17, 20), ((18, "not correct"),), 1, 3),
    },
    time_verified=datetime(2026, 1, 31, 12, 0, 0, 500, tzinfo=UTC),
    versions={"torch": "2.13.0"},
    materials=(Subject("Manifest.toml", digest("7")),),
)


@pytest.fixture
def result() -> dict[str, Any]:
    return copy.deepcopy(RESULT)


@pytest.fixture
def facts() -> Facts:
    return FACTS


@pytest.fixture
def statement() -> Statement:
    return build_statement(copy.deepcopy(RESULT), FACTS)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Small tensors lose by several threads, above all on a busy machine."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
