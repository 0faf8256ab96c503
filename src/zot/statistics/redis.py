"""Statistics in Redis, to which each process of each replica adds its counts once a second.

Keys, below the prefix of the statistics:

- `of:<repository>`: digest to `pulls|pulled_s|pushed_s|pushed_by`; what is unknown is empty.
- `digests:<repository>`: its digests, sorted.
- `pulled`: repository and digest of each pulled manifest, sorted by the time of the last pull.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from zot.databases.redis_calls import RedisCalls, RedisScript
from zot.oci.digest import Digest
from zot.oci.names import Repository
from zot.statistics.interface import FLUSH_S, Statistic, StatisticsByManifest, StatisticsUnavailableError

# Merges as `Statistic.merged` does. Times stay texts, since Lua's numbers would lose digits. In `pulled` a zero byte
# ends the repository, so that members of one time are sorted as the pairs are.
_ADD = RedisScript("""
local prefix = KEYS[1]
local function later(one, other)
  if one == '' or (other ~= '' and tonumber(other) > tonumber(one)) then return other end
  return one
end
for i = 1, #ARGV, 6 do
  local repository, digest = ARGV[i], ARGV[i + 1]
  local pulls, pulled, pushed, by = tonumber(ARGV[i + 2]), ARGV[i + 3], ARGV[i + 4], ARGV[i + 5]
  local before = redis.call('HGET', prefix .. 'of:' .. repository, digest)
  if before then
    local had, last, first, first_by = string.match(before, '^(%d+)|([^|]*)|([^|]*)|(.*)$')
    if had then
      pulls, pulled = pulls + tonumber(had), later(last, pulled)
      if first ~= '' then pushed, by = first, first_by end
    end
  end
  local row = string.format('%d', pulls) .. '|' .. pulled .. '|' .. pushed .. '|' .. by
  redis.call('HSET', prefix .. 'of:' .. repository, digest, row)
  redis.call('ZADD', prefix .. 'digests:' .. repository, 0, digest)
  if pulled ~= '' then redis.call('ZADD', prefix .. 'pulled', pulled, repository .. '\\0' .. digest) end
end
""")
_OF_REPOSITORY = RedisScript(
    """
local prefix, repository, found = KEYS[1], ARGV[1], {}
local digests = redis.call('ZRANGEBYLEX', prefix .. 'digests:' .. repository, '(' .. ARGV[2], '+', 'LIMIT', 0, ARGV[3])
for i, digest in ipairs(digests) do
  found[i] = {digest, redis.call('HGET', prefix .. 'of:' .. repository, digest)}
end
return found
""",
    repeatable=True,
)
_OF_EACH = RedisScript(
    """
