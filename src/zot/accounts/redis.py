"""Accounts in Redis, which all replicas share. Each call is one command, or one script in Lua.

Keys, below the prefix of the accounts:

- `users`: the names, sorted. `user:<name>`: groups, service, origin.
- `key:<hash>`: the owner, id, data and last use of an API key. `keys:<owner>`: the hashes of a user's keys.
- `starred:<name>`, `bookmarked:<name>`: repositories, sorted. `stars`: how many users have starred each repository.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from zot.accounts.interface import AccountsUnavailableError, ApiKey, KeyedUser, User
from zot.databases.redis_calls import RedisCalls, RedisScript
from zot.oci.names import Repository

T = TypeVar("T")

_USER_FIELDS = ("groups", "service", "origin")

# Names the values of all scripts, and creates a user.
_PRELUDE = """
local prefix = KEYS[1]
local function user_row(name) return redis.call('HMGET', prefix .. 'user:' .. name, 'groups', 'service', 'origin') end
local function put_user(name, groups, service, origin)
  redis.call('ZADD', prefix .. 'users', 0, name)
  redis.call('HSET', prefix .. 'user:' .. name, 'groups', groups, 'service', service, 'origin', origin)
end
local function ensure_user(name)
  if redis.call('EXISTS', prefix .. 'user:' .. name) == 0 then put_user(name, '[]', '0', '') end
end
local function count_star(repository, step)
  if redis.call('HINCRBY', prefix .. 'stars', repository, step) <= 0 then
    redis.call('HDEL', prefix .. 'stars', repository)
  end
end
"""


def _script(text: str, *, repeatable: bool = False) -> RedisScript:
    return RedisScript(_PRELUDE + text, repeatable)


_RECORD_LOGIN = _script("""
local name, groups, origin = ARGV[1], ARGV[2], ARGV[3]
local known = user_row(name)
if known[2] == '1' then return end
if origin == '' then origin = known[3] or '' end
if known[1] ~= groups or known[3] ~= origin then put_user(name, groups, '0', origin) end
""")
_USERS = _script(
    """
local found = {}
for i, name in ipairs(redis.call('ZRANGEBYLEX', prefix .. 'users', '(' .. ARGV[1], '+', 'LIMIT', 0, ARGV[2])) do
  found[i] = {name, user_row(name)}
end
return found
""",
    repeatable=True,
)
_CREATE_SERVICE = _script("""
local name, groups = ARGV[1], ARGV[2]
if user_row(name)[2] == '0' then return 0 end
put_user(name, groups, '1', '')
return 1
""")
_DELETE_USER = _script("""
local name = ARGV[1]
for _, hash in ipairs(redis.call('SMEMBERS', prefix .. 'keys:' .. name)) do
  redis.call('DEL', prefix .. 'key:' .. hash)
end
for _, repository in ipairs(redis.call('ZRANGE', prefix .. 'starred:' .. name, 0, -1)) do count_star(repository, -1) end
redis.call('DEL', prefix .. 'keys:' .. name, prefix .. 'starred:' .. name, prefix .. 'bookmarked:' .. name)
redis.call('ZREM', prefix .. 'users', name)
return redis.call('DEL', prefix .. 'user:' .. name)
""")
_ADD_KEY = _script("""
local owner, hash, id, data, used = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
ensure_user(owner)
redis.call('SADD', prefix .. 'keys:' .. owner, hash)
redis.call('HSET', prefix .. 'key:' .. hash, 'owner', owner, 'id', id, 'data', data, 'used', used)
""")
_KEY = _script(
    """
local key = redis.call('HMGET', prefix .. 'key:' .. ARGV[1], 'owner', 'data', 'used')
if not key[1] then return false end
return {key[1], key[2], key[3], user_row(key[1])}
""",
    repeatable=True,
)
_KEYS = _script(
    """
local found = {}
for i, hash in ipairs(redis.call('SMEMBERS', prefix .. 'keys:' .. ARGV[1])) do
  found[i] = redis.call('HMGET', prefix .. 'key:' .. hash, 'data', 'used')
end
return found
""",
    repeatable=True,
)
_DELETE_KEY = _script("""
local owner, id, deleted = ARGV[1], ARGV[2], 0
for _, hash in ipairs(redis.call('SMEMBERS', prefix .. 'keys:' .. owner)) do
  if redis.call('HGET', prefix .. 'key:' .. hash, 'id') == id then
    redis.call('SREM', prefix .. 'keys:' .. owner, hash)
    deleted = redis.call('DEL', prefix .. 'key:' .. hash)
  end
end
return deleted
""")
_KEY_USED = _script("""
if redis.call('EXISTS', prefix .. 'key:' .. ARGV[1]) == 1 then
  redis.call('HSET', prefix .. 'key:' .. ARGV[1], 'used', ARGV[2])
