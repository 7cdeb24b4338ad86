"""The Julia bridge: what the exporter writes is read back; Julia itself behaves, fails, hangs or is absent."""

from __future__ import annotations

import json
import shutil
import stat
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conformance.cases import ROOT
from verifluxa.errors import ModelError, UsageError, VerifluxaError
from verifluxa.flux import julia
from verifluxa.flux.julia import EXPORTER, export, read_export

NAMES = ["cnn_small", "dense_relu", "layernorm", "batchnorm_conv", "skip_vcat", "dense_f64", "chain_softmax"]


def _safetensors(arrays: dict[str, Any]) -> bytes:
    """As `write_arrays` of the exporter writes them."""
    entries, blocks, offset = {}, [], 0
    for name, array in arrays.items():
        data = np.ascontiguousarray(array).tobytes()
        dtype = {"float32": "F32", "float64": "F64"}[array.dtype.name]
        entries[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [offset, offset + len(data)]}
        blocks.append(data)
        offset += len(data)
    header = json.dumps(entries, separators=(",", ":")).encode()
    return len(header).to_bytes(8, "little") + header + b"".join(blocks)


def recorded(folder: Path, name: str) -> Path:
    """The files of a fixture, laid out as the exporter lays them out."""
    source = ROOT / "layers" / name
    folder.mkdir(parents=True)
    shutil.copy(source / "state.jld2", folder / "state.jld2")
    shutil.copy(source / "architecture.txt", folder / "architecture.txt")
    with np.load(source / "expect.npz") as arrays:
        probe = {"x_numpy": arrays["x_numpy"], "y_numpy": arrays["y_numpy"]}
    (folder / "probe.safetensors").write_bytes(_safetensors(probe))
    index = {"schema": "verifluxa/flux-export/1", "state": "state.jld2", "flux": "0.16.7", "julia": "1.10.4"}
    (folder / "export.json").write_text(json.dumps(index))
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_an_export_gives_the_outputs_of_flux(name: str, tmp_path: Path) -> None:
    found = read_export(recorded(tmp_path / "out", name))
    assert found.probe.within
    assert found.lifted.flux_version == "0.16.7"
    assert [source for source, _ in found.lifted.sources] == ["state.jld2", "architecture.txt"]
    assert any("exported by Julia 1.10.4" in note for note in found.lifted.notes)


def test_outputs_that_differ_are_refused(tmp_path: Path) -> None:
    folder = recorded(tmp_path / "out", "dense_relu")
    with np.load(ROOT / "layers" / "dense_relu" / "expect.npz") as arrays:
        probe = {"x_numpy": arrays["x_numpy"], "y_numpy": arrays["y_numpy"] * np.float32(1.01)}
    (folder / "probe.safetensors").write_bytes(_safetensors(probe))
    with pytest.raises(ModelError) as error:
        read_export(folder)
    assert error.value.code == "VF2015"


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "other/1"},
        {"state": "../../secret"},
        {"state": None},
        {"flux": 16},
        {"flux": "newest"},
        {"julia": "1.10.4\x1b[31m"},
    ],
)
def test_an_index_that_is_not_understood_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    folder = recorded(tmp_path / "out", "dense_relu")
    index = json.loads((folder / "export.json").read_text()) | change
    (folder / "export.json").write_text(json.dumps(index))
    with pytest.raises(ModelError) as error:
        read_export(folder)
    assert error.value.code in ("VF2019", "VF2011")


@pytest.mark.parametrize("name", ["export.json", "state.jld2", "architecture.txt", "probe.safetensors"])
def test_a_folder_that_is_not_complete_is_refused(name: str, tmp_path: Path) -> None:
    folder = recorded(tmp_path / "out", "dense_relu")
    (folder / name).unlink()
    with pytest.raises(ModelError) as error:
        read_export(folder)
    assert error.value.code == "VF2001"
    (folder / name).write_bytes(b"[")
    with pytest.raises(VerifluxaError):
        read_export(folder)


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An executable `julia` that is the only thing on the path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (tmp_path / "model.jl").write_text("using Flux\nChain(Dense(5 => 4, relu))\n")

    def write(body: str) -> Path:
        program = folder / "julia"
        program.write_text(f"#!{sys.executable}\nimport os, shutil, subprocess, sys, time\n{body}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", str(folder))
        return tmp_path / "model.jl"

    return write


