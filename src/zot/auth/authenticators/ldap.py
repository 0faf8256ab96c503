"""Authenticates users of an LDAP directory, by a search and a bind. Needs the extra `ldap`."""

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
    """Authenticates by an LDAP directory, in a few processes with one login at a time each."""

    method = "ldap"
    revocable = False
    processes_limit = 4
    waiting_limit = 256
    login_limit_s = 10.0
    """How long a login may take, including the wait for a process; a slower process is killed."""
    step_limit_s = 5.0

    def __init__(self, config: LdapConfig, credentials: LdapCredentials | None) -> None:
        """Keep the settings; nothing is started yet. Without credentials the search is anonymous.

        Raises ConfigurationError if the library is not installed.
        """
        if importlib.util.find_spec("bonsai") is None:
            raise ConfigurationError(
                ConfigProblem("LDAP needs an extra", "http.auth.ldap", "pip install 'zot-registry[ldap]'")
            )
        self._settings = msgspec.json.encode(_settings(config, credentials, self.step_limit_s))
        self._decoder = msgspec.json.Decoder(LdapResult)
        self._idle: list[asyncio.subprocess.Process] = []
        self._slots = asyncio.Semaphore(self.processes_limit)
        self._waiting = 0
        self._closed = False

    async def cached(self, encoded: str) -> Principal | None:  # noqa: ARG002 - as the protocol has it
        """Return None: nothing is cached, since the directory does not report that a user was removed."""
        return None

    async def verify(self, login: Login) -> Principal | None:
        """Return the principal with its groups, None if the user is unknown or the password is wrong.

        Raises Unavailable if the directory is down, slow, or refuses the search.
        """
        if not login.password:
            return None
        if self._waiting >= self.waiting_limit:
            raise Unavailable("too many logins are waiting for the directory", retry_after_s=1)
        self._waiting += 1
        try:
            async with asyncio.timeout(self.login_limit_s), self._slots:
                result = await self._request(LdapLogin(login.name, login.password))
        except TimeoutError as error:
            raise Unavailable("the directory does not answer") from error
        finally:
            self._waiting -= 1
        if result.error:
            _log.error("the LDAP server cannot be reached: %s", result.error)
            raise Unavailable("the directory cannot be reached")
        if result.hint:
            _log.warning("LDAP: %s", result.hint)
        return Principal(login.name, self.method, frozenset(result.groups)) if result.known else None

    async def fingerprint(self, name: str) -> str | None:  # noqa: ARG002 - as the protocol has it
        """See `UserSource`: empty, since the directory tells nothing without the password."""
        return ""

    async def close(self) -> None:
        """End the idle processes; busy ones end after their login. Idempotent."""
        self._closed = True
        while self._idle:
            await _end(self._idle.pop())

    async def _request(self, attempt: LdapLogin) -> LdapResult:
        process = self._idle.pop() if self._idle else await self._start()
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(msgspec.json.encode(attempt) + b"\n")
            await process.stdin.drain()
            result = self._decoder.decode(await process.stdout.readline())
        except (OSError, ValueError) as error:
            await _end(process)
            raise Unavailable("the directory cannot be reached") from error
        except BaseException:
            # The process would write its result later, and the next login would read it.
            await asyncio.shield(_end(process))
            raise
        if self._closed:
            await _end(process)
        else:
            self._idle.append(process)
        return result

    async def _start(self) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # modules come from the installation, never from the working directory
            "-m",
            "zot.auth.authenticators.ldap_process",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # a terminal's interrupt reaches only the server, which ends this process
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
    # The event loop closes the pipes in its next steps; without waiting, the garbage collector would, with a warning.
    if process.stdin is not None:
        process.stdin.close()
        with contextlib.suppress(OSError):
            await process.stdin.wait_closed()
