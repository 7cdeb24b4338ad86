"""The installed wheel: it finds its shelves, starts lightly, and carries all that it needs."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import verifluxa
from verifluxa.library import Library, find, names

ROOT = Path(__file__).parents[2]
SHELVES = ("specs", "solvers", "cluster")
FIND = """
from verifluxa.library import Library, find, names
for shelf in Library:
    for name in names(shelf):
        found = find(shelf, name)
        print(shelf, name, found.sha256, found.path)
"""


def test_the_wheel_is_what_runs_and_has_its_version(installed: Any) -> None:
    code = "import verifluxa, importlib.metadata as m; print(verifluxa.__file__, m.version('verifluxa'))"
    path, version = installed.run("-c", code).stdout.split()
    assert Path(path).is_relative_to(installed.folder)
    assert version == verifluxa.__version__


def test_the_shelves_are_found_by_name_from_the_wheel_as_from_the_checkout(installed: Any) -> None:
    done = installed.run("-c", FIND)
    assert done.stderr == ""
    lines = [line.split(" ", 3) for line in done.stdout.splitlines()]
    assert all(Path(path).is_relative_to(installed.folder / "verifluxa" / "_library") for *_, path in lines)
    assert [tuple(line[:3]) for line in lines] == [
        (shelf.value, name, find(shelf, name).sha256) for shelf in Library for name in names(shelf)
    ]
    assert {shelf for shelf, *_ in lines} == {shelf.value for shelf in Library}


def test_the_wheel_carries_every_file_of_the_package_and_the_shelves(
    installed: Any, repository_files: list[Path]
) -> None:
    with zipfile.ZipFile(installed.wheel) as archive:
        carried = set(archive.namelist())
    missing = []
    for path in repository_files:
        name = path.relative_to(ROOT).as_posix()
        top = name.split("/")[0]
        if top == "verifluxa" and name not in carried:
            missing.append(name)
        if top in SHELVES and f"verifluxa/_library/{name}" not in carried:
            missing.append(name)
    assert missing == []
    assert "verifluxa/py.typed" in carried
    distribution = f"verifluxa-{verifluxa.__version__}"
    assert {name.split("/")[0] for name in carried} == {
        "verifluxa",
        f"{distribution}.dist-info",
        f"{distribution}.data",
    }


COMMAND = "import sys; sys.argv = {arguments}; from verifluxa.cli.main import entry; entry()"


def test_the_command_answers_from_the_wheel(installed: Any) -> None:
    done = installed.run("-c", COMMAND.format(arguments=["verifluxa", "--version"]))
    assert done.returncode == 0, done.stderr
    assert verifluxa.__version__ in done.stdout


def test_the_command_explains_a_code_from_the_wheel(installed: Any) -> None:
    done = installed.run("-c", COMMAND.format(arguments=["verifluxa", "explain", "VF4001"]))
    assert done.returncode == 0, done.stderr
    assert "there is no shipped file of this name" in done.stdout


def test_the_command_is_installed_under_its_name(installed: Any) -> None:
    (entry_points,) = installed.folder.glob("verifluxa-*.dist-info/entry_points.txt")
    assert "verifluxa = verifluxa.cli.main:entry" in entry_points.read_text()
