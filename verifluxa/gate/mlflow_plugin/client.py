"""An MLflow registry as the gate sees it, over MLflow's own client (mlflow-skinny is enough)."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from verifluxa.errors import GateError
from verifluxa.gate.case import Decision
from verifluxa.gate.policy import Policy
from verifluxa.gate.reference import STAGE, Reference
from verifluxa.gate.registry import Fetched, no_version, unreachable
from verifluxa.gate.status import check_server

if TYPE_CHECKING:
    from mlflow import MlflowClient


VERDICT_TAG = "verifluxa.verdict"
CERTIFICATE_TAG = "verifluxa.certificate"
SOURCE_TAG = "verifluxa.source"
"""Where a promoted version came from, before it led to what the gate keeps."""
TAG_PREFIX = "verifluxa."
_PLAIN = re.compile(r"[^A-Za-z0-9_-]")


def papers_uri(files: str, reference: Reference) -> str:
    """The artifact folder of a promotion's documents, given that of its files: two versions may share files."""
    short = hashlib.sha256(reference.name.encode()).hexdigest()[:8]
    name = _PLAIN.sub("_", reference.name)[:60]
    return f"{files.rstrip('/')}.verifluxa/{name}-{short}-{reference.version}/{reference.slot}"


SCHEME = "models"
NO_STAGE = ("None", "Archived")
PAGE = 500
PROMPT_TAG = "mlflow.prompt.is_prompt"
SERVER = "mlflow server"
"""What a server with the plugin calls its registry in its log."""
Answer = TypeVar("Answer")


