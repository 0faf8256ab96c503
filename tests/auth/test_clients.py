"""People's clients log in, push and pull: skopeo, crane, and curl with its cookie jar."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import bcrypt
import pytest

import programs
from auth.harness import PEOPLE, Site, basic, serving
from clients import Clients
from zot.oci.digest import Digest, digest_of, hex_of

RULES = {
    "repositories": {
        "team/**": {"policies": [{"users": ["alice"], "actions": ["read", "create", "update"]}]},
        "public/**": {"policies": [{"users": ["alice"], "actions": ["read", "create"]}], "anonymousPolicy": ["read"]},
    }
}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """Serve for PEOPLE, with a repository that everybody may read."""
    path = tmp_path / "htpasswd"
    hashes = {name: bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode() for name, password in PEOPLE.items()}
    path.write_text("".join(f"{name}:{hashed}\n" for name, hashed in hashes.items()))
    http = {"auth": {"htpasswd": {"path": str(path)}, "apikey": True}, "accessControl": RULES}
    async with serving(tmp_path / "data", http) as site:
        yield site


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Write an image layout with one small image, tagged v1."""
    folder = tmp_path / "image"
    (folder / "blobs" / "sha256").mkdir(parents=True)

    def keep(content: bytes, media_type: str) -> dict[str, object]:
        digest: Digest = digest_of(content)
        (folder / "blobs" / "sha256" / hex_of(digest)).write_bytes(content)
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    layer = keep(b"\0" * 1024, "application/vnd.oci.image.layer.v1.tar")
    diffs = {"type": "layers", "diff_ids": [layer["digest"]]}
    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": diffs}
    described = keep(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json")
    manifest_type = "application/vnd.oci.image.manifest.v1+json"
    manifest = {"schemaVersion": 2, "mediaType": manifest_type, "config": described, "layers": [layer]}
    listed = keep(json.dumps(manifest).encode(), manifest_type)
    listed["annotations"] = {"org.opencontainers.image.ref.name": "v1"}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [listed]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return folder


class Client:
    """A program with a home of its own, that runs beside the registry in this process."""

    def __init__(self, program: str, home: Path) -> None:
        """Find it; the test is skipped without it."""
        self.path = shutil.which(program) or programs.require(program)
        (home / ".docker").mkdir(parents=True)
        self.env = Clients(home).env

    async def run(self, *arguments: str) -> tuple[int, str]:
        """Run it; give its status and all it printed."""
        process = await asyncio.create_subprocess_exec(
            self.path, *arguments, env=self.env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        output, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, output.decode()


@pytest.mark.needs("skopeo")
async def test_skopeo_logs_in_pushes_and_pulls(site: Site, image: Path, tmp_path: Path) -> None:
    """By what it keeps from the login, and not without it; nobody's pulls go on where they may."""
    host = site.url.removeprefix("http://")
    known, nobody = Client("skopeo", tmp_path / "known"), Client("skopeo", tmp_path / "nobody")
    login = ("login", "--tls-verify=false", "--username", "alice")
    assert (await known.run(*login, "--password", "wrong", host))[0] != 0
    status, output = await known.run(*login, "--password", PEOPLE["alice"], host)
    assert status == 0, output
    push = ("copy", "--dest-tls-verify=false", f"oci:{image}:v1")
    assert (await nobody.run(*push, f"docker://{host}/team/app:v1"))[0] != 0
    for repository in ("team/app", "public/app"):
        status, output = await known.run(*push, f"docker://{host}/{repository}:v1")
        assert status == 0, output
    pull = ("copy", "--src-tls-verify=false")
    for client, repository, expected in (
        (known, "team/app", True),
        (nobody, "team/app", False),
        (nobody, "public/app", True),
        (known, "public/app", True),
    ):
        status, output = await client.run(*pull, f"docker://{host}/{repository}:v1", f"oci:{tmp_path / 'pulled'}:v1")
        assert (status == 0) == expected, output
    status, _ = await known.run("logout", host)
    assert status == 0
    assert (await known.run(*pull, f"docker://{host}/team/app:v1", f"oci:{tmp_path / 'again'}:v1"))[0] != 0


@pytest.mark.needs("crane")
async def test_crane_uses_an_api_key_for_a_password(site: Site, image: Path, tmp_path: Path) -> None:
    """An API key goes wherever a password goes."""
    host = site.url.removeprefix("http://")
    async with site.client(headers=basic("alice")) as client, client.post("/zot/auth/apikey") as response:
        key = (await response.json())["apiKey"]
    crane = Client("crane", tmp_path / "home")
    status, output = await crane.run("auth", "login", host, "-u", "alice", "-p", key)
    assert status == 0, output
    status, output = await crane.run("push", str(image), f"{host}/team/app:v2", "--insecure")
    assert status == 0, output
    status, output = await crane.run("ls", f"{host}/team/app", "--insecure")
    assert (status, output.split()) == (0, ["v2"])
    assert (await crane.run("delete", f"{host}/team/app:v2", "--insecure"))[0] != 0


async def test_curl_walks_through_a_login_with_its_cookie_jar(site: Site, tmp_path: Path) -> None:
    """As a browser would: in by password, on by cookie, out again."""
    curl = Client("curl", tmp_path / "home")
    jar = str(tmp_path / "jar")
    ui = ("-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", "X-ZOT-API-CLIENT: zot-ui", "-b", jar, "-c", jar)
    for arguments, expected in (
        ((f"{site.url}/v2/team/app/tags/list",), "401"),
        (("-u", f"alice:{PEOPLE['alice']}", f"{site.url}/v2/"), "200"),
        ((f"{site.url}/v2/team/app/tags/list",), "404"),
        (("-X", "POST", f"{site.url}/zot/auth/logout"), "200"),
        ((f"{site.url}/v2/team/app/tags/list",), "401"),
    ):
        assert await curl.run(*ui, *arguments) == (0, expected)
