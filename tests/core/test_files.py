"""The one way in which files are opened: no pipe, device or link gets through, and nothing blocks."""

from __future__ import annotations

import ast
import errno
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from verifluxa.files import NotAFileError, _looked_at, open_file, open_inside, read_file

PACKAGE = Path(__file__).parents[2] / "verifluxa"


def pipe(path: Path) -> None:
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
    finally:
        os.chdir(here)


KINDS: dict[str, Callable[[Path], object]] = {
    "a folder": Path.mkdir,
    "a pipe": pipe,
    "a socket": unix_socket,
    "a link to a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to a pipe": lambda path: (pipe(path.with_name("pipe")), path.symlink_to("pipe")),
}


@pytest.mark.parametrize("kind", KINDS)
def test_only_regular_files_are_opened(tmp_path: Path, kind: str) -> None:
    KINDS[kind](tmp_path / "it")
    with pytest.raises(NotAFileError):
        open_file(tmp_path / "it")
    with pytest.raises(OSError, match=r"."):
        open_inside(tmp_path, "it")


def test_a_link_that_the_user_names_is_followed_and_one_inside_a_folder_is_not(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"key")
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    (tmp_path / "folder" / "deep" / "plain").write_bytes(b"plain")
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "folder" / "way").symlink_to("deep")
    with open_file(tmp_path / "folder" / "link") as stream:
        assert stream.read() == b"key"
    with open_inside(tmp_path / "folder", "deep/plain") as stream:
        assert stream.read() == b"plain"
    for name in ("link", "way/plain"):
        with pytest.raises(OSError, match=r".") as caught:
            open_inside(tmp_path / "folder", name)
        assert caught.value.errno in (errno.ELOOP, errno.ENOTDIR)
        with pytest.raises(OSError, match=r".") as caught:
            _looked_at(tmp_path / "folder", tuple(name.split("/")))
        assert caught.value.errno == errno.ELOOP
    os.close(_looked_at(tmp_path / "folder", ("deep", "plain")))


@pytest.mark.parametrize("name", ["", ".", "..", "../secret", "/etc/passwd", "a/../../secret", "deep\\..\\x"])
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_bytes(b"key")
    (tmp_path / "folder").mkdir()
    with pytest.raises(NotAFileError):
        open_inside(tmp_path / "folder", name)


def test_sizes_are_looked_at_before_anything_is_read(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(OSError, match="more than 1,000 bytes"):
        read_file(tmp_path / "sparse", 1000)
    (tmp_path / "small").write_bytes(b"1" * 1000)
    assert len(read_file(tmp_path / "small", 1000)) == 1000
    with pytest.raises(OSError, match="more than 999 bytes"):
        read_file(tmp_path / "small", 999)


OWN_WAYS = {
    "files.py": "the one way",
    "triage/guard/runtime.py": "copied into applications, where it stands alone",
    "dispatch/ledger_file.py": "reads /proc",
    "dispatch/ledger_lock.py": "reads /proc",
}


def test_every_reader_of_the_program_opens_through_it() -> None:
    """Whoever reads a file with `open` or `read_bytes` reads pipes too; only writers and package data may."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name in OWN_WAYS:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and _reads(node):
                found.append(f"{name}:{node.lineno}")
    assert found == []


def _reads(call: ast.Call) -> bool:
    function = call.func
    if isinstance(function, ast.Attribute) and function.attr in ("read_bytes", "read_text"):
        # A module's own `read_bytes(path)` is called by name, `path.read_bytes()` as a method.
        return not any("files(" in ast.unparse(part) for part in ast.walk(function.value) if isinstance(part, ast.Call))
    opens = (isinstance(function, ast.Name) and function.id == "open") or (
        isinstance(function, ast.Attribute) and function.attr == "open" and _is_path(function.value)
    )
    modes = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
    reads = [mode for mode in modes if isinstance(mode, str) and mode.strip("bt") == "r"]
    first = ast.unparse(call.args[0]) if call.args else ""
    return opens and bool(reads) and "descriptor" not in first


def _is_path(node: ast.expr) -> bool:
    return not (isinstance(node, ast.Name) and node.id in ("archive", "Ledger", "os"))
