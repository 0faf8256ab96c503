"""`zot verify`, `zot schema` and `zot config`, as an operator uses them before a start."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner, Result

from programs import ROOT
from zot import __version__
from zot.cli.main import COMMANDS, cli

ISSUER = {"issuer": "https://issuer", "audiences": ["zot"]}
PROVIDER = {"clientid": "zot", "clientsecret": "hidden", "issuer": "https://issuer", "scopes": ["openid"]}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a configuration is written."""
    return tmp_path / "config.json"


def zot(*arguments: str | Path) -> Result:
    """Run a command."""
    return CliRunner().invoke(cli, list(map(str, arguments)))


def written(file: Path, **tree: Any) -> Path:
    """Write a configuration."""
    file.write_text(json.dumps({"storage": {"rootDirectory": str(file.parent / "data")}} | tree))
    return file


# --- verify ---


def test_a_good_configuration_is_said_to_be(file: Path) -> None:
    """Status 0, one line, and no store is opened or made."""
    result = zot("verify", written(file))
    assert (result.exit_code, result.output) == (0, f"{file}: config file is valid\n")
    assert not (file.parent / "data").exists()


@pytest.mark.parametrize(
    ("tree", "named"),
    [
        ({"http": {"port": "70000"}}, "http.port: invalid port 70000 (an integer from 0 to 65535)\n"),
        ({"http": {"port": "-1"}}, "http.port: "),
        ({"nonsense": 1}, "nonsense: "),
        ({"http": {"adress": "x"}}, "http.adress: "),
        ({"storage": {"rootDirectory": "x", "gcDelay": "soon"}}, "storage.gcDelay: "),
        ({"log": {"level": "loud"}}, "log.level: "),
        ({"http": {"accessControl": {"repositories": {"[": {"policies": []}}}}}, "http.accessControl: "),
        ({"http": {"tls": {"cert": "x"}}}, "http.tls.key: "),
    ],
)
def test_a_bad_configuration_is_said_with_the_key(file: Path, tree: dict[str, Any], named: str) -> None:
    """Status 1, and lines that begin with the file and the key, without a traceback; `serve` says the same."""
    for command in ("verify", "serve"):
        result = zot(command, written(file, **tree))
        assert result.exit_code == 1
        assert result.stderr.startswith(f"Error: {file}: {named}")
        assert "Traceback" not in result.stderr
        assert result.stdout == ""


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", '{"http": 1}'])
def test_what_is_no_configuration_is_refused(file: Path, text: str) -> None:
    """A file that is empty, broken, or something else is refused."""
    file.write_text(text)
    assert zot("verify", file).exit_code == 1


def test_a_missing_file_is_named() -> None:
    """Status 1 and the path."""
    result = zot("verify", "/nowhere/config.json")
    assert result.exit_code == 1
    assert "/nowhere/config.json" in result.stderr


def test_warnings_are_no_refusals(file: Path) -> None:
    """What is accepted but pointless is said beside the verdict."""
    result = zot("verify", written(file, extensions={"mgmt": {"enable": True}}))
    assert result.exit_code == 0
    assert result.stderr.startswith("Warning: ")
    assert result.stdout == f"{file}: config file is valid\n"


@pytest.mark.parametrize(
    ("auth", "text"),
    [
        (
            {"bearer": {"oidc": [ISSUER | {"claimMapping": {"username": "claims.sub +"}}]}},
            "http.auth.bearer.oidc[0].claimMapping.username",
        ),
        ({"bearer": {"oidc": [ISSUER | {"certificateAuthority": "none"}]}}, "certificate authority cannot be read"),
        (
            {"openid": {"providers": {"oidc": PROVIDER | {"keypath": "/nowhere.pem"}}}},
            "http.auth.openid.providers.oidc.keypath: the private key cannot be read",
        ),
        (
            {"htpasswd": {"path": "p"}, "sessionDriver": {"name": "redis", "addr": "host:port"}},
            "invalid address of redis",
        ),
    ],
)
def test_ways_in_that_the_start_would_refuse_are_refused(file: Path, auth: dict[str, Any], text: str) -> None:
    """Expressions, certificates, keys and addresses are tried, in the words of the start."""
    result = zot("verify", written(file, http={"auth": auth}))
    assert result.exit_code == 1
    assert f"Error: {file}: " in result.stderr
    assert text in result.stderr


