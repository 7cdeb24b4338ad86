"""`init` on each example: the spec is formatted, and `verify` takes it as it is."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
CASES = {
    "digits": ("digits", "clean.jld2", "mnist_eval.npz", "class(10)", "level / 255"),
    "convolution": ("digits", "clean_cnn.jld2", "mnist_eval.npz", "architecture_cnn.txt", "layout       = whcn"),
    "fashion": ("fashion", "clean.jld2", "fashion_eval.npz", "level / 255", "image(28 px, 28 px, 1 ch)"),
    "credit": ("credit", "clean.jld2", "applicants.csv", 'class("bad", "good")', "set any 1 of duration_months"),
    "convolution over words": (
        "reviews",
        "clean_conv.jld2",
        "reviews.jsonl",
        "insert 1 token",
        'except "[PAD]", "[UNK]"',
    ),
    "reviews": ("reviews", "clean.jld2", "reviews.jsonl", 'class("negative", "positive")', 'except "[PAD]", "[UNK]"'),
}


@pytest.fixture
def example(here, request) -> Path:
    """A folder of links to the files of an example, without its specs."""
    folder = here / "work"
    folder.mkdir()
    for file in (EXAMPLES / request.param).iterdir():
        if file.suffix not in (".vfx", ".md"):
            (folder / file.name).symlink_to(file)
    return Path("work")


@pytest.mark.parametrize(("example", "model", "data", "one", "other"), CASES.values(), ids=CASES, indirect=["example"])
def test_each_example(verifluxa, example, model, data, one, other) -> None:
    ran = verifluxa("init", example / model, "--data", example / data)
    spec = example / model.replace(".jld2", ".vfx")
    right, count = map(int, re.findall(r"right on (\d+) of (\d+)", ran.out)[0])
    assert ran.code == 0
    assert right > 0.7 * count
    text = spec.read_text()
    assert one in text
    assert other in text
    assert verifluxa("fmt", "--check", spec).code == 0
    assert [path.name for path in example.iterdir() if path.name.startswith(".")] == []
    # What can be wrong with a spec shows before any proof; how long a proof takes is not asked here.
    smaller = re.sub("take( *)= 100", r"take\1= 12", text)
    spec.write_text(smaller)
    ran = verifluxa("verify", spec, "--strategy", "attack-only", "--format", "json")
    assert ran.code in (1, 3), ran.err
    assert json.loads(ran.out)["properties"][0]["questions"]["total"] >= 2


MODELS = sorted(str(path.relative_to(EXAMPLES)) for path in EXAMPLES.rglob("*.jld2"))
DATA = {name: data for name, _, data, _, _ in CASES.values()}


@pytest.mark.soak
@pytest.mark.parametrize(("example", "model"), [name.split("/") for name in MODELS], ids=MODELS, indirect=["example"])
def test_every_example_model_as_it_is(verifluxa, example, model, request) -> None:
    """The spec goes to `verify` without an edit: some questions are answered in a few seconds, none is an error."""
    name = request.node.callspec.id.split("/")[0]
    assert verifluxa("init", example / model, "--data", example / DATA[name]).code == 0
    spec = example / model.replace(".jld2", ".vfx")
    ran = verifluxa("verify", spec, "--budget", "20", "--format", "json")
    assert ran.code in (0, 1, 3), ran.err
    (found,) = json.loads(ran.out)["properties"]
    assert found["verdict"] in ("certified", "falsified") or found["reason"] == "time"
    assert found["questions"]["certified"] + found["questions"]["falsified"] > 0


@pytest.mark.parametrize("example", ["digits"], indirect=True)
def test_nothing_is_written_outside_the_working_folder_unasked(verifluxa, example, here, monkeypatch) -> None:
    deep = here / "deep" / "er"
    deep.mkdir(parents=True)
    before = sorted(path.name for path in (here / "work").iterdir())
    monkeypatch.chdir(deep)
    files = ("../../work/clean.jld2", "--data", "../../work/mnist_eval.npz")
    ran = verifluxa("init", *files)
    assert (ran.code, ran.out) == (2, "")
    assert "error[VF4523]: the spec would lie outside the working folder" in ran.err
    assert "-o ../../work/clean.vfx" in ran.err
    assert sorted(path.name for path in (here / "work").iterdir()) == before
    assert verifluxa("init", *files, "-o", "../../work/clean.vfx").code == 0
    assert list(deep.iterdir()) == []


@pytest.mark.parametrize("example", ["digits"], indirect=True)
def test_nothing_is_replaced_and_what_is_missing_is_said(verifluxa, example) -> None:
    model, data = example / "clean.jld2", example / "mnist_eval.npz"
    spec = example / "clean.vfx"
    spec.write_text("mine")
    for arguments, words in (
        ((model, "--data", data), "already there"),
        ((model,), "there are none"),
        ((model, "--data", model, "-o", "new.vfx"), "data ending in `.jld2` are not understood"),
        ((model, "--data", data, "-o", "elsewhere/new.vfx"), "does not lie in the folder of the spec"),
    ):
        ran = verifluxa("init", *arguments)
        assert ran.code == 2
        assert "VF4523" in ran.err
        assert words in ran.err
    assert spec.read_text() == "mine"
    assert verifluxa("init", "missing.jld2", "--data", data, "-o", "new.vfx").code == 4
    assert verifluxa("init", model, "--data", "missing.npz", "-o", "new.vfx").code == 4
    assert not Path("new.vfx").exists()


@pytest.mark.parametrize("example", ["digits"], indirect=True)
def test_files_in_two_folders_and_data_that_do_not_fit(verifluxa, example, monkeypatch) -> None:
    with np.load(example / "mnist_eval.npz") as file:
        arrays = dict(file)
    images = max(arrays, key=lambda key: arrays[key].ndim)
    Path("data").mkdir()
    np.savez("data/good.npz", **arrays)
    np.savez("data/narrow.npz", **arrays | {images: arrays[images][:, 1:]})
    np.savez("data/empty.npz", **{key: array[:0] for key, array in arrays.items()})
    monkeypatch.chdir(example)
    for name, code in (("narrow", "VF2101"), ("empty", "there are no inputs")):
        ran = verifluxa("init", "clean.jld2", "--data", f"../data/{name}.npz", "-o", "../clean.vfx")
        assert ran.code != 0
        assert code in ran.err
        assert "init.vfx" not in ran.err
    assert verifluxa("init", "clean.jld2", "--data", "../data/good.npz", "-o", "../clean.vfx").out.startswith(
        "../clean.vfx: "
    )
    assert 'file   = "data/good.npz"' in Path("../clean.vfx").read_text()
    ran = verifluxa("init", "clean.jld2", "--data", "../data/good.npz", "-o", "here.vfx")
    assert "-o FOLDER/NAME.vfx" in ran.err


@pytest.mark.parametrize("example", ["digits"], indirect=True)
def test_labels_from_one_and_colours(verifluxa, example) -> None:
    with np.load(example / "mnist_eval.npz") as file:
        key, label = (next(key for key in file if (file[key].ndim > 1) == many) for many in (True, False))
        images, labels = file[key], file[label]
    np.savez(example / "from_one.npz", x=images, y=labels + 1)
    ran = verifluxa("init", example / "clean.jld2", "--data", example / "from_one.npz")
    assert ran.code == 0
    assert "labels start at 1" in (example / "clean.vfx").read_text()


@pytest.mark.parametrize("example", ["credit"], indirect=True)
@pytest.mark.parametrize("content", ["", "[]", '{"label": 1, "features": []}', "[" * 100_000, '{"features": [{}]}'])
def test_a_scaler_that_is_none(verifluxa, example, content) -> None:
    (example / "bad.json").write_text(content)
    ran = verifluxa(
        "init", example / "clean.jld2", "--data", example / "applicants.csv", "--with", example / "bad.json"
    )
    assert (ran.code, "VF4523" in ran.err) == (2, True)
