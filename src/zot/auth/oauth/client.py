"""The OAuth 2 client that all providers share: the authorization request and the exchange of its code."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from zot.accounts.sessions.session import PendingLogin
from zot.auth.fetch import Fetcher, FetchError
from zot.auth.last_good_files import read_last_good
from zot.auth.oauth.interface import LoginError
from zot.config.auth import OpenIdProviderConfig as ProviderConfig
from zot.config.errors import ConfigProblem, ConfigurationError
from zot.foundation.imports import LazyModule
from zot.registry.errors import Unavailable

if TYPE_CHECKING:
    from joserfc import errors, jwk, jwt
else:
    errors, jwk, jwt = map(LazyModule, ("joserfc.errors", "joserfc.jwk", "joserfc.jwt"))

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_LIFETIME_S = 60


class OAuthClient:
    """This registry as a client of a provider (RFC 6749), with PKCE (RFC 7636)."""

    def __init__(self, config: ProviderConfig, scopes: Sequence[str], fetcher: Fetcher, config_key: str) -> None:
        """Read the client's credentials. Raises ConfigurationError if the private key cannot be used."""
        self.id = config.client_id
        self.fetcher = fetcher
        self._secret = config.client_secret.get_secret_value() if config.client_secret else ""
        self._scopes = scopes
        self._signer = _Signer(config.key_path, config_key) if config.key_path else None

    def authorization_url(self, endpoint: str, login: PendingLogin) -> str:
        """Return the URL of the authorization request."""
        challenge = base64.urlsafe_b64encode(hashlib.sha256(login.verifier.encode()).digest()).rstrip(b"=").decode()
        query = urlencode(
            {
                "response_type": "code",
                "client_id": self.id,
                "redirect_uri": login.redirect_uri,
                "scope": " ".join(self._scopes),
                "state": login.state,
                "nonce": login.nonce,
                "code_challenge": challenge,
                "code_challenge_method": "S256",
            }
        )
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{query}"

    async def exchange(self, endpoint: str, code: str, login: PendingLogin) -> Mapping[str, Any]:
        """Return the token endpoint's response to the code. Raises LoginError, or Unavailable."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": login.redirect_uri,
            "code_verifier": login.verifier,
        }
        headers = {}
        if self._signer is not None:
            form |= {"client_id": self.id, "client_assertion_type": _ASSERTION_TYPE}
            form["client_assertion"] = self._signer.assertion(self.id, endpoint)
        elif self._secret:
            pair = f"{quote(self.id, safe='')}:{quote(self._secret, safe='')}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        else:
            form["client_id"] = self.id
        try:
            response = await self.fetcher.post(endpoint, form, headers=headers)
        except FetchError as error:
            if 400 <= error.status < 500:
                raise LoginError(f"the provider refused the code: {error}") from error
            raise Unavailable("the login provider cannot be reached") from error
        if not isinstance(response, dict) or not isinstance(response.get("access_token"), str):
            raise LoginError("the provider returned no access token")
        return response


class _Signer:
    """Signs client assertions with a private key, in place of a client secret (RFC 7523).

    The key file is PEM, or JSON with `key` and `keyId`.
    """

    def __init__(self, path: str, config_key: str) -> None:
        try:
            self._key, self._algorithm, self._header = read_last_good(Path(path), _parse_key_file)
        except (OSError, ValueError) as error:
            problem = ConfigProblem("the private key cannot be read", f"{config_key}.keypath")
            raise ConfigurationError(problem) from error

    def assertion(self, client_id: str, audience: str) -> str:
        now_s = int(time.time())
        claims = {
            "iss": client_id,
            "sub": client_id,
            "aud": audience,
            "jti": secrets.token_urlsafe(16),
            "iat": now_s,
            "exp": now_s + _ASSERTION_LIFETIME_S,
        }
        return jwt.encode(dict(self._header), claims, self._key, algorithms=[self._algorithm])


def _parse_key_file(content: bytes) -> tuple[jwk.RSAKey | jwk.ECKey | jwk.OKPKey, str, dict[str, str]]:
    text = content.decode()
    try:
        document = json.loads(text) if text.lstrip().startswith("{") else {"key": text}
        key, algorithm = _private_key(document["key"])
    except (KeyError, TypeError) as error:
        raise ValueError("not a private key") from error
    return key, algorithm, {"alg": algorithm, **({"kid": document["keyId"]} if "keyId" in document else {})}


def _private_key(pem: str) -> tuple[jwk.RSAKey | jwk.ECKey | jwk.OKPKey, str]:
    for kind in (jwk.RSAKey, jwk.ECKey, jwk.OKPKey):
        try:
            key = kind.import_key(pem)
        except (errors.JoseError, ValueError, TypeError):
            continue
        if not key.is_private:
            raise ValueError("not a private key")
        if isinstance(key, jwk.RSAKey):
            return key, "RS256"
        return key, {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}.get(key.curve_name, "Ed25519")
    raise ValueError("not a private key")
