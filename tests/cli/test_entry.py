"""The entry point: usage errors, codes, nothing is ever a traceback."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from verifluxa import __version__
from verifluxa.cli.app import COMMANDS, build_app, whole_command
from verifluxa.cli.main import run
from verifluxa.cli.reference_commands import codes, page
from verifluxa.errors import ManyErrors, SpecError


def test_the_version_needs_no_heavy_import():
    script = (
        "import sys; from verifluxa.cli.main import run; code = run(['--version']);"
        "heavy = {'torch', 'numpy', 'typer', 'rich', 'lark'} & set(sys.modules);"
        "sys.exit(code or len(heavy))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, f"verifluxa {__version__}\n")


def test_python_dash_m_is_the_same_command():
    ran = subprocess.run([sys.executable, "-m", "verifluxa", "--version"], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, f"verifluxa {__version__}\n")


def test_checking_a_spec_loads_no_torch(digits):
    script = (
        "import sys; from verifluxa.cli.main import run;"
        "code = run(['check', sys.argv[1]]); sys.exit(code or 7 * ('torch' in sys.modules))"
    )
    path = str(digits / "no_backdoor.vfx")
    ran = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_help_without_arguments(verifluxa):
    ran = verifluxa()
    assert ran.code == 0
    assert "verify" in ran.out


def test_no_help_text_is_taken_for_markup():
    def options(command):
        yield from command.params
        for inner in getattr(command, "commands", {}).values():
            yield from options(inner)

    texts = [item.help or "" for item in options(get_command(build_app()))]
    assert len(texts) > 100
    assert [text for text in texts if re.search(r"\[[a-z]", text)] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["verfy"], "verify"),
        (["verify"], "SPEC"),
        (["verify", "a.vfx", "--modle", "x=y"], "--model"),
        (["verify", "a.vfx", "--format", "xml"], "'junit'"),
        (["verify", "a.vfx", "--seed", "-1"], "--seed"),
        (["verify", "a.vfx", "--strategy", "ballanced"], "did you mean `balanced`?"),
        (["verify", "a.vfx", "--cluster", "desktop"], "laptop"),
        (["replay"], "RESULT"),
    ],
    ids=str,
)
def test_wrong_usage_is_code_2_and_says_what_would_be_right(verifluxa, here, arguments, words):
    ran = verifluxa(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert words in ran.err
    assert "Traceback" not in ran.err
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["verify", "a.vfx", "--model", "x.jld2"],
        ["verify", "a.vfx", "--model", "m=x", "--model", "m=y"],
        ["verify", "a.vfx", "--set", "=1"],
        ["verify", "a.vfx", "--budget", "soon"],
        ["verify", "a.vfx", "--budget", "0"],
        ["verify", "a.vfx", "--arithmetic", "float16"],
        ["explain", "VF9999"],
    ],
    ids=" ".join,
)
def test_wrong_values_are_one_clear_message_and_code_2(verifluxa, here, arguments, snapshot):
    ran = verifluxa(*arguments)
    assert (ran.code, ran.out, ran.err) == (2, "", snapshot)
    assert list(here.iterdir()) == []


def failing(error):
    def build():
        raise error

    return build


def test_a_mistake_of_ours_is_code_5_and_asks_for_a_report(verifluxa, monkeypatch, snapshot):
    broken = failing(ZeroDivisionError("division by zero"))
    ran = verifluxa("check", "x.vfx", build=broken)
    assert (ran.code, ran.out, ran.err) == (5, "", snapshot)
    monkeypatch.setenv("VERIFLUXA_DEBUG", "1")
    assert "Traceback" in verifluxa("check", "x.vfx", build=broken).err


def test_the_traceback_of_a_worker_is_not_shown(verifluxa):
    trace = "Traceback (most recent call last):\n  File x\nValueError: bad"
    ran = verifluxa("check", "x.vfx", build=failing(RuntimeError(trace)))
    assert "RuntimeError: ValueError: bad\n" in ran.err
    assert "Traceback" not in ran.err


def test_ctrl_c_is_code_3(verifluxa):
    ran = verifluxa("check", "x.vfx", build=failing(KeyboardInterrupt()))
    assert (ran.code, ran.err) == (3, "interrupted\n")


def test_many_errors_are_cut_short(verifluxa):
    errors = ManyErrors([SpecError("VF1001", f"error {n}") for n in range(30)])
    ran = verifluxa("check", "x.vfx", build=failing(errors))
    assert ran.code == 4
    assert ran.err.count("error[VF1001]") == 20
    assert "and 10 more errors" in ran.err


def test_what_a_file_says_cannot_act_on_the_terminal(verifluxa):
    ran = verifluxa("check", "x.vfx", build=failing(SpecError("VF1001", "red \x1b[31m", place="a\x07")))
    assert "\x1b" not in ran.err
    assert "\x07" not in ran.err


def without_reader(arguments, closed) -> tuple[int, bytes]:
    """Runs a command whose stdout or stderr nobody reads; its exit code, and what the other one says."""
    command = [sys.executable, "-m", "verifluxa", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        streams = {"stdout": process.stdout, "stderr": process.stderr}
        streams.pop(closed).close()
        (other,) = streams.values()
        words = other.read()
        return process.wait(), words


CHEAP = ("--property", "universal", "--strategy", "attack-only")
BADNETS = ("--model", "digits=digits/badnets.jld2")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["verify", "digits/small.vfx", "--property", "universal"], 0),
        (["verify", "digits/small.vfx", "--property", "universal", *BADNETS], 1),
        (["verify", "digits/small.vfx", *CHEAP], 3),
        (["verify", "digits/small.vfx", *CHEAP, "--format", "json"], 3),
        (["verify", "missing.vfx"], 4),
        (["explain", "VF4401"], 0),
        (["verify", "--help"], 0),
        (["check", "digits/small.vfx"], 0),
    ],
    ids=["certified", "falsified", "unknown", "json", "bad input", "explain", "help", "check"],
)
def test_a_gone_reader_does_not_change_the_exit_code(small, here, arguments, code):
    ran, words = without_reader(arguments, "stdout")
    assert ran == code
    assert b"Traceback" not in words
    assert b"internal error" not in words
    assert b"Broken pipe" not in words
    ran, _ = without_reader(arguments, "stderr")
    assert ran == code


def test_a_reader_that_leaves_in_the_middle(small, here):
    command = f'set -o pipefail; "{sys.executable}" -m verifluxa verify digits/small.vfx --property universal | head -1'
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("CERTIFIED")


def test_every_code_has_a_page_with_an_example(verifluxa):
    for code in codes():
        words = page(code)
        assert words.startswith(f"# {code}: ")
    assert verifluxa("explain", codes()[0].lower()).out == page(codes()[0])
    assert verifluxa("explain", f"[{codes()[0]}]").code == 0


def _examples() -> list[str]:
    return [example for commands in COMMANDS.values() for examples in commands.values() for example in examples]


@pytest.mark.parametrize("example", _examples())
def test_the_examples_of_a_help_are_commands_that_there_are(
    example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = shlex.split(example)
    for name in ("src", "specs"):
        Path(name).mkdir()
    for word in words[1:]:
        if "." in word and "*" not in word:
            path = Path(word.rpartition("=")[2])
            path.parent.mkdir(exist_ok=True)
            path.touch()
    command: Any = whole_command()
    with command.make_context("verifluxa", words) as context:
        _, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        found.make_context(words[0], rest, parent=context)


def test_every_help_begins_with_examples_and_shows_no_type_of_a_flag(capsys: pytest.CaptureFixture[str]) -> None:
    for commands in COMMANDS.values():
        for function in commands:
            name = function.__name__.strip("_").replace("_", "-")
            assert run([name, "--help"]) == 0
            said = capsys.readouterr().out
            assert said.index(f"$ verifluxa {name}") < said.index("Options")
            assert "<bool>" not in said
