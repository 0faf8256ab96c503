import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from bench import images, layouts, memory, process_tree, sockets
from bench.client import Client, UnexpectedAnswerError
from bench.figures import Figure, Sample, alternate
from bench.registries import Registry
from hypothesis import given
from hypothesis import strategies as st

from servers.docker_registry import DockerRegistry
from zot.oci.digest import digest_of, hex_of
from zot.oci.manifest import parse_manifest

ROOT = Path(__file__).resolve().parents[2]

medians = st.floats(0.001, 1e9)


@given(medians, medians)
def test_a_ratio_above_one_is_better_whatever_the_unit(ours: float, other: float) -> None:
    """More of a rate and less of a time both give a ratio above 1."""
    beside = {"peer": Sample.of([other])}
    rate = Figure("", "/s", Sample.of([ours]), beside)
    time = Figure("", "ms", Sample.of([ours]), beside, more_is_better=False)
    assert rate.ratio("peer") == pytest.approx(ours / other)
    assert time.ratio("peer") == pytest.approx(other / ours)


def test_subjects_take_turns_and_the_first_turn_does_not_count() -> None:
    """Each round measures every subject once; what the first one gives is dropped."""
    turns: list[str] = []

    def measure(subject: str) -> float:
        turns.append(subject)
        return float(len(turns))

    samples = alternate({"a": "a", "b": "b"}, 3, measure)
    assert turns == ["a", "b"] * 4
    assert samples == {"a": Sample(5, 3, 7, 3), "b": Sample(6, 4, 8, 3)}


def test_foreign_layouts_hold_all_that_their_indexes_name(tmp_path: Path) -> None:
    """Every manifest, config and layer is in the layout under its digest, every tag is there, no manifest twice."""
    names = layouts.write(tmp_path, 2, 3)
    for name in names:
        index = json.loads((tmp_path / name / "index.json").read_text())
        tags = [each["annotations"]["org.opencontainers.image.ref.name"] for each in index["manifests"]]
        assert tags == [layouts.tag(number) for number in range(3)]
        assert len({each["digest"] for each in index["manifests"]}) == 3
        blobs = {f"sha256:{path.name}": path.read_bytes() for path in (tmp_path / name / "blobs/sha256").iterdir()}
        assert all(digest_of(content) == digest for digest, content in blobs.items())
        for each in index["manifests"]:
            parsed = parse_manifest(blobs[each["digest"]], each["mediaType"])
            assert all(hex_of(digest_of(blobs[blob.digest])) in blob.digest for blob in parsed.blobs)


def test_memory_counts_the_children() -> None:
    """A process that a server started belongs to its memory."""
    hold = "import sys; held = bytearray(b'x' * 50_000_000); print('held', flush=True); sys.stdin.read()"
    before_mb = memory.pss_mb(os.getpid())
    with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        child.stdout.readline()
        assert memory.pss_mb(os.getpid()) > before_mb + 40
        child.stdin.close()


