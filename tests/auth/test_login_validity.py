"""Sessions, tokens and API keys end with the login that they come from."""

import pytest

from zot.accounts.interface import User
from zot.auth.login_validity import LoginValidity


class Method:
    """An authentication method with a table of users."""

    def __init__(self, method: str, users: dict[str, str], *, revocable: bool = True) -> None:
        """Keep the fingerprints by name."""
        self.method = method
        self.users = users
        self.revocable = revocable

    async def fingerprint(self, name: str) -> str | None:
        """See `UserSource`."""
        return self.users.get(name) if self.revocable else ""


HTPASSWD, LDAP = Method("htpasswd", {"alice": "1"}), Method("ldap", {}, revocable=False)


@pytest.mark.parametrize(
    ("method", "name", "fingerprint", "valid"),
    [
        ("htpasswd", "alice", "1", True),
        ("htpasswd", "alice", "", True),
        ("htpasswd", "alice", "0", False),
        ("htpasswd", "bob", "", False),
        ("ldap", "bob", "", True),
        ("openid", "bob", "", True),
        ("mtls", "bob", "", False),
        ("", "bob", "", False),
    ],
)
async def test_a_login_ends_with_its_method_its_user_and_its_password(
    method: str, name: str, fingerprint: str, valid: bool
) -> None:
    """A login is valid while its method is configured, the user exists, and the password is the same."""
    assert await LoginValidity([HTPASSWD, LDAP], ["openid"]).is_valid(method, name, fingerprint) is valid


@pytest.mark.parametrize(
    ("methods", "others", "user", "valid"),
    [
        ([HTPASSWD], [], User("alice", origin="htpasswd"), True),
        ([HTPASSWD], [], User("bob", origin="htpasswd"), False),
        ([HTPASSWD], [], User("alice"), True),
        ([HTPASSWD], [], User("bob"), False),
        ([HTPASSWD], [], User("bob", origin="ldap"), False),
        ([HTPASSWD], [], User("bob", service=True), True),
        ([HTPASSWD, LDAP], [], User("bob", origin="htpasswd"), False),
        ([HTPASSWD, LDAP], [], User("bob", origin="ldap"), True),
        ([HTPASSWD, LDAP], [], User("bob"), True),
        ([HTPASSWD], ["openid"], User("bob", origin="openid"), True),
        ([HTPASSWD], ["openid"], User("bob", origin="htpasswd"), False),
        ([HTPASSWD], ["openid"], User("bob"), True),
        ([], [], User("bob", origin="htpasswd"), True),
    ],
)
async def test_a_user_has_api_keys_as_long_as_a_method_knows_them(
    methods: list[Method], others: list[str], user: User, valid: bool
) -> None:
    """The method of the user's last login must know the user, or any method that may have been it."""
    assert await LoginValidity(methods, others).may_use_keys(user) is valid