local found = {}
for i = 1, #ARGV, 2 do
  found[#found + 1] = redis.call('HGET', KEYS[1] .. 'of:' .. ARGV[i], ARGV[i + 1])
end
return found
""",
    repeatable=True,
)
# Texts are not compared here: Lua does so by the server's locale.
_PULLED_SINCE = RedisScript(
    """
local prefix, rows = KEYS[1], {}
local members = redis.call('ZRANGEBYSCORE', prefix .. 'pulled', ARGV[1], '+inf', 'LIMIT', ARGV[2], ARGV[3])
for _, member in ipairs(members) do
  local repository, digest = string.match(member, '^(.-)%z(.*)$')
  local row = redis.call('HGET', prefix .. 'of:' .. repository, digest)
  if row then rows[#rows + 1] = {repository, digest, row} end
end
return {#members, rows}
""",
    repeatable=True,
)
_FORGET = RedisScript("""
local prefix, repository, digest = KEYS[1], ARGV[1], ARGV[2]
if digest then
  redis.call('HDEL', prefix .. 'of:' .. repository, digest)
  redis.call('ZREM', prefix .. 'digests:' .. repository, digest)
  redis.call('ZREM', prefix .. 'pulled', repository .. '\\0' .. digest)
  return
end
for _, each in ipairs(redis.call('ZRANGE', prefix .. 'digests:' .. repository, 0, -1)) do
  redis.call('ZREM', prefix .. 'pulled', repository .. '\\0' .. each)
end
redis.call('DEL', prefix .. 'of:' .. repository, prefix .. 'digests:' .. repository)
""")


class RedisStatistics:
    """`StatisticsStore` in Redis."""

    def __init__(self, calls: RedisCalls, prefix: str) -> None:
        """Own the calls, which are closed with the store; `prefix` begins all keys and has a hash tag."""
        self._calls = calls
        self._prefix = prefix

    async def add(self, counts: StatisticsByManifest) -> None:
        """See `StatisticsStore`. If the result is lost, the counts may have been added."""
        arguments: list[Any] = []
        for (repository, digest), each in counts.items():
            arguments += (repository, digest, each.pulls, _text(each.pulled_s), _text(each.pushed_s), each.pushed_by)
        await self._run(_ADD, *arguments)

    async def of(self, repository: Repository, digest: Digest) -> Statistic | None:
        """See `StatisticsStore`."""
        row = await self._calls.read("HGET", f"{self._prefix}of:{repository}", digest)
        return _statistic(digest, row) if row is not None else None

    async def of_each(self, manifests: Iterable[tuple[Repository, Digest]]) -> StatisticsByManifest:
        """See `StatisticsStore`."""
        wanted = list(manifests)
        rows = await self._run(_OF_EACH, *(text for pair in wanted for text in pair)) if wanted else []
        return {
            (repository, digest): _statistic(digest, row)
            for (repository, digest), row in zip(wanted, rows, strict=True)
            if row is not None
        }

    async def of_repository(self, repository: Repository, after: str, limit: int) -> Sequence[Statistic]:
        """See `StatisticsStore`."""
        rows = await self._run(_OF_REPOSITORY, repository, after, limit)
        return [_statistic(Digest(digest.decode()), row) for digest, row in rows]

    async def pulled_after(
        self, after: tuple[float, Repository, Digest] | None, limit: int
    ) -> Sequence[tuple[Repository, Statistic]]:
        """See `StatisticsStore`."""
        first_s = after[0] if after is not None else -1.0
        found: list[tuple[Repository, Statistic]] = []
        offset, page = 0, limit + 1
        while len(found) < limit:
            read, rows = await self._run(_PULLED_SINCE, repr(first_s), offset, page)
            for name, digest, row in rows:
                repository, statistic = Repository(name.decode()), _statistic(Digest(digest.decode()), row)
                # Manifests of the same time as the last one are sorted by name.
                if after is None or (statistic.pulled_s or 0.0, repository, statistic.digest) > after:
                    found.append((repository, statistic))
            if read < page:
                break
            offset += page
        return found[:limit]

    async def settled(self) -> None:
        """See `StatisticsStore`."""
        await asyncio.sleep(2 * FLUSH_S)

    async def forget(self, repository: Repository, digest: Digest | None = None) -> None:
        """See `StatisticsStore`."""
        await self._run(_FORGET, *((repository,) if digest is None else (repository, digest)))

    async def close(self) -> None:
        """See `StatisticsStore`."""
        await self._calls.close()

    async def _run(self, script: RedisScript, *arguments: Any) -> Any:
        return await self._calls.run(script, self._prefix, *arguments)


def _text(time_s: float | None) -> str:
    return "" if time_s is None else repr(time_s)


def _statistic(digest: Digest, row: bytes | None) -> Statistic:
    try:
        pulls, pulled_s, pushed_s, pushed_by = (row or b"").decode().split("|", 3)
        return Statistic(
            digest,
            int(pulls),
            float(pulled_s) if pulled_s else None,
            float(pushed_s) if pushed_s else None,
            pushed_by,
        )
    except ValueError as error:
        raise StatisticsUnavailableError(f"the statistics in Redis have an unreadable row of {digest}") from error
