"""Registries on disk: complete or not there, never changed, and nothing outside their folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.gate.desk import FILES, Desk
from verifluxa.errors import GateError
from verifluxa.gate.case import Decision
from verifluxa.gate.files import files_digest, measure, take
from verifluxa.gate.folder_registry import FolderRegistry
from verifluxa.gate.oci_registry import MANIFEST, OciRegistry
from verifluxa.gate.reference import Reference, parse_reference

Local = FolderRegistry | OciRegistry


@pytest.fixture(params=[FolderRegistry, OciRegistry], ids=["folder", "oci"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Local:
    made: Local = request.param(tmp_path / "registry")
    return made


def permission(desk: Desk) -> Decision:
    return desk.decide()


def test_versions_are_numbered_and_come_back_whole(desk: Desk, registry: Local, tmp_path: Path) -> None:
    first, second = registry.add("digits", desk.model), registry.add("digits", desk.model)
    assert (first.version, second.version) == (1, 2)
    fetched = registry.fetch(second, tmp_path / "out")
    assert {path.name: path.read_bytes() for path in fetched.folder.iterdir()} == FILES
    assert fetched.certificates == ()
    registry.attach(second, {"certificate.dsse.json": b"{}", "certificate.1.dsse.json": b"[]", "evidence.jsonl": b"x"})
    again = registry.fetch(second, tmp_path / "again")
    assert [path.read_bytes() for path in again.certificates] == [b"{}", b"[]"]
    assert measure(again.folder).digest == measure(desk.model).digest


def test_aliases(desk: Desk, registry: Local) -> None:
    versions = [registry.add("digits", desk.model).at("production") for _ in range(2)]
    assert registry.current(versions[0]) is None
    registry.point(versions[1], permission(desk), desk.model)
    if isinstance(registry, FolderRegistry):
        assert registry.current(versions[0]) == 2
        line = (registry.root / "digits" / "aliases" / "production").read_text()
        assert line == f"2 {files_digest(measure(desk.model).digests)}\n"
    assert [item.alias for item in registry.live()] == ["production"]
    registry.withdraw(versions[1], None)
    assert list(registry.live()) == []


def test_a_folder_with_a_symlink_is_not_registered(desk: Desk, registry: Local) -> None:
    (desk.model / "link").symlink_to("/etc/hostname")
    with pytest.raises(GateError) as caught:
        registry.add("digits", desk.model)
    assert caught.value.code == "VF6013"
    assert not list(registry.root.glob("digits/[0-9]*"))


@pytest.mark.parametrize("name", ["..", ".", "a/b", "../up", ""])
def test_names_do_not_lead_out_of_the_folder(desk: Desk, tmp_path: Path, name: str) -> None:
    with pytest.raises(GateError):
        FolderRegistry(tmp_path / "registry").add(name, desk.model)
    with pytest.raises(GateError):
        FolderRegistry(tmp_path).fetch(Reference("folder", name, 1), tmp_path / "into")


def test_an_alias_that_is_none(desk: Desk, tmp_path: Path) -> None:
    registry = FolderRegistry(tmp_path / "registry")
    reference = registry.add("digits", desk.model).at("production")
    registry.point(reference, permission(desk), desk.model)
    (registry.root / "digits" / "aliases" / "production").write_text("latest\n")
    for call in (lambda: registry.current(reference), lambda: list(registry.live())):
        with pytest.raises(GateError) as caught:
            call()
        assert caught.value.code == "VF6080"


def test_an_oci_layout_is_as_the_specification_says(desk: Desk, tmp_path: Path) -> None:
    registry = OciRegistry(tmp_path / "registry")
    reference = registry.add("digits", desk.model)
    registry.attach(reference, {"certificate.dsse.json": b"{}"})
    registry.add("digits", desk.model)
    assert json.loads((registry.root / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    index = json.loads((registry.root / "index.json").read_text())
    assert [item["mediaType"] for item in index["manifests"]] == [MANIFEST] * 3
    model, papers, _ = (json.loads(_blob(registry, item["digest"])) for item in index["manifests"])
    titles = {layer["annotations"]["org.opencontainers.image.title"]: layer["size"] for layer in model["layers"]}
    assert titles == {name: len(data) for name, data in FILES.items()}
    assert papers["subject"]["digest"] == index["manifests"][0]["digest"]
    assert papers["subject"]["size"] == len(_blob(registry, papers["subject"]["digest"]))


def _blob(registry: OciRegistry, digest: str) -> bytes:
    return (registry.root / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_bytes()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '{"manifests": 3}',
        '{"manifests": [{}]}',
        '{"manifests": [{"annotations": {}}]}',
        '{"manifests": []',
    ],
)
def test_an_index_that_is_none(desk: Desk, tmp_path: Path, text: str) -> None:
    registry = OciRegistry(tmp_path / "registry")
    reference = registry.add("digits", desk.model)
    (registry.root / "index.json").write_text(text)
    with pytest.raises(GateError):
        registry.fetch(reference, tmp_path / "into")


def test_a_blob_with_other_bytes_or_a_name_that_leads_out(desk: Desk, tmp_path: Path) -> None:
    registry = OciRegistry(tmp_path / "registry")
    reference = registry.add("digits", desk.model)
    index = json.loads((registry.root / "index.json").read_text())
    manifest = registry.root / "blobs" / "sha256" / index["manifests"][0]["digest"].removeprefix("sha256:")
    good = manifest.read_bytes()
    manifest.write_bytes(good.replace(b"clean.jld2", b"../../x.jl"))
    with pytest.raises(GateError):
        registry.fetch(reference, tmp_path / "one")
    # Even under its right digest a layer's name must be a plain one.
    bad = registry._blob(good.replace(b"clean.jld2", b"../../x.jl"), None)
    index["manifests"][0].update(digest=bad["digest"], size=bad["size"])
    (registry.root / "index.json").write_text(json.dumps(index))
    with pytest.raises(GateError):
        registry.fetch(reference, tmp_path / "two")


def test_what_is_copied_is_what_is_digested(desk: Desk, tmp_path: Path) -> None:
    copied = take(desk.model, tmp_path / "copy")
    assert dict(copied.digests) == dict(measure(tmp_path / "copy").digests)
    assert not copied.problems


@pytest.mark.parametrize(
    "text",
    ["folder:/d\ud800/1@production", "folder:/d\u202e/1@production", "folder:/d\u2028x/1", "folder:/a\nb/1", "a:/b/0"],
)
def test_names_that_no_terminal_shows_are_no_references(text: str) -> None:
    with pytest.raises(GateError) as caught:
        parse_reference(text)
    assert caught.value.code == "VF6031"
    str(caught.value).encode()
