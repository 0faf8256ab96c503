"""The servers that tests talk to behave as their fixtures describe."""

import json
import socket
import ssl
import subprocess
import urllib.request
from pathlib import Path

import pytest

import programs
from certificates import Authority
from clients import Clients
from servers import slapd as ldap
from servers.docker_registry import DockerRegistry
from servers.nats import NatsServer
from servers.oidc import OidcProvider
from servers.redis import RedisServer


def _redis(connection: socket.socket, *words: str) -> bytes:
    command = "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
    connection.sendall(f"*{len(words)}\r\n{command}".encode())
    return connection.recv(1000)


def test_redis_answers_on_its_port_and_its_socket(redis_server: RedisServer) -> None:
    """A key written through the port is read through the Unix socket."""
    with socket.create_connection(("127.0.0.1", redis_server.port)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.connect(str(redis_server.socket))
        assert _redis(tcp, "SET", "servers:test", "value") == b"+OK\r\n"
        assert _redis(unix, "GET", "servers:test") == b"$5\r\nvalue\r\n"


def test_redis_restarts_on_its_port_after_a_kill(tmp_path: Path) -> None:
    """A killed server restarts at the same address."""
    with RedisServer(tmp_path) as server:
        server.kill()
        server.start()
        with socket.create_connection(("127.0.0.1", server.port)) as tcp:
            assert _redis(tcp, "PING") == b"+PONG\r\n"


def test_redis_speaks_tls(tmp_path: Path, authority: Authority) -> None:
    """With a certificate folder the port accepts TLS, with a certificate of the authority."""
    trust = ssl.create_default_context(cafile=authority.path)
    with (
        RedisServer(tmp_path, tls=authority.folder) as server,
        socket.create_connection(("127.0.0.1", server.port)) as tcp,
        trust.wrap_socket(tcp, server_hostname="localhost") as connection,
    ):
        assert _redis(connection, "PING") == b"+PONG\r\n"


def test_nats_greets(nats_server: NatsServer) -> None:
    """The server sends INFO to a new connection, with JetStream on."""
    with socket.create_connection(("127.0.0.1", nats_server.port)) as tcp:
        assert json.loads(tcp.recv(4000).removeprefix(b"INFO "))["jetstream"]


def test_docker_registry_answers(docker_registry: DockerRegistry) -> None:
    """The version check answers 200."""
    with urllib.request.urlopen(f"{docker_registry.url}/v2/") as answer:
        assert answer.status == 200


def test_clients_keep_credentials_in_their_own_home(docker_registry: DockerRegistry, clients: Clients) -> None:
    """A login is stored below the test's folder, and another client with the same home uses it."""
    host = docker_registry.url.removeprefix("http://")
    clients.run("skopeo", "login", "--tls-verify=false", "--username", "u", "--password-stdin", host, stdin="secret")
    assert host in (clients.folder / ".docker" / "config.json").read_text()
    assert "absent" not in clients.run("crane", "catalog", host)
    assert "MANIFEST_UNKNOWN" in clients.refused("crane", "manifest", f"{host}/absent:tag")


@pytest.mark.needs("ldapsearch")
def test_slapd_knows_people_and_their_groups(slapd: ldap.Slapd, authority: Authority) -> None:
    """A user binds with their password over LDAPS and finds their entry, with memberOf."""
    search = [str(programs.require("ldapsearch")), "-LLL", "-x", "-H", slapd.tls_url, "-D", ldap.person("alice")]
    search += ["-w", ldap.PEOPLE["alice"], "-b", ldap.BASE, "(uid=alice)", "mail", "memberOf"]
    trust = {"LDAPTLS_CACERT": str(authority.path)}
    found = subprocess.run(search, env=trust, capture_output=True, text=True, check=True).stdout
    assert "mail: alice@example.org" in found
    assert f"memberOf: {ldap.group('admins')}" in found


@pytest.mark.needs("ldapsearch")
def test_slapd_shows_anonymous_clients_nothing(slapd: ldap.Slapd) -> None:
    """A search without a password finds nothing."""
    search = [str(programs.require("ldapsearch")), "-LLL", "-x", "-H", slapd.url, "-b", ldap.BASE]
    found = subprocess.run(search, capture_output=True, text=True, check=False).stdout
    assert "dn:" not in found


def test_oidc_provider_describes_itself(tmp_path: Path) -> None:
    """The discovery document names the issuer, PKCE and the scope `groups`."""
    with (
        OidcProvider(tmp_path, ["http://127.0.0.1/callback"]) as provider,
        urllib.request.urlopen(f"{provider.issuer}/.well-known/openid-configuration") as answer,
    ):
        document = json.load(answer)
    assert document["issuer"] == provider.issuer
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert "groups" in document["scopes_supported"]
