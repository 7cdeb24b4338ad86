"""The page of a series: lines before and after, steps as parts of the trigger, places along the time."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from page_tools import Reader

from verifluxa.inputs import Choice
from verifluxa.report.page.page import page
from verifluxa.report.story import account
from verifluxa.verify import Request, run

SPEC = """spec 1
input wave : series(5 step, 2 ch) of -4..4 level
model net : wave -> class("calm", "wild") {
  file         = "net.npz"
  architecture = "architecture.txt"
  encode       = level / 4
}
data eval : wave { file = "eval.npz" }
trigger burst : wave {
  replace 2 step
  at any
  with -1..1 level continuous
}
property stays {
  forall t in burst
  assert rate(x in eval : class(net(t(x))) != label(x)) <= 50 %
}
"""


@pytest.fixture
def told(tmp_path: Path):
    """Channel 1, step 3 alone decides (it stands at place 8 of a flat input): wild above 0.8 level."""
    weight = np.zeros((2, 10), dtype=np.float32)
    weight[1, 8] = 1.0
    np.savez(tmp_path / "net.npz", **{"layers.2.weight": weight, "layers.2.bias": np.array([0.2, 0.0], np.float32)})
    (tmp_path / "architecture.txt").write_text("Chain(Flux.flatten, Dense(10 => 2))")
    np.savez(tmp_path / "eval.npz", x=np.zeros((2, 2, 5)), y=np.array([0, 0]))
    (tmp_path / "a.vfx").write_text(SPEC)
    return account(run(Request(str(tmp_path / "a.vfx"), Choice())).write(tmp_path))


def test_the_page_of_a_series(told):
    reader = Reader(page(told))
    assert "Refuted: one and the same trigger misleads 2 of 2 inputs (100.0 %), allowed are 50 %." in reader.text
    assert "left as in the input inputs that violate margin change of the margin step 3 0 of 2 (0.0 %)" in reader.text
    assert len([item for item in reader.named("polyline") if item["class"] == "after-line"]) == 2 * 2
    assert "By step: solid, the strongest trigger that was found" in reader.text
    assert "input 0: calm, with the trigger wild" in reader.text
