"""A run whose driver is killed with `kill -9` goes on; `watch` shows where it stands."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from verifluxa.cli.watch_page import POLICY, server
from verifluxa.errors import UsageError

HERE = Path(__file__).resolve().parent
ONE_PLACE = 'schema = 1\nkind = "in-process"\nprove_slice = 1\n'


@pytest.fixture
def killed(small, here) -> Path:
    """The folder of a run that was killed at the second place, after the first was proved."""
    mark, cluster = here / "mark", here / "one.toml"
    cluster.write_text(ONE_PLACE)
    process = subprocess.Popen([sys.executable, str(HERE / "slow_run.py"), str(small), str(cluster), str(mark), "out"])
    for _ in range(1000):
        if mark.exists() or process.poll() is not None:
            break
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not Path("out/result.json").exists()
    return Path("out")


def test_a_killed_run_goes_on_and_its_certificate_is_accepted(killed, verifluxa):
    seen = verifluxa("watch", "out", "--once")
    assert "universal: 2 of 4 questions; 2 certified" in seen.out
    lines = [json.loads(line) for line in verifluxa("watch", "out", "--log").out.splitlines()]
    assert [line["verdict"] for line in lines] == ["certified"] * 2
    assert {line["violation"] for line in lines} == {"target 5", "target 7"}
    assert lines[0]["placement"] == {"row": 0, "column": 0}
    ran = verifluxa("resume", "out", "--format", "json")
    assert ran.code == 1, ran.err  # one input of `each` can be flipped
    document = json.loads(ran.out)
    assert document["properties"][0]["questions"]["certified"] == 4
    assert sorted(path.name for path in killed.iterdir() if path.name != "pictures") == [
        "certificate.json",
        "evidence.jsonl.gz",
        "ledger.sqlite",
        "result.json",
    ]
    assert "done" in verifluxa("watch", "out/ledger.sqlite", "--once").out


def test_a_run_is_not_taken_up_with_anything_else(killed, verifluxa, small):
    small.write_text(small.read_text().replace("50 %", "60 %"))
    ran = verifluxa("resume", "out")
    assert (ran.code, "VF4422" in ran.err) == (2, True)
    assert "`spec`, `params`" in ran.err
    assert [path.name for path in killed.iterdir()] == ["ledger.sqlite"]


def test_its_answers_are_not_thrown_away_unasked(killed, verifluxa, small, snapshot):
    before = verifluxa("watch", "out", "--once").out.splitlines()[1]
    ran = verifluxa("verify", str(small), "--property", "universal", "--out", "out")
    assert ran.code == 2
    assert ran.err == snapshot
    assert before == verifluxa("watch", "out", "--once").out.splitlines()[1]
    ran = verifluxa("verify", str(small), "--property", "universal", "--out", "out", "--force")
    assert ran.code == 0, ran.err
    again = verifluxa("verify", str(small), "--property", "universal", "--out", "out")
    assert (again.code, "VF4428" in again.err) == (2, True), "its result is not thrown away unasked either"


@pytest.mark.parametrize("command", ["resume", "watch"])
def test_where_there_is_no_ledger(verifluxa, command):
    ran = verifluxa(command, "nowhere")
    assert (ran.code, "VF4423" in ran.err) == (2, True)


def get(port: int, path: str = "/", host: str = "127.0.0.1") -> tuple[int, dict[str, str], str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers={"Host": host})
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read().decode()
    connection.close()
    return found


def test_the_page_is_for_this_machine_alone_and_runs_nothing(small, here, verifluxa):
    assert verifluxa("verify", str(small), "--property", "universal", "--out", "out").code == 0
    listening = server(Path("out/ledger.sqlite"), 0)
    thread = threading.Thread(target=listening.serve_forever, daemon=True)
    thread.start()
    try:
        assert listening.server_address[0] == "127.0.0.1"
        status, headers, body = get(listening.server_port)
        assert (status, headers["Content-Security-Policy"]) == (200, POLICY)
        assert "4 of 4" in body
        assert "<script" not in body
        assert get(listening.server_port, "/../etc/passwd")[0] == 404
        assert get(listening.server_port, host="example.org")[0] == 403
        with pytest.raises(UsageError) as caught:
            server(Path("out/ledger.sqlite"), listening.server_port)
        assert caught.value.code == "VF4424"
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()
