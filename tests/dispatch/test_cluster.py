"""Cluster files: what they mean, and what is refused."""

import pytest
import torch

from verifluxa.dispatch.cluster import load_cluster, open_pool, parse_cluster
from verifluxa.dispatch.engine import check_device
from verifluxa.dispatch.processes import InProcessPool, ProcessPool
from verifluxa.errors import UsageError
from verifluxa.library import Library, names

GOOD = 'schema = 1\nkind = "processes"\nworkers = 3\n'


@pytest.mark.parametrize("name", names(Library.CLUSTER))
def test_shipped_clusters_are_understood(name):
    cluster = load_cluster(name)
    assert cluster.name == name
    assert cluster.workers >= 1 or cluster.kind == "ray"


def test_laptop_works_here_and_local_in_processes():
    assert isinstance(open_pool(load_cluster("laptop"), None), InProcessPool)  # type: ignore[arg-type]
    pool = open_pool(load_cluster("local"), None)  # type: ignore[arg-type]
    assert isinstance(pool, ProcessPool)


def test_values_and_where_they_came_from():
    cluster = parse_cluster("mine", GOOD, "mine.toml")
    assert (cluster.workers, cluster.tries) == (3, 2)
    assert "workers" in cluster.given
    assert "tries" not in cluster.given


@pytest.mark.parametrize(
    "text",
    [
        "kind = ",
        'schema = 1\nkind = "processes"\nworker = 4\n',
        'schema = 1\nkind = "slurm"\n',
        'schema = 1\nkind = "ray"\naddress = "http://head/"\n',
        'schema = 1\nkind = "ray"\ngpus_each = 0\n',
        'schema = 1\nkind = "processes"\naddress = "local"\n',
        'schema = 1\nkind = "processes"\nslice_seconds = "long"\n',
        "schema = 1\n",
        'schema = 2\nkind = "processes"\n',
        'schema = 1\nkind = "processes"\nworkers = -1\n',
        'schema = 1\nkind = "processes"\nworkers = true\n',
        'schema = 1\nkind = "processes"\nworkers = "many"\n',
        'schema = 1\nkind = "in-process"\nworkers = 4\n',
        'schema = 1\nkind = "in-process"\ndevice = "tpu"\n',
        'schema = true\nkind = "in-process"\n',
    ],
)
def test_what_is_not_understood_is_refused(text, snapshot):
    with pytest.raises(UsageError) as caught:
        parse_cluster("mine", text, "mine.toml")
    assert str(caught.value) == snapshot


def test_an_unknown_cluster_is_named():
    with pytest.raises(UsageError, match="laptpo"):
        load_cluster("laptpo")


@pytest.mark.skipif(torch.cuda.is_available(), reason="the device is there")
def test_a_device_that_is_not_there_is_said_before_the_work():
    check_device("cpu")
    assert load_cluster("gpu").own_device == "cuda"
    assert parse_cluster("far", 'schema = 1\nkind = "ray"\naddress = "auto"\ngpu_workers = 1\n', "").own_device == "cpu"
    with pytest.raises(UsageError) as caught:
        check_device("cuda")
    assert caught.value.code == "VF4202"
