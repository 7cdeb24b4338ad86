"""The two digit models with real certificates: the clean one certified, the backdoored one falsified."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from verifluxa.certificate.keys import keygen
from verifluxa.certificate.sign import Release, sign
from verifluxa.cli.main import run

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits"
MODELS = {"clean": "clean.jld2", "badnets": "badnets.jld2"}

SPEC = """spec 1

input digit : image(28 px, 28 px, 1 ch) of 0..255 level

model digits : digit -> class(10) {
  file         = "clean.jld2"
  architecture = "architecture.txt"
  layout       = whcn
  encode       = level / 255
}

data eval : digit {
  file = "mnist_eval.npz"
  take = 12
}

trigger patch : digit {
  replace 3 px x 3 px
  at (24, 24), (0, 0)
  with 0..255 level
}

param max_rate : fraction = 50 %

property universal {
  forall t in patch, target in {5, 7}
  let victims = eval where correct(digits, x) and label(x) != target
  assert rate(x in victims : class(digits(t(x))) == target) <= max_rate
}
"""


@dataclass(frozen=True)
class Plant:
    """`gate/` with policy, spec, data and public keys; `clean/` and `badnets/` with `model/` and `out/`."""

    root: Path

    @property
    def policy(self) -> Path:
        return self.root / "gate" / "policy.toml"

    def model(self, name: str) -> Path:
        return self.root / name / "model"

    def files(self, name: str) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.model(name).iterdir()}

    def signed(self, name: str, resource: str) -> Path:
        """The model's certificate, signed for a promotion; its evidence lies beside it."""
        out = self.root / name / "out"
        release = Release(resource_uri=resource)
        return sign(
            out / "certificate.json", self.root / "release.key", out / "certificate.dsse.json", None, release
        ).envelope


def make_plant(root: Path) -> Plant:
    """Verifies both models, about a second each, and writes the policy from the certificate of the clean one."""
    gate = root / "gate"
    gate.mkdir()
    keygen(root / "release.key").public.rename(gate / "release.pub")
    keygen(root / "officer.key").public.rename(gate / "officer.pub")
    (gate / "digits.vfx").write_text(SPEC)
    for name in ("mnist_eval.npz", "clean.jld2", "architecture.txt"):
        shutil.copyfile(DIGITS / name, gate / name)
    for name, weights in MODELS.items():
        model = root / name / "model"
        model.mkdir(parents=True)
        shutil.copyfile(DIGITS / weights, model / weights)
        shutil.copyfile(DIGITS / "architecture.txt", model / "architecture.txt")
        out = str(root / name / "out")
        code = run(["verify", str(gate / "digits.vfx"), "--model", f"digits={model / weights}", "--out", out])
        assert code == (0 if name == "clean" else 1)
    # The checker must find spec, data and architecture beside the policy and among the promoted files, nowhere else.
    (gate / "clean.jld2").unlink()
    (gate / "architecture.txt").unlink()
    plant = Plant(root)
    certificate = str(root / "clean" / "out" / "certificate.json")
    assert run(["gate", "policy", certificate, "--key", "release.pub", "-o", str(plant.policy)]) == 0
    demands = (
        '\n[recheck]\nmode = "always"\nspec = "digits.vfx"\n\n[override]\nkeys = ["officer.pub"]\nmost_hours = 8\n'
    )
    text = plant.policy.read_text().replace("[signers]", 'every_version_of = ["prod.*"]\n\n[signers]')
    plant.policy.write_text(text + demands)
    return plant
