"""The first line on a terminal: it comes at once, and goes away before anything else is said."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest

from verifluxa.cli import first_line
from verifluxa.cli.first_line import reading


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stream = _Terminal()
    monkeypatch.setattr(first_line, "sys", SimpleNamespace(stderr=stream))
    monkeypatch.setenv("TERM", "xterm")
    return stream


def test_it_says_what_is_read_until_it_is_read(terminal: io.StringIO) -> None:
    with reading("clean.vfx"):
        assert terminal.getvalue() == "reading clean.vfx ..."
    assert terminal.getvalue() == "reading clean.vfx ...\r\x1b[2K"


def test_it_goes_away_before_an_error_is_shown(terminal: io.StringIO) -> None:
    with pytest.raises(ValueError, match="no spec"), reading("clean.vfx"):
        raise ValueError("no spec")
    assert terminal.getvalue().endswith("\r\x1b[2K")


def test_a_name_cannot_draw_on_the_terminal(terminal: io.StringIO) -> None:
    with reading("a\x1b[2J\nb" + "c" * 100 + ".vfx"):
        said = terminal.getvalue()
    assert said.startswith("reading ...")
    assert "\x1b" not in said
    assert "\n" not in said
    assert len(said) < 80


def test_pipes_and_dumb_terminals_get_nothing(terminal: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    with reading("clean.vfx"):
        pass
    monkeypatch.setenv("TERM", "xterm")
    pipe = io.StringIO()
    monkeypatch.setattr(first_line, "sys", SimpleNamespace(stderr=pipe))
    with reading("clean.vfx"):
        pass
    assert (terminal.getvalue(), pipe.getvalue()) == ("", "")
