"""The workloads of zb, side by side."""

import json
import subprocess
import sys
from collections.abc import Iterator

from bench.context import Context
from bench.figures import Figure, Sample

CONCURRENCY = 8


def measure(context: Context) -> Iterator[Figure]:
    """Run every workload of `zb` with 8 clients, alternately on both, and take the geometric mean of the ratios."""
    with context.both("workloads") as registries:
        urls = {name: registry.url for name, registry in registries.items()}
        ours = urls.pop(context.zot.name)
        if not urls:
            return
        [(peer, theirs)] = urls.items()
        size = ["-n", str(CONCURRENCY), "--rounds", "1", "--shrink", "64"] if context.quick else ["-n", "32"]
        command = [
            sys.executable,
            "-m",
            "zot.zb",
            "-c",
            str(CONCURRENCY),
            *size,
            "-d",
            str(context.folder),
            "-o",
            "json",
        ]
        context.say("running the workloads of zb")
        done = subprocess.run([*command, "--against", theirs, ours], check=True, stdout=subprocess.PIPE)
    document = json.loads(done.stdout)
    for row in document["workloads"]:
        ours_per_second, theirs_per_second = (Sample.of([row[side]["per_second"]]) for side in ("a", "b"))
        name = f"zb: {row['a']['name']}"
        yield Figure(name, "/s", ours_per_second, {peer: theirs_per_second}, aim="≥ 0.95 of it")
    for kind, key in (("rates", "mean_rate_ratio"), ("median latencies", "mean_latency_ratio")):
        yield Figure(f"zb: geometric mean of {kind}", "", Sample.of([document[key]]), {peer: Sample.of([1.0])})
