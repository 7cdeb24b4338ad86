"""The version of Flux in a spec decides what a layer means, and stands in result, certificate and digest."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from verifluxa.errors import ModelError
from verifluxa.inputs import Choice, load_inputs

SPEC = """spec 1

input tile : image(3 px, 3 px, 1 ch) of 0..255 level

model net : tile -> class(2) {
  file         = "net.npz"
  architecture = "architecture.txt"
  encode       = level / 255
}

data eval : tile {
  file = "eval.npz"
}

trigger dot : tile {
  replace 1 px x 1 px
  at (0, 0)
  with 0..255 level
}

property few {
  forall t in dot, target in {1}
  let victims = eval where label(x) != target
  assert rate(x in victims : class(net(t(x))) == target) <= 0 %
}
"""


FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "flux" / "layers"


@pytest.fixture
def folder(tmp_path):
    """A small network whose meaning no version changes, and data."""
    weight = np.random.default_rng(3).normal(size=(2, 9)).astype(np.float32)
    np.savez(tmp_path / "net.npz", **{"layers.2.weight": weight, "layers.2.bias": np.zeros(2, np.float32)})
    (tmp_path / "architecture.txt").write_text("Chain(Flux.flatten, Dense(9 => 2))")
    np.savez(tmp_path / "eval.npz", x=np.zeros((2, 3, 3), np.uint8), y=np.zeros(2, np.uint8))
    return tmp_path


@pytest.fixture
def layernorm(folder):
    """A LayerNorm, whose epsilon enters in three ways in three series of Flux; it normalises rows of 5."""
    shutil.copy(FIXTURES / "layernorm_act" / "model.bson", folder / "net.bson")
    np.savez(folder / "eval.npz", x=np.zeros((2, 1, 5), np.uint8), y=np.zeros(2, np.uint8))
    return folder


def _wide(folder, version):
    spec = _spec(folder, version)
    text = spec.read_text().replace("image(3 px, 3 px", "image(1 px, 5 px").replace("net.npz", "net.bson")
    spec.write_text(text.replace('  architecture = "architecture.txt"\n', ""))
    return str(spec)


def _spec(folder, version):
    setting = "" if version is None else f'  flux = "{version}"\n'
    path = folder / f"{version}.vfx"
    path.write_text(SPEC.replace("  encode", f"{setting}  encode"))
    return path


def test_a_layer_of_unknown_version_is_refused_with_what_to_write(layernorm):
    with pytest.raises(ModelError) as error:
        load_inputs(_wide(layernorm, None), Choice())
    assert error.value.code == "VF2011"
    assert 'flux = "0.16.7"' in str(error.value.remedy)


def test_the_version_decides_what_the_layer_computes(layernorm):
    graphs = [
        load_inputs(_wide(layernorm, version), Choice()).models["net"].lifted.graph
        for version in ("0.14.0", "0.16.7", "0.16.11")
    ]
    assert len({graph.digest for graph in graphs}) == 3


def test_result_and_certificate_carry_the_version_and_the_checker_compares_it(folder):
    from verifluxa.certificate.check.run import check_certificate
    from verifluxa.cli.main import run

    spec = _spec(folder, "0.16.7")
    run(["verify", str(spec), "--strategy", "quick", "--out", str(folder / "out")])
    text = (folder / "out" / "certificate.json").read_text()
    assert json.loads(text)["predicate"]["models"][0]["fluxVersion"] == "0.16.7"
    assert check_certificate(folder / "out" / "certificate.json").reasons == ()
    (folder / "out" / "certificate.json").write_text(text.replace("0.16.7", "0.16.8"))
    assert [reason.code for reason in check_certificate(folder / "out" / "certificate.json").reasons] == ["VF5050"]


def test_a_spec_may_name_an_onnx_file(folder):
    pytest.importorskip("onnx", reason="no onnx")
    from verifluxa.interop.onnx_export import onnx_bytes

    graph = load_inputs(str(_spec(folder, None)), Choice()).models["net"].lifted.graph
    (folder / "net.onnx").write_bytes(onnx_bytes(graph))
    spec = _spec(folder, None)
    text = spec.read_text().replace("net.npz", "net.onnx").replace('  architecture = "architecture.txt"\n', "")
    spec.write_text(text)
    loaded = load_inputs(str(spec), Choice()).models["net"]
    assert loaded.lifted.format == "ONNX 17"
    x = np.random.default_rng(0).random((4, 1, 3, 3), dtype=np.float32)
    np.testing.assert_array_equal(loaded.lifted.graph.run(x), graph.run(x))
