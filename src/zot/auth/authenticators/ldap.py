"""Users in an LDAP directory: found by a search, verified by a bind. Needs the extra `ldap`."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import sys

import msgspec

from zot.auth.authenticators.ldap_messages import LdapLogin, LdapResult, LdapSettings
from zot.auth.credentials import Login
from zot.auth.principal import Principal
from zot.config.auth import LdapConfig
from zot.config.errors import ConfigProblem, ConfigurationError
from zot.config.secret_files import LdapCredentials
from zot.registry.errors import Unavailable

_log = logging.getLogger("zot.auth")

_PORT, _TLS_PORT = 389, 636


class LdapAuthenticator:
    """A directory, asked by a few processes, each one login at a time."""

    method = "ldap"
    revocable = False
    processes_limit = 4
    waiting_limit = 256
    login_limit_s = 10.0
    """How long a login may take, waiting included; a process that takes longer is killed."""
    step_limit_s = 5.0

    def __init__(self, config: LdapConfig, credentials: LdapCredentials | None) -> None:
        """Take the section, and who asks the directory (None: anonymous); nothing is started yet.

        Raises ConfigurationError if the library is not installed.
        """
        if importlib.util.find_spec("bonsai") is None:
            raise ConfigurationError(
                ConfigProblem("LDAP needs an extra", "http.auth.ldap", "pip install 'zot-registry[ldap]'")
            )
        self._settings = msgspec.json.encode(_settings(config, credentials, self.step_limit_s))
        self._decoder = msgspec.json.Decoder(LdapResult)
        self._idle: list[asyncio.subprocess.Process] = []
        self._turn = asyncio.Semaphore(self.processes_limit)
        self._waiting = 0
        self._closed = False

    async def known(self, sent: str) -> Principal | None:  # noqa: ARG002 - as the protocol has it
        """Nothing is remembered: the directory would not tell if somebody was taken out of it."""
        return None

    async def verify(self, login: Login) -> Principal | None:
        """Return who that is with their groups, None if the directory does not know them by this password.

        Raises Unavailable if the directory is down, slow, or refuses to be asked.
        """
        if not login.password:
            return None
        if self._waiting >= self.waiting_limit:
            raise Unavailable("too many logins are waiting for the directory", retry_after_s=1)
        self._waiting += 1
        try:
            async with asyncio.timeout(self.login_limit_s), self._turn:
                answer = await self._ask(LdapLogin(login.name, login.password))
        except TimeoutError as error:
            raise Unavailable("the directory does not answer") from error
        finally:
            self._waiting -= 1
        if answer.error:
            _log.error("the LDAP server cannot be asked: %s", answer.error)
            raise Unavailable("the directory cannot be asked")
        if answer.hint:
            _log.warning("LDAP: %s", answer.hint)
        return Principal(login.name, self.method, frozenset(answer.groups)) if answer.known else None

    async def standing(self, name: str) -> str | None:  # noqa: ARG002 - as the protocol has it
        """See `KnowsUsers`: the directory is asked with a password alone."""
        return ""

    async def close(self) -> None:
        """End the processes; those that are busy end with their login."""
        self._closed = True
        while self._idle:
            await _end(self._idle.pop())

    async def _ask(self, attempt: LdapLogin) -> LdapResult:
        process = self._idle.pop() if self._idle else await self._start()
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(msgspec.json.encode(attempt) + b"\n")
            await process.stdin.drain()
            answer = self._decoder.decode(await process.stdout.readline())
        except (OSError, ValueError) as error:
            await _end(process)
            raise Unavailable("the directory cannot be asked") from error
        except BaseException:
            # Its answer would be taken for that to the next login.
            await asyncio.shield(_end(process))
            raise
        if self._closed:
            await _end(process)
        else:
            self._idle.append(process)
        return answer

    async def _start(self) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # modules come from the installation, whatever the working directory holds
            "-m",
            "zot.auth.authenticators.ldap_process",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # a terminal's interrupt is for the server, which ends it
        )
        assert process.stdin is not None
        process.stdin.write(self._settings + b"\n")
        return process


def _settings(config: LdapConfig, credentials: LdapCredentials | None, step_limit_s: float) -> LdapSettings:
    port = config.port or (_PORT if config.insecure else _TLS_PORT)
    host = f"[{config.address}]" if ":" in config.address else config.address
    return LdapSettings(
        url=f"{'ldap' if config.insecure else 'ldaps'}://{host}:{port}",
        start_tls=config.insecure and config.start_tls,
        verify=not config.skip_verify,
        ca_cert=config.ca_cert,
        bind_dn=credentials.bind_dn if credentials else "",
        bind_password=credentials.bind_password.get_secret_value() if credentials else "",
        base_dn=config.base_dn,
        user_attribute=config.user_attribute,
        user_filter=config.user_filter,
        group_attribute=config.user_group_attribute,
        subtree=config.subtree_search,
        step_limit_s=step_limit_s,
    )


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
    # The pipes are closed by the event loop's next steps; without them they would be closed by the collector.
    if process.stdin is not None:
        process.stdin.close()
        with contextlib.suppress(OSError):
            await process.stdin.wait_closed()
