"""VerifluxaGate.jl with the list that the gate writes, where Julia is present; the list's format everywhere."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.gate.desk import FILES, Desk
from verifluxa.gate import registry as module
from verifluxa.gate.registry import HEADING, manifest

SCRIPT = Path(module.__file__).with_name("VerifluxaGate.jl")
JULIA = shutil.which("julia")


def test_the_list_is_what_the_julia_file_reads(desk: Desk) -> None:
    lines = manifest(desk.decide()).decode().splitlines()
    assert lines[0] == HEADING
    assert f'const HEADING = "{HEADING}"' in SCRIPT.read_text()
    assert [re.fullmatch(r"[0-9a-f]{64}  (.+)", line)[1] for line in lines[2:]] == sorted(FILES)  # type: ignore[index]
    with pytest.raises(ValueError, match="accepted"):
        manifest(replace(desk.decide(), permitted=False))


def julia(desk: Desk, file: str, list_: Path) -> subprocess.CompletedProcess[str]:
    assert JULIA is not None
    load = f'VerifluxaGate.with_accepted(p -> print(String(read(p))), "{desk.model / file}", "{list_}")'
    code = f'include("{SCRIPT}"); {load}'
    command = [JULIA, "--startup-file=no", "-e", code]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.skipif(JULIA is None, reason="Julia is not installed")
def test_julia_loads_accepted_files_and_no_others(desk: Desk) -> None:
    accepted = desk.root / "accepted.sha256"
    accepted.write_bytes(manifest(desk.decide()))
    done = julia(desk, "vocabulary.txt", accepted)
    assert (done.returncode, done.stdout) == (0, "a b c")
    (desk.model / "vocabulary.txt").write_text("a b d")
    (desk.model / "other.txt").write_text("a b c")
    for file, words in (("vocabulary.txt", "is not the accepted file"), ("other.txt", "is not in")):
        refused = julia(desk, file, accepted)
        assert refused.returncode != 0
        assert words in refused.stderr
    accepted.write_text("anything\n")
    assert "no list of accepted files" in julia(desk, "clean.jld2", accepted).stderr