end
""")
_TOGGLE = _script("""
local kind, name, repository = ARGV[1], ARGV[2], ARGV[3]
ensure_user(name)
local added = redis.call('ZADD', prefix .. kind .. ':' .. name, 0, repository)
if added == 0 then redis.call('ZREM', prefix .. kind .. ':' .. name, repository) end
if kind == 'starred' then count_star(repository, 2 * added - 1) end
return added
""")
# A list, whichever version the protocol has.
_STAR_COUNTS = _script("return redis.call('HGETALL', prefix .. 'stars')", repeatable=True)


class RedisAccounts:
    """`Accounts` in Redis. A change is as durable as the server that carried it out."""

    def __init__(self, calls: RedisCalls, prefix: str, awaited: Callable[[], bool] = lambda: False) -> None:
        """Own the calls, which are closed with the accounts; `prefix` begins all keys and has a hash tag.

        While `awaited` returns True, an unknown API key may still be imported from another program's store.
        """
        self._calls = calls
        self._prefix = prefix
        self._awaited = awaited

    async def record_login(self, name: str, groups: Sequence[str], origin: str = "") -> None:
        """See `Accounts`."""
        await self._run(_RECORD_LOGIN, name, _encode(groups), origin)

    async def user(self, name: str) -> User | None:
        """See `Accounts`."""
        row = await self._calls.read("HMGET", f"{self._prefix}user:{name}", *_USER_FIELDS)
        return _user(name, row) if row[0] is not None else None

    async def users(self, after: str, limit: int) -> Sequence[User]:
        """See `Accounts`."""
        return [_user(name.decode(), row) for name, row in await self._run(_USERS, after, limit)]

    async def create_service(self, name: str, groups: Sequence[str]) -> bool:
        """See `Accounts`."""
        return bool(await self._run(_CREATE_SERVICE, name, _encode(groups)))

    async def delete_user(self, name: str) -> bool:
        """See `Accounts`."""
        return bool(await self._run(_DELETE_USER, name))

    async def add_key(self, key: ApiKey) -> None:
        """See `Accounts`."""
        data = msgspec.json.encode(msgspec.structs.replace(key, last_used_s=None))
        used = "" if key.last_used_s is None else repr(key.last_used_s)
        await self._run(_ADD_KEY, key.owner, key.hash, key.id, data, used)

    async def key(self, hashed: str) -> KeyedUser | None:
        """See `Accounts`."""
        # Called first, so that a key imported between the two calls is found.
        awaited = self._awaited()
        found = await self._run(_KEY, hashed)
        if found is None:
            if awaited:
                raise AccountsUnavailableError("the accounts are still being imported")
            return None
        owner, data, used, user = found
        return KeyedUser(_key(data, used), _user(owner.decode(), user))

    async def keys(self, owner: str) -> Sequence[ApiKey]:
        """See `Accounts`."""
        found = [_key(data, used) for data, used in await self._run(_KEYS, owner)]
        return sorted(found, key=lambda key: (key.created_s, key.id))

    async def delete_key(self, owner: str, key_id: str) -> bool:
        """See `Accounts`."""
        return bool(await self._run(_DELETE_KEY, owner, key_id))

    async def key_used(self, hashed: str, when_s: float) -> None:
        """See `Accounts`."""
        await self._run(_KEY_USED, hashed, repr(when_s))

    async def toggle_star(self, name: str, repository: Repository) -> bool:
        """See `Accounts`."""
        return bool(await self._run(_TOGGLE, "starred", name, repository))

    async def toggle_bookmark(self, name: str, repository: Repository) -> bool:
        """See `Accounts`."""
        return bool(await self._run(_TOGGLE, "bookmarked", name, repository))

    async def starred(self, name: str) -> Sequence[Repository]:
        """See `Accounts`."""
        found = await self._calls.read("ZRANGE", f"{self._prefix}starred:{name}", 0, -1)
        return [Repository(each.decode()) for each in found]

    async def bookmarked(self, name: str) -> Sequence[Repository]:
        """See `Accounts`."""
        found = await self._calls.read("ZRANGE", f"{self._prefix}bookmarked:{name}", 0, -1)
        return [Repository(each.decode()) for each in found]

    async def stars(self, repository: Repository) -> int:
        """See `Accounts`."""
        return int(await self._calls.read("HGET", f"{self._prefix}stars", repository) or 0)

    async def star_counts(self) -> Mapping[Repository, int]:
        """See `Accounts`."""
        found = iter(await self._run(_STAR_COUNTS))
        return {Repository(name.decode()): int(count) for name, count in zip(found, found, strict=True)}

    async def close(self) -> None:
        """See `Accounts`."""
        await self._calls.close()

    async def _run(self, script: RedisScript, *arguments: Any) -> Any:
        return await self._calls.run(script, self._prefix, *arguments)


def _user(name: str, row: Sequence[bytes | None]) -> User:
    groups, service, origin = row
    return User(name, _decoded(groups, tuple[str, ...], f"user {name}"), service == b"1", (origin or b"").decode())


def _key(data: bytes | None, used: bytes | None) -> ApiKey:
    key = _decoded(data, ApiKey, "API key")
    return msgspec.structs.replace(key, last_used_s=float(used)) if used else key


def _decoded(value: bytes | None, kind: type[T], what: str) -> T:
    try:
        return msgspec.json.decode(value or b"", type=kind)
    except ValueError as error:
        raise AccountsUnavailableError(f"the accounts in Redis have an unreadable {what}: {error}") from error


def _encode(groups: Sequence[str]) -> str:
    return msgspec.json.encode(sorted(groups)).decode()
