"""A trigger at a place that the network does not read: a layer of the local network is empty, and all is a constant."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from tests.certificate.scenes import SPAN, Scene
from tests.soundness.engine import answer
from verifluxa.asking import untouched
from verifluxa.certificate.check.claim import Sources, deployed
from verifluxa.certificate.evidence_lines import record_of
from verifluxa.data.dataset import Dataset
from verifluxa.graph.graph import chain
from verifluxa.graph.ops import Activation, Affine, Conv, MaxPool, Normalise, Op, Reshape, Softmax
from verifluxa.lower import Given, lower
from verifluxa.spec.spec import ClassOutput, DataDecl, ImageSpace, ModelDecl, Property, RateBound, Selection, Spec
from verifluxa.spec.triggers.patch import PatchTrigger
from verifluxa.verdict import Verdict

READS_NOT: dict[str, list[Op]] = {
    "a stride": [Conv(np.ones((1, 1, 1, 1), np.float32), None, (2, 2), (0, 0), (0, 0), (1, 1))],
    "a window": [MaxPool((2, 2), (2, 2), (0, 0), (0, 0))],
}
"""The last row and column of a picture of 3 x 3 do not go in, or those between others."""
BEHIND: dict[str, list[Op]] = {
    "a function": [Activation("celu"), Activation("relu")],
    "a normalisation": [Normalise(1, 1.0), Activation("relu")],
    "a softmax": [Softmax(1), Activation("tanh")],
    "a pool": [MaxPool((1, 1), (1, 1), (0, 0), (0, 0)), Activation("swish")],
}


def scene(ops: list[Op], place: tuple[int, int], lead: float) -> Scene:
    """Three pictures of 3 x 3, class 1 behind class 0 by `lead` whatever the trigger does."""
    width = chain((1, 3, 3), [*ops, Reshape((-1,))]).output_shape[0]
    last = Affine(np.zeros((2, width), np.float32), np.array([lead, 0.0], np.float32))
    graph = chain((1, 3, 3), [*ops, Reshape((-1,)), last])
    space = ImageSpace("picture", 3, 3, 1, 0, 3)
    decl = ModelDecl("net", "picture", ClassOutput(2), None, None, "whcn", (), SPAN)
    pictures = np.arange(27.0).reshape(3, 1, 3, 3) % 4
    data = Dataset("eval", "eval.npz", "sha256:" + "4" * 64, pictures, np.zeros(3, np.int64))
    trigger = PatchTrigger("patch", "picture", 1, 1, (place,), Fraction(0), Fraction(3), 1)
    statement = RateBound("net", trigger, Selection("eval", label_is_not_target=True), (1,), Fraction(0))
    prop = Property("scene", None, statement, SPAN)
    declared = DataDecl("eval", "picture", None, None, None, 0, SPAN)
    spec = Spec("scene.vfx", "sha256:" + "5" * 64, (space,), (decl,), (declared,), (trigger,), (), (prop,))
    sources = Sources(space, data, {"net": deployed(decl, space, graph)}, "float32")
    given = Given(graph, data, "sha256:" + "d" * 64, "float32", untouched=untouched)
    return Scene(spec, graph, data, sources, lower(spec, prop, given))


@pytest.mark.parametrize(("reading", "place"), [("a stride", (1, 1)), ("a window", (2, 2))])
@pytest.mark.parametrize("behind", BEHIND)
@pytest.mark.parametrize("how", ["balanced without attack", "every trick"])
def test_what_no_trigger_reaches_is_decided_and_rechecked(
    reading: str, place: tuple[int, int], behind: str, how: str
) -> None:
    ops = [*READS_NOT[reading], *BEHIND[behind]]
    safe, violated = scene(ops, place, 1.0), scene(ops, place, -1.0)
    (question,) = safe.problem.all_questions()
    outcome = answer(safe.problem, question, how, 20)
    assert outcome.verdict is Verdict.CERTIFIED
    tally = safe.check([record_of(outcome)])
    assert tally.unrechecked == 0 or behind in ("a normalisation", "a softmax")
    assert answer(violated.problem, question, how, 20).verdict is not Verdict.CERTIFIED
