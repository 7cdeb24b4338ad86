"""What `inspect` prints, for a sample of good, refused and hostile files, word by word."""

import shutil

import pytest

from tests.conformance.cases import ROOT

SAMPLE = {
    "convolutions": ("layers/cnn_small/model.jld2", "--input-shape", "1,11,12"),
    "branches": ("layers/skip_chain_plus/model.bson",),
    "two inputs": ("layers/parallel_two_inputs/state.jld2", "--architecture", "architecture.txt"),
    "attention": ("layers/attention/state.bson", "--architecture", "architecture.txt", "--input-shape", "5,4"),
    "dropout": ("layers/dropout/model.bson",),
    "no version": ("layers/layernorm/model.jld2",),
    "no shape": ("layers/lstm/model.bson",),
    "no words": ("layers/embeddingbag_mean/model.bson",),
    "no architecture": ("layers/batchnorm_chain/state.jld2",),
    "another text": ("layers/dense_relu/model.bson", "--architecture", "../dense_elu/architecture.txt"),
    "own layer": ("layers/custom_layer/model.jld2",),
    "anonymous": ("layers/dense_anonymous_activation/model.bson",),
    "batch statistics": ("layers/batchnorm_notrack/model.jld2",),
    "closure with code": ("hostile/payload_closure.bson",),
    "damaged": ("hostile/bad_checksum.jld2",),
    "not a number": ("hostile/nan_weight.bson", "--architecture", "good_architecture.txt"),
    "external link": ("hostile_hdf5/external_link.jld2",),
}


@pytest.mark.parametrize("name", SAMPLE)
def test_inspect_reads(name, verifluxa, here, snapshot):
    file, *options = SAMPLE[name]
    path = ROOT / file
    shutil.copy(path, here / path.name)
    if "--architecture" in options:
        text = options[options.index("--architecture") + 1]
        shutil.copy(path.parent / text, here / "architecture.txt")
        options[options.index("--architecture") + 1] = "architecture.txt"
    ran = verifluxa("inspect", path.name, *options)
    assert f"exit {ran.code}\n{ran.out}{ran.err}" == snapshot


def test_a_file_that_is_not_there_is_one_message(verifluxa, here):
    ran = verifluxa("inspect", "none.jld2")
    assert ran.code == 4
    assert ran.out == ""
    assert "VF2001" in ran.err
