"""The shelf cluster/: manifests hold what their readers take, images are locked down, versions agree.

The fields of a RayJob are facts from KubeRay's published CRD `rayjobs.ray.io` (v1, Apache-2.0, as of August 2026);
the whole CRD has 1.4 MB, most of it Kubernetes' own pod template.
"""

import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SHELF = ROOT / "cluster"


def closed(required: str = "", **properties: Any) -> dict[str, Any]:
    """An object of these fields alone: an unknown one is a slip of the pen that Kubernetes would drop in silence."""
    kinds = {key: {"type": value} if isinstance(value, str) else value for key, value in properties.items()}
    return {"type": "object", "properties": kinds, "required": required.split(), "additionalProperties": False}


POD = closed(
    required="spec",
    metadata="object",
    spec={
        "type": "object",
        "required": ["containers"],
        "properties": {
            "automountServiceAccountToken": {"type": "boolean"},
            "containers": {"type": "array", "minItems": 1, "items": {"type": "object", "required": ["name", "image"]}},
            "volumes": {"type": "array", "items": {"type": "object", "required": ["name"]}},
        },
    },
)
HEAD = closed(
    required="template",
    enableIngress="boolean",
    headService="object",
    ingressOptions="object",
    labels="object",
    rayStartParams={"type": "object", "additionalProperties": {"type": "string"}},
    resources="object",
    serviceType="string",
    template=POD,
)
WORKERS = closed(
    required="groupName maxReplicas minReplicas template",
    groupName="string",
    idleTimeoutSeconds="integer",
    labels="object",
    maxReplicas="integer",
    minReplicas="integer",
    numOfHosts="integer",
    priority="integer",
    rayStartParams={"type": "object", "additionalProperties": {"type": "string"}},
    replicas="integer",
    resources="object",
    scaleStrategy="object",
    suspend="boolean",
    template=POD,
)
AUTOSCALER = closed(
    idleTimeoutSeconds="integer",
    image="string",
    imagePullPolicy="string",
    resources="object",
    securityContext="object",
    upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]},
    version="string",
)
CLUSTER = closed(
    required="headGroupSpec",
    authOptions="object",
    autoscalerOptions=AUTOSCALER,
    enableInTreeAutoscaling="boolean",
    headGroupSpec=HEAD,
    managedBy="string",
    rayVersion="string",
    suspend="boolean",
    workerGroupSpecs={"type": "array", "items": WORKERS},
)
RAYJOB = closed(
    required="apiVersion kind metadata spec",
    apiVersion={"const": "ray.io/v1"},
    kind={"const": "RayJob"},
    metadata=closed(required="name", name="string", labels="object", namespace="string"),
    spec=closed(
        required="rayClusterSpec",
        activeDeadlineSeconds="integer",
        backoffLimit="integer",
        entrypoint="string",
        entrypointNumCpus="number",
        entrypointNumGpus="number",
        entrypointResources="string",
        jobId="string",
        managedBy="string",
        metadata="object",
        rayClusterSpec=CLUSTER,
        runtimeEnvYAML="string",
        shutdownAfterJobFinishes="boolean",
        submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"]},
        submitterConfig="object",
        submitterPodTemplate="object",
        suspend="boolean",
        ttlSecondsAfterFinished="integer",
    ),
)


@pytest.fixture
def rayjob() -> dict[str, Any]:
    return yaml.safe_load((SHELF / "rayjob.yaml").read_text())


def test_the_manifest_is_a_rayjob(rayjob):
    jsonschema.Draft202012Validator.check_schema(RAYJOB)
    jsonschema.validate(rayjob, RAYJOB)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda job: job["spec"].update(entryPoint="x"),
        lambda job: job["spec"]["rayClusterSpec"].pop("headGroupSpec"),
        lambda job: job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0].pop("maxReplicas"),
        lambda job: job["spec"]["rayClusterSpec"]["headGroupSpec"]["rayStartParams"].update({"num-cpus": 0}),
        lambda job: job["spec"].update(submissionMode="Fast"),
    ],
)
def test_the_schema_sees_slips(rayjob, spoil):
    spoil(rayjob)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(rayjob, RAYJOB)


def test_pods_are_locked_down_and_no_signing_key_is_near_them(rayjob):
    cluster = rayjob["spec"]["rayClusterSpec"]
    pods = [cluster["headGroupSpec"]["template"], *(group["template"] for group in cluster["workerGroupSpecs"])]
    for pod in pods:
        for container in pod["spec"]["containers"]:
            assert container["securityContext"]["runAsNonRoot"] is True
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert {item["name"] for item in container["env"]} >= {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN"}
    assert "key" not in re.sub(r"secretKeyRef|key: token", "", (SHELF / "rayjob.yaml").read_text())


def test_versions_agree(rayjob):
    pinned = re.search(r"^ray==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M)
    assert pinned is not None
    assert rayjob["spec"]["rayClusterSpec"]["rayVersion"] == pinned.group(1)
    version = re.search(r'__version__ = "(.+)"', (ROOT / "verifluxa" / "__init__.py").read_text())
    assert version is not None
    images = re.findall(r"image: verifluxa:(\S+)", (SHELF / "rayjob.yaml").read_text())
    assert set(images) == {version.group(1)}
    assert f"verifluxa[ray]=={version.group(1)}" in (SHELF / "ray-up.yaml").read_text()


def test_ray_up_has_what_ray_asks_for():
    config = yaml.safe_load((SHELF / "ray-up.yaml").read_text())
    assert set(config) >= {"cluster_name", "provider", "auth", "head_start_ray_commands", "worker_start_ray_commands"}
    started = " ".join(config["head_start_ray_commands"] + config["worker_start_ray_commands"])
    assert started.count("RAY_AUTH_MODE=token") == 2
    assert started.count("RAY_USAGE_STATS_ENABLED=0") == 2


def test_the_image_is_pinned_and_not_root():
    lines = (SHELF / "Containerfile").read_text().splitlines()
    (base,) = [line for line in lines if line.startswith("FROM")]
    assert re.search(r":\d+\.\d+\.\d+-", base)
    assert lines.index("USER 1000:1000") > max(number for number, line in enumerate(lines) if line.startswith("RUN"))
    assert any("-c constraints.txt" in line for line in lines)
    copied = [name for line in lines if line.startswith("COPY") for name in line.split()[1:-1]]
    assert all((ROOT / name).exists() for name in copied)


def test_the_readme_names_every_setting():
    from verifluxa.dispatch.cluster import KEYS

    text = (SHELF / "README.md").read_text()
    assert [key for key in KEYS if f"`{key}`" not in text and key != "schema"] == []
    for path in SHELF.glob("*.toml"):
        assert f"| `{path.stem}` |" in text
        assert tomllib.loads(path.read_text())["name"] == path.stem
