"""`zli status`: what a registry of this tree answers, and what zot's extensions make of it."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import bcrypt
import pytest
import yaml

from certificates import Authority
from servers.process import free_port
from zli.conftest import Zli, answering
from zot.testing import RunningRegistry, serve

MANAGEMENT = "/v2/_zot/ext/mgmt"
ONLINE = f"Server Status: online\nError: {MANAGEMENT} endpoint is not available\n"
NEEDS_A_USER = "unauthorised access, endpoint requires valid user credentials (add the flag '--user [user]:[password]')"
BUILT = {"distSpecVersion": "1.1.1", "commit": "v2.1.8-0-g1", "releaseTag": "v2.1.8", "binaryType": "-search-sync"}


@pytest.fixture(scope="module")
def open_registry() -> Iterator[RunningRegistry]:
    """Serve everybody."""
    with serve() as registry:
        yield registry


@pytest.fixture(scope="module")
def locked_registry(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[RunningRegistry]:
    """Serve by TLS whoever has alice's password or a certificate of the authority."""
    people = tmp_path_factory.mktemp("people") / "htpasswd"
    people.write_text(f"alice:{bcrypt.hashpw('wönder:land'.encode(), bcrypt.gensalt(4)).decode()}\n")
    tls = {
        "cert": str(authority.folder / "server.pem"),
        "key": str(authority.folder / "server.key"),
        "cacert": str(authority.path),
    }
    with serve(config={"http": {"tls": tls, "auth": {"htpasswd": {"path": str(people)}}}}) as registry:
        yield registry


def trust(zli: Zli, registry: RunningRegistry, authority: Authority) -> Path:
    """Put the authority where zli looks for it, and give the folder."""
    folder = zli.home / ".config" / "containers" / "certs.d" / registry.host
    folder.mkdir(parents=True)
    (folder / "ca.crt").write_bytes(authority.path.read_bytes())
    return folder


def test_a_registry_without_the_extension_is_online(zli: Zli, open_registry: RunningRegistry) -> None:
    """By its URL, by a profile, and by the default one; the path of the URL does not count."""
    assert zli("status", "--url", open_registry.url) == ONLINE
    zli("config", "add", "main", open_registry.url + "/home")
    assert zli("status", "-c", "main") == ONLINE
    zli("config", "set-default", "main")
    assert zli("status") == ONLINE


def test_the_installed_command_asks(open_registry: RunningRegistry) -> None:
    """As users run it."""
    command = [str(Path(sys.executable).with_name("zli")), "status", "--url", open_registry.url]
    assert subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout == ONLINE


def test_versions_are_shown_of_a_registry_with_the_extension(zli: Zli) -> None:
    """In zot's words, and in its keys: JSON without what is empty, YAML in lower case."""
    answers = {"/v2/": (200, b""), MANAGEMENT: (200, json.dumps(BUILT | {"http": {"auth": {}}}).encode())}
    with answering(answers) as url:
        assert zli("status", "--url", url) == (
            "Server Status: online\nServer Version: v2.1.8\nDist Spec Version: 1.1.1\nBuilt with: search, sync\n"
        )
        assert json.loads(zli("status", "--url", url, "-f", "json")) == {"status": "online"} | BUILT
        for form in ("yaml", "yml"):
            assert yaml.safe_load(zli("status", "--url", url, "--format", form)) == {
                "status": "online",
                "errormsg": "",
                **{key.lower(): value for key, value in BUILT.items()},
            }


def test_what_went_wrong_is_in_every_form(zli: Zli, open_registry: RunningRegistry) -> None:
    """JSON says it in `error`, YAML in `errormsg`."""
    error = f"{MANAGEMENT} endpoint is not available"
    said = json.loads(zli("status", "--url", open_registry.url, "-f", "json"))
    assert said == {"status": "online", "error": error}
    said = yaml.safe_load(zli("status", "--url", open_registry.url, "-f", "yaml"))
    assert (said["status"], said["errormsg"], said["releasetag"]) == ("online", error, "")


def test_nobody_there_is_offline(zli: Zli) -> None:
    """With the system's reason, and exit status 0."""
    port = free_port()
    said = zli("status", "--url", f"http://127.0.0.1:{port}")
    assert said == f"Server Status: offline\nError: cannot connect to 127.0.0.1:{port}: Connection refused\n"
    said = zli("status", "--url", "http://registry.invalid")
    assert said.startswith("Server Status: offline\nError: cannot connect to registry.invalid:80: ")


