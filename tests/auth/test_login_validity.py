"""What outlives a login, and ends with it."""

import pytest

from zot.accounts.interface import User
from zot.auth.login_validity import LoginValidity


class Method:
    """An authentication method with a table of users."""

    def __init__(self, method: str, users: dict[str, str], *, revocable: bool = True) -> None:
        """Take what logins stand on, by name."""
        self.method = method
        self.users = users
        self.revocable = revocable

    async def standing(self, name: str) -> str | None:
        """See `KnowsUsers`."""
        return self.users.get(name) if self.revocable else ""


HTPASSWD, LDAP = Method("htpasswd", {"alice": "1"}), Method("ldap", {}, revocable=False)


@pytest.mark.parametrize(
    ("method", "name", "standing", "holds"),
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
async def test_a_login_stands_on_its_method_its_user_and_its_password(
    method: str, name: str, standing: str, holds: bool
) -> None:
    """A method that is not configured any more is none."""
    assert await LoginValidity([HTPASSWD, LDAP], ["openid"]).holds(method, name, standing) is holds


@pytest.mark.parametrize(
    ("methods", "others", "user", "owns"),
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
    methods: list[Method], others: list[str], user: User, owns: bool
) -> None:
    """The method of their last login, or any that might have been it."""
    assert await LoginValidity(methods, others).owns(user) is owns
