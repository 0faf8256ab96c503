"""A build of zui in place of the pages: its files, and the requests that its script sends."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import bcrypt
import graphql
import pytest

from extensions.ui.visitor import EXTENSIONS
from http_client import Client, Response
from layout.images import INDEX, Image, image
from zot.config.load import load_tree
from zot.extensions.ui.zui_build import ZuiBuildError, check_build, read_build
from zot.server.plan import make_plan
from zot.server.preflight import preflight
from zot.testing import RunningRegistry, serve

SCRIPT = b"console.log(1);" * 200
FILES = {
    "index.html": b"<!doctype html><title>zui</title>" + b" " * 2000,
    "favicon.ico": b"icon",
    "manifest.json": b"{}",
    "assets/index-DQaujlc1.js": SCRIPT,
    "assets/roboto-v30-300-D5yz30MT.woff2": b"font",
    "static/js/main.3f2a1b4c.chunk.js": SCRIPT,
    "deep/plain.css": b"body{}" * 500,
    ".env": b"SECRET=1",
    "..data/hidden.js": b"hidden",
}
RECORDED = [
    json.loads(line)
    for line in Path(__file__).with_name("recorded").joinpath("zui-requests.jsonl").read_text().splitlines()
]


def make_build(folder: Path) -> Path:
    """Write a folder that looks like a build, beside a file that is none of it."""
    for name, content in FILES.items():
        path = folder / "build" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    folder.joinpath("secret").write_bytes(b"secret")
    folder.joinpath("build", "leak.txt").symlink_to(folder / "secret")
    folder.joinpath("build", "above").symlink_to(folder)
    folder.joinpath("build", "linked.js").symlink_to(Path("assets", "index-DQaujlc1.js"))
    folder.joinpath("build", "circle").symlink_to("circle")
    return folder / "build"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """A registry with users that serves a build."""
    folder = tmp_path_factory.mktemp("zui")
    build = make_build(folder)
    folder.joinpath("htpasswd").write_bytes(b"admin:" + bcrypt.hashpw(b"admin", bcrypt.gensalt(4)))
    rules = {
        "repositories": {"**": {"anonymousPolicy": []}},
        "adminPolicy": {"users": ["admin"], "actions": ["read", "create", "update", "delete"]},
    }
    http = {"auth": {"htpasswd": {"path": str(folder / "htpasswd")}, "apikey": True}, "accessControl": rules}
    config = {"extensions": {**EXTENSIONS, "ui": {"path": str(build)}}, "http": http}
    with serve(folder / "content", config) as registry:
        yield registry


@pytest.fixture
def client(running: RunningRegistry) -> Client:
    """A client without credentials."""
    return Client(running.host)


@pytest.mark.parametrize(
    "address",
    ["/", "/home", "/explore?search=a", "/login", "/image/team%2Fapi", "/image/team%2Fapi/tag/1.0", "/user/apikey"],
)
def test_addresses_of_zui_are_its_index(client: Client, address: str) -> None:
    """Without a login, to be asked for again each time, and with a policy that lets it load from here alone."""
    answer = client.get(address)
    assert (answer.status, answer.body) == (200, FILES["index.html"])
    assert answer["Content-Type"] == "text/html; charset=utf-8"
    assert answer["Cache-Control"] == "no-cache"
    policy = answer["Content-Security-Policy"] or ""
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "connect-src 'self';" in policy
    assert client.get(address, If_None_Match=answer["ETag"] or "").status == 304
    assert client.head(address).body == b""


@pytest.mark.parametrize(
    ("path", "content_type", "cached"),
    [
        ("assets/index-DQaujlc1.js", "text/javascript; charset=utf-8", True),
        ("assets/roboto-v30-300-D5yz30MT.woff2", "font/woff2", True),
        ("static/js/main.3f2a1b4c.chunk.js", "text/javascript; charset=utf-8", True),
        ("deep/plain.css", "text/css; charset=utf-8", False),
        ("favicon.ico", "image/x-icon", False),
        ("manifest.json", "application/json", False),
    ],
)
def test_files_are_served_with_their_types(client: Client, path: str, content_type: str, cached: bool) -> None:
    """Those whose names have a hash indefinitely, others to be asked for again; compressed where that is smaller."""
    answer = client.get(f"/{path}", Accept_Encoding="gzip")
    plain = client.get(f"/{path}")
    assert (plain.status, plain.body, plain["Content-Encoding"]) == (200, FILES[path], None)
    assert answer["Content-Type"] == content_type
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Cache-Control"] == ("public, max-age=31536000, immutable" if cached else "no-cache")
    body = gzip.decompress(answer.body) if answer["Content-Encoding"] == "gzip" else answer.body
    assert body == FILES[path]
    assert (answer["Content-Encoding"] == "gzip") == (len(FILES[path]) > 100)


@pytest.mark.parametrize(
    "path",
    [
        "/leak.txt",
        "/above/secret",
        "/above/build/index.html",
        "/.env",
        "/..data/hidden.js",
        "/assets/missing-00000000.js",
        "/../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/assets/..%2f..%2fsecret",
        "/assets%2findex.html",
        "/favicon.ico%00",
        "/%ff",
        "/unknown",
        "/ui/assets/style.css",
    ],
)
def test_nothing_else_is_served(client: Client, path: str) -> None:
    """No hidden file, nothing beside the folder by links or dots, and no page of ours."""
    answer = client.get(path)
    assert answer.status == 404
    assert b"secret" not in answer.body
    assert b"SECRET" not in answer.body


def test_a_link_within_the_folder_is_served(client: Client) -> None:
    """Mounted volumes are made of such links."""
    assert client.get("/linked.js").body == SCRIPT


def test_files_are_read_only(client: Client) -> None:
    """There are no forms; the API stays the API."""
    assert client.ask("POST", "/login").error == (405, "UNSUPPORTED")
    assert client.get("/v2/").status == 401
    assert client.get("/v2/none").status == 404


def test_a_folder_without_a_build_ends_the_start(tmp_path: Path) -> None:
    """`zot verify` and the start name the key, its value, and what is wrong."""
    for path, why in ((tmp_path / "none", "there is no such folder"), (tmp_path, "the folder has no index.html")):
        tree = {
            "storage": {"rootDirectory": str(tmp_path / "data")},
            "extensions": {"search": {}, "ui": {"path": str(path)}},
        }
        config = load_tree(tree, lambda _: None).config
        found = [str(each) for each in preflight(config, make_plan(config, None, workers=0, read_only=False))]
        assert any(each.startswith(f"extensions.ui.path '{path}': {why}") for each in found), found


def test_a_folder_that_is_no_build_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be a whole disk: there are limits on files and bytes."""
    build = make_build(tmp_path)
    read_build(build)
    monkeypatch.setattr("zot.extensions.ui.zui_build.BYTES_LIMIT", 4000)
    with pytest.raises(ZuiBuildError, match="is it a build of zui"):
        check_build(build)