def test_a_julia_that_behaves_is_given_exporter_model_and_folder(fake: Any, tmp_path: Path) -> None:
    source = recorded(tmp_path / "source", "cnn_small")
    model = fake(f"shutil.copytree({str(source)!r}, sys.argv[4]); print(sys.argv[1:])\nassert len(sys.argv) == 6")
    model.with_name("a b;c.jl").write_text("")
    export(model.with_name("a b;c.jl"), tmp_path / "out $(x)", "12,11,1")
    assert read_export(tmp_path / "out $(x)").probe.within


def test_the_arguments_are_those_of_the_exporter(fake: Any, tmp_path: Path) -> None:
    model = fake("open(sys.argv[-1], 'w').write(repr(sys.argv[1:]))")
    (tmp_path / "Project.toml").write_text("")
    export(model, tmp_path / "out")
    wanted = ["--startup-file=no", f"--project={tmp_path}", str(EXPORTER), str(model), str(tmp_path / "out")]
    assert (tmp_path / "out").read_text() == repr(wanted)


def test_a_julia_that_fails_is_told_with_what_it_said(fake: Any, tmp_path: Path) -> None:
    model = fake("print('x' * 100000); sys.exit('ERROR: LoadError: UndefVarError: `Dens` not defined')")
    with pytest.raises(ModelError) as error:
        export(model, tmp_path / "out")
    assert error.value.code == "VF2019"
    assert "UndefVarError: `Dens` not defined" in error.value.message
    assert len(error.value.message) < 2000


def test_a_julia_that_hangs_is_ended_with_all_that_it_started(fake: Any, tmp_path: Path) -> None:
    child = "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(600)"
    here = f"os.chdir({str(tmp_path)!r})"
    model = fake(f"{here}\nsubprocess.Popen([sys.executable, '-c', {child!r}])\ntime.sleep(600)")
    with pytest.raises(ModelError, match="did not finish in 3 seconds"):
        export(model, tmp_path / "out", timeout=3)
    process = int((tmp_path / "pid").read_text())
    for _ in range(100):  # the kernel takes a moment
        if not _runs(process):
            return
        time.sleep(0.1)
    pytest.fail("what Julia started still runs")


def _runs(pid: int) -> bool:
    """Whether a process runs; one that has ended may still wait to be collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


JULIACALL = """
import shutil

class _Module:
    String = str
    Vector = {str: list}

    def include(self, path):
        assert path == %r
        self.VerifluxaExport = self

    def main(self, arguments):
        shutil.copytree(%r, arguments[1])

Main = _Module()
"""


def test_without_julia_on_the_path_juliacall_runs_it_in_a_process_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = recorded(tmp_path / "source", "cnn_small")
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "juliacall.py").write_text(JULIACALL % (str(EXPORTER), str(source)))
    (tmp_path / "model.jl").write_text("")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "packages"))
    monkeypatch.setattr(julia, "find_spec", lambda name: name)
    export(tmp_path / "model.jl", tmp_path / "out")
    assert read_export(tmp_path / "out").probe.within
    assert "juliacall" not in sys.modules


def test_without_julia_the_message_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.jl").write_text("")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(julia, "find_spec", lambda name: None)
    with pytest.raises(UsageError) as error:
        export(tmp_path / "model.jl", tmp_path / "out")
    assert error.value.code == "VF4412"
    assert str(EXPORTER) in str(error.value)
    assert EXPORTER.is_file()
    with pytest.raises(ModelError) as missing:
        export(tmp_path / "none.jl", tmp_path / "out")
    assert missing.value.code == "VF2001"


@pytest.mark.skipif(shutil.which("julia") is None, reason="no Julia")
def test_the_real_flux_exports_what_is_found_again(tmp_path: Path) -> None:
    model = "using Flux\nChain(Dense(5 => 4, tanh), LayerNorm(4), Dropout(0.5), Dense(4 => 3), softmax)\n"
    (tmp_path / "model.jl").write_text(model)
    export(tmp_path / "model.jl", tmp_path / "out")
    assert read_export(tmp_path / "out").probe.within


def test_the_command_lifts_what_julia_exports(fake: Any, tmp_path: Path, capsys: Any) -> None:
    from verifluxa.cli.main import run

    source = recorded(tmp_path / "source", "cnn_small")
    model = fake(f"shutil.copytree({str(source)!r}, sys.argv[4])")
    assert run(["lift", str(model), "--julia", "--input-shape", "1,11,12"]) == 0
    assert "Flux's outputs for 2 inputs were found again" in capsys.readouterr().out
    assert run(["lift", str(source)]) == 0
    assert run(["inspect", str(source)]) == 0
    assert "Flux 0.16.7" in capsys.readouterr().out
