"""Verifies signed tokens (JWS and JWT: RFC 7515, 7519; best practices: RFC 8725).

Keys come from the configuration, never from the token. Each key verifies only algorithms of its own type, so that
neither `none` nor a public key used as a shared secret is accepted.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from zot.foundation.imports import LazyModule

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from joserfc import errors, jwk, jws, jwt

    PublicKey = jwk.RSAKey | jwk.ECKey | jwk.OKPKey
else:
    x509, serialization = LazyModule("cryptography.x509"), LazyModule("cryptography.hazmat.primitives.serialization")
    errors, jwk, jws, jwt = map(LazyModule, ("joserfc.errors", "joserfc.jwk", "joserfc.jws", "joserfc.jwt"))

TOKEN_LENGTH_LIMIT = 16 << 10
LEEWAY_S = 5
"""The difference allowed between the clocks of issuer and registry."""

_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_EC = {"P-256": frozenset({"ES256"}), "P-384": frozenset({"ES384"}), "P-521": frozenset({"ES512"})}
_OKP = {"Ed25519": frozenset({"EdDSA", "Ed25519"})}
_RSA_BITS_LEAST = 2048


class InvalidTokenError(ValueError):
    """The token is malformed, not signed by a known key, or not valid now. The message is safe for clients."""


class VerificationKey(msgspec.Struct, frozen=True):
    """A public key with its id (if any) and the algorithms that it verifies."""

    id: str | None
    key: PublicKey
    algorithms: frozenset[str]


def verify(token: str, keys: Sequence[VerificationKey], *, needs_key_id: bool = False) -> dict[str, Any]:
    """Return the claims of a token that one of the keys signed and that is valid now (`exp`, `nbf`, `iat`).

    A token with a key id is verified by keys with that id and keys without an id; with `needs_key_id`, only by the
    former. Raises InvalidTokenError.
    """
    if len(token) > TOKEN_LENGTH_LIMIT:
        raise InvalidTokenError(f"the token has more than {TOKEN_LENGTH_LIMIT} characters")
    algorithm, key_id = _header(token)
    if needs_key_id and not key_id:
        raise InvalidTokenError("the token has no key id (kid)")
    candidates = [
        key
        for key in keys
        if algorithm in key.algorithms and (key_id is None or key.id is None or key.id == key_id)
        if not needs_key_id or key.id == key_id
    ]
    for candidate in candidates:
        try:
            claims = _decode(token, candidate.key, algorithm)
        except (errors.JoseError, ValueError, RecursionError):
            continue
        _check_times(claims)
        return claims
    raise InvalidTokenError("the token is not signed by a known key")


def key_id_of(token: str) -> str | None:
    """Return the key id in the token's header, None if it has none. Raises InvalidTokenError."""
    return _header(token)[1]


def _header(token: str) -> tuple[str, str | None]:
    """Return algorithm and key id.

    Raises InvalidTokenError if the header is malformed or has critical extensions.
    """
    try:
        header = jws.extract_compact(token.encode()).headers()
    except (errors.JoseError, ValueError, RecursionError) as error:
        raise InvalidTokenError("the token is malformed") from error
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or not (key_id is None or isinstance(key_id, str)):
        raise InvalidTokenError("alg and kid of a token must be texts")
    if "crit" in header:
        raise InvalidTokenError("the token has critical extensions (crit), which are not supported")
    return algorithm, key_id


def unverified_claims(token: str) -> dict[str, Any] | None:
    """Return the claims without verifying the token; None if it is malformed. Do not trust them."""
    if len(token) > TOKEN_LENGTH_LIMIT:
        return None
    try:
        claims = msgspec.json.decode(jws.extract_compact(token.encode()).payload)
    except (errors.JoseError, ValueError, RecursionError):
        return None
    return claims if isinstance(claims, dict) else None


def audiences(claims: Mapping[str, Any]) -> frozenset[str]:
    """Return the audiences of the token (`aud`); empty without the claim. Raises InvalidTokenError."""
    if "aud" not in claims:
        return frozenset()
    value = claims["aud"]
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(each, str) for each in values):
        raise InvalidTokenError("aud must be a text or a list of texts")
    return frozenset(values)


def subject(claims: Mapping[str, Any]) -> str:
    """Return the subject of the token (`sub`), empty without the claim. Raises InvalidTokenError."""
    value = claims.get("sub", "")
    if not isinstance(value, str):
        raise InvalidTokenError("sub must be a text")
    return value


