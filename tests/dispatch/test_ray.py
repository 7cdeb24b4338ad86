"""The Ray pool on a real cluster of this machine: answers as of any pool, and every fault that a cluster can have."""

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import pytest
from dispatch_fakes import FakeEngine, marks, problem
from test_pools_agree import decided, prepared

from verifluxa.certificate.check.run import check_certificate
from verifluxa.dispatch.cluster import open_pool, parse_cluster
from verifluxa.dispatch.driver import Answers, Plan, drive
from verifluxa.dispatch.observe import Silent
from verifluxa.dispatch.ray_pool import RayPool, RaySettings
from verifluxa.errors import UsageError
from verifluxa.strategy.work import Limits

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # nodes on the loopback interface
ray = pytest.importorskip("ray", reason="Ray is not installed (extra `ray`)")
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"),
]

HERE = str(Path(__file__).resolve().parent)
ROOT = str(Path(__file__).resolve().parents[2])
SETTINGS = RaySettings(workers=2, environment={"PYTHONPATH": os.pathsep.join([ROOT, HERE])})
PLAN = Plan(attack_slice=2, prove_slice=1, tries=2)


@pytest.fixture(scope="module")
def nodes():
    """Three nodes: the head with two CPUs, and two more with one each; loopback only."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    others = [cluster.add_node(num_cpus=1, resources={f"node{number}": 1.0}) for number in range(2)]
    ray.init(address=cluster.address, log_to_driver=False, logging_level="error")
    yield cluster, others
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def cluster(nodes):
    return nodes[0]


def run(engine: FakeEngine, plan: Plan = PLAN, settings: RaySettings = SETTINGS, placements: int = 6) -> Answers:
    pool = RayPool({False: engine, True: engine}, settings)
    try:
        return drive(problem(placements=placements), pool, plan)
    finally:
        pool.close()


def counts(answers: Answers) -> Counter[str]:
    return Counter(str(outcome.reason or outcome.verdict) for outcome in answers.outcomes)


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        (FakeEngine(), {"certified": 12}),
        (FakeEngine(attacks={1: "find"}), {"falsified": 2, "decided": 10}),
        (FakeEngine(proofs={3: "memory"}), {"certified": 10, "memory": 2}),
        (FakeEngine(proofs={3: "unsupported"}), {"certified": 10, "unsupported": 2}),
        (FakeEngine(proofs={1: "long"}), {"certified": 12}),
    ],
    ids=["certified", "found", "memory", "unsupported", "long"],
)
def test_answers_are_those_of_any_pool(cluster, engine, expected):
    assert counts(run(engine, Plan(attack_slice=2, prove_slice=1, limits=Limits(1), pieces=3))) == expected


def test_a_killed_worker_costs_no_answer(cluster, tmp_path):
    assert counts(run(FakeEngine(proofs={2: "die once"}, folder=tmp_path))) == {"certified": 12}


def test_a_poison_question_is_isolated_and_the_rest_goes_on(cluster):
    answers = run(FakeEngine(proofs={2: "die"}), Plan(attack_slice=2, prove_slice=2, tries=2))
    assert counts(answers) == {"certified": 10, "lost-worker": 2}
    assert {o.question.placement for o in answers.outcomes if str(o.reason) == "lost-worker"} == {2}


def test_a_worker_that_hangs_is_ended_after_the_deadline(cluster):
    """The deadline is over as soon as all others have their answers."""

    class Impatient(Silent):
        late = 0.0

        def update(self, progress):
            self.late = 1e6 if progress.certified == 10 else 0.0

    watcher = Impatient()
    clock = lambda: time.monotonic() + watcher.late  # noqa: E731
    plan = Plan(prove_slice=1, deadline=clock() + 600, grace=0.5, shown=0.0, clock=clock)
    engine = FakeEngine(proofs={5: "hang"})
    pool = RayPool({False: engine, True: engine}, SETTINGS)
    try:
        answers = drive(problem(), pool, plan, watcher)
    finally:
        pool.close()
    assert counts(answers) == {"certified": 10, "time": 2}


SIGNS = RaySettings(workers=2, environment=SETTINGS.environment, silence=4.0, beat=0.3)


def test_a_stopped_worker_is_replaced_and_its_slice_asked_again(cluster, tmp_path):
    engine = FakeEngine(proofs={2: "stop once", 4: "slow"}, folder=tmp_path)
    assert counts(run(engine, settings=SIGNS)) == {"certified": 12}
    assert (marks(tmp_path, "prove").count(2), marks(tmp_path, "prove").count(4)) == (2, 1)


def test_workers_that_are_stopped_again_and_again_give_their_room_back(cluster, tmp_path):
    """As many as the cluster has CPUs, and more: a process that is ended for good frees what it held."""
    engine = FakeEngine(proofs=dict.fromkeys(range(3), "stop"), folder=tmp_path)
    assert counts(run(engine, settings=SIGNS)) == {"lost-worker": 6, "certified": 6}


def test_a_problem_that_left_the_object_store_is_put_there_again(cluster):
    """It is lost with its owner, as it would be with the node that held it."""

    @ray.remote
    class Owner:
        def put(self, value):
            return [ray.put(value)]

    engine = FakeEngine()
    pool = RayPool({False: engine, True: engine}, SETTINGS)
    load = pool.load

    def lossy(asked):
        load(asked)
        owner = Owner.remote()
        (reference,) = ray.get(owner.put.remote(asked))
        ray.kill(owner)
        pool._shipped = (pool._shipped[0], reference)
        pool.load = load

    pool.load = lossy
    try:
        assert counts(drive(problem(placements=3), pool, Plan(prove_slice=1, tries=4))) == {"certified": 6}
    finally:
        pool.close()


def test_a_worker_of_another_version_is_refused(cluster, monkeypatch):
    monkeypatch.setattr("verifluxa.dispatch.ray_pool.__version__", "99.0")
    with pytest.raises(UsageError) as caught:
        run(FakeEngine())
    assert caught.value.code == "VF4433"


def test_workers_that_cannot_start_end_the_run(cluster):
    """An installation without the tool's engine: each actor dies before it says hello."""
    settings = RaySettings(workers=2, environment={"PYTHONPATH": "", "RAY_worker_nonsense": "1"})
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("verifluxa.dispatch.ray_pool._Worker", Stillborn)
        assert counts(run(FakeEngine(), settings=settings)) == {"lost-worker": 12}


