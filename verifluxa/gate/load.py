"""Loading a model only if the gate accepts it: the bytes that were checked are the bytes that are loaded."""

from __future__ import annotations

import tempfile
from pathlib import Path

from verifluxa.certificate.load import load_statement
from verifluxa.errors import GateError, ManyErrors
from verifluxa.flux.load import InputShape
from verifluxa.flux.load import load_model as lift
from verifluxa.gate.case import Decision
from verifluxa.gate.recheck import WEIGHTS
from verifluxa.gate.registry import Fetched, Registry, resolve
from verifluxa.gate.run import Ask, judge
from verifluxa.graph.graph import Graph


def load_model(
    source: str, policy: str | Path, registry: Registry | None = None, input_shape: InputShape | None = None
) -> Graph:
    """Loads a promoted model, if the policy permits it now.

    Args:
        source: `models:/digits@production`, or with the version, `models:/digits/7@production`.
        policy: of the loading machine; it may be stricter than the registry's.
        registry: where to look; the MLflow registry of MLFLOW_TRACKING_URI by default.
        input_shape: of one sample, channels first, as the spec has it; then the lifted graph is compared too.

    Returns:
        The network that was certified, lifted from a private copy of the very bytes that were checked.

    Raises:
        GateError: the first reason against it, or a ManyErrors with all of them.
    """
    if registry is None:
        from verifluxa.gate.mlflow_plugin.client import MlflowRegistry

        registry = MlflowRegistry()
    reference = resolve(source, registry)
    loaded: list[Graph] = []
    with tempfile.TemporaryDirectory(prefix="verifluxa-gate-") as private:
        fetched = registry.fetch(reference, Path(private) / "fetched")
        ask = Ask(
            reference,
            fetched.folder,
            fetched.certificates,
            fetched.override,
            "load",
            False,
            attestation=fetched.attestation,
        )

        def act(_decision: Decision, copy: Path) -> None:
            loaded.append(_load(copy, fetched, input_shape))

        decision = judge(Path(policy), ask, act)
    if not decision.permitted:
        raise decision.reasons[0] if len(decision.reasons) == 1 else ManyErrors(list(decision.reasons))
    return loaded[0]


def _load(copy: Path, fetched: Fetched, input_shape: InputShape | None) -> Graph:
    statement, _ = load_statement(fetched.certificates[0])
    versions = {model.flux_version for model in statement.models}
    weights = [path for path in sorted(copy.iterdir()) if path.suffix.lower() in WEIGHTS]
    others = [path for path in sorted(copy.iterdir()) if path not in weights]
    if len(weights) != 1 or len(others) > 1 or len(versions) != 1:
        raise _cannot_load(str(fetched.folder), "one file of weights, and at most one with the architecture")
    (version,) = versions
    flux = None if version == "unknown" else version
    graph = lift(weights[0], others[0] if others else None, flux, input_shape)
    if input_shape is not None and graph.digest not in {model.graph for model in statement.models}:
        raise _cannot_load(graph.digest, "the certified network")
    return graph


def _cannot_load(place: str, expected: str) -> GateError:
    return GateError(
        "VF6087",
        "the accepted files do not give the certified network",
        place=place,
        expected=expected,
        remedy="load it with the version of verifluxa that verified it",
    )
