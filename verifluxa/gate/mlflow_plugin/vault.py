"""Where the server keeps what was certified: a folder of its artifact store that nobody can write to over any API.

Files lie in `verifluxa-certified/DIGEST/model`, documents in `verifluxa-certified/DIGEST/model.verifluxa/...`. The
refusal stands in the methods of MLflow's artifact repositories, where every upload and deletion ends.
"""

from __future__ import annotations

import functools
import inspect
import os
import posixpath
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unicodedata import normalize
from urllib.parse import urlparse

from verifluxa.errors import GateError
from verifluxa.gate.files import measure
from verifluxa.gate.mlflow_plugin.client import SOURCE_TAG, papers_uri
from verifluxa.gate.mlflow_plugin.fetch import artifact_root, download, stores_for
from verifluxa.gate.mlflow_plugin.refusals import not_frozen, not_served, refusal
from verifluxa.gate.reference import Reference

VAULT = "verifluxa-certified"
WRITERS = {
    "log_artifact": ("artifact_path", "local_file"),
    "log_artifacts": ("artifact_path", "local_dir"),
    "log_artifact_from_stream": ("artifact_path", "artifact_file_name"),
    "log_artifact_from_async_stream": ("artifact_path", "artifact_file_name"),
    "delete_artifacts": ("artifact_path", None),
    "create_multipart_upload": ("artifact_path", "local_file"),
    "complete_multipart_upload": ("artifact_path", "local_file"),
    "abort_multipart_upload": ("artifact_path", "local_file"),
    "create_presigned_upload_url": ("artifact_path", None),
    "upload_trace_data": (None, None),
    "upload_archived_trace_data": (None, None),
    "upload_archived_trace_data_bytes": (None, None),
    "upload_attachment": (None, None),
}
"""Every method of MLflow's artifact repositories that writes, and which arguments say where."""
_OURS = threading.local()


def protect() -> None:
    """Puts the refusal into every artifact repository that MLflow has."""
    from mlflow.store.artifact import artifact_repository_registry
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

    assert artifact_repository_registry is not None
    for kind in _kinds(ArtifactRepository):
        for name, places in WRITERS.items():
            method = vars(kind).get(name)
            if method is not None and not hasattr(method, "__wrapped__"):
                setattr(kind, name, _protected(method, places))


def check_source(uri: str) -> None:
    """Only what this server stores itself can be frozen; and what a client would read elsewhere is not what is checked.

    Raises:
        MlflowException: HTTP 403 with VF6088.
    """
    parsed = urlparse(uri)
    plain = parsed.scheme == "mlflow-artifacts" and not (parsed.netloc or parsed.query or parsed.fragment)
    if not plain or "%" in uri or "\\" in uri or not uri.isprintable() or ".." in parsed.path.split("/"):
        raise refusal(f"the gate denies files at {uri[:200]!r}", (not_served(uri),))


def freeze(copy: Path, digest: str, reference: Reference, papers: Path, desk: Path) -> str:
    """Stores the decided copy under its digest, with the documents of the promotion, and reads it again.

    Args:
        copy: the files that were decided about.
        digest: of them all.
        reference: the promotion.
        papers: its documents.
        desk: a new folder for reading them again.

    Returns:
        Where they lie.

    Raises:
        MlflowException: HTTP 403 with VF6089 when what was stored is not what was decided about.
    """
    uri = f"mlflow-artifacts:/{VAULT}/{digest.removeprefix('sha256:')}/model"
    with _opened():
        if not _holds(uri, digest, desk / "before"):
            _store(uri, copy)
            if not _holds(uri, digest, desk / "after"):
                raise refusal(f"the gate denies {reference}", (not_frozen(uri),))
        _store(papers_uri(uri, reference), papers)
    return uri


