"""The laws of accounts, for every driver."""

from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from accounts.shared_engines import SHARED_ENGINES, shared_engine
from zot.accounts.interface import Accounts, AccountsUnavailableError, ApiKey, User
from zot.accounts.memory import MemoryAccounts
from zot.accounts.sqlite import SCHEMA, SqliteAccounts
from zot.foundation.threads import ThreadPool
from zot.oci.names import parse_repository

APP, OTHER = parse_repository("team/app"), parse_repository("other")
KEY = ApiKey("1", "alice", "aa", "ci", ("repository:team/app:pull",), 10.0, 20.0, None, "curl/8")


@pytest.fixture(params=["memory", "sqlite", *SHARED_ENGINES])
async def accounts(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Accounts]:
    """Give each driver, empty."""
    pool = ThreadPool("accounts", 1, 64)
    if request.param == "memory":
        accounts: Accounts = MemoryAccounts()
    elif request.param == "sqlite":
        accounts = SqliteAccounts(tmp_path / "identity.db", pool)
    else:
        accounts = shared_engine(request, request.param).open_accounts(pool)
    yield accounts
    await accounts.close()
    pool.close()


async def test_a_login_replaces_the_groups_of_the_last(accounts: Accounts) -> None:
    """Who was taken out of a group is out of it at the next login."""
    assert await accounts.user("alice") is None
    await accounts.record_login("alice", ["ops", "dev"])
    assert await accounts.user("alice") == User("alice", ("dev", "ops"))
    await accounts.record_login("alice", ["qa"])
    assert await accounts.user("alice") == User("alice", ("qa",))
    await accounts.record_login("alice", [])
    assert await accounts.user("alice") == User("alice")


async def test_the_origin_is_that_of_the_last_login_that_said_it(accounts: Accounts) -> None:
    """A login that does not say it leaves the one that is known; a service account has none."""
    await accounts.record_login("alice", ["dev"])
    await accounts.record_login("alice", ["dev"], "htpasswd")
    assert await accounts.user("alice") == User("alice", ("dev",), origin="htpasswd")
    await accounts.record_login("alice", ["ops"])
    assert await accounts.user("alice") == User("alice", ("ops",), origin="htpasswd")
    await accounts.record_login("alice", ["ops"], "ldap")
    assert list(await accounts.users("", 9)) == [User("alice", ("ops",), origin="ldap")]
    await accounts.create_service("robot", [])
    await accounts.record_login("robot", [], "htpasswd")
    assert await accounts.user("robot") == User("robot", service=True)


async def test_a_file_of_the_first_version_is_brought_to_the_present_one(tmp_path: Path) -> None:
    """Its users stay, and how they logged in is not known."""
    path, pool = tmp_path / "identity.db", ThreadPool("accounts", 1, 64)
    with closing(apsw.Connection(str(path))) as connection:
        connection.execute(SCHEMA.migrations[0])
        connection.execute("INSERT INTO user VALUES ('alice', '[\"dev\"]', 0)")
        connection.pragma("application_id", SCHEMA.application_id)
        connection.pragma("user_version", 1)
    accounts = SqliteAccounts(path, pool)
    assert await accounts.user("alice") == User("alice", ("dev",))
    await accounts.record_login("alice", [], "htpasswd")
    assert await accounts.user("alice") == User("alice", origin="htpasswd")
    await accounts.close()
    pool.close()


async def test_a_service_account_is_no_user_and_no_user_is_one(accounts: Accounts) -> None:
    """A login of the same name changes nothing about it, and a user is never turned into one."""
    assert await accounts.create_service("robot", ["ci"])
    await accounts.record_login("robot", ["admins"])
    assert await accounts.user("robot") == User("robot", ("ci",), service=True)
    assert await accounts.create_service("robot", ["cd"])
    assert await accounts.user("robot") == User("robot", ("cd",), service=True)
    await accounts.record_login("alice", ["dev"])
    assert not await accounts.create_service("alice", ["admins"])
    assert await accounts.user("alice") == User("alice", ("dev",))


async def test_users_are_listed_in_byte_order_by_pages(accounts: Accounts) -> None:
    """A page begins after the last name of the one before."""
    for name in ("b", "a", "Z", "ä"):
        await accounts.record_login(name, [])
    assert [user.name for user in await accounts.users("", 2)] == ["Z", "a"]
    assert [user.name for user in await accounts.users("a", 9)] == ["b", "ä"]


async def test_a_key_is_found_by_its_hash_with_its_owner(accounts: Accounts) -> None:
    """With everything it was added with; its owner need not have logged in before."""
    await accounts.add_key(KEY)
    found = await accounts.key("aa")
    assert found is not None
    assert (found.key, found.user) == (KEY, User("alice"))
    assert await accounts.key("bb") is None
    await accounts.record_login("alice", ["dev"])
    found = await accounts.key("aa")
    assert found is not None
    assert found.user.groups == ("dev",)