def test_files_of_users_and_keys_have_to_be_there(file: Path) -> None:
    """Without them every login would be answered 503; a file in which no user can log in is pointed out."""
    users, token = file.with_name("htpasswd"), {"realm": "r", "service": "s", "cert": str(file)}
    auth = written(file, http={"auth": {"htpasswd": {"path": str(users)}}})
    result = zot("verify", auth)
    assert result.exit_code == 1
    key = f"Error: {auth}: http.auth.htpasswd.path: "
    assert result.stderr.startswith(f"{key}{str(users)!r} cannot be read: No such file or directory")
    users.write_text("alice:{SHA}fEqNCco3Yq9h5ZUglD3CZJT4lBs=\n")
    result = zot("verify", auth)
    first, second = result.stderr.splitlines()
    assert result.exit_code == 0
    assert first.startswith("Warning: http.auth.htpasswd.path: line 1: alice cannot log in")
    assert second == "Warning: http.auth.htpasswd.path: no user in this file can log in"
    users.write_text("alice:$2y$05$SZa/rM6y9lh/hIF5.b4qoev6XEBkpM2hHtRTjpP.RcHkGqjfQ1L12\n")
    assert zot("verify", auth).stderr == ""
    result = zot("verify", written(file, http={"auth": {"bearer": token}}))
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {file}: http.auth.bearer.cert: ")
    assert "(certificates, public keys or a JWK set)" in result.stderr


def test_the_configuration_of_the_tutorial_is_good(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tutorial has its reader write is what the server takes."""
    monkeypatch.chdir(file.parent)
    Path("htpasswd").write_text("alice:$2y$05$SZa/rM6y9lh/hIF5.b4qoev6XEBkpM2hHtRTjpP.RcHkGqjfQ1L12\n")
    page = (ROOT / "docs" / "tutorial" / "first-image.md").read_text()
    file.write_text(page.partition("<<'JSON'\n")[2].partition("JSON\n")[0])
    result = zot("verify", file)
    assert (result.exit_code, result.stderr) == (0, "")


# --- schema ---


def test_the_schema_accepts_what_the_server_accepts(file: Path) -> None:
    """It is a draft-07 schema, by which a good file is good and one with a wrong type is not."""
    schema = json.loads(zot("schema").output)
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.validate(json.loads(written(file).read_text()), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"storage": {"rootDirectory": ["x"]}}, schema)


# --- config ---


def test_a_configuration_is_shown_as_it_is_understood(file: Path) -> None:
    """With the defaults filled in, as the same file can be written again."""
    result = zot("config", written(file, http={"port": 5000}))
    shown = json.loads(result.output)
    assert (result.exit_code, shown["http"]["port"], shown["http"]["address"]) == (0, "5000", "127.0.0.1")
    file.write_text(result.output)
    assert json.loads(zot("config", file).output) == shown


def test_no_secret_is_shown(file: Path) -> None:
    """Passwords and keys are masked."""
    auth = {"openid": {"providers": {"github": {"clientid": "a", "clientsecret": "hunter2", "scopes": ["x"]}}}}
    result = zot("config", written(file, http={"auth": auth}))
    assert result.exit_code == 0
    assert "hunter2" not in result.output


def test_the_way_back_to_zot_is_shown(file: Path) -> None:
    """--for-zot prints the file without what the Go program refuses, and says on the side what is lost."""
    result = zot(
        "config", "--for-zot", written(file, http={"port": "5000", "workers": 2, "limits": {"maxPageSize": 5}})
    )
    assert result.exit_code == 0
    assert json.loads(result.stdout)["http"] == {"port": "5000"}
    assert all(line.startswith("Lost: ") for line in result.stderr.splitlines())
    assert "http.workers" in result.stderr


# --- usage ---


def test_every_command_explains_itself() -> None:
    """Each is listed with a sentence, and has help of its own."""
    listed = zot("--help").output
    for name in COMMANDS:
        assert f"\n  {name} " in listed
        result = zot(name, "--help")
        assert result.exit_code == 0
        assert result.output.startswith(f"Usage: cli {name} ")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nonsense",),
        ("verify",),
        ("serve", "a", "b"),
        ("serve", "--workers", "x"),
        ("serve", "--workers", "-1"),
        ("serve", "--workers", "65"),
        ("serve", "--nonsense"),
        ("config",),
        ("schema", "x"),
    ],
)
def test_wrong_usage_is_told(arguments: tuple[str, ...]) -> None:
    """Status 2, how it is used, and nothing else is done."""
    result = zot(*arguments)
    assert result.exit_code == 2
    assert "Usage: cli" in result.output


def test_the_program_says_its_version() -> None:
    """`zot --version` is the distribution's, by the script and by the module alike."""
    for command in ([Path(sys.executable).with_name("zot")], [sys.executable, "-m", "zot"]):
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
        assert done.stdout == f"zot {__version__}, distribution-spec 1.1.1\n"
