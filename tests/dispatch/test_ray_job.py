"""A cluster with token authentication on this machine: a submitted job, `--cluster` with its address, a wrong token."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("ray.dashboard.modules.job.sdk", reason="Ray's job server is not installed (extra `ray`)")

BIN = Path(sys.executable).parent
DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits"
TOKEN = "0123456789abcdef" * 3
SPEC = """spec 1
input digit : image(28 px, 28 px, 1 ch) of 0..255 level
model digits : digit -> class(10) {
  file         = "clean.jld2"
  architecture = "architecture.txt"
  layout       = whcn
  encode       = level / 255
}
data eval : digit { file = "mnist_eval.npz"  take = 12 }
trigger patch : digit { replace 2 px x 2 px  at (0, 0), (24, 24)  with 0..255 level }
property universal {
  forall t in patch, target in {3, 5}
  let victims = eval where correct(digits, x) and label(x) != target
  assert rate(x in victims : class(digits(t(x))) == target) <= 50 %
}
"""


def environment(token: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    loopback = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
    return {**kept, **loopback, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}


def called(*command: str, token: str = TOKEN, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    words = [str(part) for part in command]
    return subprocess.run(
        words, check=False, capture_output=True, text=True, timeout=240, env=environment(token), cwd=cwd
    )


def free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


@pytest.fixture(scope="module")
def head(tmp_path_factory):
    """Ports of the head node and of its job server, and a folder with a small spec and its files."""
    folder = tmp_path_factory.mktemp("job")
    for name in ("clean.jld2", "architecture.txt", "mnist_eval.npz"):
        shutil.copy(DIGITS / name, folder / name)
    (folder / "spec.vfx").write_text(SPEC)
    port, jobs = free_ports(2)
    options = ["--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1", "--num-cpus=2"]
    sizes = ["--object-store-memory=100000000", f"--port={port}", f"--dashboard-port={jobs}"]
    command = [str(BIN / "ray"), "start", "--head", "--block", *options, *sizes]
    log = (folder / "head.log").open("w")
    process = subprocess.Popen(command, env=environment(TOKEN), stdout=log, stderr=log, start_new_session=True)
    wait_for(jobs, process)
    (folder / "auto.toml").write_text('schema = 1\nkind = "ray"\naddress = "auto"\nworkers = 1\n')
    (folder / "head.toml").write_text(f'schema = 1\nkind = "ray"\naddress = "127.0.0.1:{port}"\nworkers = 1\n')
    yield folder, jobs
    os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(3)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    log.close()


def wait_for(port: int, process: subprocess.Popen) -> None:
    """Until somebody listens; `ray stop` would end every cluster of this machine, so the head is ours to end."""
    for _ in range(600):
        assert process.poll() is None
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.2)
    raise AssertionError("the head does not listen")


def test_a_submitted_job(head, tmp_path):
    folder, jobs = head
    verify = [
        BIN / "verifluxa",
        "verify",
        "spec.vfx",
        "--cluster",
        "auto.toml",
        "--out",
        tmp_path / "run",
        "--job-exit",
    ]
    submit = [BIN / "ray", "job", "submit", "--address", f"http://127.0.0.1:{jobs}", "--working-dir", folder, "--"]
    done = called(*submit, *verify)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "succeeded" in done.stdout + done.stderr
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["verdict"] == "certified"
    assert result["machine"]["cluster"] == "auto"


def test_the_address_in_a_file(head, tmp_path):
    folder, _ = head
    done = called(BIN / "verifluxa", "verify", "spec.vfx", "--cluster", "head.toml", "--format", "json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verdict"] == "certified"


def test_local_is_a_cluster_of_its_own_also_beside_another_one(head):
    folder, _ = head
    (folder / "own.toml").write_text('schema = 1\nkind = "ray"\nworkers = 1\n')
    done = called(BIN / "verifluxa", "verify", "spec.vfx", "--cluster", "own.toml", "--format", "json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["machine"] == {"cluster": "own", "workers": 1, "device": "cpu"}


def test_a_wrong_token(head):
    folder, _ = head
    done = called(
        BIN / "verifluxa", "verify", "spec.vfx", "--cluster", "head.toml", token="fedcba9876543210" * 3, cwd=folder
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "VF4432" in done.stderr
    assert "Traceback" not in done.stderr
