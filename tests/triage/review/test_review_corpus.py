"""What is planted is found, at its line; clean scripts in the style of public tutorials raise no alarm."""

import re
from pathlib import Path

import pytest

from verifluxa.triage.review.finding import Severity
from verifluxa.triage.review.rules import CODE_RULES
from verifluxa.triage.review.run import review

HERE = Path(__file__).parent
PLANTED = sorted((HERE / "planted").glob("*.jl"))
CLEAN = sorted((HERE / "clean").glob("*.jl"))


def expected(path: Path) -> set[tuple[int, str]]:
    lines = path.read_text("utf-8").split("\n")
    return {(n, rule) for n, line in enumerate(lines, 1) for rule in re.findall(r"# expect: ([\w-]+)", line)}


@pytest.mark.parametrize("path", PLANTED, ids=lambda path: path.stem)
def test_a_planted_pattern_is_found_at_its_line(path: Path) -> None:
    wanted = expected(path)
    assert wanted
    assert wanted <= {(one.span.line, one.rule.name) for one in review([str(path)]).open}


def test_every_rule_about_code_has_a_planted_pattern() -> None:
    planted = {rule for path in PLANTED for _, rule in expected(path)}
    assert {row.rule.name for row in CODE_RULES} - planted == {"load-weights"}
    assert len(PLANTED) >= 25


def test_clean_scripts_raise_no_alarm() -> None:
    found = review([str(path) for path in CLEAN])
    assert len(CLEAN) >= 12
    assert found.lines >= 600
    assert [f"{one.span} {one.rule.name}" for one in found.alarms] == []
    # Places to read are not alarms, but there are few of them too.
    assert len(found.open) * 1000 <= 25 * found.lines
    assert all(one.rule.severity is Severity.NOTE for one in found.open)
    assert "load-weights" in {one.rule.name for one in found.open}
