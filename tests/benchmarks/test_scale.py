"""Networks for colour pictures: the project's own form computes what torch does, and the benchmark runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks import bench_scale
from benchmarks.train_colour import NETS, graph, painted


@pytest.mark.parametrize("name", ["cnn 50k", "cnn 500k", "resnet 2b"])
def test_a_network_computes_what_torch_computes(name: str) -> None:
    torch.manual_seed(3)
    net = NETS[name]()
    pictures = torch.rand(5, 3, 32, 32)
    with torch.no_grad():
        wanted = net(pictures).numpy()
    np.testing.assert_allclose(graph(net).run(pictures.numpy()), wanted, atol=1e-5)


def test_pictures_are_painted_alike_for_a_seed() -> None:
    clothes = np.full((3, 28, 28), 200, np.uint8)
    first, again = painted(clothes, 1), painted(clothes, 1)
    assert first.shape == (3, 3, 32, 32)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)
    assert (first != painted(clothes, 2)).any()


def test_a_small_run_gives_its_records() -> None:
    records = {(record.case[-40:], record.what): record.ours for record in bench_scale.run(small=True)}
    assert len(records) == 6
    assert [value for (_, what), value in records.items() if what == "targets asked"] == [1, 1]
