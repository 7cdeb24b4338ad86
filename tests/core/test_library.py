"""The library finds shipped files by name, wherever the program is started, and nothing else."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from verifluxa.errors import UsageError
from verifluxa.library import MOST_BYTES, Library, find, names, read_path, resolve

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("shelf", list(Library))
def test_every_file_on_a_shelf_is_found_by_its_name_with_its_digest(shelf: Library) -> None:
    files = {path.stem: path for path in (ROOT / shelf).glob("*" + shelf.suffix)}
    assert names(shelf) == tuple(sorted(files))
    assert files
    for name, path in files.items():
        resource = find(shelf, name)
        assert resource.text.encode() == path.read_bytes()
        assert resource.sha256 == "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
        assert (resource.name, resolve(shelf, name)) == (name, resource)


@pytest.mark.parametrize("shelf", [Library.SOLVERS, Library.CLUSTER])
def test_shipped_tables_call_themselves_what_their_file_is_called(shelf: Library) -> None:
    for name in names(shelf):
        table = tomllib.loads(find(shelf, name).text)
        assert (table["schema"], table["name"]) == (1, name)


@pytest.mark.parametrize("shelf", list(Library))
def test_the_readme_of_a_shelf_speaks_of_every_file_on_it(shelf: Library) -> None:
    text = (ROOT / shelf / "README.md").read_text()
    assert [name for name in names(shelf) if f"`{name}`" not in text] == []


def test_the_working_directory_is_never_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in (tmp_path, tmp_path / "solvers"):
        folder.mkdir(exist_ok=True)
        (folder / "quick.toml").write_text("planted")
        (folder / "mine.toml").write_text("planted")
    monkeypatch.chdir(tmp_path)
    assert "planted" not in find(Library.SOLVERS, "quick").text
    with pytest.raises(UsageError):
        find(Library.SOLVERS, "mine")


def test_an_installed_library_goes_before_the_checkout(tmp_path: Path) -> None:
    package = tmp_path / "verifluxa"
    (package / "_library" / "solvers").mkdir(parents=True)
    (package / "_library" / "solvers" / "installed.toml").write_text("installed")
    (tmp_path / "solvers").mkdir()
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster" / "checkout.toml").write_text("checkout")
    assert names(Library.SOLVERS, package) == ("installed",)
    assert find(Library.SOLVERS, "installed", package).text == "installed"
    assert names(Library.CLUSTER, package) == ("checkout",)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "..",
        "../solvers/quick",
        "solvers/quick",
        "a\\b",
        "quick.toml",
        ".quick",
        "quick\n",
        "quick\0",
        "-q",
        "x" * 101,
    ],
)
def test_names_that_could_be_paths_are_refused(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        find(Library.SOLVERS, name)
    assert caught.value.code == "VF4002"


@pytest.mark.parametrize(
    ("shelf", "name"),
    [
        (Library.SOLVERS, "balancd"),
        (Library.SOLVERS, "x"),
        (Library.CLUSTER, "labtop"),
        (Library.SPECS, "patch-anywhere"),
        (Library.SPECS, "a/b"),
    ],
)
def test_what_a_user_reads(shelf: Library, name: str, snapshot: SnapshotAssertion) -> None:
    with pytest.raises(UsageError) as caught:
        find(shelf, name)
    assert str(caught.value) == snapshot


def test_a_users_own_file_is_read_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "own.toml"
    path.write_text('name = "own"\n')
    for resource in (read_path(path), read_path(str(path)), resolve(Library.SOLVERS, str(path))):
        assert (resource.name, resource.path, resource.text) == ("own", path, 'name = "own"\n')


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "large.toml").write_bytes(b"#" * (MOST_BYTES + 1))
    (tmp_path / "full.toml").write_bytes(b"#" * MOST_BYTES)
    (tmp_path / "latin.toml").write_bytes(b"# \xe9")
    assert len(read_path(tmp_path / "full.toml").text) == MOST_BYTES
    for name, words in (("large", "too large"), ("latin", "not UTF-8"), ("missing", "cannot read")):
        with pytest.raises(UsageError, match=words) as caught:
            resolve(Library.SOLVERS, str(tmp_path / f"{name}.toml"))
        assert caught.value.code == "VF4003"
        assert str(tmp_path) in str(caught.value)
    with pytest.raises(UsageError, match="cannot read"):
        read_path(tmp_path)


def test_a_path_with_a_null_byte_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        read_path("a\0.toml")
    assert caught.value.code == "VF4003"
