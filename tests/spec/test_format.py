"""One way to write a spec: idempotent, nothing lost."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.spec.generated import laid_out
from tests.spec.sample import FILE, complete
from verifluxa.errors import VerifluxaError
from verifluxa.spec.format import format_spec
from verifluxa.spec.parse import parse

EXAMPLES = sorted((Path(__file__).parent / "examples").glob("*.vfx"))
COMMENT = re.compile(r"# ?(?:note|own line|tight|two)\b")


def holds(text: str) -> None:
    """Formatting changes nothing but the layout, and a second time nothing at all."""
    formatted = format_spec(text, FILE)
    assert format_spec(formatted, FILE) == formatted
    assert Counter(COMMENT.findall(formatted)) == Counter(COMMENT.findall(text))
    assert not re.search(r"[ \t]$|\n\n\n", re.sub(r'"""[\s\S]*?"""', "doc", formatted), re.M)


@settings(max_examples=50, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(laid_out())
def test_generated_specs(text: str) -> None:
    holds(text)


@pytest.mark.soak
@settings(max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(laid_out())
def test_generated_specs_for_long(text: str) -> None:
    holds(text)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    holds(text)
    formatted = format_spec(text, FILE)
    assert parse(formatted, FILE) == parse(text, FILE)
    assert formatted == path.with_suffix(".formatted").read_text(encoding="utf-8")


def test_layout() -> None:
    messy = """# top
spec 1 # v


input d:image(3px,3px,1ch) of -1..1level
# about m
model m:d->class(2)
{

  # first
 file="a" # f

 layout=whcn
 encode=[1,-2]*(-level)-1
 # last
}
param a:fraction=1%
param bb:fraction=1%   # second
property p { forall target in {3,4}, t in q at (1,2), (3,4),
   x in (a where label(x)in{1,2}) # c
  assert -1 + rate(x in e:class(m(t(x))) ==
 # why
 target) <= - 5%   # d
} # end
data k : d {} data l : d { a = 1 b = 2 }
data n : d {
}
data o : d { take = 1 }"""
    assert (
        format_spec(messy, FILE)
        == """# top
spec 1  # v

input d : image(3 px, 3 px, 1 ch) of -1..1 level

# about m
model m : d -> class(2) {
  # first
  file = "a"  # f

  layout = whcn
  encode = [1, -2] * (-level) - 1
  # last
}

param a : fraction = 1 %
param bb : fraction = 1 %  # second

property p {
  forall x in (a where label(x) in {1, 2}), t in q at (1, 2), (3, 4),
      target in {3, 4}  # c
  assert -1 + rate(x in e : class(m(t(x))) ==
      # why
      target) <= -5 %  # d
}  # end

data k : d {}

data l : d {
  a = 1
  b = 2
}

data n : d {
}

data o : d { take = 1 }
"""
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("target in classes(m), t in patch, x in e", "x in e, t in patch, target in classes(m)"),
        ("t in patch at any, x in e where a(x) in {1}", "x in e where a(x) in {1}, t in patch at any"),
        ("a in {1}, b in e, c in {2}, d in patch", "b in e, d in patch, a in {1}, c in {2}"),
        ("t in patch, x in around e within 2 level", "x in around e within 2 level, t in patch"),
        ("x in e, t in patch, target in {1}", "x in e, t in patch, target in {1}"),
    ],
)
def test_forall_has_a_normal_order(before: str, after: str) -> None:
    text = "trigger patch : d {{}}\n\nproperty p {{\n  forall {}\n}}\n"
    assert format_spec(text.format(before), FILE) == text.format(after)


def test_a_comment_inside_forall_keeps_its_order() -> None:
    text = "trigger patch : d {}\n\nproperty p {\n  forall t in patch,  # first\n      x in e\n}\n"
    assert format_spec(text, FILE) == text


def test_what_does_not_parse_is_not_formatted() -> None:
    with pytest.raises(VerifluxaError):
        format_spec("data e d", FILE)


def test_nothing_and_only_comments() -> None:
    assert format_spec("", FILE) == ""
    assert format_spec("\n\n  # only\n\n\n# two", FILE) == "# only\n\n# two\n"


def test_windows_line_ends() -> None:
    text = complete("# a comment")
    assert format_spec("\ufeff" + text.replace("\n", "\r\n"), FILE) == format_spec(text, FILE)
