"""`lift --probe`, and what `inspect` says is not covered by any proof."""

from pathlib import Path

import numpy as np
import pytest

from tests.conformance.cases import NEWEST, ROOT, files, index

LAYERS = ROOT / "layers"


@pytest.fixture
def record(here):
    """Writes inputs and outputs of a fixture, the outputs changed by a share of the largest."""

    def write(name, change=0.0):
        with np.load(LAYERS / name / "expect.npz") as arrays:
            y = arrays["y_numpy"]
            np.savez(here / "probe.npz", x_numpy=arrays["x_numpy"], y_numpy=y + change * np.abs(y).max())
        return "probe.npz"

    return write


def test_recorded_outputs_that_agree_are_exit_0(verifluxa, record):
    ran = verifluxa("lift", LAYERS / "cnn_small" / "model.jld2", "--probe", record("cnn_small"))
    assert ran.code == 0
    assert "samples           " in ran.out
    assert "tolerance         1e-05" in ran.out
    assert "the outputs agree" in ran.out


def test_recorded_outputs_that_differ_are_exit_1_with_the_size(verifluxa, record):
    ran = verifluxa("lift", LAYERS / "dense_relu" / "model.bson", "--probe", record("dense_relu", 0.01))
    assert ran.code == 1
    assert float(ran.out.split("worst difference")[1].split()[0]) == pytest.approx(0.01, rel=0.02)
    assert "the outputs differ" in ran.out


def test_a_tolerance_is_taken(verifluxa, record):
    arguments = ("lift", LAYERS / "dense_relu" / "model.bson", "--probe", record("dense_relu", 0.01), "--tolerance")
    assert verifluxa(*arguments, "0.02").code == 0
    assert verifluxa(*arguments, "0.005").code == 1


@pytest.mark.parametrize("more", [("--tolerance", "0.1"), ("--probe", "p.npz", "--tolerance", "0")])
def test_a_tolerance_without_sense_is_refused(verifluxa, more):
    ran = verifluxa("lift", LAYERS / "dense_relu" / "model.bson", *more)
    assert ran.code == 2
    assert "VF4410" in ran.err


def test_a_probe_that_is_none_is_bad_input(verifluxa, here):
    np.savez(here / "other.npz", a=np.zeros(3))
    ran = verifluxa("lift", LAYERS / "dense_relu" / "model.bson", "--probe", "other.npz")
    assert ran.code == 4
    assert "VF2015" in ran.err


def test_a_probe_whose_inputs_do_not_fit_is_named(verifluxa, here):
    np.savez(here / "swapped.npz", x_numpy=np.zeros((4, 3)), y_numpy=np.zeros((4, 2)))
    ran = verifluxa("lift", LAYERS / "dense_relu" / "model.bson", "--probe", "swapped.npz")
    assert ran.code == 4
    assert "VF2015" in ran.err
    assert "--> swapped.npz" in ran.err


CASES = [case for name in index("layers") for case in files(LAYERS / name, NEWEST)]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_inspect_says_what_is_not_covered(verifluxa, case):
    text = () if case.architecture is None else ("--architecture", case.architecture)
    ran = verifluxa("inspect", case.file, *text, "--flux-version", NEWEST)
    lines = ran.out.splitlines()
    section = lines[lines.index("not covered by any proof:") + 1 :]
    assert section
    assert section[0].startswith("  ")
    if ran.code == 0:
        assert "parameters in" in ran.out
        assert ran.err == ""
    else:
        assert ran.code == 4
        missing = any(f"[{code}]" in ran.err for code in ("VF2011", "VF2012", "VF2013"))
        assert lines[0].endswith("more must be given before anything about it can be proved") == missing
        assert lines[0].endswith("refused, nothing about it can be proved") == (not missing)
        reason = "until this is given" if missing else "because of"
        assert section[0].startswith(f"  the whole model, {reason}")
        # What is missing does not keep the layers from being shown.
        assert not missing or "as Flux prints it" in ran.out
        assert max(len(line) for line in lines[1:]) < 400


def test_a_dropout_is_named_as_not_covered(verifluxa):
    ran = verifluxa("inspect", LAYERS / "dropout" / "model.jld2")
    assert "not covered by any proof:\n  Dropout does nothing in test mode" in ran.out


def test_a_trojaned_layer_is_named_with_its_place(verifluxa):
    ran = verifluxa("inspect", LAYERS / "custom_layer" / "model.bson")
    assert ran.code == 4
    section = ran.out.split("not covered by any proof:\n")[1]
    assert "Main.Shifted" in section
    assert "because of model.data[0]" in section
    assert "Main.Shifted" in ran.err


def test_what_else_a_refused_file_holds_is_listed(verifluxa):
    ran = verifluxa("inspect", LAYERS / "weightnorm" / "model.bson")
    assert ran.code == 4
    assert "  holds model (Flux.WeightNorm)" in ran.out


def test_a_graph_is_written_as_onnx_and_inspected_again(verifluxa, here):
    pytest.importorskip("onnx", reason="no onnx")
    model = LAYERS / "dense_relu" / "model.bson"
    ran = verifluxa("lift", model, "-o", "graph.onnx")
    assert ran.code == 0
    assert "written: graph.onnx" in ran.out
    again = verifluxa("inspect", "graph.onnx")
    assert again.code == 0
    assert "graph.onnx: ONNX 17, computes in float32" in again.out
    assert "runtimes that fuse operators" in again.out
    assert [path.name for path in here.iterdir()] == ["graph.onnx"]


def test_a_graph_is_not_written_under_another_name(verifluxa, here, snapshot):
    ran = verifluxa("lift", LAYERS / "dense_relu" / "model.bson", "-o", "graph.txt")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == snapshot
    assert not Path("graph.txt").exists()


def test_a_place_that_cannot_be_written_is_said(verifluxa):
    pytest.importorskip("onnx", reason="no onnx")
    ran = verifluxa("lift", LAYERS / "dense_relu" / "model.bson", "-o", "none/graph.onnx")
    assert ran.code == 2
    assert "VF4406" in ran.err
