"""The whole pipeline from Python, on a network small enough to know every answer: 3x3 images, one dense layer."""

from pathlib import Path

import numpy as np
import pytest

import verifluxa
from verifluxa.dispatch.observe import NoEvidence, Progress
from verifluxa.errors import DataError, ModelError, UnsupportedError, UsageError
from verifluxa.evidence import Outcome
from verifluxa.inputs import Choice
from verifluxa.question import Problem
from verifluxa.verdict import Reason, Verdict
from verifluxa.verify import Request, RunContext, run

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
  at any
  with 0..255 level
}

param most : fraction = 0 %

property few {
  forall t in dot, target in {"bright"}
  let victims = eval where correct(net, x) and label(x) != target
  assert rate(x in victims : class(net(t(x))) == target) <= most
}

property none {
  let clean = eval where correct(net, x)
  forall x in clean, t in dot at (1, 2), (0, 0)
  assert class(net(t(x))) == label(x)
}
"""

ROW, COLUMN = 2, 1
"""The pixel that decides: an asymmetric place, so that swapped rows and columns show."""


@pytest.fixture
def spec(tmp_path) -> str:
    """Class `bright` where the deciding pixel is above 128 levels (and half a level)."""
    weight = np.zeros((2, 9), dtype=np.float32)
    weight[1, ROW * 3 + COLUMN] = 255.0
    bias = np.array([128.5, 0.0], dtype=np.float32)
    arrays = {"layers.2.weight": weight, "layers.2.bias": bias}
    np.savez(tmp_path / "net.npz", **arrays)
    np.savez(tmp_path / "net64.npz", **{name: array.astype(np.float64) for name, array in arrays.items()})
    (tmp_path / "architecture.txt").write_text("Chain(Flux.flatten, Dense(9 => 2))")
    images = np.zeros((5, 3, 3), dtype=np.uint8)
    images[4, ROW, COLUMN] = 200
    np.savez(tmp_path / "eval.npz", x=images, y=np.array([0, 0, 0, 1, 1], dtype=np.uint8))
    (tmp_path / "tiny.vfx").write_text(SPEC)
    return str(tmp_path / "tiny.vfx")


class Watcher:
    def __init__(self) -> None:
        self.seen: list[Progress] = []

    def update(self, progress: Progress) -> None:
        self.seen.append(progress)


class Keeper(NoEvidence):
    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []

    def begin(self, problem: Problem, data: str) -> None:
        self.calls.append(("begin", data))

    def record(self, problem: Problem, outcome: Outcome) -> None:
        self.calls.append(("record", problem.name))

    def end(self, problem: Problem) -> None:
        self.calls.append(("end", problem.name))


def test_the_deciding_pixel_is_found_at_its_row_and_column(spec):
    result = verifluxa.verify(spec)
    few, none = result.properties
    assert result.verdict is few.verdict is Verdict.FALSIFIED
    assert few.counterexample is not None
    assert dict(few.counterexample.placement) == {"row": ROW, "column": COLUMN}
    assert few.counterexample.target == 1
    assert few.counterexample.trigger[0][0] > 128
    assert few.counterexample.inputs == (0, 1, 2)
    assert none.verdict is Verdict.CERTIFIED


def test_a_certificate_is_written_and_checked_without_the_command_line(spec, tmp_path):
    out = tmp_path / "certified"
    result = verifluxa.certify(spec, out, properties=("none",))
    assert result.verdict is Verdict.CERTIFIED
    names = {path.name for path in out.iterdir()}
    assert {"certificate.json", "evidence.jsonl.gz", "result.json"} <= names
    report = verifluxa.check_certificate(out / "certificate.json")
    assert report.accepted
    assert not report.reasons


def test_inputs_that_do_not_count_are_listed_with_their_reason(spec):
    result = verifluxa.verify(spec)
    assert result.data[0].counted == 4
    assert [index for index, _ in result.data[0].excluded] == [3]
    assert "correct" in result.data[0].excluded[0][1]


def test_every_place_has_its_bounds(spec):
    result = verifluxa.verify(spec, params={"most": "99 %"}, properties=("few",))
    places = {tuple(number for _, number in place.placement): place for place in result.properties[0].places}
    assert len(places) == 9
    assert str(places[COLUMN, ROW].found) == "0/3"


@pytest.mark.parametrize(("strategy", "cluster"), [("quick", "laptop"), ("balanced", "laptop"), ("balanced", "local")])
def test_strategies_and_clusters_agree(spec, strategy, cluster):
    result = verifluxa.verify(spec, strategy=strategy, cluster=cluster)
    assert [item.verdict for item in result.properties] == [Verdict.FALSIFIED, Verdict.CERTIFIED]


def test_an_attack_alone_proves_nothing(spec):
    result = verifluxa.verify(spec, strategy="attack-only", properties=("none",))
    assert (result.verdict, result.properties[0].reason) == (Verdict.UNKNOWN, Reason.STRATEGY)


def test_observers_and_evidence_take_part(spec):
    watcher, keeper = Watcher(), Keeper()
    result = run(Request(spec), RunContext(watcher, keeper))
    assert {progress.name for progress in watcher.seen} == {"few", "none"}
    assert keeper.calls.count(("record", "few")) == result.properties[0].counts.total == 9
    assert keeper.calls.count(("record", "none")) == result.properties[1].counts.total
    assert [call for call in keeper.calls if call[0] != "record"] == [
        ("begin", result.data[0].file.sha256),
        ("end", "few"),
        ("begin", result.data[0].file.sha256),
        ("end", "none"),
    ]


def test_the_models_own_arithmetic_is_the_default(spec):
    folder = Path(spec).parent
    assert verifluxa.verify(spec, properties=("none",)).arithmetic == "float32"
    assert (
        verifluxa.verify(spec, models={"net": str(folder / "net64.npz")}, properties=("none",)).arithmetic == "float64"
    )
    assert verifluxa.verify(spec, arithmetic="real", properties=("none",)).arithmetic == "real"
    with pytest.raises(UsageError) as caught:
        verifluxa.verify(spec, arithmetic="float64")
    assert caught.value.code == "VF4011"


def test_models_of_two_types_cannot_share_a_result(spec):
    text = Path(spec).read_text()
    second = (
        text[text.index("model net") : text.index("data eval")]
        .replace("net :", "big :")
        .replace("net.npz", "net64.npz")
    )
    third = text[text.index("property none") :].replace("none", "other").replace("net", "big")
    Path(spec).write_text(text.replace("data eval", second + "data eval") + "\n" + third)
    with pytest.raises(UsageError) as caught:
        verifluxa.verify(spec)
    assert caught.value.code == "VF4404"
    assert verifluxa.verify(spec, properties=("other",)).arithmetic == "float64"
    assert verifluxa.verify(spec, arithmetic="real").arithmetic == "real"


def test_a_network_without_bounds_is_unknown_and_never_certified(spec):
    (Path(spec).parent / "architecture.txt").write_text("Chain(Flux.flatten, Dense(9 => 2, Base.Fix2(trelu, -0.5f0)))")
    result = verifluxa.verify(spec, properties=("none",))
    assert result.verdict is Verdict.UNKNOWN
    assert result.properties[0].reason is Reason.UNSUPPORTED


def test_questions_that_cannot_be_put_are_one_unknown(spec, monkeypatch):
    def refuse(*_):
        raise UnsupportedError("VF7001", "there are no bounds for this")

    monkeypatch.setattr("verifluxa.verify.build_problem", refuse)
    result = verifluxa.verify(spec)
    assert {item.reason for item in result.properties} == {Reason.UNSUPPORTED}
    assert result.properties[0].message is not None
    assert result.document()["verdict"] == "unknown"


def test_mistakes_show_before_any_work(spec):
    class Untouched:
        def attack(self, problem, slice):
            raise AssertionError("no work before everything is read")

        prove = attack

    images = np.zeros((2, 3, 3), dtype=np.uint8)
    np.savez(Path(spec).parent / "wrong.npz", x=images, y=np.ones(2, dtype=np.uint8))
    with pytest.raises(DataError):
        run(Request(spec, Choice(data={"eval": str(Path(spec).parent / "wrong.npz")})), RunContext(engine=Untouched()))


def test_only_what_the_chosen_properties_name_is_loaded(spec):
    text = Path(spec).read_text()
    other = (
        text[text.index("model net") : text.index("data eval")]
        .replace("net :", "gone :")
        .replace("net.npz", "gone.npz")
    )
    third = (
        text[text.index("property none") :].replace("none", "other").replace("(net", "(gone").replace("net(", "gone(")
    )
    Path(spec).write_text(text.replace("data eval", other + "data eval") + "\n" + third)
    assert verifluxa.verify(spec, properties=("none",)).verdict is Verdict.CERTIFIED
    with pytest.raises(ModelError):
        verifluxa.verify(spec, properties=("other",))


def test_the_seed_of_a_run_can_be_set(spec):
    first, second = (verifluxa.verify(spec, seed=11, properties=("few",)) for _ in range(2))
    assert first.properties[0].counterexample == second.properties[0].counterexample


def test_the_package_stays_callable_and_light():
    import verifluxa.verify  # which puts the module where the function was

    assert callable(verifluxa.verify)
    assert callable(verifluxa.load_model)
    assert callable(verifluxa.check_certificate)
    assert {"verify", "certify", "load_model", "check_certificate"} <= set(dir(verifluxa))
    with pytest.raises(AttributeError):
        _ = verifluxa.nothing
