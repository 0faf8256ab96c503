"""The keys of a token server, in AWS Secrets Manager: JSON with a PEM key or a JWK set by key id. Needs `aws`."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from zot.auth.tokens import VerificationKey, keys_of_file
from zot.config.auth import AwsSecretsManagerConfig
from zot.config.errors import ConfigProblem, ConfigurationError
from zot.registry.errors import Unavailable

_log = logging.getLogger("zot.auth")

PLACE = "http.auth.bearer.awsSecretsManager"
KEPT_S = 600.0
"""For how long keys are used when the secret cannot be read again."""

_TIMEOUT_S = 5
_RETRIED_EVERY_S = 5.0


class AwsSecretKeys:
    """The secret, read when a token comes in and again every `refreshInterval`."""

    needs_key_id = True

    def __init__(self, config: AwsSecretsManagerConfig, *, endpoint_url: str | None = None) -> None:
        """Take the section; nothing is read yet. Raises ConfigurationError without the library.

        Credentials and endpoint come from the environment as AWS programs have it; `endpoint_url` is for tests.
        """
        if importlib.util.find_spec("aiobotocore") is None:
            raise ConfigurationError(
                ConfigProblem("AWS Secrets Manager needs an extra", PLACE, "pip install 'zot-registry[aws]'")
            )
        self._config = config
        self._endpoint_url = endpoint_url
        self._keys: Sequence[VerificationKey] | None = None
        self._read_s = float("-inf")
        self._tried_s = float("-inf")
        self._reading = asyncio.Lock()

    async def keys(self) -> Sequence[VerificationKey]:
        """Return the keys, the same object until they are read again; raise Unavailable if there are none."""
        if self._keys is not None and time.monotonic() - self._read_s < self._config.refresh_interval_s:
            return self._keys
        async with self._reading:
            now_s = time.monotonic()
            due = now_s - self._read_s >= self._config.refresh_interval_s
            if self._keys is None or (due and now_s - self._tried_s >= _RETRIED_EVERY_S):
                self._tried_s = now_s
                await self._read(now_s)
            if self._keys is None or now_s - self._read_s > max(KEPT_S, self._config.refresh_interval_s):
                raise Unavailable("the keys of tokens cannot be read")
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
            answer: Mapping[str, Any] = await client.get_secret_value(SecretId=self._config.secret_name)
        return str(answer.get("SecretString", ""))


def parse(secret: str) -> tuple[VerificationKey, ...]:
    """Return the keys of the secret, each under the id that the secret gives it; raise ValueError if one is none."""
    keys = []
    for key_id, text in msgspec.json.decode(secret, type=dict[str, str]).items():
        found = keys_of_file(text.encode())
        if len(found) != 1:
            raise ValueError(f"{key_id!r} holds {len(found)} keys, one is expected")
        keys.append(msgspec.structs.replace(found[0], id=key_id))
    if not keys:
        raise ValueError("the secret holds no keys")
    return tuple(keys)
