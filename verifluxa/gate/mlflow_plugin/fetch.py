"""Files and documents of a version, read by the server from where it keeps artifacts; nothing goes over HTTP."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from verifluxa.gate.mlflow_plugin.client import place_download
from verifluxa.gate.mlflow_plugin.places import papers_uri
from verifluxa.gate.reference import Reference
from verifluxa.gate.registry import Fetched


def fetch_files(store: Any, source: str, reference: Reference, into: Path) -> Fetched:
    """Copies what a source URI names, and the documents of a reference beside it.

    Args:
        store: the registry store, for sources that name another version.
        source: where the files lie.
        reference: whose documents are wanted.
        into: a new folder.

    Raises:
        MlflowException: when the files cannot be read.
    """
    from mlflow.exceptions import MlflowException

    uri = _resolved(store, source)
    into.mkdir(parents=True)
    _download(uri, into / "model")
    papers = into / "papers"
    try:
        _download(papers_uri(uri, reference), papers)
    except (MlflowException, OSError):
        papers.mkdir(exist_ok=True)
    return Fetched(into / "model", papers)


def _resolved(store: Any, source: str) -> str:
    """Sources may name a version (`models:/digits/7`) or a run (`runs:/...`)."""
    scheme = urlparse(source).scheme
    if scheme == "models":
        name, version = source.removeprefix("models:/").rsplit("/", 1)
        return str(store.get_model_version_download_uri(name, version))
    if scheme == "runs":
        run, _, path = source.removeprefix("runs:/").partition("/")
        root = str(_handlers()._get_tracking_store().get_run(run).info.artifact_uri)
        return f"{root}/{path}" if path else root
    return source


def _download(uri: str, into: Path) -> None:
    handlers = _handlers()
    path: str | None = ""
    if handlers._is_servable_proxied_run_artifact_root(uri):
        repository = handlers._get_artifact_repo_mlflow_artifacts()
        destination = handlers._get_proxied_run_artifact_destination_path(uri)
        path = handlers._get_workspace_scoped_repo_path_if_enabled(destination)
    else:
        repository = handlers._get_artifact_repository_for_uri(uri)
    with tempfile.TemporaryDirectory(dir=into.parent) as folder:
        place_download(Path(repository.download_artifacts(path or "", folder)), into)


def _handlers() -> Any:
    """MLflow's own functions for reading artifacts on the server; without types."""
    from mlflow.server import handlers

    return handlers