def point(store: Any, reference: Reference, uri: str) -> None:
    """Lets a version lead to the frozen files; a tag keeps where it came from.

    Raises:
        GateError: VF6086 for a registry store of another kind.
    """
    from mlflow.entities.model_registry import ModelVersionTag

    name, version = reference.name, str(reference.version)
    found = store.get_model_version(name, version)
    if found.source != uri:
        make: Any = ModelVersionTag
        tag = make(SOURCE_TAG, str(found.source)[:5000])
        type(store).set_model_version_tag.__wrapped__(store, name, version, tag)
    if hasattr(store, "_get_sql_model_version"):
        with store.ManagedSessionMaker(read_only=False) as session:
            row = store._get_sql_model_version(session, name, int(version))
            row.source = row.storage_location = uri
    elif hasattr(store, "_fetch_file_model_version_if_exists"):
        entry = store._fetch_file_model_version_if_exists(name, int(version))
        entry._source = uri
        entry.storage_location = uri
        store._save_model_version_as_meta_file(entry)
    else:
        raise GateError(
            "VF6086",
            f"this registry store cannot be guarded: {type(store).__name__}",
            expected="MLflow's stores in databases or in files",
            remedy="use one of them",
        )


def _holds(uri: str, digest: str, into: Path) -> bool:
    into.mkdir(parents=True)
    try:
        download(uri, into / "files")
    except Exception:  # noqa: BLE001 - what cannot be read is not there
        return False
    found = measure(into / "files")
    return not found.problems and found.digest == digest


def _store(uri: str, folder: Path) -> None:
    if not any(folder.iterdir()):
        return
    repository, path = stores_for(uri)
    repository.log_artifacts(str(folder), path)


@contextmanager
def _opened() -> Iterator[None]:
    _OURS.open = True
    try:
        yield
    finally:
        _OURS.open = False


def _kinds(kind: type[Any]) -> Iterator[type[Any]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _kinds(below)


def _protected(method: Callable[..., Any], places: tuple[str | None, str | None]) -> Callable[..., Any]:
    signature = inspect.signature(method)

    @functools.wraps(method)
    def guarded(self: Any, *given: Any, **named: Any) -> Any:
        if not getattr(_OURS, "open", False):
            bound = signature.bind(self, *given, **named)
            folder, file = (bound.arguments.get(place) if place else None for place in places)
            _check(self, method.__name__, str(folder or ""), None if file is None else str(file))
        return method(self, *given, **named)

    return guarded


def _check(repository: Any, what: str, folder: str, file: str | None) -> None:
    vault = _place(artifact_root(), VAULT)
    root = _place(str(getattr(repository, "artifact_uri", "")), folder)
    targets = [root if file is None else f"{root}/{_folded(posixpath.basename(file.replace(os.sep, '/')))}"]
    if what == "log_artifacts" and file is not None:
        below = (path.relative_to(file).as_posix() for path in Path(file).rglob("*"))
        targets = [root, *(posixpath.normpath(f"{root}/{_folded(name)}") for name in below)]
    for target in targets:
        inside = target == vault or target.startswith(vault + "/")
        above = what == "delete_artifacts" and (vault.startswith(target.rstrip("/") + "/"))
        if inside or above:
            raise refusal("the gate denies writing there", (not_frozen(f"{folder}/{file or ''}"),))


def _place(uri: str, path: str) -> str:
    """A place in one spelling: of the file system, of an URI, with no `..`, links followed, in small letters."""
    from mlflow.utils import file_utils

    to_path: Callable[[str], str] = file_utils.local_file_uri_to_path
    path = path.replace("\\", "/")
    parsed = urlparse(uri)
    if parsed.scheme in ("", "file"):
        # MLflow's own way from an URI to a folder, which decodes `%2D`, even of plain paths.
        return _folded(os.path.realpath(os.path.join(to_path(uri), path.lstrip("/"))))
    if parsed.scheme in ("mlflow-artifacts", "http", "https"):
        # These go over HTTP to a server, whose own repository looks.
        return _folded(posixpath.normpath(f"/proxied/{path}"))
    return _folded(parsed.scheme + ":" + posixpath.normpath(f"/{parsed.netloc}/{parsed.path}/{path}"))


def _folded(text: str) -> str:
    return normalize("NFKC", text).casefold()
