"""The checker as a stranger runs it: `python -m verifluxa.certificate.check`, with numpy and lark alone."""

import ast
import io
import shutil
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

from verifluxa.cli.main import run

ROOT = Path(__file__).resolve().parents[2]
DIGITS = ROOT / "examples" / "digits"
ALONE = """
import runpy, sys

class OnlyNumpyAndLark:
    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        if top in {"verifluxa", "numpy", "lark"} or top in sys.stdlib_module_names or top.startswith("_"):
            return None
        raise ModuleNotFoundError("No module named " + repr(name), name=name)

sys.meta_path.insert(0, OnlyNumpyAndLark())
sys.argv = ["check", *sys.argv[1:]]
runpy.run_module("verifluxa.certificate.check", run_name="__main__")
"""


@pytest.fixture(scope="module")
def proved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A proof about four places of the clean digit model, beside copies of its files."""
    folder = tmp_path_factory.mktemp("alone")
    for name in ("clean.jld2", "badnets.jld2", "architecture.txt", "mnist_eval.npz"):
        shutil.copy(DIGITS / name, folder / name)
    text = (DIGITS / "no_backdoor.vfx").read_text(encoding="utf-8")
    assert "at any" in text
    spec = folder / "few.vfx"
    spec.write_text(text.replace("at any", "at rows 0..20 step 20, columns 0..20 step 20"), encoding="utf-8")
    assert run(["verify", str(spec), "--out", str(folder / "out")]) == 0
    return folder


def check(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", ALONE, str(folder / "out" / "certificate.json"), *options]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300, check=False)


def test_numpy_and_lark_are_enough(proved: Path) -> None:
    done = check(proved, "--spec", str(proved / "few.vfx"))
    assert done.returncode == 0, done.stderr
    assert "accepted (it says: certified)" in done.stdout
    assert "40 questions, 40 leaves recomputed" in done.stdout


def test_the_same_certificate_is_refused_for_another_model(proved: Path) -> None:
    done = check(proved, "--spec", str(proved / "few.vfx"), "--model", f"digits={proved / 'badnets.jld2'}")
    assert done.returncode == 1
    assert "REJECTED" in done.stdout


def code_lines(path: Path) -> int:
    """Lines that hold code: no blank ones, comments or docstrings."""
    text = path.read_text(encoding="utf-8")
    words = (ast.Module, ast.ClassDef, ast.FunctionDef)
    found: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT):
            found.update(range(token.start[0], token.end[0] + 1) if token.string else ())
    for node in ast.walk(ast.parse(text)):
        for item in node.body if isinstance(node, words) else ():
            if (
                isinstance(item, ast.Expr)
                and isinstance(item.value, ast.Constant)
                and isinstance(item.value.value, str)
            ):
                found.difference_update(range(item.lineno, (item.end_lineno or item.lineno) + 1))
    return len(found)


def test_the_page_about_trust_counts_the_checker_honestly() -> None:
    counted = sum(map(code_lines, (ROOT / "verifluxa" / "certificate" / "check").glob("*.py")))
    page = (ROOT / "docs" / "explanation" / "trust.md").read_text(encoding="utf-8")
    row = next(line for line in page.splitlines() if line.startswith("| `verifluxa/certificate/check/`"))
    stated = int(row.split("|")[2].replace(",", ""))
    assert abs(counted - stated) <= 0.03 * counted, f"trust.md says {stated} lines, there are {counted}"


def test_the_blocker_blocks() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALONE.replace("verifluxa.certificate.check", "verifluxa.search.attack")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
        check=False,
    )
    assert "No module named 'torch'" in done.stderr
