"""Files and documents of a version, read by the server from where it keeps artifacts; nothing goes over HTTP."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from verifluxa.gate.mlflow_plugin.client import papers_uri, place_download
from verifluxa.gate.reference import Reference
from verifluxa.gate.registry import Fetched


def fetch_files(store: Any, source: str, reference: Reference, into: Path, inbox: str | None = None) -> Fetched:
    """Copies what a source URI names, and the documents of a reference beside it.

    Args:
        store: the registry store, for sources that name another version.
        source: where the files lie.
        reference: whose documents are wanted.
        into: a new folder.
        inbox: where the files came from, if documents may lie beside that too; those count first.

    Raises:
        MlflowException: when the files cannot be read.
    """
    from mlflow.exceptions import MlflowException

    uri = resolved(store, source)
    into.mkdir(parents=True)
    download(uri, into / "model")
    papers = into / "papers"
    for place in (inbox, uri):
        try:
            if place is not None:
                download(papers_uri(place, reference), papers)
                break
        except (MlflowException, OSError):
            continue
    papers.mkdir(exist_ok=True)
    return Fetched(into / "model", papers)


def resolved(store: Any, source: str) -> str:
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


def download(uri: str, into: Path) -> None:
    """Copies what lies at a URI into a new folder.

    Raises:
        MlflowException: when it cannot be read.
    """
    repository, path = stores_for(uri)
    with tempfile.TemporaryDirectory(dir=into.parent) as folder:
        place_download(Path(repository.download_artifacts(path, folder)), into)


def stores_for(uri: str) -> tuple[Any, str]:
    """The artifact repository that a URI leads to, and the path in it."""
    handlers = _handlers()
    if handlers._is_servable_proxied_run_artifact_root(uri):
        destination = handlers._get_proxied_run_artifact_destination_path(uri)
        path = handlers._get_workspace_scoped_repo_path_if_enabled(destination)
        return handlers._get_artifact_repo_mlflow_artifacts(), str(path or "")
    return handlers._get_artifact_repository_for_uri(uri), ""


def artifact_root() -> str:
    """Where the server keeps artifacts that go through it."""
    return os.environ.get("_MLFLOW_SERVER_ARTIFACT_DESTINATION", "")


def _handlers() -> Any:
    """MLflow's own functions for reading artifacts on the server; without types."""
    from mlflow.server import handlers

    return handlers
