"""Logits that differ and whose softmax does not: a network that ends in softmax returns ties.

Built through a spec and `lower`, which must ask for a gap between the logits.
"""

from __future__ import annotations

import numpy as np

from tests.soundness.attacks.attack import Attack, Setting
from tests.soundness.attacks.deploy import Deployment
from tests.soundness.attacks.extremes import PLAIN
from tests.soundness.attacks.gadget import Front, finished
from tests.soundness.attacks.host import host
from verifluxa.data.dataset import Dataset
from verifluxa.graph.ops import Affine, LogSoftmax, Op, Softmax
from verifluxa.lower import Given, lower
from verifluxa.question import Problem
from verifluxa.spec.check import parse_spec

SPEC = """
spec 1
input digit : image({height} px, {width} px, 1 ch) of 0..255 level
model net : digit -> class(3) {{ encode = level / 255 }}
data eval : digit {{ take = {inputs} }}
trigger patch : digit {{ replace 1 px x 1 px at (0, 0) with 0..255 level }}
property never {{ forall x in eval, t in patch at (0, 0) assert class(net(t(x))) != 1 }}
"""


def attack(lead: float, last: str, setting: Setting) -> Attack:
    """Class 0 leads class 1 by `lead`, in the biases alone; class 2 is below both by what the host's last layer shows.

    Args:
        lead: below 2^-24, so that 1 and exp(-lead) are the same float32.
        last: `softmax` or `logsoftmax`.
        setting: host and number of inputs.
    """
    end: Op = Softmax(0) if last == "softmax" else LogSoftmax(0)
    return Attack(
        "exp of a tiny difference is 1",
        _problem(lead, end, setting, "real"),
        (255.0,),
        Deployment(),
        proved=lead > 1e-8,
        quiet=False,
        in_floats=_problem(lead, end, setting, "float32"),
        twin=_problem(1.0, end, setting, "real"),
    )


def _problem(lead: float, end: Op, setting: Setting, arithmetic: str) -> Problem:
    trained = host(setting.host)
    weight = np.zeros((3, trained.logits.weight.shape[1] + 1))
    weight[2] = -1.0
    tail: list[Op] = [Affine(weight, np.array([0.0, -lead, -1.0])), end]
    network = finished(trained, PLAIN, tail, before=Front(trained.shape, ()))
    text = SPEC.format(height=trained.shape[1], width=trained.shape[2], inputs=setting.inputs)
    spec = parse_spec(text, "softmax.vfx").spec
    chosen = trained.pick(setting.inputs)
    data = Dataset("eval", "hosts.npz", "sha256:0", trained.images[chosen], np.zeros(len(chosen), np.int64))
    return lower(spec, spec.properties[0], Given(network, data, f"sha256:{lead}{end.kind}{arithmetic}", arithmetic))