def test_who_takes_a_connection_and_says_nothing_is_offline(zli: Zli, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not waited for longer than a while."""
    monkeypatch.setattr("zot.zli.client._TIMEOUT", aiohttp.ClientTimeout(total=0.1))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        said = zli("status", "--url", f"http://127.0.0.1:{listener.getsockname()[1]}")
    assert said == "Server Status: offline\nError: no answer within 0.1 s\n"


def test_who_hangs_up_is_offline(zli: Zli) -> None:
    """Having begun well, too."""
    with answering({"/v2/": (200, b""), MANAGEMENT: (0, b"")}) as url:
        assert zli("status", "--url", url) == "Server Status: offline\nError: Server disconnected\n"


@pytest.mark.parametrize("status", [204, 403, 404, 500])
def test_what_is_no_registry_is_offline(zli: Zli, status: int) -> None:
    """An answer to /v2/ that is not 200 comes from something else."""
    with answering({"/v2/": (status, b"")}) as url:
        assert zli("status", "--url", url) == (
            "Server Status: offline\nError: registry at the given address doesn't implement the correct API: "
            f"request at {url}/v2/ failed\n"
        )


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((401, b""), NEEDS_A_USER),
        ((503, b""), f"request at {{}}{MANAGEMENT} failed"),
        ((200, b"<html>"), f"{{}}{MANAGEMENT} did not answer as zot does: JSON is malformed"),
        ((200, b'{"releaseTag": 1}'), "did not answer as zot does: Expected `str`, got `int` - at `$.releaseTag`"),
        ((200, b" " * (5 << 20)), "the answer has more than 4 MiB"),
    ],
)
def test_an_extension_that_does_not_answer_is_said(zli: Zli, answer: tuple[int, bytes], error: str) -> None:
    """The registry is there all the same, unless the answer never ends."""
    with answering({"/v2/": (200, b""), MANAGEMENT: answer}) as url:
        said = zli("status", "--url", url)
        assert said.startswith("Server Status: offline" if "MiB" in error else "Server Status: online")
        assert error.format(url) in said


def test_a_wrong_scheme_is_offline(zli: Zli, open_registry: RunningRegistry, locked_registry: RunningRegistry) -> None:
    """TLS where there is none, and none where there is TLS: a status, no traceback."""
    said = zli("status", "--url", open_registry.url.replace("http:", "https:"))
    assert said.startswith(f"Server Status: offline\nError: cannot connect to {open_registry.host}: ")
    assert "SSL" in said
    assert zli("status", "--url", f"http://{locked_registry.host}").startswith("Server Status: offline\nError: ")


def test_a_password_is_asked_for_and_taken(zli: Zli, locked_registry: RunningRegistry, authority: Authority) -> None:
    """`unknown` without one or with a wrong one; one may have colons and letters beyond ASCII."""
    trust(zli, locked_registry, authority)
    url = locked_registry.url
    assert zli("status", "--url", url) == f"Server Status: unknown\nError: {NEEDS_A_USER}\n"
    refused = "Server Status: unknown\nError: unauthorised access, given credentials are invalid\n"
    assert zli("status", "--url", url, "-u", "alice:wrong") == refused
    assert zli("status", "--url", url, "-u", "alice:wönder:land") == ONLINE


def test_a_password_is_not_repeated(zli: Zli) -> None:
    """Whatever goes wrong."""
    assert "secret" not in zli("status", "--url", f"http://127.0.0.1:{free_port()}", "-u", "alice:secret")
    said = zli.refused("status", "--url", "http://127.0.0.1", "-u", "secret")
    assert "it is not of the form user:password" in said
    assert "secret" not in said


def test_a_certificate_is_shown(zli: Zli, locked_registry: RunningRegistry, authority: Authority) -> None:
    """The one that lies in the folder of the host, port included: it stands for a password."""
    folder = trust(zli, locked_registry, authority)
    assert zli("status", "--url", locked_registry.url).startswith("Server Status: unknown")
    for made, name in zip(authority.issue("zli-alice"), ("client.cert", "client.key"), strict=True):
        (folder / name).write_bytes(made.read_bytes())
    assert zli("status", "--url", locked_registry.url) == ONLINE
    same = locked_registry.url.replace("127.0.0.1", "localhost")
    assert zli("status", "--url", same).startswith("Server Status: offline\nError: the certificate of localhost:")


def test_certificates_are_verified_unless_the_profile_says_no(zli: Zli, locked_registry: RunningRegistry) -> None:
    """An unknown authority is an error that says what to do; no password goes to whoever that is."""
    zli("config", "add", "main", locked_registry.url)
    for words in (["-c", "main"], ["--url", locked_registry.url], ["--url", locked_registry.url, "-c", "main"]):
        said = zli("status", *words, "-u", "alice:wönder:land")
        assert said.startswith(f"Server Status: offline\nError: the certificate of {locked_registry.host} is not valid")
        assert "set verify-tls of a profile to false" in said
    zli("config", "set", "main", "verify-tls", "false")
    assert zli("status", "-c", "main", "-u", "alice:wönder:land") == ONLINE
    assert zli("status", "-c", "main", "--url", locked_registry.url, "-u", "alice:wönder:land") == ONLINE


def test_a_certificate_for_another_host_is_not_valid(zli: Zli, authority: Authority, tmp_path: Path) -> None:
    """Also from an authority that is believed."""
    certificate, key = authority.issue("elsewhere", hosts=["elsewhere.example.org"])
    tls = {"cert": str(certificate), "key": str(key)}
    with serve(tmp_path / "content", config={"http": {"tls": tls}}) as registry:
        trust(zli, registry, authority)
        assert "is not valid: IP address mismatch" in zli("status", "--url", registry.url)


def test_without_a_url_it_says_how_to_give_one(zli: Zli) -> None:
    """Also with profiles of which none is the default."""
    for _ in range(2):
        said = zli.refused("status")
        assert said.startswith("Error: no URL provided: specify either '--url' or '--config' flags, or set a default")
        zli.run("config", "add", "main", "http://127.0.0.1")


def test_a_profile_that_cannot_be_used_is_said(zli: Zli) -> None:
    """One that is not there, one whose URL or switch somebody else wrote."""
    zli.file.write_text(
        '{"configs": [{"_name": "a", "url": "nowhere"}, {"_name": "b", "url": "http://x", "verify-tls": "maybe"}]}'
    )
    assert "config with the given name does not exist: 'c'" in zli.refused("status", "-c", "c")
    assert "invalid URL format: 'nowhere'" in zli.refused("status", "-c", "a")
    assert "verify-tls must be true or false, not 'maybe'" in zli.refused("status", "-c", "b")


def test_an_unknown_form_is_wrong_usage(zli: Zli) -> None:
    """Before anything is asked."""
    assert zli.refused("status", "--url", "http://x", "-f", "table") == (
        "Error: the given output format is not supported\n"
    )


def test_a_proxy_is_used_but_for_this_machine(
    zli: Zli, open_registry: RunningRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one of the environment, as zot's zli does; NO_PROXY names what else is asked directly."""
    with answering({"http://registry.example.org/v2/": (200, b"")}) as proxy:
        monkeypatch.delenv("no_proxy", raising=False)
        for named in (proxy, proxy.removeprefix("http://")):
            monkeypatch.setenv("http_proxy", named)
            assert zli("status", "--url", "http://registry.example.org") == ONLINE
        assert zli("status", "--url", open_registry.url) == ONLINE
        monkeypatch.setenv("no_proxy", "registry.invalid")
        assert "cannot connect to registry.invalid:80" in zli("status", "--url", "http://registry.invalid")


def test_passwords_come_from_the_command_line_alone(
    zli: Zli, locked_registry: RunningRegistry, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A .netrc that other programs use is not read."""
    trust(zli, locked_registry, authority)
    netrc = zli.home / ".netrc"
    netrc.write_text("machine 127.0.0.1 login alice password wönder:land\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    assert zli("status", "--url", locked_registry.url).startswith("Server Status: unknown")


def test_a_password_does_not_follow_a_redirect(zli: Zli, locked_registry: RunningRegistry) -> None:
    """Another host is asked without it."""
    with answering({"/v2/": (307, f"{locked_registry.url}/v2/".encode())}) as url:
        zli("config", "add", "main", url)
        zli("config", "set", "main", "verify-tls", "false")
        assert zli("status", "-c", "main", "-u", "alice:wönder:land").startswith("Server Status: unknown")
