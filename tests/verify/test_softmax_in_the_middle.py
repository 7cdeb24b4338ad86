"""From files to a certificate with a softmax in the middle: proved, replayed, and said to be not rechecked."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from verifluxa.certificate.check.run import check_certificate
from verifluxa.cli.main import run

SPEC = """spec 1

input tile : image(3 px, 3 px, 1 ch) of 0..255 level

model net : tile -> class("dark", "bright") {
  file         = "net.npz"
  architecture = "architecture.txt"
  layout       = whcn
  encode       = level / 255
}

data eval : tile {
  file = "eval.npz"
}

trigger dot : tile {
  replace 1 px x 1 px
  at (0, 0), (2, 1)
  with 0..255 level
}

property robust {
  forall x in eval, t in dot
  assert class(net(t(x))) == label(x)
}
"""
"""Class `bright` where the softmax of (pixel (2, 1) - 0.6) * 20 against 0 is above 1/2."""


def test_a_softmax_in_the_middle_is_proved_and_not_rechecked(tmp_path: Path) -> None:
    weight, last = np.zeros((2, 9), np.float32), np.array([[0.0, 0.0], [2.0, 0.0]], np.float32)
    weight[0, 7] = 20.0
    arrays = {"layers.2.weight": weight, "layers.2.bias": np.array([-12.0, 0.0], np.float32)}
    arrays |= {"layers.4.weight": last, "layers.4.bias": np.array([1.0, 0.0], np.float32)}
    np.savez(tmp_path / "net.npz", **arrays)
    (tmp_path / "architecture.txt").write_text("Chain(Flux.flatten, Dense(9 => 2), softmax, Dense(2 => 2))")
    images = np.zeros((3, 3, 3), dtype=np.uint8)
    images[2, 2, 1] = 255
    np.savez(tmp_path / "eval.npz", x=images, y=np.array([0, 0, 1], dtype=np.uint8))
    (tmp_path / "tile.vfx").write_text(SPEC.replace("(0, 0), (2, 1)", "(0, 0), (1, 1)"))
    out = tmp_path / "out"
    assert run(["verify", str(tmp_path / "tile.vfx"), "--out", str(out)]) == 0
    report = check_certificate(out / "certificate.json")
    assert report.accepted
    assert report.exit_code == 3, "what no checker has recomputed is never passed over in silence"
    assert report.properties[0].leaves == 0
    assert report.unrechecked > 0
    (tmp_path / "tile.vfx").write_text(SPEC)
    assert run(["verify", str(tmp_path / "tile.vfx")]) == 1, "the pixel that decides is in reach now"
