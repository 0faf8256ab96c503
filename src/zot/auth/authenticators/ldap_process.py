"""The program that queries an LDAP directory (RFC 4511), in a separate process.

libldap holds the interpreter's lock while it waits for a server, in a TLS handshake without a timeout. So it runs in a
process that can be killed: `zot.auth.authenticators.ldap` starts it, writes the settings and then a login on each line,
and reads a result on each line. It ends when its input does. It imports little of the server, so that it stays small.
"""

from __future__ import annotations

import sys
from typing import Any

import bonsai
import msgspec

from zot.auth.authenticators.ldap_messages import LdapLogin, LdapResult, LdapSettings


class LdapDirectory:
    """A directory, with a connection that is kept for searches."""

    def __init__(self, settings: LdapSettings) -> None:
        """Keep the settings; nothing is connected yet."""
        self._settings = settings
        self._search_connection: Any = None

    def verify(self, attempt: LdapLogin) -> LdapResult:
        """Search the only entry of the user, and bind as this entry with the password."""
        try:
            entries = self._find(attempt.name)
        except bonsai.LDAPError as error:
            return LdapResult(error=str(error))
        if len(entries) > 1:
            return LdapResult(hint=f"{attempt.name!r} names more than one entry, so the login is refused")
        if not entries:
            return LdapResult()
        try:
            self._connect(str(entries[0].dn), attempt.password).close()
        except (bonsai.AuthenticationError, bonsai.UnwillingToPerform, bonsai.PasswordPolicyError):
            return LdapResult()
        except bonsai.LDAPError as error:
            return LdapResult(error=str(error))
        groups = entries[0].get(self._settings.group_attribute, ()) if self._settings.group_attribute else ()
        return LdapResult(known=True, groups=tuple(map(str, groups)))

    def _find(self, name: str) -> list[Any]:
        """Return the entries of this name, at most two."""
        if self._search_connection is not None:
            try:
                return self._search(name)
            except bonsai.LDAPError:
                # The connection may have broken since its last use: try again with a new one.
                self._search_connection.close()
                self._search_connection = None
        self._search_connection = self._connect(self._settings.bind_dn, self._settings.bind_password)
        return self._search(name)

    def _search(self, name: str) -> list[Any]:
        settings = self._settings
        by_name = f"({settings.user_attribute}={escape(name)})"
        scope = bonsai.LDAPSearchScope.SUBTREE if settings.subtree else bonsai.LDAPSearchScope.ONELEVEL
        try:
            return list(
                self._search_connection.search(
                    settings.base_dn,
                    scope,
                    f"(&{by_name}({settings.user_filter}))" if settings.user_filter else by_name,
                    [settings.group_attribute or "1.1"],  # 1.1: no attribute (RFC 4511, 4.5.1.8)
                    timeout=settings.step_limit_s,
                    sizelimit=2,
                )
            )
        except bonsai.NoSuchObjectError:
            return []
        except bonsai.SizeLimitError:
            return [None, None]

    def _connect(self, name: str, password: str) -> Any:
        """Return a connection bound as this entry, encrypted as the settings say."""
        settings = self._settings
        client = bonsai.LDAPClient(settings.url, tls=settings.start_tls)
        # A referral would send the password to a server that is not configured.
        client.set_server_chase_referrals(False)
        client.set_ignore_referrals(True)
        client.set_cert_policy("demand" if settings.verify else "never")
        if settings.ca_cert:
            client.set_ca_cert(settings.ca_cert)
        if name:
            client.set_credentials("SIMPLE", user=name, password=password)
        return client.connect(timeout=settings.step_limit_s)


def escape(value: str) -> str:
    """Return the value escaped for a search filter (RFC 4515, section 3)."""
    return "".join(f"\\{ord(each):02x}" if each in "\\*()\0" else each for each in value)


def main() -> None:
    """Verify logins from standard input until it ends."""
    directory = LdapDirectory(msgspec.json.decode(sys.stdin.buffer.readline(), type=LdapSettings))
    decoder, encoder = msgspec.json.Decoder(LdapLogin), msgspec.json.Encoder()
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(encoder.encode(directory.verify(decoder.decode(line))) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
