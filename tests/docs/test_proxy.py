"""The page on proxies: nginx with its configuration passes pushes and pulls of any size, and the client's address."""

from __future__ import annotations

import json
import os
import ssl
from pathlib import Path

import pytest

from certificates import Authority
from docs.walkthrough import Walkthrough, blocks, small_image
from http_client import Client
from programs import require
from servers.process import Process, accepts, free_port

PAGE = "how-to/run-behind-a-proxy.md"


@pytest.mark.needs("nginx")
def test_nginx_passes_what_clients_send(tmp_path: Path) -> None:
    """A layer of 20 MiB passes in both directions, no URL is http, and the log has the client's address."""
    machine = Walkthrough(tmp_path)
    authority = Authority(tmp_path)
    certificate, key = authority.issue("registry", hosts=["localhost"])
    front = free_port()
    site, test, *_ = (block for block in blocks(PAGE) if block.language == "nginx" or block.note == "nginx")
    text = machine.here(site.text).replace("listen 443 ssl;\n    http2 on;", f"listen 127.0.0.1:{front} ssl http2;")
    text = text.replace("/etc/nginx/registry.crt", str(certificate)).replace("/etc/nginx/registry.key", str(key))
    around = [
        f"pid {tmp_path}/nginx.pid; error_log {tmp_path}/error.log; daemon off;",
        "user root;" if os.geteuid() == 0 else "",
        "events {}",
        f"http {{ access_log off; client_body_temp_path {tmp_path}/body; proxy_temp_path {tmp_path}/proxy;",
        f"fastcgi_temp_path {tmp_path}/f; uwsgi_temp_path {tmp_path}/u; scgi_temp_path {tmp_path}/s;",
        f"{text} }}",
    ]
    configuration = tmp_path / "nginx.conf"
    configuration.write_text("\n".join(around))
    program = require("nginx")
    machine.run(test.text.replace("nginx -t", f"{program} -t").replace("/etc/nginx/nginx.conf", str(configuration)))
    machine.follow(*(block for block in blocks(PAGE) if block.language == "json"))
    tree = json.loads((tmp_path / "config.json").read_text())
    tree["log"] = {"output": str(tmp_path / "zot.log"), "level": "info"}
    machine.configure(tree)
    machine.serve("config.json")
    proxy = Process([program, "-c", configuration], log=tmp_path / "nginx.log", ready=lambda: accepts(front))
    try:
        with proxy:
            client = Client(f"localhost:{front}", ssl.create_default_context(cafile=str(authority.path)))
            layer = os.urandom(20 << 20)
            digest = client.push_blob("team/app", layer)
            assert client.get(f"/v2/team/app/blobs/{digest}").body == layer
            client.push("team/app", small_image(), "1.0")
            assert client.tags("team/app") == ["1.0"]
            location = client.ask("POST", "/v2/team/app/blobs/uploads/")["Location"] or ""
            assert location.startswith(("/v2/", f"https://localhost:{front}/v2/"))
            forwarded = client.get("/v2/team/app/manifests/1.0", **{"X-Forwarded-For": "203.0.113.7"})
            assert forwarded.status == 200
        machine.stop()
        lines = [json.loads(line) for line in (tmp_path / "zot.log").read_text().splitlines()]
        pulls = [line for line in lines if "/manifests/1.0" in str(line.get("path", ""))]
        assert "203.0.113.7" in json.dumps(pulls[-1])
    finally:
        machine.close()