def parse_keys(content: bytes) -> tuple[VerificationKey, ...]:
    """Return the keys of PEM certificates, PEM public keys, or a JWK set. Raises ValueError if there are none."""
    text = content.strip()
    return parse_jwks(text) if text.startswith(b"{") else _parse_pem(text)


def parse_jwks(content: bytes) -> tuple[VerificationKey, ...]:
    """Return the public signing keys of a JWK set or a single JWK. Raises ValueError if there are none."""
    try:
        document = msgspec.json.decode(content, type=dict[str, Any])
    except RecursionError as error:
        raise ValueError("the JSON is nested too deeply") from error
    members = msgspec.convert(document.get("keys", [document]), list[dict[str, Any]])
    # A set may also have keys for encryption, shared secrets and unknown types: those are skipped.
    keys = [key for member in members if (key := _parse_jwk(member)) is not None]
    if not keys:
        raise ValueError("the JWK set has no RSA, EC or Ed25519 key for signatures")
    return tuple(keys)


def _parse_jwk(member: dict[str, Any]) -> VerificationKey | None:
    if member.get("use", "sig") != "sig":
        return None
    public = {name: value for name, value in member.items() if name in {"kty", "crv", "n", "e", "x", "y"}}
    kinds: dict[object, type[PublicKey]] = {"RSA": jwk.RSAKey, "EC": jwk.ECKey, "OKP": jwk.OKPKey}
    kind = kinds.get(member.get("kty"))
    if kind is None:
        return None
    try:
        with _no_security_warnings():
            key = kind.import_key(public)
    except (errors.JoseError, ValueError, KeyError):
        return None
    algorithms = _algorithms(key)
    if isinstance(member.get("alg"), str):
        algorithms &= {member["alg"]}
    key_id = member.get("kid")
    return VerificationKey(key_id if isinstance(key_id, str) else None, key, algorithms) if algorithms else None


def _parse_pem(content: bytes) -> tuple[VerificationKey, ...]:
    if b"-----BEGIN CERTIFICATE-----" in content:
        public_keys: list[Any] = [certificate.public_key() for certificate in x509.load_pem_x509_certificates(content)]
    else:
        blocks = [block + b"-----END PUBLIC KEY-----" for block in content.split(b"-----END PUBLIC KEY-----")[:-1]]
        public_keys = [serialization.load_pem_public_key(block) for block in blocks or [content]]
    keys = []
    for public_key in public_keys:
        pem = public_key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        key = _import_pem(pem)
        algorithms = _algorithms(key)
        if not algorithms:
            raise ValueError("a key has a type or size that is not supported for tokens")
        keys.append(VerificationKey(None, key, algorithms))
    return tuple(keys)


def _import_pem(pem: bytes) -> PublicKey:
    for kind in (jwk.RSAKey, jwk.ECKey, jwk.OKPKey):
        try:
            with _no_security_warnings():
                return kind.import_key(pem)
        except (errors.JoseError, ValueError, TypeError):
            continue
    raise ValueError("a key has a type that is not supported for tokens")


def _algorithms(key: PublicKey) -> frozenset[str]:
    if isinstance(key, jwk.RSAKey):
        return _RSA if key.public_key.key_size >= _RSA_BITS_LEAST else frozenset()
    curves = _EC if isinstance(key, jwk.ECKey) else _OKP
    return curves.get(key.curve_name, frozenset())


def _decode(token: str, key: PublicKey, algorithm: str) -> dict[str, Any]:
    with _no_security_warnings():
        return jwt.decode(token, key, algorithms=[algorithm]).claims


@contextmanager
def _no_security_warnings() -> Iterator[None]:
    """Suppress warnings of the library: about EdDSA (Ed25519 since RFC 9864), and about keys that are refused here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.SecurityWarning)
        yield


def _check_times(claims: Mapping[str, Any]) -> None:
    now_s = time.time()
    expires_s, not_before_s, issued_s = (time_claim(claims, name) for name in ("exp", "nbf", "iat"))
    if expires_s is not None and expires_s + LEEWAY_S <= now_s:
        raise InvalidTokenError("the token has expired")
    if max(not_before_s or 0.0, issued_s or 0.0) - LEEWAY_S > now_s:
        raise InvalidTokenError("the token is not valid yet")


def time_claim(claims: Mapping[str, Any], name: str) -> float | None:
    """Return a time claim in seconds since the epoch, None without the claim. Raises InvalidTokenError."""
    value = claims.get(name)
    if value is None:
        return None
    # The library's JSON parser also accepts NaN, with which every comparison is false, and Infinity.
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidTokenError(f"{name} must be a time in seconds")
    return float(value)
