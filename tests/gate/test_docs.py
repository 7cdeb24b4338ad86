"""docs/how-to/gate.md: its policy is one, its commands exist, and the tests that its threat table names exist."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import typer

from tests.gate.desk import Desk
from verifluxa.cli.app import build_app
from verifluxa.gate.policy import load_policy

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "how-to" / "gate.md").read_text(encoding="utf-8")


def test_the_policy_of_the_page_is_one(desk: Desk) -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.S)
    for name in ("release", "officer"):
        shutil.copy(desk.root / "gate" / f"{name}.pub", desk.root / f"{name}.pub")
    path = desk.root / "policy.toml"
    path.write_text(text)
    policy = load_policy(path)
    assert policy.requirements[0].questions == 6760
    assert policy.requirements[0].name == "no_universal_trigger"
    assert policy.recheck.mode == "always"


def test_every_key_of_a_policy_is_in_the_table() -> None:
    source = (ROOT / "verifluxa" / "gate" / "policy.py").read_text(encoding="utf-8")
    keys = set(re.findall(r'table\.(?:text|texts|digests|integer|flag|choice|time|has|child)\(\s*"(\w+)"', source))
    table = PAGE[PAGE.index("## The policy") : PAGE.index("## The decision")]
    assert {key for key in keys if not re.search(rf"`\[*{key}\]*`|\[{key}\]", table)} == set()


def test_commands_exist_with_their_options() -> None:
    root = typer.main.get_command(build_app())
    blocks = [text for kind, text in re.findall(r"^```(\w*)\n(.*?)^```", PAGE, re.S | re.M) if not kind]
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    asked = [line.split("&&")[0].split() for line in lines if line.startswith("verifluxa ")]
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