class Stillborn:
    def __init__(self) -> None:
        os._exit(1)

    def hello(self, version: str) -> str:
        return version


def test_a_mistake_in_the_engine_ends_the_run_and_is_no_verdict(cluster):
    from verifluxa.dispatch.driver import EngineCrash

    with pytest.raises(EngineCrash, match="ZeroDivisionError"):
        run(FakeEngine(proofs={0: "crash"}))


def test_gpu_workers_prove_and_the_others_attack(cluster, tmp_path):
    gpu = cluster.add_node(num_cpus=1, num_gpus=1)
    try:
        (tmp_path / "cpu").mkdir()
        (tmp_path / "gpu").mkdir()
        settings = RaySettings(workers=1, gpu_workers=2, gpus_each=0.5, environment=SETTINGS.environment)
        pool = RayPool(
            {False: FakeEngine(folder=tmp_path / "cpu"), True: FakeEngine(folder=tmp_path / "gpu")}, settings
        )
        try:
            assert counts(drive(problem(), pool, PLAN)) == {"certified": 12}
        finally:
            pool.close()
        assert (marks(tmp_path / "cpu", "prove"), marks(tmp_path / "gpu", "attack")) == ([], [])
    finally:
        cluster.remove_node(gpu)


@pytest.mark.parametrize(
    "asked", [{"gpu_workers": 1, "gpus_each": 0.5}, {"workers": 1, "threads": 3}], ids=["a GPU", "CPUs of one node"]
)
@pytest.mark.parametrize("address", ["local", "auto"])
def test_workers_that_can_never_be_there_are_refused_before_the_work(cluster, asked, address, snapshot):
    wait_for_report()
    with pytest.raises(UsageError) as caught:
        run(FakeEngine(), settings=RaySettings(address=address, **asked))
    assert caught.value.code == "VF4434"
    assert str(caught.value) == snapshot
    assert ray.is_initialized(), "a cluster that others have joined stays"


def wait_for_report() -> None:
    """Until the head has said which nodes there are."""
    from ray.experimental.internal_kv import _internal_kv_get

    for _ in range(300):
        if b"active_nodes" in (_internal_kv_get("__autoscaling_status") or b""):
            return
        time.sleep(0.1)
    raise AssertionError("no report")