def test_processor_time_counts_the_children_also_those_that_ended() -> None:
    """What a child used counts while it runs, by its name, and for its parent once the parent has waited for it."""
    work = "import sys, time\nwhile time.process_time() < 0.2: pass\nprint('done', flush=True); sys.stdin.read()"
    before_ms = process_tree.processor_ms(os.getpid())
    with subprocess.Popen([sys.executable, "-c", work], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        child.stdout.readline()
        running_ms = process_tree.processor_ms(os.getpid())
        assert running_ms["python"] - before_ms["python"] >= 150
        child.stdin.close()
    ended_ms = process_tree.processor_ms(os.getpid())
    assert ended_ms["supervisor"] + ended_ms["pytest"] >= before_ms["supervisor"] + before_ms["pytest"] + 150


@pytest.mark.needs("docker-registry")
def test_load_without_wrk_counts_answers_and_refuses_others(docker_registry: DockerRegistry) -> None:
    """The sockets that stand in for wrk measure what is answered with 200, and nothing else."""
    registry = Registry("docker-registry", docker_registry.url, {})
    images.push_tags(registry, "bench/sockets", 3)
    with Client(registry) as client:
        assert len(json.loads(client.ask("GET", "/v2/bench/sockets/tags/list").body)["tags"]) == 3
    per_second, p99_ms = sockets.run(registry, "/v2/bench/sockets/manifests/t{}", 3, 1, 2)
    assert per_second > 0
    assert p99_ms > 0
    with pytest.raises(UnexpectedAnswerError, match="404"):
        sockets.run(registry, "/v2/bench/sockets/manifests/none", 1, 1, 2)


def run(folder: Path, *arguments: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """Run the benchmark as `make bench` does; return also what it wrote as JSON."""
    options = ["--quick", "--directory", str(folder), "--json", str(folder / "figures.json"), *arguments]
    command = [sys.executable, "-m", "bench", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done, json.loads((folder / "figures.json").read_text())


@pytest.mark.needs("docker-registry")
def test_a_measurement_is_shown_beside_the_peers(tmp_path: Path) -> None:
    """A run starts both registries, shows their figures and the ratio, and leaves nothing but the file asked for."""
    done, document = run(tmp_path, "--only", "^catalog$")
    assert done.returncode == 0, done.stderr
    (figure,) = document["figures"]
    assert figure["ratios"]["docker-registry"] > 0
    assert "catalog, first 100 of 100" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"]


def test_processor_time_is_shown_by_kind_of_process(tmp_path: Path) -> None:
    """The total of a workload is shown with its rate, and what workers, writer and jobs have of it."""
    done, document = run(tmp_path, "--only", "^processor-push$", "--alone")
    assert done.returncode == 0, done.stderr
    median = {each["what"]: each["ours"]["median"] for each in document["figures"]}
    rate, total, *parts = median
    assert (rate, total) == ("Push Monolith 1MB, rate", "Push Monolith 1MB, processor time")
    assert {"worker", "writer", "jobs"} <= {what.rpartition(" ")[2] for what in parts}
    assert median[total] == pytest.approx(sum(median[part] for part in parts))


def test_what_was_not_measured_is_said_and_fails_the_run(tmp_path: Path) -> None:
    """A server that does not start never looks like a measurement."""
    done, document = run(tmp_path, "--only", "^catalog$", "--alone", "--zot-command", "false")
    assert done.returncode == 1
    assert "catalog: not measured: false did not start" in done.stdout
    assert document["figures"] == []
    assert list(document["not_measured"]) == ["catalog"]


def test_described_layouts_hold_images_as_builds_make_them(tmp_path: Path) -> None:
    """Each image has a config of its own, ten layers, of which nine are shared, and as many tags as asked for."""
    layouts.write_described(tmp_path, "team/app", 3, tags_each=2)
    blobs = {
        f"sha256:{path.name}": path.read_bytes() for path in (tmp_path / "team" / "app" / "blobs/sha256").iterdir()
    }
    index = json.loads((tmp_path / "team" / "app" / "index.json").read_text())
    tags = [each["annotations"]["org.opencontainers.image.ref.name"] for each in index["manifests"]]
    assert tags == [layouts.tag(number) for number in range(6)]
    manifests = [json.loads(blobs[digest]) for digest in {each["digest"] for each in index["manifests"]}]
    assert len({each["config"]["digest"] for each in manifests}) == len(manifests) == 3
    assert len({layer["digest"] for each in manifests for layer in each["layers"]}) == 9 + 3
    for each in manifests:
        parsed = parse_manifest(json.dumps(each).encode(), each["mediaType"])
        assert all(digest_of(blobs[blob.digest]) == blob.digest for blob in parsed.blobs)


def test_pages_are_measured_of_an_index_that_has_everything(tmp_path: Path) -> None:
    """The store is imported and indexed before the pages and the query are asked for."""
    done, document = run(tmp_path, "--only", "^pages$", "--alone")
    assert done.returncode == 0, done.stderr
    whats = [each["what"] for each in document["figures"]]
    assert len(whats) == 12
    assert whats[0] == "page: explore 100 repositories, processor time"
    assert all(each["ours"]["median"] > 0 for each in document["figures"])