class MlflowRegistry:
    """See the module.

    Args:
        uri: of the tracking server; None for MLFLOW_TRACKING_URI.
    """

    decides = True

    def __init__(self, uri: str | None = None) -> None:
        # Named outright: MLflow remembers addresses of its own in global variables.
        self.uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or None
        place = (self.uri or "mlflow").rstrip("/")
        self.sources = (place, f"{place}/", SERVER)
        self._client = _client(self.uri)
        # What the client asks; it does not leave out models with tags of prompts, as the client does.
        client: Any = self._client
        self._registry = client._get_registry_client().store

    def fetch(self, reference: Reference, into: Path) -> Fetched:
        """Downloads a version's files, and its documents where there are any."""
        files = self._files(reference)
        into.mkdir(parents=True)
        self._ask(reference, lambda: self._download(files, into / "model"))
        papers = into / "papers"
        try:
            self._ask(reference, lambda: self._download(papers_uri(files, reference), papers))
        except GateError:
            papers.mkdir(exist_ok=True)
        return Fetched(into / "model", papers)

    def attach(self, reference: Reference, documents: Mapping[str, bytes]) -> None:
        """Stores documents as artifacts beside the version's files."""
        name, version = reference.name, str(reference.version)
        found = self._ask(reference, lambda: self._client.get_model_version(name, version))
        # What was promoted before lies where only the server writes; documents for it go where it came from.
        origin = found.tags.get(SOURCE_TAG) or self._files(reference)
        self._store(reference, papers_uri(origin, reference), documents)

    def current(self, reference: Reference) -> int | None:
        """The version that has the alias or the stage."""
        alias = reference.alias or ""
        if alias.startswith(STAGE):
            found = self._ask(
                reference, lambda: self._client.get_latest_versions(reference.name, [alias[len(STAGE) :]])
            )
            return int(found[0].version) if found else None
        aliases = self._ask(reference, lambda: self._client.get_registered_model(reference.name)).aliases
        return int(aliases[alias]) if alias in aliases else None

    def point(self, reference: Reference, decision: Decision, copy: Path) -> None:
        """Sets the alias or stage, and tags the version with the verdict and the certificate's digest."""
        name, version, alias = reference.name, str(reference.version), reference.alias or ""
        if alias.startswith(STAGE):
            self._ask(
                reference, lambda: self._client.transition_model_version_stage(name, version, alias[len(STAGE) :])
            )
        else:
            self._ask(reference, lambda: self._client.set_registered_model_alias(name, alias, version))
        verdict = "certified" if decision.override is None else "overridden"
        for key, value in ((VERDICT_TAG, verdict), (CERTIFICATE_TAG, decision.certificate)):
            self._tag(reference, key, value)

    def copy(self, source: Reference, target: Reference, documents: Mapping[str, bytes]) -> None:
        """Copies a version; the target's documents are stored first, where a server with the plugin looks for them.

        Raises:
            GateError: VF6082 when the copy does not get the target's number.
        """
        name, version = source.name, str(source.version)
        tags = self._ask(source, lambda: self._client.get_model_version(name, version)).tags
        place = papers_uri(tags.get(SOURCE_TAG) or self._files(source), target)
        self._store(source, place, documents)
        uri = f"models:/{source.name}/{source.version}"
        created = self._ask(source, lambda: self._client.copy_model_version(uri, target.name))
        if int(created.version) != target.version:
            self._ask(target, lambda: self._client.delete_model_version(target.name, str(created.version)))
            raise _refused(target, f"the copy would be version {created.version}")

    def withdraw(self, reference: Reference, to: int | None) -> None:
        """Sets the alias back, or takes it away."""
        name, alias = reference.name, reference.alias or ""
        if alias.startswith(STAGE):
            version = str(reference.version)
            self._ask(reference, lambda: self._client.transition_model_version_stage(name, version, "None"))
        elif to is None:
            self._ask(reference, lambda: self._client.delete_registered_model_alias(name, alias))
        else:
            self._ask(reference, lambda: self._client.set_registered_model_alias(name, alias, str(to)))

    def check_guard(self, policy: Policy) -> None:
        """Asks the server.

        Raises:
            GateError: VF6090 when it is not guarded.
        """
        check_server(self.uri or "", policy)

    def live(self) -> Iterator[Reference]:
        """Every version with an alias or in a stage, and every version by itself."""
        anything = Reference(SCHEME, "*", 1)
        names = set()
        # MLflow leaves prompts out unless asked.
        for words in (None, f"tags.`{PROMPT_TAG}` = 'true'"):
            for model in self._models(anything, words):
                if model.name in names:
                    continue
                names.add(model.name)
                # A search may show an older state of the aliases than the model itself.
                whole = self._ask(anything, lambda: self._registry.get_registered_model(model.name))  # noqa: B023
                for alias, version in sorted(whole.aliases.items()):
                    yield Reference(SCHEME, model.name, int(version), alias)
                yield from self._staged(model.name)

    def _staged(self, name: str) -> Iterator[Reference]:
        anything = Reference(SCHEME, name, 1)
        for item in self._ask(anything, lambda: list(versions_of(self._registry, name))):
            yield Reference(SCHEME, name, int(item.version))
            if item.current_stage not in NO_STAGE:
                yield Reference(SCHEME, name, int(item.version), f"{STAGE}{item.current_stage}")

    def _models(self, about: Reference, words: str | None) -> Iterator[Any]:
        token = None
        while True:
            found = self._ask(about, lambda: self._registry.search_registered_models(words, PAGE, None, token))  # noqa: B023
            yield from found
            token = found.token
            if not token:
                return

    def _store(self, reference: Reference, place: str, documents: Mapping[str, bytes]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for name, data in documents.items():
                (Path(folder) / name).write_bytes(data)
            self._ask(reference, lambda: self._repository(place).log_artifacts(folder, None))

    def _files(self, reference: Reference) -> str:
        name, version = reference.name, str(reference.version)
        return self._ask(reference, lambda: str(self._client.get_model_version_download_uri(name, version)))

    def _tag(self, reference: Reference, key: str, value: str) -> None:
        name, version = reference.name, str(reference.version)
        self._ask(reference, lambda: self._client.set_model_version_tag(name, version, key, value))

    def _download(self, uri: str, into: Path) -> None:
        with tempfile.TemporaryDirectory(dir=into.parent) as folder:
            place_download(Path(self._repository(uri).download_artifacts("", folder)), into)

    def _repository(self, uri: str) -> Any:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        return get_artifact_repository(uri, tracking_uri=self.uri)

    def _ask(self, reference: Reference, call: Callable[[], Answer]) -> Answer:
        """One call of the client; its errors in our words."""
        from mlflow.exceptions import MlflowException

        try:
            with _quiet():
                return call()
        except MlflowException as error:
            if error.error_code == "PERMISSION_DENIED":
                raise _refused(reference, error.message) from error
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                raise no_version(reference, self.uri or "MLFLOW_TRACKING_URI") from error
            raise unreachable(self.uri or "MLFLOW_TRACKING_URI", str(error.message)) from error
        except OSError as error:
            # Among them every error of the HTTP client.
            raise unreachable(self.uri or "MLFLOW_TRACKING_URI", str(error)) from error


def versions_of(store: Any, name: str) -> Iterator[Any]:
    """All versions of a model, given a store of MLflow's.

    A search leaves out every version of a name of which any version is a prompt, so that versions which it does not
    show are asked for by their numbers.
    """
    from mlflow.exceptions import MlflowException

    newest = max((int(item.version) for item in store.get_latest_versions(name, None)), default=0)
    shown = {} if "'" in name else {int(item.version): item for item in _searched(store, f"name='{name}'")}
    yield from shown.values()
    for number in sorted(set(range(1, newest + 1)) - set(shown)):
        try:
            yield store.get_model_version(name, str(number))
        except MlflowException as error:
            # A version that was deleted.
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise


def _searched(store: Any, words: str) -> Iterator[Any]:
    token = None
    while True:
        found = store.search_model_versions(words, max_results=PAGE, page_token=token)
        yield from found
        token = found.token
        if not token:
            return


def is_prompt_key(key: object) -> bool:
    """Whether a tag makes MLflow treat a model as a prompt."""
    return str(key).strip().casefold().startswith("mlflow.prompt.")


@contextmanager
def _quiet() -> Iterator[None]:
    """Without MLflow's deprecations and remarks, which are not the user's."""
    log = logging.getLogger("mlflow")
    level = log.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        log.setLevel(logging.ERROR)
        try:
            yield
        finally:
            log.setLevel(level)


def place_download(found: Path, into: Path) -> None:
    """Puts what was downloaded (a folder, or one file) into a new folder."""
    if found.is_dir():
        shutil.copytree(found, into, symlinks=True)
    else:
        into.mkdir()
        shutil.copyfile(found, into / found.name, follow_symlinks=False)


def _client(uri: str | None) -> MlflowClient:
    # A gate tells nobody what it is asked; MLflow looks at this when it is imported.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    try:
        with _quiet():
            from mlflow import MlflowClient

            return MlflowClient(tracking_uri=uri, registry_uri=uri)
    except ImportError as error:
        raise GateError(
            "VF6085",
            "the gate for MLflow needs MLflow",
            expected="the package mlflow-skinny or mlflow",
            remedy="pip install 'verifluxa[mlflow]'",
        ) from error


def _refused(reference: Reference, message: str) -> GateError:
    return GateError(
        "VF6082",
        f"the registry refused: {message}",
        place=str(reference),
        expected="a server whose own policy permits the promotion too",
        remedy="compare the server's policy with yours, and read the server's log of decisions",
    )