@pytest.mark.parametrize(("most", "refused"), [(3, False), (0, True), (-1, False)])
def test_what_the_autoscaler_may_start_counts(cluster, most, refused):
    from ray.core.generated.autoscaler_pb2 import ClusterConfig, NodeGroupConfig
    from ray.experimental.internal_kv import _internal_kv_del, _internal_kv_put

    name, place = ray._raylet.GCS_AUTOSCALER_CLUSTER_CONFIG_KEY, ray._raylet.GCS_AUTOSCALER_STATE_NAMESPACE
    group = NodeGroupConfig(resources={"CPU": 4, "GPU": 1}, max_count=most, name="gpu")
    written = ClusterConfig(node_group_configs=[group]).SerializeToString()
    settings = RaySettings(address="auto", workers=1, gpu_workers=1)
    _internal_kv_put(name, written, overwrite=True, namespace=place.encode())
    try:
        with pytest.raises(UsageError, match="VF4434") if refused else nullcontext():
            RayPool({False: FakeEngine(), True: FakeEngine()}, settings).close()
    finally:
        _internal_kv_del(name, namespace=place.encode())


def test_a_node_that_is_lost_in_the_middle_costs_no_answer(nodes, tmp_path):
    """Its workers die with it; what they had in hand is done by others."""
    cluster, others = nodes

    engine = FakeEngine(folder=tmp_path)
    settings = RaySettings(workers=4, environment=SETTINGS.environment)
    pool = RayPool({False: engine, True: engine}, settings)

    class Watcher:
        removed = False

        def update(self, progress):
            if progress.stage == "prove" and progress.done >= 2 and not self.removed:
                self.removed = True
                cluster.remove_node(others.pop(), allow_graceful=False)

    watcher = Watcher()
    try:
        answers = drive(problem(placements=40), pool, Plan(prove_slice=1, tries=3), watcher)
    finally:
        pool.close()
    assert watcher.removed
    assert counts(answers) == {"certified": 80}


def test_an_example_gives_the_laptops_evidence_with_a_node_killed_in_the_middle(nodes, tmp_path, capsys):
    """Real models, a real search in pieces; the certificate is accepted by the checker."""
    cluster, _ = nodes
    lost = cluster.add_node(num_cpus=2)
    folder = prepared(tmp_path)
    expected = decided(folder, "laptop", 'kind = "in-process"')
    names = []

    def kill(progress):
        if progress.stage == "prove" and not names:
            names.append("gone")
            cluster.remove_node(lost, allow_graceful=False)

    answer = decided(folder, "ray", 'kind = "ray"\nworkers = 4\nprove_slice = 1\nslice_boxes = 3\ntries = 4', kill)
    assert names == ["gone"]
    assert answer == expected
    report = check_certificate(folder / "ray" / "certificate.json", {}, {}, None, None)
    assert (report.accepted, report.unrechecked) == (True, 0)


def test_what_prometheus_reads_is_what_is_documented_and_drawn(tmp_path):
    """One question is refuted by an attack, which decides five more; a worker dies once; the rest is certified."""
    paths = os.pathsep.join([ROOT, HERE])
    command = [sys.executable, f"{HERE}/metrics_run.py", str(tmp_path)]
    subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": paths}, timeout=200
    )
    series = {
        (name, *sorted(labels.items())): value
        for name, labels, value in json.loads((tmp_path / "series.json").read_text())
    }
    slices, questions = "ray_verifluxa_slices_total", "ray_verifluxa_questions_total"
    assert series == {
        ("ray_verifluxa_workers",): 1.0,
        (questions, ("verdict", "certified")): 18.0,
        (questions, ("verdict", "falsified")): 1.0,
        (questions, ("verdict", "unknown")): 5.0,
        (slices, ("end", "AttackDone"), ("kind", "AttackSlice")): 1.0,
        (slices, ("end", "Lost"), ("kind", "ProofSlice")): 1.0,
        (slices, ("end", "ProofDone"), ("kind", "ProofSlice")): 6.0,
    }
    names = {key[0] for key in series}
    for text in ("cluster/grafana.json", "docs/how-to/cluster.md"):
        written = set(re.findall(r"ray_verifluxa\w+", Path(ROOT, text).read_text()))
        assert written == names, text


def test_no_cluster_at_the_address():
    cluster = parse_cluster("mine", 'schema = 1\nkind = "ray"\naddress = "127.0.0.1:9"\n', "mine.toml")
    engine = FakeEngine()
    ray.shutdown()
    with pytest.raises(UsageError) as caught:
        open_pool(cluster, engine)
    assert caught.value.code == "VF4431"


def test_ray_is_not_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError) as caught:
        RayPool({False: FakeEngine(), True: FakeEngine()}, SETTINGS)
    assert caught.value.code == "VF4430"
