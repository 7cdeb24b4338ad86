"""Every layer file: lifted with the outputs that Flux computed, or refused, as the index says."""

from __future__ import annotations

import pytest

from tests.conformance.cases import NEWEST, ROOT, Case, distance, expected, files, index
from verifluxa.errors import ModelError
from verifluxa.flux.files import read_model_file
from verifluxa.flux.layers import LayerReader, show
from verifluxa.flux.load import choose, lift

INDEX = index("layers")
CASES = [case for name in INDEX for case in files(ROOT / "layers" / name, NEWEST)]
# What a reader may refuse and this one does, with the code.
REFUSED = {
    "dense_f16": "VF2008",
    "embeddingbag_mean/state": "VF2009",
    "dense_fix2_activation/state": "VF2005",
    "transposed_weight/state": "VF2008",
    "upsample_nearest/state": None,
    "pairwisefusion": "VF2010",
    "weightnorm/state": "VF2005",
    "weightnorm/model": "VF2010",
    "rnncell": "VF2010",
    "lstmcell": "VF2010",
    "grucell": "VF2010",
}
UNTRUSTED = {"batchnorm_notrack": "VF2016"}


def _code(case: Case) -> str | None:
    name = case.folder.name
    if INDEX[name]["verdict"] == "refuse":
        return UNTRUSTED.get(name, "VF2005")
    return REFUSED.get(name) or REFUSED.get(f"{name}/{case.file.stem}")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_layer_gives_the_outputs_of_flux_or_is_refused(case: Case) -> None:
    inputs, output, tolerance = ([], None, 0.0) if _code(case) else expected(case.folder)
    shapes = tuple(array.shape[1:] for array in inputs) or (4 if case.folder.name == "pairwisefusion" else 5,)
    code = _code(case)
    if code is not None:
        with pytest.raises(ModelError) as error:
            lift(case.file, case.architecture, case.version, shapes)
        assert error.value.code == code
        return
    assert output is not None
    lifted = lift(case.file, case.architecture, case.version, shapes)
    assert lifted.graph.dtype == ("float64" if case.folder.name == "dense_f64" else "float32")
    assert distance(lifted.graph.run(*inputs), output) <= tolerance


LIFTED = [name for name, entry in INDEX.items() if entry["verdict"] == "lift" and name != "dense_f16"]


@pytest.mark.parametrize("name", LIFTED)
def test_a_whole_model_agrees_with_its_own_text(name: str) -> None:
    folder = ROOT / "layers" / name
    inputs, _, _ = expected(folder)
    shapes = tuple(array.shape[1:] for array in inputs)
    for text in ("architecture.txt", "architecture_repr.txt"):
        lift(folder / "model.bson", folder / text, NEWEST, shapes)


def test_what_is_listed_as_refused_is_a_layer_that_a_reader_may_refuse() -> None:
    for key in REFUSED:
        name = key.partition("/")[0]
        assert name == "dense_f16" or INDEX[name]["verdict"] == "refuse-or-lift"


@pytest.mark.parametrize("name", LIFTED)
def test_layers_print_as_in_flux(name: str) -> None:
    data, contents = read_model_file(ROOT / "layers" / name / "model.jld2")
    layer = LayerReader(len(data)).read(choose(contents).value, "model")
    # The mode is nothing that a proof could depend on: a layer in training mode is refused.
    assert show(layer) == INDEX[name]["show"].replace(", active=false", "")
