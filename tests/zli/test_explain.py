"""`zli explain` against a registry of this tree."""

import json
from collections.abc import Iterator

import bcrypt
import pytest

from zli.conftest import Zli
from zot.auth.explain import explain
from zot.cli.explain import text
from zot.config.access_control import AccessControlConfig
from zot.oci.names import parse_reference, parse_repository
from zot.registry.request import Action
from zot.testing import RunningRegistry, serve
from zot.zli.explain import ACTIONS

RULES = {
    "groups": {"developers": {"users": ["alice"]}},
    "repositories": {
        "team/**": {
            "policies": [{"groups": ["developers"], "actions": ["read", "create"]}],
            "anonymousPolicy": ["read"],
        }
    },
    "adminPolicy": {"users": ["root"], "actions": ["read", "create", "update", "delete"]},
}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningRegistry]:
    """Serve by rules: root is an administrator, alice a developer."""
    people = tmp_path_factory.mktemp("people") / "htpasswd"
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    people.write_text(f"root:{hashed}\nalice:{hashed}\n")
    http = {"auth": {"htpasswd": {"path": str(people)}}, "accessControl": RULES}
    with serve(config={"http": http}, memory=True) as registry:
        yield registry


def test_it_offers_the_actions_of_access_control() -> None:
    """All of them: zli knows the registry by its API alone."""
    assert list(ACTIONS) == [str(action) for action in Action]


@pytest.mark.parametrize(
    ("words", "user", "groups", "repository", "action", "reference"),
    [
        (["--for", "alice", "--repo", "team/app", "--action", "create"], "alice", [], "team/app", "create", ""),
        (["--for", "alice", "--repo", "team/app", "--action", "delete"], "alice", [], "team/app", "delete", ""),
        (["--repo", "team/app"], "", [], "team/app", "read", ""),
        (["--repo", "other", "--reference", "v1"], "", [], "other", "read", "v1"),
        (
            ["--for", "bob", "--group", "developers", "--group", "x", "--repo", "team/app"],
            "bob",
            ["developers", "x"],
            "team/app",
            "read",
            "",
        ),
    ],
)
def test_it_says_what_the_command_of_the_server_says(
    zli: Zli,
    registry: RunningRegistry,
    words: list[str],
    user: str,
    groups: list[str],
    repository: str,
    action: str,
    reference: str,
) -> None:
    """The text of `zot explain`, and exit status 1 for a denial; the JSON of the API."""
    rules = AccessControlConfig.model_validate(RULES)
    named = parse_reference(reference) if reference else None
    expected = explain(rules, user, groups, parse_repository(repository), Action(action), named)
    given = ["explain", *words, "--url", registry.url, "-u", "root:secret"]
    done = zli.run(*given)
    assert (done.stdout, done.stderr) == (text(expected) + "\n", "")
    assert done.exit_code == (0 if expected.allowed else 1)
    said = json.loads(zli.run(*given, "-f", "json").stdout)
    assert (said["allowed"], said["rule"]) == (expected.allowed, expected.rule)


@pytest.mark.parametrize("credentials", ["alice:secret", ""])
def test_it_is_for_administrators(zli: Zli, registry: RunningRegistry, credentials: str) -> None:
    """Other users get the registry's refusal."""
    said = zli.refused("explain", "--repo", "team/app", "--url", registry.url, "-u", credentials)
    assert "DENIED" in said or "UNAUTHORIZED" in said
    assert "Body:" not in said, "an answer in JSON is shown as it came"
