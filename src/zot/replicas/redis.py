"""Replicas in Redis: `announced`, owner to its announcement, and `seen`, owners by the time of the last one."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from zot.databases.redis_calls import RedisCalls, RedisScript
from zot.replicas.interface import KEPT_S, Replica, ReplicasUnavailableError, SeenReplica, by_start

_ANNOUNCE = RedisScript("""
local prefix, now = KEYS[1], redis.call('TIME')[1]
for _, owner in ipairs(redis.call('ZRANGEBYSCORE', prefix .. 'seen', '-inf', now - ARGV[3])) do
  redis.call('HDEL', prefix .. 'announced', owner)
  redis.call('ZREM', prefix .. 'seen', owner)
end
redis.call('HSET', prefix .. 'announced', ARGV[1], ARGV[2])
redis.call('ZADD', prefix .. 'seen', now, ARGV[1])
""")
_WITHDRAW = RedisScript("""
redis.call('HDEL', KEYS[1] .. 'announced', ARGV[1])
redis.call('ZREM', KEYS[1] .. 'seen', ARGV[1])
""")
_ALL = RedisScript(
    """
local prefix, now, found = KEYS[1], redis.call('TIME')[1], {}
for _, owner in ipairs(redis.call('ZRANGE', prefix .. 'seen', 0, -1)) do
  local silent_s = now - redis.call('ZSCORE', prefix .. 'seen', owner)
  found[#found + 1] = {silent_s, redis.call('HGET', prefix .. 'announced', owner)}
end
return found
""",
    repeatable=True,
)


class RedisReplicas:
    """`Replicas` in Redis."""

    def __init__(self, calls: RedisCalls, prefix: str) -> None:
        """Own the calls, which are closed with the store; `prefix` begins all keys and has a hash tag."""
        self._calls = calls
        self._prefix = prefix

    async def announce(self, replica: Replica) -> None:
        """See `Replicas`."""
        await self._calls.run(_ANNOUNCE, self._prefix, replica.owner, msgspec.json.encode(replica), int(KEPT_S))

    async def withdraw(self, owner: str) -> None:
        """See `Replicas`."""
        await self._calls.run(_WITHDRAW, self._prefix, owner)

    async def all(self) -> Sequence[SeenReplica]:
        """See `Replicas`."""
        rows = await self._calls.run(_ALL, self._prefix)
        try:
            return by_start([SeenReplica(msgspec.json.decode(row, type=Replica), float(s)) for s, row in rows])
        except (TypeError, ValueError) as error:
            raise ReplicasUnavailableError(f"the replicas in Redis have an unreadable row: {error}") from error

    async def close(self) -> None:
        """See `Replicas`."""
        await self._calls.close()
