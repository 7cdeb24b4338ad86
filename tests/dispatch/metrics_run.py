"""A run on a Ray cluster of its own; writes down what Prometheus would read of it from Ray's agent."""

import json
import re
import sys
import time
import urllib.request
from pathlib import Path

from dispatch_fakes import FakeEngine, problem

from verifluxa.dispatch.driver import Plan, drive
from verifluxa.dispatch.ray_pool import RayPool, RaySettings

LINE = re.compile(r"(?P<name>ray_verifluxa\w+)\{(?P<labels>.*)\} (?P<value>\S+)")
LABEL = re.compile(r'(kind|end|verdict)="(\w+)"')
WANTED = 7
"""Series: a gauge, three verdicts, three kinds of ended slices."""


def scraped() -> list[list[object]]:
    import ray

    (node,) = ray.nodes()
    url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    with urllib.request.urlopen(url, timeout=5) as answer:
        found = [LINE.match(line) for line in answer.read().decode().splitlines()]
    return [[m["name"], dict(LABEL.findall(m["labels"])), float(m["value"])] for m in found if m]


if __name__ == "__main__":
    engine = FakeEngine(attacks={1: "find"}, proofs={2: "die once"}, folder=Path(sys.argv[1]))
    pool = RayPool({False: engine, True: engine}, RaySettings(workers=1))
    try:
        drive(problem(placements=6, per_input=True), pool, Plan(attack_slice=6, prove_slice=6))
        series: list[list[object]] = []
        for _ in range(60):
            time.sleep(1)
            try:
                series = scraped()
            except OSError:  # the agent does not listen yet
                continue
            if len(series) >= WANTED:
                break
        Path(sys.argv[1], "series.json").write_text(json.dumps(series))
    finally:
        pool.close()
