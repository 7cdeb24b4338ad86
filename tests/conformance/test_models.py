"""Trained networks and files of older versions give the outputs that Flux computed."""

from __future__ import annotations

import pytest

from tests.conformance.cases import DIGITS, ROOT, Case, distance, expected, files
from verifluxa.errors import ModelError
from verifluxa.flux.load import lift

_DIGIT_STATES = {"clean": "clean_mlp", "badnets": "badnets_mlp", "clean_cnn": "clean_cnn", "badnets_cnn": "badnets_cnn"}
MODELS = [
    *(case for folder in sorted((ROOT / "mnist").iterdir()) for case in files(folder, None)),
    *(case for folder in sorted((ROOT / "examples").iterdir()) for case in files(folder, None)),
    *(case for folder in sorted((ROOT / "jld2-0.6.5").iterdir()) for case in files(folder, None)),
    *(
        Case(DIGITS / f"{file}.jld2", ROOT / "mnist" / name / "architecture.txt", None, ROOT / "mnist" / name)
        for file, name in _DIGIT_STATES.items()
    ),
]
OLD = [
    case
    for version in ("0.12.1", "0.13.4")
    for folder in sorted(next((ROOT / "old").glob(f"flux-{version}*")).iterdir())
    if folder.is_dir()
    for case in files(folder, version)
]
# A list of weights has no running statistics, and Flux 0.12.1 does not print the options of a convolution.
REFUSED = {
    "cnn/weights.bson": ("VF2010", "VF2011"),
    "layernorm_eps/weights.bson": ("VF2010",),
    "convtranspose/weights.bson": ("VF2011",),
    "depthwiseconv/weights.bson": ("VF2011",),
    **{f"{name}/{file}": ("VF2010",) for name in ("rnn", "gru", "lstm") for file in ("state.jld2", "weights.bson")},
    **{f"{name}/{file}": ("VF2010",) for name in ("rnn", "gru", "lstm") for file in ("model.jld2", "model.bson")},
}


@pytest.mark.parametrize("case", MODELS, ids=str)
def test_a_model_gives_the_outputs_of_flux(case: Case) -> None:
    inputs, output, tolerance = expected(case.folder)
    lifted = lift(case.file, case.architecture, case.version, inputs[0].shape[1:])
    assert distance(lifted.graph.run(*inputs), output) <= tolerance


@pytest.mark.parametrize("case", OLD, ids=str)
def test_a_model_of_an_older_flux_gives_its_outputs_or_is_refused(case: Case) -> None:
    inputs, output, tolerance = expected(case.folder)
    codes = REFUSED.get(f"{case.folder.name}/{case.file.name}", ())
    if codes and not ("0.13.4" in str(case) and codes == ("VF2011",)):
        with pytest.raises(ModelError) as error:
            lift(case.file, case.architecture, case.version, inputs[0].shape[1:])
        assert error.value.code in codes
        return
    lifted = lift(case.file, case.architecture, case.version, inputs[0].shape[1:])
    assert distance(lifted.graph.run(*inputs), output) <= tolerance
