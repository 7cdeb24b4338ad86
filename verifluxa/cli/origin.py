"""What a ledger says of its run: how it was asked for, and the digests of all that it rests on."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from verifluxa import __version__
from verifluxa.dispatch.ledger import Ledger, Origin
from verifluxa.dispatch.ledger_file import not_a_ledger, other_run
from verifluxa.inputs import Choice
from verifluxa.verify import Prepared, Request

KEYS = {"spec", "choice", "strategy", "cluster", "budget", "arithmetic", "seed", "gap"}


def origin_of(request: Request, prepared: Prepared) -> Origin:
    """The origin of a run; paths are made absolute, so that it can be taken up from anywhere."""
    value = asdict(request)
    for group in ("models", "data"):
        value["choice"][group] = {name: str(Path(path).absolute()) for name, path in value["choice"][group].items()}
    value["choice"]["params"] = dict(value["choice"]["params"])
    value["spec"] = str(Path(prepared.inputs.spec.path).absolute())
    for key in ("strategy", "cluster"):
        if value[key].endswith(".toml"):
            value[key] = str(Path(value[key]).absolute())
    return Origin(value, digests_of(prepared))


def digests_of(prepared: Prepared) -> dict[str, Any]:
    """The digests that must not change; JSON values only."""
    inputs = prepared.inputs
    return {
        "tool": __version__,
        "spec": inputs.spec.sha256,
        "params": {name: str(value) for name, value in inputs.spec.params},
        "properties": [item.name for item in inputs.properties],
        "models": {name: [item.sha256, item.lifted.graph.digest] for name, item in inputs.models.items()},
        "data": {name: item.sha256 for name, item in inputs.data.items()},
        "strategy": prepared.strategy.sha256,
        "seed": prepared.strategy.seed,
        "arithmetic": prepared.arithmetic,
    }


def request_of(ledger: Ledger) -> Request:
    """The request of a ledger.

    Raises:
        UsageError: VF4420 when it is not understood.
    """
    value = dict(ledger.origin.request)
    try:
        if set(value) != KEYS or not all(isinstance(value[key], str) for key in ("spec", "strategy", "cluster")):
            raise TypeError(sorted(value))
        choice = value.pop("choice")
        properties = tuple(str(name) for name in choice.pop("properties"))
        return Request(choice=Choice(**{key: _texts(choice[key]) for key in choice}, properties=properties), **value)
    except (TypeError, AttributeError, KeyError, ValueError) as error:
        raise not_a_ledger(ledger.path, "its header cannot be read") from error


def check_same(ledger: Ledger, prepared: Prepared) -> None:
    """Refuses to go on with anything that is not what the ledger was begun with.

    Raises:
        UsageError: VF4422, naming what has changed.
    """
    changed = _changed(ledger, prepared)
    if changed:
        raise other_run(ledger.path, ", ".join(f"`{key}`" for key in changed))


def is_same(ledger: Ledger, prepared: Prepared) -> bool:
    """Whether a ledger is of this very run."""
    return not _changed(ledger, prepared)


def _changed(ledger: Ledger, prepared: Prepared) -> list[str]:
    before, now = ledger.origin.digests, digests_of(prepared)
    return [key for key in now if before.get(key) != now[key]]


def with_changes(request: Request, cluster: str | None, budget: float | None) -> Request:
    """The same run somewhere else, or with another budget: neither changes what is proved."""
    return replace(request, cluster=cluster or request.cluster, budget=budget)


def _texts(value: dict[str, Any]) -> dict[str, str]:
    return {str(key): str(item) for key, item in value.items()}
