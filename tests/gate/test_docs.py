"""docs/how-to/gate.md: its commands exist, its tables are whole, and the tests that its threats name exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import typer

from verifluxa.cli.app import build_app

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "how-to" / "gate.md").read_text(encoding="utf-8")


def test_every_key_of_a_policy_is_in_the_table() -> None:
    source = (ROOT / "verifluxa" / "gate" / "policy.py").read_text(encoding="utf-8")
    keys = set(re.findall(r'table\.(?:text|texts|digests|integer|flag|choice|time|has|child)\(\s*"(\w+)"', source))
    table = PAGE[PAGE.index("## The policy") : PAGE.index("## The decision")]
    assert {key for key in keys if not re.search(rf"`\[*{key}\]*`|\[{key}\]", table)} == set()


def test_commands_exist_with_their_options() -> None:
    root = typer.main.get_command(build_app())
    lines = re.findall(r"^\$ (verifluxa .*)", PAGE, re.M)
    asked = [shlex.split(line) for line in lines]
    assert len(asked) > 10
    for words in asked:
        command, rest = root, words[1:]
        while hasattr(command, "commands"):
            command, rest = command.commands[rest[0]], rest[1:]
        known = {name for param in command.params for name in param.opts}
        assert {word for word in rest if word.startswith("--")} <= known, words


def test_every_threat_names_tests_that_exist() -> None:
    rows = [line for line in PAGE[PAGE.index("## Threats") :].splitlines() if line.startswith("|")][2:]
    vectors = ("data", "script", "layer or loss", "weights", "infrastructure", "insider", "supply chain")
    assert all(any(vector in row.split("|")[1] for row in rows) for vector in vectors)
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", row)
        assert named, row
        for file, test in named:
            assert f"def {test}" in (ROOT / file).read_text(encoding="utf-8"), (file, test)
