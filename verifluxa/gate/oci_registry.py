"""A registry that is an OCI image layout on disk, as `oras` and `skopeo` copy it to and from real registries.

https://github.com/opencontainers/image-spec/blob/main/image-layout.md. Blobs are named by their digest, which is
checked on every read. A version is a manifest whose layers are the files; documents are a second manifest with the
first as its `subject`, as referrers are; the index names versions `NAME/VERSION` and aliases `NAME@ALIAS`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from verifluxa.certificate.document import read_json
from verifluxa.errors import CertificateError
from verifluxa.files import locked, open_file, open_inside, read_file
from verifluxa.gate.case import Decision
from verifluxa.gate.files import measure
from verifluxa.gate.policy import Policy
from verifluxa.gate.reference import Reference, parse_reference
from verifluxa.gate.registry import Fetched, no_version, unreachable

SCHEME = "oci"
MODEL = "application/vnd.verifluxa.model.v1"
PAPERS = "application/vnd.verifluxa.certificate.v1"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
EMPTY = b"{}"
REF = "org.opencontainers.image.ref.name"
VERSION = "dev.verifluxa.version"
"""Which version an alias was given to, where two have the same files."""
TITLE = "org.opencontainers.image.title"
LARGEST_MANIFEST = 4 * 2**20
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_NAME = r"[^/@!\x00-\x20\x7f\\][^/@!\x00-\x1f\x7f\\]{0,254}"
_VERSION_REF = re.compile(rf"{_NAME}/[1-9][0-9]{{0,9}}")
_PAPERS_REF = re.compile(rf"{_VERSION_REF.pattern}![^\x00-\x1f\x7f/\\@!]{{1,260}}")
_ALIAS_REF = re.compile(rf"{_NAME}@[A-Za-z0-9_-][A-Za-z0-9_.-]{{0,254}}")
_FILE = re.compile(r"[^/\\\x00-\x1f\x7f]{1,255}")


class OciRegistry:
    """See the module; `root` is the folder of the layout."""

    decides = False

    def __init__(self, root: Path) -> None:
        self.root = root
        self.sources = (str(root.resolve()),)

    def add(self, name: str, folder: Path) -> Reference:
        """Registers the files of a folder (no folders within) as the next version."""
        files = measure(folder)
        if files.problems:
            raise files.problems[0]
        try:
            self._create()
            layers = [self._blob_of(folder, file) for file in sorted(files.digests)]
            manifest = self._manifest(MODEL, layers, None)
            with self._index() as index:
                taken = [ref for ref in index if ref.startswith(f"{name}/")]
                version = max((int(ref.rsplit("/", 1)[1]) for ref in taken if "!" not in ref), default=0) + 1
                reference = parse_reference(f"{SCHEME}:/{name}/{version}")
                if not _VERSION_REF.fullmatch(f"{name}/{version}"):
                    # The index would no longer be one that this reads.
                    raise no_version(reference, str(self.root))
                index[f"{name}/{version}"] = manifest
        except OSError as error:
            raise unreachable(str(self.root), error.strerror or str(error)) from error
        return reference

    def fetch(self, reference: Reference, into: Path) -> Fetched:
        """Copies a version; every blob must have the digest that it is named by."""
        descriptor = self._find(reference)
        folder, papers = into / "model", into / "papers"
        folder.mkdir(parents=True)
        papers.mkdir()
        self._unpack(descriptor, folder)
        found = self._read_index().get(_papers(reference))
        if found is not None:
            self._unpack(found, papers)
        return Fetched(folder, papers)

    def attach(self, reference: Reference, documents: Mapping[str, bytes]) -> None:
        """Stores documents as a manifest that refers to the version's."""
        with self._index() as index:
            layers = [self._blob(data, name) for name, data in documents.items()]
            manifest = self._manifest(PAPERS, layers, self._find(reference))
            index[_papers(reference)] = manifest

    def current(self, reference: Reference) -> int | None:
        """The version whose manifest the alias names."""
        index = self._read_index()
        wanted = index.get(f"{reference.name}@{reference.alias}")
        return None if wanted is None else self._version_of(index, reference.name, wanted)

    def point(self, reference: Reference, decision: Decision, copy: Path) -> None:
        """Lets the alias name the version's manifest; its blobs are named by their digest, and are written once."""
        descriptor = self._find(reference)
        with self._index() as index:
            index[f"{reference.name}@{reference.alias}"] = _given(descriptor, reference.version)

    def withdraw(self, reference: Reference, to: int | None) -> None:
        """Lets the alias name another version, or nothing."""
        with self._index() as index:
            index.pop(f"{reference.name}@{reference.alias}", None)
            if to is not None:
                index[f"{reference.name}@{reference.alias}"] = _given(index[f"{reference.name}/{to}"], to)

    def check_guard(self, policy: Policy) -> None:
        """A folder has no gate of its own."""

    def live(self) -> Iterator[Reference]:
        """Every alias.

        Raises:
            GateError: VF6080 for an alias that leads to no version of its own name.
        """
        index = self._read_index()
        for ref in sorted(index):
            name, at, alias = ref.partition("@")
            if at:
                version = self._version_of(index, name, index[ref])
                yield parse_reference(f"{SCHEME}:/{name}/{version}@{alias}")

    def _version_of(self, index: Mapping[str, dict[str, Any]], name: str, wanted: Mapping[str, Any]) -> int:
        """The version of this name that has the manifest; the newest, where files were registered twice."""
        found = [
            int(ref.removeprefix(f"{name}/"))
            for ref, descriptor in index.items()
            if _VERSION_REF.fullmatch(ref) and ref.startswith(f"{name}/") and descriptor["digest"] == wanted["digest"]
        ]
        named = wanted.get("annotations", {}).get(VERSION)
        if named is not None and named.isascii() and named.isdigit() and int(named) in found:
            return int(named)
        if not found:
            raise unreachable(str(self.root), f"an alias of {name} leads to a manifest that is no version of it")
        return max(found)

    def _find(self, reference: Reference) -> dict[str, Any]:
        found = self._read_index().get(f"{reference.name}/{reference.version}")
        if found is None:
            raise no_version(reference, str(self.root))
        return found

    def _unpack(self, descriptor: Mapping[str, Any], into: Path) -> None:
        layers = self._json(self._checked(descriptor)).get("layers")
        for layer in layers if isinstance(layers, list) else []:
            named = layer.get("annotations") if isinstance(layer, dict) else None
            title = named.get(TITLE) if isinstance(named, dict) else None
            if not isinstance(title, str) or not _FILE.fullmatch(title) or title in (".", ".."):
                raise unreachable(str(self.root), f"a layer has no plain file name: {title!r}")
            self._copy(layer, into / title)

    def _copy(self, descriptor: Mapping[str, Any], target: Path) -> None:
        """Copies a blob and digests what was copied."""
        digest = hashlib.sha256()
        try:
            with open_file(self._path(descriptor)) as source, target.open("xb") as file:
                while piece := source.read(2**20):
                    digest.update(piece)
                    file.write(piece)
        except OSError as error:
            raise unreachable(str(self.root), error.strerror or str(error)) from error
        if "sha256:" + digest.hexdigest() != descriptor["digest"]:
            raise unreachable(str(self.root), f"blob {descriptor['digest']} holds other bytes than its name says")

    def _checked(self, descriptor: Mapping[str, Any]) -> bytes:
        try:
            data = read_file(self._path(descriptor), LARGEST_MANIFEST)
        except OSError as error:
            raise unreachable(str(self.root), error.strerror or str(error)) from error
        if "sha256:" + hashlib.sha256(data).hexdigest() != descriptor["digest"]:
            raise unreachable(str(self.root), f"manifest {descriptor['digest']} holds other bytes than its name says")
        return data

    def _path(self, descriptor: Mapping[str, Any]) -> Path:
        digest = descriptor.get("digest")
        if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise unreachable(str(self.root), "a descriptor has no sha256 digest")
        return self.root / "blobs" / "sha256" / digest.removeprefix("sha256:")

    def _create(self) -> None:
        (self.root / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
        if not (self.root / "oci-layout").exists():
            self._write(self.root / "oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        if not (self.root / "index.json").exists():
            self._write(self.root / "index.json", _index_bytes({}))

    def _manifest(self, kind: str, layers: list[dict[str, Any]], subject: dict[str, Any] | None) -> dict[str, Any]:
        config = self._blob(EMPTY, None) | {"mediaType": "application/vnd.oci.empty.v1+json"}
        value: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": kind,
            "config": config,
            "layers": layers,
        }
        if subject is not None:
            value["subject"] = {name: subject[name] for name in ("mediaType", "digest", "size")}
        blob = self._blob(json.dumps(value, sort_keys=True, separators=(",", ":")).encode(), None)
        return blob | {"mediaType": MANIFEST, "artifactType": kind}

    def _blob(self, data: bytes, title: str | None) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        path = self.root / "blobs" / "sha256" / digest
        if not path.exists():
            self._write(path, data)
        return _descriptor(digest, len(data), title)

    def _blob_of(self, source: Path, title: str) -> dict[str, Any]:
        """Copies a file of a folder into the store under the digest of the copied bytes."""
        folder, digest, size = self.root / "blobs" / "sha256", hashlib.sha256(), 0
        fresh = tempfile.NamedTemporaryFile(dir=folder, prefix=".", delete=False)  # noqa: SIM115 - closed below
        with fresh as target, open_inside(source, title) as file:
            while piece := file.read(2**20):
                digest.update(piece)
                size += len(piece)
                target.write(piece)
        os.chmod(target.name, 0o644)
        os.replace(target.name, folder / digest.hexdigest())
        return _descriptor(digest.hexdigest(), size, title)

    @contextmanager
    def _index(self) -> Iterator[dict[str, dict[str, Any]]]:
        """The index, held for a change and written in one step."""
        try:
            with locked(self.root / ".lock"):
                index = self._read_index()
                yield index
                self._write(self.root / "index.json", _index_bytes(index))
        except OSError as error:
            raise unreachable(str(self.root), error.strerror or str(error)) from error

    def _read_index(self) -> dict[str, dict[str, Any]]:
        try:
            value = self._json(read_file(self.root / "index.json", LARGEST_MANIFEST))
        except OSError as error:
            raise unreachable(str(self.root), error.strerror or str(error)) from error
        found: dict[str, dict[str, Any]] = {}
        try:
            for item in value["manifests"]:
                ref = str(item["annotations"][REF])
                # Others who read the layout may take the first of two equal names where this takes the last.
                if ref in found:
                    raise unreachable(str(self.root), f"index.json names {ref!r} twice")
                if not any(form.fullmatch(ref) for form in (_VERSION_REF, _PAPERS_REF, _ALIAS_REF)):
                    raise unreachable(str(self.root), f"index.json has a name that is none of ours: {ref!r}")
                self._path(item)
                found[ref] = dict(item)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise unreachable(str(self.root), "index.json does not name its manifests") from error
        return found

    def _json(self, data: bytes) -> dict[str, Any]:
        try:
            value: Any = read_json(data[: LARGEST_MANIFEST + 1], str(self.root))
        except CertificateError as error:
            raise unreachable(str(self.root), error.message) from error
        if not isinstance(value, dict):
            raise unreachable(str(self.root), "a document of the layout is no object")
        return value

    def _write(self, path: Path, data: bytes) -> None:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(file.name, 0o644)
        shutil.move(file.name, path)


def _given(descriptor: Mapping[str, Any], version: int) -> dict[str, Any]:
    """A descriptor for an alias, which says to which version it was given."""
    return {**descriptor, "annotations": {**descriptor.get("annotations", {}), VERSION: str(version)}}


def _papers(reference: Reference) -> str:
    """The index's name for the documents of a promotion."""
    return f"{reference.name}/{reference.version}!{reference.slot}"


def _descriptor(digest: str, size: int, title: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {"mediaType": "application/octet-stream", "digest": "sha256:" + digest, "size": size}
    return found if title is None else found | {"annotations": {TITLE: title}}


def _index_bytes(index: Mapping[str, dict[str, Any]]) -> bytes:
    manifests = [
        descriptor | {"annotations": {**descriptor.get("annotations", {}), REF: ref}}
        for ref, descriptor in index.items()
    ]
    return json.dumps({"schemaVersion": 2, "manifests": manifests}, sort_keys=True, indent=1).encode() + b"\n"
