"""The program that talks to an LDAP directory (RFC 4511), in a process of its own.

libldap waits for a server without letting go of the interpreter, in a TLS handshake for ever. So it has a process that
can be killed: `zot.auth.authenticators.ldap` starts it, hands it its settings and then one login a line, and gets one
answer a line. It ends when its input does. It imports next to nothing of the server, so that it is small.
"""

from __future__ import annotations

import sys
from typing import Any

import bonsai
import msgspec

from zot.auth.authenticators.ldap_messages import LdapLogin, LdapResult, LdapSettings


class LdapProcesses:
    """The directory, with the connection that searches in it."""

    def __init__(self, settings: LdapSettings) -> None:
        """Take the settings; nothing is connected yet."""
        self._settings = settings
        self._searching: Any = None

    def verify(self, attempt: LdapLogin) -> LdapResult:
        """Find the one entry of the user, and bind as it with the password."""
        try:
            entries = self._find(attempt.name)
        except bonsai.LDAPError as error:
            return LdapResult(error=str(error))
        if len(entries) > 1:
            return LdapResult(hint=f"{attempt.name!r} names more than one entry, so it names nobody")
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
        """Return the entries of that name, two at most."""
        if self._searching is not None:
            try:
                return self._search(name)
            except bonsai.LDAPError:
                # The connection may have died since it was used last; a new one tells.
                self._searching.close()
                self._searching = None
        self._searching = self._connect(self._settings.bind_dn, self._settings.bind_password)
        return self._search(name)

    def _search(self, name: str) -> list[Any]:
        settings = self._settings
        found = f"({settings.user_attribute}={escape(name)})"
        scope = bonsai.LDAPSearchScope.SUBTREE if settings.subtree else bonsai.LDAPSearchScope.ONELEVEL
        try:
            return list(
                self._searching.search(
                    settings.base_dn,
                    scope,
                    f"(&{found}({settings.user_filter}))" if settings.user_filter else found,
                    [settings.group_attribute or "1.1"],  # 1.1: no attribute
                    timeout=settings.step_limit_s,
                    sizelimit=2,
                )
            )
        except bonsai.NoSuchObjectError:
            return []
        except bonsai.SizeLimitError:
            return [None, None]

    def _connect(self, name: str, password: str) -> Any:
        """Return a connection bound by this name, encrypted as the settings say."""
        settings = self._settings
        client = bonsai.LDAPClient(settings.url, tls=settings.start_tls)
        # A referral would carry the password to a server that nobody configured.
        client.set_server_chase_referrals(False)
        client.set_ignore_referrals(True)
        client.set_cert_policy("demand" if settings.verify else "never")
        if settings.ca_cert:
            client.set_ca_cert(settings.ca_cert)
        if name:
            client.set_credentials("SIMPLE", user=name, password=password)
        return client.connect(timeout=settings.step_limit_s)


def escape(value: str) -> str:
    """Return the value as it stands in a search filter (RFC 4515, section 3), whatever is in it."""
    return "".join(f"\\{ord(each):02x}" if each in "\\*()\0" else each for each in value)


def main() -> None:
    """Answer logins until the input ends."""
    directory = LdapProcesses(msgspec.json.decode(sys.stdin.buffer.readline(), type=LdapSettings))
    decoder, encoder = msgspec.json.Decoder(LdapLogin), msgspec.json.Encoder()
    for line in sys.stdin.buffer:
        sys.stdout.buffer.write(encoder.encode(directory.verify(decoder.decode(line))) + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
