"""Run the OCI project's conformance program, with every optional switch on, against a registry.

By default that registry is `zot serve` on a free port with an empty directory; `--url` names another.
Leaves report.html, junit.xml and the program's output in .cache/conformance. Exits 1 unless every test
passed: a skip is a failure here.
"""

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = ROOT / ".cache" / "bin" / "conformance"
RESULTS = ROOT / ".cache" / "conformance"
START_LIMIT_S = 30

# The spec's version 1.1 and its development branch are asked for by the same tests: a version only sets
# which switches are on. These five are off in 1.1 (the last one in both); all others are on in both.
SWITCHES = {
    "OCI_VERSION": "dev",
    "OCI_API_BLOBS_UPLOAD_CANCEL": "true",
    "OCI_API_BLOBS_DIGEST_HEADER": "true",
    "OCI_API_MANIFESTS_DIGEST_HEADER": "true",
    "OCI_API_MANIFESTS_TAG_PARAM": "true",
    "OCI_DATA_SPARSE": "true",
}


def main() -> int:
    """Run it and print the counts; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--url", help="a running registry, instead of one started here")
    parser.add_argument("--filter", default="", help="run the tests with this prefix alone (OCI_FILTER_TEST)")
    asked = parser.parse_args()
    if not PROGRAM.exists():
        sys.exit("the conformance program is not installed: make test-deps")
    with contextlib.nullcontext(asked.url) if asked.url else zot() as url:
        return 0 if conform(url, asked.filter) else 1


@contextlib.contextmanager
def zot() -> Iterator[str]:
    """Serve an empty registry and give its URL; it is stopped, and its directory removed, at the end."""
    with tempfile.TemporaryDirectory(prefix="conformance-") as folder:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        config = Path(folder, "config.json")
        settings = {
            "storage": {"rootDirectory": f"{folder}/data"},
            "http": {"address": "127.0.0.1", "port": str(port), "acceptSparse": True},
            "log": {"level": "warn"},
        }
        config.write_text(json.dumps(settings))
        with subprocess.Popen([sys.executable, "-m", "zot", "serve", config], stdin=subprocess.DEVNULL) as server:
            url = f"http://127.0.0.1:{port}"
            try:
                wait_until_served(server, url)
                yield url
            finally:
                server.terminate()
                server.wait(60)


def wait_until_served(server: subprocess.Popen[bytes], url: str) -> None:
    """Return once GET /v2/ answers; exit if the server ends or takes too long."""
    give_up = time.monotonic() + START_LIMIT_S
    while server.poll() is None and time.monotonic() < give_up:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/v2/", timeout=5):
            return
        time.sleep(0.05)
    sys.exit("the registry did not start")


def conform(url: str, only: str) -> bool:
    """Run the program and print its counts and what did not pass; True if all passed."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    scheme, _, host = url.rstrip("/").partition("://")
    env = {
        **os.environ,
        **SWITCHES,
        "OCI_REGISTRY": host,
        "OCI_TLS": "disabled" if scheme == "http" else "enabled",
        "OCI_RESULTS_DIR": str(RESULTS),
        "OCI_FILTER_TEST": only,
    }
    report = RESULTS / "junit.xml"
    report.unlink(missing_ok=True)
    with (RESULTS / "output.txt").open("w") as output:
        subprocess.run([PROGRAM], env=env, cwd=RESULTS, stdout=output, stderr=output, check=False)
    suites = ET.parse(report).getroot()
    counts = {kind: int(suites.get(kind, "0")) for kind in ("tests", "failures", "errors", "skipped", "disabled")}
    bad = sum(count for kind, count in counts.items() if kind != "tests")
    for case in suites.iter("testcase"):
        if case.get("status") != "passed":
            sys.stdout.write(f"  {case.get('status')}: {case.get('name')}\n")
            sys.stdout.write(f"    {case.findtext('system-out', '').strip()}\n")
    told = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    sys.stdout.write(f"OCI conformance: {counts['tests'] - bad} passed ({told})\n  {RESULTS}/report.html\n")
    return bad == 0 and counts["tests"] > 0


if __name__ == "__main__":
    sys.exit(main())
