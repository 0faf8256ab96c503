"""The command as users run it, against Docker's registry."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from servers.docker_registry import DockerRegistry
from servers.process import free_port
from zot.zb.workloads import SUITE


def zb(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run zb in `folder`, with blobs of a few KiB."""
    command = [sys.executable, "-m", "zot.zb", "--shrink", "1024", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=100)


def repositories(registry: DockerRegistry, prefix: str) -> list[str]:
    """Return the repositories below `prefix` that have tags."""
    with urllib.request.urlopen(f"{registry.url}/v2/_catalog?n=1000") as answer:
        names = [name for name in json.load(answer)["repositories"] if name.startswith(prefix)]
    return [name for name in names if tags(registry, name)]


def tags(registry: DockerRegistry, repository: str) -> list[str]:
    """Return the tags of a repository."""
    with urllib.request.urlopen(f"{registry.url}/v2/{repository}/tags/list") as answer:
        return json.load(answer)["tags"] or []


@pytest.mark.needs("docker-registry")
def test_every_workload_runs_and_cleans_up(docker_registry: DockerRegistry, tmp_path: Path) -> None:
    """All workloads but the sync ones succeed, are reported in both forms, and leave nothing anywhere."""
    done = zb(tmp_path, "-c", "2", "-n", "5", "-r", "zb/clean", "-o", "ci-cd", docker_registry.url)
    assert done.returncode == 0, done.stderr
    measured = [workload.name for workload in SUITE if not workload.syncs]
    assert [row["name"] for row in json.loads((tmp_path / "ci-cd.json").read_text())] == measured
    assert done.stdout.count("Complete requests:    4\nFailed requests:      0\n") == len(measured)
    assert "Skipping test On-demand Sync 1GB\n" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["ci-cd.json"]
    assert repositories(docker_registry, "zb/clean") == []


@pytest.mark.needs("docker-registry")
def test_sync_workloads_push_upstream_and_pull_here(docker_registry: DockerRegistry, tmp_path: Path) -> None:
    """With an upstream, the sync workloads run, show their times to first byte, and can leave what they pushed."""
    upstream = ["-u", docker_registry.url, "--skip-cleanup", "-r", "zb/sync", "-t", "Sync"]
    done = zb(tmp_path, *upstream, docker_registry.url.replace("127.0.0.1", "localhost"))
    assert done.returncode == 0, done.stderr
    for kind in ("Manifest HEAD", "Manifest GET", "Config", "Layer"):
        assert done.stdout.count(f"{kind} TTFB p99: ") == 2
    assert len(repositories(docker_registry, "zb/sync")) == 2


@pytest.mark.needs("docker-registry")
def test_side_by_side_does_the_same_work_on_both(docker_registry: DockerRegistry, tmp_path: Path) -> None:
    """Both sides draw the same sizes, pulls and pushes, and the means of the ratios are given."""
    both = [docker_registry.url, "--against", docker_registry.url.replace("127.0.0.1", "localhost"), "--rounds", "1"]
    done = zb(tmp_path, *both, "-n", "20", "-t", "^Push Monolith Mixed|25% Mixed 1MB", "-o", "json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["mean_rate_ratio"] > 0
    assert len(document["workloads"]) == 2
    for row in document["workloads"]:
        assert row["a"]["counts"] == row["b"]["counts"]
        assert row["rate_ratio"] == pytest.approx(row["a"]["per_second"] / row["b"]["per_second"])


@pytest.mark.needs("docker-registry")
def test_refused_requests_are_counted_and_fail_the_run(docker_registry: DockerRegistry, tmp_path: Path) -> None:
    """A measured request that the registry refuses does not end the run, but its exit code is 1."""
    done = zb(tmp_path, "-n", "2", "-r", "_no_name_", "-t", "^Push Monolith 1MB$", docker_registry.url)
    assert done.returncode == 1
    assert "Failed requests:      2\n" in done.stdout
    assert "4xx responses: 2\n" in done.stdout


def test_a_registry_that_is_not_there_ends_the_run(tmp_path: Path) -> None:
    """Without its preparation a workload measures nothing: the run ends, saying why, with exit code 1."""
    done = zb(tmp_path, "-t", "^Pull 1MB$", f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert "Error: preparation or cleanup of a workload failed: POST was not answered" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.needs("docker-registry")
def test_an_interrupted_run_ends_at_once(docker_registry: DockerRegistry, tmp_path: Path) -> None:
    """Ctrl-C in the midst of a workload ends every client, and the blobs are removed."""
    # A shell starts background jobs with the signal ignored, which the tests and their programs then inherit.
    command = ["env", "--default-signal=INT", sys.executable, "-m", "zot.zb"]
    command += ["-c", "2", "-n", "10000", "-t", "^Push Monolith 1MB$"]
    with subprocess.Popen(
        [*command, docker_registry.url], cwd=tmp_path, start_new_session=True, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert any(line.startswith("Starting tests") for line in process.stdout)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(30) == 1
    assert list(tmp_path.iterdir()) == []


def test_requests_come_from_the_source_addresses(tmp_path: Path) -> None:
    """A client binds to one of the addresses given."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        command = [sys.executable, "-m", "zot.zb", "-s", "127.0.0.8/30", "-t", "^Push Monolith 1MB$", url]
        with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
            connection, (address, _) = listener.accept()
            connection.close()
            listener.close()
            assert process.wait() == 1
    assert address in {"127.0.0.9", "127.0.0.10"}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["localhost:5000"], "is not of the form http://host:port"),
        (["http://x", "-c", "4", "-n", "3"], "--requests cannot be less than --concurrency"),
        (["http://x", "-i", "127.0.0.1", "-s", "127.0.0.0/8"], "exclude each other"),
        (["http://x", "-i", "127.0.0"], "does not appear to be an IPv4 or IPv6 address"),
        (["http://x", "-t", "("], "is not a regular expression"),
        (["http://x", "-t", "Sync"], "no workload is left"),
        (["http://x", "-A", "secret"], "it is not of the form user:password"),
    ],
)
def test_a_mistake_on_the_command_line_is_named(tmp_path: Path, arguments: list[str], complaint: str) -> None:
    """Bad arguments end with exit code 2 and a sentence, before anything is made."""
    done = zb(tmp_path, *arguments)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_workloads_are_listed(tmp_path: Path) -> None:
    """-l prints the names, one a line, of all or of those that -t finds."""
    assert zb(tmp_path, "-l").stdout.splitlines() == [workload.name for workload in SUITE]
    assert zb(tmp_path, "-l", "-t", "Sync").stdout == "On-demand Sync 100MB\nOn-demand Sync 1GB\n"
