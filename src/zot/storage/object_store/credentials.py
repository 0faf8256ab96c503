"""Credentials for S3: those of the configuration, or those of the machine, which are renewed before they expire."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zot.config.driver_options import S3
from zot.storage.interface import StorageUnavailableError
from zot.storage.object_store.signature import S3Credentials

if TYPE_CHECKING:
    from aiobotocore.credentials import AioCredentials
    from obstore.store import S3Credential


class S3CredentialSource:
    """Where credentials come from.

    Without keys in the configuration they are looked for as every AWS program does: the environment, shared files, a
    web identity, the container's or the machine's metadata service.
    """

    def __init__(self, options: S3) -> None:
        """Use the keys of the options if they have any."""
        self._fixed: S3Credentials | None = None
        self._found: AioCredentials | None = None
        if options.access_key and options.secret_key:
            token = options.session_token.get_secret_value() if options.session_token else None
            self._fixed = S3Credentials(
                options.access_key.get_secret_value(), options.secret_key.get_secret_value(), token
            )

    async def __call__(self) -> S3Credentials:
        """Return credentials that are valid now. Raises StorageUnavailableError if there are none."""
        if self._fixed is not None:
            return self._fixed
        if self._found is None:
            self._found = await _of_the_machine()
        frozen = await self._found.get_frozen_credentials()
        return S3Credentials(frozen.access_key, frozen.secret_key, frozen.token)

    async def for_obstore(self) -> S3Credential:
        """Return them as the S3 library asks for them, before each request."""
        found = await self()
        return {
            "access_key_id": found.access_key,
            "secret_access_key": found.secret_key,
            "token": found.token,
            "expires_at": None,
        }


async def _of_the_machine() -> AioCredentials:
    # 40 MiB a process: only where they are needed.
    from aiobotocore.session import get_session  # noqa: PLC0415

    found = await get_session().get_credentials()
    if found is None:
        raise StorageUnavailableError(
            "no credentials for S3: neither accesskey and secretkey nor those of the machine (environment, shared "
            "files, web identity, metadata service)"
        )
    return found
