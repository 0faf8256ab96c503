"""Verification keys of a token server, from AWS Secrets Manager. Needs the extra `aws`.

The secret is a JSON object: key id to a PEM key or a JWK set with one key.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from zot.auth.tokens import VerificationKey, parse_keys
from zot.config.auth import AwsSecretsManagerConfig
from zot.config.errors import ConfigProblem, ConfigurationError
from zot.registry.errors import Unavailable

_log = logging.getLogger("zot.auth")

CONFIG_KEY = "http.auth.bearer.awsSecretsManager"
STALE_LIMIT_S = 600.0
"""How long keys are used while the secret cannot be read again."""

_TIMEOUT_S = 5
_RETRY_INTERVAL_S = 5.0


class AwsSecretKeys:
    """Keys of the secret, read with the first token and again every `refreshInterval`."""

    needs_key_id = True

    def __init__(self, config: AwsSecretsManagerConfig, *, endpoint_url: str | None = None) -> None:
        """Keep the settings; nothing is read yet. Raises ConfigurationError without the library.

        Credentials and endpoint come from the environment, as in all AWS programs; `endpoint_url` is for tests.
        """
        if importlib.util.find_spec("aiobotocore") is None:
            raise ConfigurationError(
                ConfigProblem("AWS Secrets Manager needs an extra", CONFIG_KEY, "pip install 'zot-registry[aws]'")
            )
        self._config = config
        self._endpoint_url = endpoint_url
        self._keys: Sequence[VerificationKey] | None = None
        self._read_s = float("-inf")
        self._attempted_s = float("-inf")
        self._reading = asyncio.Lock()

    async def keys(self) -> Sequence[VerificationKey]:
        """Return the keys: the same object until they are read again. Raises Unavailable if there are none."""
        if self._keys is not None and time.monotonic() - self._read_s < self._config.refresh_interval_s:
            return self._keys
        async with self._reading:
            now_s = time.monotonic()
            due = now_s - self._read_s >= self._config.refresh_interval_s
            if self._keys is None or (due and now_s - self._attempted_s >= _RETRY_INTERVAL_S):
                self._attempted_s = now_s
                await self._read(now_s)
            if self._keys is None or now_s - self._read_s > max(STALE_LIMIT_S, self._config.refresh_interval_s):
                raise Unavailable("the keys that verify tokens cannot be read")
            return self._keys

    async def _read(self, now_s: float) -> None:
        from botocore.exceptions import (  # noqa: PLC0415 - an extra
            BotoCoreError,
            ClientError,
        )

        try:
            self._keys = parse(await self._fetch())
            self._read_s = now_s
        except (BotoCoreError, ClientError, OSError, TimeoutError, ValueError) as error:
            _log.error("AWS secret %s: %s", self._config.secret_name, error)

    async def _fetch(self) -> str:
        from aiobotocore.config import AioConfig  # noqa: PLC0415 - an extra
        from aiobotocore.session import get_session  # noqa: PLC0415 - an extra

        limits = AioConfig(connect_timeout=_TIMEOUT_S, read_timeout=_TIMEOUT_S, retries={"max_attempts": 2})
        connecting: Any = get_session().create_client(
            "secretsmanager", region_name=self._config.region, endpoint_url=self._endpoint_url, config=limits
        )
        async with connecting as client:
            response: Mapping[str, Any] = await client.get_secret_value(SecretId=self._config.secret_name)
        return str(response.get("SecretString", ""))


def parse(secret: str) -> tuple[VerificationKey, ...]:
    """Return the keys of the secret, each with the id that the secret gives it.

    Raises ValueError if there are none, or if an entry does not hold exactly one key.
    """
    keys = []
    for key_id, text in msgspec.json.decode(secret, type=dict[str, str]).items():
        found = parse_keys(text.encode())
        if len(found) != 1:
            raise ValueError(f"{key_id!r} has {len(found)} keys, expected one")
        keys.append(msgspec.structs.replace(found[0], id=key_id))
    if not keys:
        raise ValueError("the secret has no keys")
    return tuple(keys)