async def test_two_keys_are_valid_at_once_and_go_one_by_one(accounts: Accounts) -> None:
    """A key is rotated by making the new one before the old one goes; nobody removes the key of another."""
    await accounts.add_key(KEY)
    await accounts.add_key(ApiKey("2", "alice", "bb", created_s=5.0))
    assert [key.id for key in await accounts.keys("alice")] == ["2", "1"]
    assert not await accounts.delete_key("bob", "1")
    assert await accounts.delete_key("alice", "1")
    assert not await accounts.delete_key("alice", "1")
    assert await accounts.key("aa") is None
    assert await accounts.key("bb") is not None


async def test_the_use_of_a_key_is_noted(accounts: Accounts) -> None:
    """Also of one that is gone meanwhile, which is no error."""
    await accounts.add_key(KEY)
    await accounts.key_used("aa", 30.0)
    await accounts.key_used("gone", 30.0)
    assert (await accounts.keys("alice"))[0].last_used_s == 30.0


async def test_stars_and_bookmarks_are_toggled_by_user(accounts: Accounts) -> None:
    """Each of them by itself; stars are counted over all users."""
    assert await accounts.toggle_star("alice", APP)
    assert await accounts.toggle_star("bob", APP)
    assert await accounts.toggle_bookmark("alice", OTHER)
    assert await accounts.stars(APP) == 2
    assert await accounts.star_counts() == {APP: 2}
    assert list(await accounts.starred("alice")) == [APP]
    assert list(await accounts.bookmarked("alice")) == [OTHER]
    assert not await accounts.toggle_star("alice", APP)
    assert await accounts.stars(APP) == 1
    assert list(await accounts.starred("alice")) == []
    assert not await accounts.toggle_bookmark("alice", OTHER)


async def test_whoever_is_deleted_leaves_nothing(accounts: Accounts) -> None:
    """Keys do not outlive their owner."""
    await accounts.add_key(KEY)
    await accounts.toggle_star("alice", APP)
    await accounts.toggle_bookmark("alice", APP)
    assert await accounts.delete_user("alice")
    assert not await accounts.delete_user("alice")
    assert await accounts.key("aa") is None
    assert await accounts.stars(APP) == 0
    assert list(await accounts.bookmarked("alice")) == []


async def test_the_file_outlives_the_process_and_is_shared(tmp_path: Path) -> None:
    """What one process wrote another reads at once, also after a restart; nobody else may read the file."""
    pool, path = ThreadPool("accounts", 1, 64), tmp_path / "identity.db"
    first, second = SqliteAccounts(path, pool), SqliteAccounts(path, pool)
    await first.add_key(KEY)
    assert await second.key("aa") is not None
    await first.close()
    await second.close()
    again = SqliteAccounts(path, pool)
    assert await again.key("aa") is not None
    assert path.stat().st_mode & 0o077 == 0
    await again.close()
    pool.close()


async def test_a_foreign_or_newer_file_is_refused(tmp_path: Path) -> None:
    """It is not touched: another version or program may want it back."""
    pool, path = ThreadPool("accounts", 1, 64), tmp_path / "identity.db"
    await SqliteAccounts(path, pool).close()
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", 99)
    with pytest.raises(AccountsUnavailableError, match="newer"):
        SqliteAccounts(path, pool)
    connection.pragma("application_id", 7)
    with pytest.raises(AccountsUnavailableError, match="another program"):
        SqliteAccounts(path, pool)
    connection.close()
    (tmp_path / "text").write_bytes(b"no database at all, but long enough to be taken for one" * 100)
    pool.close()


async def test_a_damaged_file_is_named_and_used_once_it_is_right(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It keeps no process from starting: what needs it fails, the log says what to do, and nothing of it is lost."""
    pool, path = ThreadPool("accounts", 1, 64), tmp_path / "identity.db"
    content = b"no database at all, but long enough to be taken for one" * 100
    path.write_bytes(content)
    accounts = SqliteAccounts(path, pool)
    for _ in range(2):
        with pytest.raises(AccountsUnavailableError):
            await accounts.user("alice")
        with pytest.raises(AccountsUnavailableError):
            await accounts.record_login("alice", ["dev"])
    assert path.read_bytes() == content
    assert caplog.text.count("restore it from a backup") == 1
    path.unlink()
    accounts._file._not_before_s = 0.0
    await accounts.record_login("alice", ["dev"])
    assert await accounts.user("alice") is not None
    await accounts.close()
    pool.close()
