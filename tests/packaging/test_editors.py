"""`editors/`: the TextMate grammar knows the words of the language, and colours every spec as its parser reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from lark import Token
from lark.lexer import PatternStr

from verifluxa.spec.models import DATA, ENCODE_FUNCTIONS, LAYOUTS, MODEL, OUTPUTS
from verifluxa.spec.names import FUNCTIONS
from verifluxa.spec.numbers import UNITS
from verifluxa.spec.params import KINDS as PARAMS
from verifluxa.spec.parse import grammar
from verifluxa.spec.spaces import KINDS as SPACES
from verifluxa.spec.tokens import BLOCK

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "editors" / "vscode"
GRAMMAR: dict[str, Any] = json.loads((FOLDER / "syntaxes" / "vfx.tmLanguage.json").read_text(encoding="utf-8"))
RULES: dict[str, dict[str, Any]] = GRAMMAR["repository"]
SPECS = sorted([*(ROOT / "specs").glob("*.vfx"), *(ROOT / "examples").rglob("*.vfx")])
KEYWORDS = {
    terminal.pattern.value
    for terminal in grammar().terminals
    if isinstance(terminal.pattern, PatternStr) and terminal.pattern.value.isalpha()
}
"""The words of the language's own grammar."""


def words_of(rule: str) -> set[str]:
    """The words that a rule lists: plain alternatives between brackets."""
    pattern = re.sub(r"\(\?!.*?\)", "", RULES[rule]["match"])
    groups = re.findall(r"\((?:\?:)?([a-z|_]+)\)", pattern) + re.findall(r"\((?:\?:)?([a-z|]+)\|\[", pattern)
    return {word for group in groups for word in group.split("|")}


def test_the_keywords_are_those_of_the_language() -> None:
    rules = ("declaration", "include", "labels", "operator-word", "statement", "clause")
    # `x` stands between sizes, and `image` is a kind of input space as well.
    assert set().union(*map(words_of, rules)) == KEYWORDS - {"x", "image"}


def test_functions_types_units_and_settings_are_those_of_the_language() -> None:
    assert words_of("function") == {*FUNCTIONS, *(name for name, _ in ENCODE_FUNCTIONS)}
    assert words_of("type") == {*SPACES, *OUTPUTS, *PARAMS}
    assert words_of("number") == {unit for unit in UNITS if unit.isalpha()}
    assert words_of("setting") == {key for known in (MODEL, DATA, BLOCK) for key in known.now if key.isalpha()} | {
        "vocab"
    }
    assert {*LAYOUTS, "truncate", "error", "vocab", "all"} == words_of("word")


def test_all_rules_are_used_and_each_expression_compiles() -> None:
    assert [item["include"][1:] for item in GRAMMAR["patterns"]] == list(RULES)
    for rule in RULES.values():
        for part in ("match", "begin", "end"):
            if part in rule:
                re.compile(rule[part])


def scoped(text: str) -> Iterator[tuple[int, int, str]]:
    """(start, end, scope) of a text, line by line, as an editor goes through it: the first rule that fits here."""
    offset, inside = 0, None
    for line in text.splitlines(keepends=True):
        at = 0
        while at < len(line):
            if inside is not None:
                end = re.compile(inside["end"]).search(line, at)
                stop = len(line) if end is None else end.end()
                yield offset + at, offset + stop, inside["name"]
                at, inside = stop, inside if end is None else None
                continue
            rule, found = _first(line, at)
            if rule is None or found is None:
                break
            if "begin" in rule:
                yield offset + found.start(), offset + found.end(), rule["name"]
                at, inside = found.end(), rule
                continue
            if "name" in rule:
                yield offset + found.start(), offset + found.end(), rule["name"]
            for number, capture in rule.get("captures", {}).items():
                if found.group(int(number)) is not None:
                    yield offset + found.start(int(number)), offset + found.end(int(number)), capture["name"]
            at = max(found.end(), at + 1)
        offset += len(line)


def _first(line: str, at: int) -> tuple[dict[str, Any] | None, re.Match[str] | None]:
    """The match that begins first; of several there, that of the earlier rule."""
    best: tuple[dict[str, Any] | None, re.Match[str] | None] = (None, None)
    for item in GRAMMAR["patterns"]:
        rule = RULES[item["include"][1:]]
        found = re.compile(rule.get("match") or rule["begin"]).search(line, at)
        if found is not None and (best[1] is None or found.start() < best[1].start()):
            best = rule, found
    return best


def wanted(token: Token) -> str:
    """How a scope of a token begins."""
    kinds = {
        "STRING": "string.",
        "LONG_STRING": "comment.block.documentation",
        "NUMBER": "constant.numeric",
        "DIGEST": "constant.other",
        "KEY": "(variable|support|entity)",
        "NAME": "(variable|support|entity|constant.language|keyword)",
    }
    if token.type in kinds:
        return kinds[token.type]
    return "keyword|support.type" if str(token).isalpha() else "keyword|punctuation"


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.name)
def test_every_token_of_a_spec_has_its_colour(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    scopes = list(scoped(text))
    for token in grammar().parse_interactive(text).iter_parse():
        start, end = token.start_pos, token.end_pos
        assert start is not None
        assert end is not None
        # A doc text goes over lines, and an editor colours line by line.
        last = start + 3 if token.type == "LONG_STRING" else end
        found = [scope for first, behind, scope in scopes if first <= start and last <= behind]
        assert found, f"{token!r} in line {token.line} has no scope"
        assert re.match(wanted(token), found[-1]), f"{token!r} in line {token.line} is {found[-1]}"
        if token.type == "NAME" and found[-1].startswith("keyword"):
            assert str(token) in KEYWORDS | {*UNITS}


def test_comments_are_comments() -> None:
    found = list(scoped('a = "no # comment" # a comment\n# spec input\n'))
    assert [scope for _, _, scope in found if scope.startswith("comment")] == ["comment.line.number-sign.vfx"] * 2


def test_the_extension_names_files_that_are_there() -> None:
    manifest = json.loads((FOLDER / "package.json").read_text(encoding="utf-8"))["contributes"]
    (language,), (colours,) = manifest["languages"], manifest["grammars"]
    assert language["extensions"] == [".vfx"]
    assert colours["scopeName"] == GRAMMAR["scopeName"]
    assert (FOLDER / colours["path"]).samefile(FOLDER / "syntaxes" / "vfx.tmLanguage.json")
    configuration = json.loads((FOLDER / language["configuration"]).read_text(encoding="utf-8"))
    assert configuration["comments"] == {"lineComment": "#"}
    for pattern in configuration["indentationRules"].values():
        re.compile(pattern)


def test_the_problem_matcher_of_the_readme_reads_our_messages() -> None:
    readme = (ROOT / "editors" / "README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```json\n(.*?)```", readme, re.S)
    first, second = json.loads(block)["tasks"][0]["problemMatcher"]["pattern"]
    shown = (ROOT / "tests" / "golden" / "spec" / "VF1020_probe.txt").read_text(encoding="utf-8").splitlines()
    title, place = re.search(first["regexp"], shown[0]), re.search(second["regexp"], shown[1])
    assert title is not None
    assert place is not None
    assert title.groups()[:2] == ("error", "VF1020")
    assert place.groups() == ("VF1020_probe.vfx", "5", "31")
