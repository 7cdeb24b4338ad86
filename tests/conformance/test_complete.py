"""Each fixture file is a case of exactly one conformance test, under its own name."""

from __future__ import annotations

from collections import Counter

from tests.conformance import test_hostile, test_layers, test_models
from tests.conformance.cases import ROOT


def _model_files() -> list[str]:
    found = [*ROOT.rglob("*.jld2"), *ROOT.rglob("*.bson")]
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def test_each_model_file_is_one_case() -> None:
    cases = [*test_layers.CASES, *test_models.MODELS, *test_models.OLD]
    names = [case.file.relative_to(ROOT).as_posix() for case in cases if case.file.is_relative_to(ROOT)]
    names += [f"hostile/{name}" for name in test_hostile.HOSTILE if not name.endswith(".txt")]
    names += [f"hostile_hdf5/{name}" for name in test_hostile.TRICKS]
    # The outputs of the good files of `hostile/` are compared in a test of their own.
    assert Counter(names).most_common(1)[0][1] == 1
    assert sorted(names) == _model_files()


def test_the_indexes_name_every_folder_and_file() -> None:
    layers = {path.name for path in (ROOT / "layers").iterdir() if path.is_dir()}
    assert layers == set(test_layers.INDEX)
    for folder, index in (("hostile", test_hostile.HOSTILE), ("hostile_hdf5", test_hostile.TRICKS)):
        files = {path.name for path in (ROOT / folder).iterdir()}
        assert set(index) <= files
        assert {name for name in files if name.endswith((".jld2", ".bson"))} <= set(index)
