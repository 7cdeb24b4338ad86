"""The same run on every pool: with budgets in boxes the evidence is the same, bit for bit, and it is accepted."""

import hashlib
from pathlib import Path

import pytest

from verifluxa.certificate.check.run import check_certificate
from verifluxa.cli.formats import Format
from verifluxa.cli.verify_command import Presentation, execute
from verifluxa.verify import Request

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits"
SPEC = """spec 1
input digit : image(28 px, 28 px, 1 ch) of 0..255 level
model digits : digit -> class(10) {
  file         = "clean.jld2"
  architecture = "architecture.txt"
  layout       = whcn
  encode       = level / 255
}
data eval : digit { file = "mnist_eval.npz"  take = 30 }
trigger patch : digit { replace 3 px x 3 px  at (9, 9), (12, 6)  with 0..255 level }
property universal {
  forall t in patch, target in {3, 8}
  let victims = eval where correct(digits, x) and label(x) != target
  assert rate(x in victims : class(digits(t(x))) == target) <= 12 %
}
"""
STRATEGY = """schema = 1
name = "boxes"
bounds = "native"
seed = 0
[[stage]]
kind = "bound"
method = "crown"
[[stage]]
kind = "branch"
boxes = 400
seconds = 3600.0
joint = true
"""
KINDS = {
    "one process, questions whole": 'kind = "in-process"',
    "one process, in pieces": 'kind = "in-process"\nslice_boxes = 2\npieces = 3\nprove_slice = 1',
    "two processes, in pieces": 'kind = "processes"\nworkers = 2\nslice_boxes = 3\nprove_slice = 1',
    "two processes, questions whole": 'kind = "processes"\nworkers = 2\nprove_slice = 1',
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pools")
    for name in ("clean.jld2", "architecture.txt", "mnist_eval.npz"):
        (folder / name).symlink_to(DIGITS / name)
    (folder / "spec.vfx").write_text(SPEC)
    (folder / "boxes.toml").write_text(STRATEGY)
    return folder


def run(folder: Path, name: str, cluster: str) -> tuple[int, str]:
    (folder / f"{name}.toml").write_text(f"schema = 1\n{cluster}\n")
    request = Request(
        str(folder / "spec.vfx"), strategy=str(folder / "boxes.toml"), cluster=str(folder / f"{name}.toml")
    )
    code = execute(request, Presentation(Format.JSON, folder / name))
    evidence = (folder / name / "evidence.jsonl.gz").read_bytes()
    return code, hashlib.sha256(evidence).hexdigest()


def test_every_pool_gives_the_same_evidence(folder, capsys):
    answers = {name: run(folder, f"run{number}", kind) for number, (name, kind) in enumerate(KINDS.items())}
    assert len(set(answers.values())) == 1, answers
    report = check_certificate(folder / "run1" / "certificate.json", {}, {}, None, None)
    assert (report.accepted, report.unrechecked) == (True, 0)
