"""Metrics of a whole server: any process answers for all, and nothing that was counted is lost with one of them."""

import json
import os
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from http_client import wait_for
from layout.images import image
from servers.zot import ZotServer

REQUESTS = "zot_http_requests_total"
UPLOADS = "zot_repo_uploads_total"
DOWNLOADS = "zot_repo_downloads_total"


@contextmanager
def measured(folder: Path, workers: int) -> Iterator[ZotServer]:
    """A server with metrics."""
    server = ZotServer(folder, arguments=("--workers", str(workers)))
    tree = json.loads(server.config.read_text()) | {"extensions": {"metrics": {"enable": True}}}
    server.config.write_text(json.dumps(tree))
    with server:
        yield server


def value(server: ZotServer, name: str, **labels: str) -> float:
    """The sum of a metric's series with these labels, as a scrape has it."""
    families = text_string_to_metric_families(server.client.get("/metrics").body.decode())
    return sum(
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def test_others_on_the_machine_see_no_values(tmp_path: Path) -> None:
    """Names of repositories are in the values, whose directory only the server's user may enter."""
    with measured(tmp_path, workers=2) as server:
        assert stat.S_IMODE((server.root / ".zot" / "metrics").stat().st_mode) & 0o077 == 0


def test_one_process_counts_at_once(tmp_path: Path) -> None:
    """The process that is asked tells what it answered up to this moment; its page is not counted."""
    with measured(tmp_path, workers=0) as server:
        server.client.push("app", image("a"), "v1")
        for expected in range(1, 4):
            server.client.get("/v2/app/manifests/v1")
            assert value(server, DOWNLOADS, repo="app") == expected
        assert server.client.get("/v2/app/manifests/v2").status == 404
        assert value(server, REQUESTS, code="404") == 1
        assert value(server, UPLOADS, repo="app") == 1


def test_the_counts_of_all_processes_come_together_and_outlive_them(tmp_path: Path) -> None:
    """Whichever worker is asked tells of all; what one had recorded goes on in the one that replaces it."""
    with measured(tmp_path, workers=2) as server:
        server.client.push("app", image("a"), "v1")
        for _ in range(40):
            assert server.client.get("/v2/app/manifests/v1").status == 200
        wait_for(lambda: value(server, DOWNLOADS, repo="app") == 40)
        before = server.processes()
        for name in ("worker-0", "worker-1"):
            os.kill(before[name], signal.SIGKILL)
        wait_for(lambda: replaced(server, before) and server.ready())
        assert value(server, DOWNLOADS, repo="app") == 40
        server.client.get("/v2/app/manifests/v1")
        wait_for(lambda: value(server, DOWNLOADS, repo="app") == 41)


def replaced(server: ZotServer, before: dict[str, int]) -> bool:
    """Tell whether both workers are there, and others than before."""
    return all(server.processes().get(name) not in {None, before[name]} for name in ("worker-0", "worker-1"))
