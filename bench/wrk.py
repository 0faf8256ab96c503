"""Runs wrk, the HTTP benchmark, with a script that makes its requests and prints its figures."""

import json
import subprocess
import tempfile
from pathlib import Path

from bench.client import ACCEPT, UnexpectedAnswerError
from bench.registries import Registry

_SCRIPT = """
local number = 0
request = function()
  number = math.random(0, COUNT - 1)
  return wrk.format("GET", (PATH:gsub("{}", number)))
end
done = function(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    'FIGURES {"requests": %d, "microseconds": %d, "p99": %f, "failed": %d}\\n',
    summary.requests, summary.duration, latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


def run(registry: Registry, path: str, count: int, duration_s: int, connections: int) -> tuple[float, float]:
    """Return requests a second and the 99th percentile in milliseconds; UnexpectedAnswerError if any failed."""
    headers = [f"-H{name}: {value}" for name, value in {"Accept": ACCEPT, **registry.headers}.items()]
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        script = Path(folder, "gets.lua")
        script.write_text(f"COUNT = {count}\nPATH = {json.dumps(path)}\n{_SCRIPT}")
        # One thread: with two cores the server needs the other one, and one thread asks faster than either answers.
        command = ["wrk", "-t1", f"-c{connections}", f"-d{duration_s}s", f"-s{script}", *headers, registry.url]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    figures = json.loads(output.partition("FIGURES ")[2])
    if figures["failed"] or not figures["requests"]:
        raise UnexpectedAnswerError(f"{figures['failed']} GETs of {path} failed, of {figures['requests']}")
    return figures["requests"] / figures["microseconds"] * 1e6, figures["p99"] / 1000
