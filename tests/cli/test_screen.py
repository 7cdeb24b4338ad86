"""What a stream shows: width, colours and block characters, as the terminal and NO_COLOR say."""

import io

import pytest

from verifluxa.cli import output
from verifluxa.report.summary import Line, Screen


class Stream(io.TextIOWrapper):
    """A stream that keeps what is written, and may call itself a terminal."""

    def __init__(self, terminal: bool, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(), encoding=encoding)
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal

    @property
    def written(self) -> bytes:
        self.flush()
        return self.buffer.getvalue()


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.mark.parametrize(("columns", "width"), [(60, 60), (80, 80), (300, 100), (10, 40)])
def test_the_width_is_that_of_the_terminal_within_what_can_be_read(monkeypatch, columns, width):
    monkeypatch.setenv("COLUMNS", str(columns))
    assert output.screen_of(Stream(terminal=True)).width == width
    assert output.screen_of(Stream(terminal=False)).width == Screen().width


@pytest.mark.parametrize(("encoding", "has_blocks"), [("utf-8", True), ("ascii", False), ("latin-1", False)])
def test_block_characters_where_the_stream_can_write_them(encoding, has_blocks):
    assert output.screen_of(Stream(terminal=True, encoding=encoding)).has_blocks is has_blocks


def test_colours_on_a_terminal_alone_and_not_against_the_users_will(monkeypatch):
    def written(terminal: bool) -> bytes:
        stream = Stream(terminal)
        output.print_lines([Line("FALSIFIED", "bold red")], stream)
        return stream.written

    assert b"\x1b[" in written(terminal=True)
    assert written(terminal=False) == b"FALSIFIED\n"
    monkeypatch.setenv("NO_COLOR", "1")
    assert b"\x1b[31" not in written(terminal=True)
    assert b"\x1b[1;31" not in written(terminal=True)