# --- what its script asks ---


def multi(name: str) -> Image:
    """Return an index of two platforms."""
    children = tuple(image(f"{name} {arch}") for arch in ("amd64", "arm64"))
    listed = [
        each.descriptor(platform={"os": "linux", "architecture": arch})
        for each, arch in zip(children, ("amd64", "arm64"), strict=True)
    ]
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}
    return Image(json.dumps(document).encode(), INDEX, (), children)


def test_the_requests_of_zui_are_answered_as_by_zot(running: RunningRegistry) -> None:
    """All that it sends, in its order: the recorded status, and answers of the shape that it asks for."""
    admin = Client(running.host, user="admin:admin")
    admin.push("team/api", multi("api"), "latest", "1.0.0")
    for name, tag in (
        ("charts/shop", "1.0.0"),
        ("models/tiny", "v1"),
        ("library/debian", "12"),
        ("legacy/docker", "sha256-00.sig"),
        ("team/mobile", "2.1"),
        ("tools/lint", "v9"),
    ):
        admin.push(name, image(name), tag)
    visitor, cookies = Client(running.host), ""
    keys: list[str] = []
    for entry in RECORDED:
        # The script sends the password once, in its second request; from there on the browser sends the session.
        client = admin if entry["raw"] == "/v2/" else visitor
        raw = f"/zot/auth/apikey?id={keys[-1]}" if entry["page"] == "28-apikey-revoke" else entry["raw"]
        body = entry["body"].encode() if entry["body"] is not None else None
        answer = client.ask(entry["method"], raw, body, {**entry["headers"], "Cookie": cookies})
        assert answer.status == entry["status"], (entry["page"], answer.body)
        if entry["page"] == "12b-apikey-create":
            keys.append(answer.json["uuid"])
            assert set(answer.json) >= {"apiKey", "uuid", "label", "expirationDate", "createdAt", "scopes"}
        elif "query=" in raw:
            check_shape(raw, answer.json)
        if entry["raw"] == "/v2/":
            cookies = session(answer)
        elif entry["page"] == "17-logout":
            cookies = session(admin.get("/v2/", X_ZOT_API_CLIENT="zot-ui"))
    assert "v9" not in admin.tags("tools/lint")


def session(answer: Response) -> str:
    """Return the cookies of a login."""
    pairs = [item for each in answer.headers.get_all("Set-Cookie", []) for item in SimpleCookie(each).items()]
    return "; ".join(f"{name}={morsel.value}" for name, morsel in pairs)


def check_shape(raw: str, answer: dict[str, Any]) -> None:
    """Check that each object has the fields that were asked for; a query without an answer has an error."""
    document = graphql.parse(parse_qs(raw.partition("?")[2])["query"][0])
    (operation,) = document.definitions
    assert isinstance(operation, graphql.OperationDefinitionNode)
    (field,) = operation.selection_set.selections
    assert isinstance(field, graphql.FieldNode)
    found = answer["data"] and answer["data"][field.name.value]
    if found is None:
        assert answer["errors"], raw
    else:
        _check(field, found)


def _check(field: graphql.FieldNode, value: Any) -> None:
    if isinstance(value, list):
        for each in value:
            _check(field, each)
    elif field.selection_set is not None and value is not None:
        fields = [each for each in field.selection_set.selections if isinstance(each, graphql.FieldNode)]
        assert list(value) == [each.name.value for each in fields]
        for each in fields:
            _check(each, value[each.name.value])
