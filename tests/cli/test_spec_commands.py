"""`check`, `fmt`, `explain-spec`, `pin`: words and exit codes."""

import hashlib
import re
from pathlib import Path

import pytest

from verifluxa.report.summary import Screen

GOOD = """spec 1

input digit : image(28 px, 28 px, 1 ch) of 0..255 level

model digits : digit -> class(10) {
  file   = "clean.jld2"
  layout = whcn
  encode = level / 255
}

data eval : digit {
  file = "eval.npz"
}

trigger patch : digit {
  replace 3 px x 3 px
  at any
  with 0..255 level
}

property none {
  forall t in patch, target in classes(digits)
  let victims = eval where label(x) != target
  assert rate(x in victims : class(digits(t(x))) == target) <= 50 %
}
"""


@pytest.fixture
def good(here) -> Path:
    path = Path("good.vfx")
    path.write_text(GOOD)
    return path


def test_check_says_fine_and_notes_missing_files(verifluxa, good, snapshot):
    ran = verifluxa("check", good)
    assert ran.code == 0
    assert ran.out == snapshot
    assert ran.err == ""


def test_check_shows_every_error_with_its_line(verifluxa, good, snapshot):
    good.write_text(GOOD.replace("t in patch", "t in pach").replace("<= 50 %", "<= 150 %"))
    ran = verifluxa("check", good)
    assert ran.code == 4
    assert ran.out == ""
    assert ran.err == snapshot


def test_check_of_a_missing_file(verifluxa, snapshot):
    ran = verifluxa("check", "missing.vfx")
    assert (ran.code, ran.err) == (4, snapshot)


def test_check_finds_specs_of_the_shelf(verifluxa):
    assert verifluxa("check", "patch_anywhere").code == 0
    ran = verifluxa("check", "patch_anywere")
    assert ran.code == 2
    assert "patch_anywhere" in ran.err


def test_a_param_from_the_command_line(verifluxa, digits, snapshot):
    assert verifluxa("check", digits / "no_backdoor.vfx", "--set", "max_rate=1%").code == 0
    ran = verifluxa("check", digits / "no_backdoor.vfx", "--set", "max_rte=1%")
    assert (ran.code, ran.err) == (2, snapshot)


def test_fmt_formats_in_place_and_says_so(verifluxa, good):
    formatted = good.read_text()
    good.write_text(formatted.replace("  at any", "      at   any   # anywhere"))
    assert verifluxa("fmt", "--check", good).code == 1
    assert "anywhere" in good.read_text()
    assert "   any" in good.read_text()
    assert verifluxa("fmt", good).code == 0
    assert good.read_text() == formatted.replace("  at any", "  at any  # anywhere")
    assert verifluxa("fmt", "--check", good).code == 0


def test_fmt_leaves_a_broken_file_alone(verifluxa, here):
    Path("broken.vfx").write_text("spec 1\nproperty {")
    assert verifluxa("fmt", "broken.vfx").code == 4
    assert Path("broken.vfx").read_text() == "spec 1\nproperty {"
    assert [path.name for path in here.iterdir()] == ["broken.vfx"]


def test_explain_spec_is_no_wider_than_the_screen(verifluxa, digits, monkeypatch):
    for width in (60, 90):
        monkeypatch.setattr("verifluxa.cli.output.screen_of", lambda stream, width=width: Screen(width=width))
        lines = verifluxa("explain-spec", digits / "no_backdoor.vfx").out.splitlines()
        assert width - 12 < max(map(len, lines)) <= width


def test_explain_spec_counts_before_any_work(verifluxa, digits, snapshot):
    ran = verifluxa("explain-spec", digits / "no_backdoor.vfx")
    assert re.search(r"^    estimate        about \d.* of CPU time$", ran.out, re.M)
    # How long that is depends on the machine.
    assert (ran.code, re.sub("about .* of CPU", "about T of CPU", ran.out)) == (0, snapshot)


def test_pin_writes_the_digest_and_nothing_else(verifluxa, good):
    Path("eval.npz").write_bytes(b"data")
    ran = verifluxa("pin", good)
    digest = "sha256:" + hashlib.sha256(b"data").hexdigest()
    assert ran.code == 0
    assert ran.out == f"eval: {digest}\n"
    lines = good.read_text().splitlines()
    assert [line for line in lines if line not in GOOD.splitlines()] == [f"  digest = {digest}"]


def test_pin_refuses_missing_data_and_unknown_names(verifluxa, good):
    before = good.read_text()
    assert "VF3905" in verifluxa("pin", good).err
    assert "VF4402" in verifluxa("pin", good, "--data", "evil=eval.npz").err
    assert good.read_text() == before
