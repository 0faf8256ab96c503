"""Workloads by the ID tokens of their platform: CI systems, Kubernetes (OpenID Connect Core, section 2).

No secret is shared with them: the registry knows the issuer, and what a token has to say to be taken.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zot.auth.authenticators.bearer import challenge, scope_of
from zot.auth.cel import Expression, ExpressionError, of_claims, validation
from zot.auth.fetch import Fetcher
from zot.auth.issuer import Issuer
from zot.auth.last_good_files import read_last_good
from zot.auth.principal import Principal
from zot.auth.tokens import InvalidTokenError, audiences, unverified_claims
from zot.config.auth import BearerConfig, BearerOidcConfig, CelClaimMappingConfig
from zot.config.errors import ConfigProblem, ConfigurationError
from zot.registry.errors import Unavailable
from zot.registry.request import Request

PLACE = "http.auth.bearer.oidc"
_SHOWN_LENGTH = 200

DEFAULT_USERNAME = "claims.iss + '/' + claims.sub"


class WorkloadAuthenticator:
    """The issuers of `http.auth.bearer.oidc`."""

    method = "oidc"

    def __init__(self, config: BearerConfig, fetcher: Fetcher) -> None:
        """Compile; raise ConfigurationError if an expression or a certificate is wrong. No issuer is asked yet."""
        self._realm = config.realm
        self._service = config.service
        self._issuers = [_Issuer(entry, f"{PLACE}[{number}]", fetcher) for number, entry in enumerate(config.oidc)]

    def concern(self, token: str) -> bool:
        """Tell whether the token says that it is of one of the issuers; nothing else of it is believed yet."""
        claims = unverified_claims(token)
        return claims is not None and any(issuer.concerns(claims) for issuer in self._issuers)

    async def verify(self, token: str) -> Principal:
        """Return who the token is about; raise InvalidTokenError, or Unavailable if its issuer cannot be asked."""
        claims = unverified_claims(token)
        if claims is None:
            raise InvalidTokenError("the token is malformed")
        issuers = [issuer for issuer in self._issuers if issuer.concerns(claims)]
        if not issuers:
            raise InvalidTokenError(self.mismatch(token) or "the token is of no issuer that is known")
        failure: InvalidTokenError | Unavailable | None = None
        for issuer in issuers:
            try:
                return await issuer.verify(token)
            except (InvalidTokenError, Unavailable) as error:
                failure = error
        assert failure is not None  # each of them refused
        raise failure

    def mismatch(self, token: str) -> str | None:
        """Return why a token of a known issuer is not for this registry: its audience; None for any other token."""
        claims = unverified_claims(token)
        if claims is None:
            return None
        expected = sorted({name for issuer in self._issuers if issuer.issued(claims) for name in issuer.audiences})
        if not expected or any(issuer.concerns(claims) for issuer in self._issuers):
            return None
        meant_for = repr(claims["aud"])[:_SHOWN_LENGTH] if "aud" in claims else "none"
        return f"the token is for the audience {meant_for}, and this registry takes {' or '.join(map(repr, expected))}"

    def challenge(self, request: Request | None, own_realm: str, error: str = "") -> str:
        """Return the WWW-Authenticate header; `own_realm`, this registry's endpoint, counts if none is configured."""
        return challenge(self._realm or own_realm, self._service or "zot", scope_of(request), error)


class _Issuer:
    """One issuer with what its tokens have to say."""

    def __init__(self, config: BearerOidcConfig, place: str, fetcher: Fetcher) -> None:
        self._any_issuer = config.skip_issuer_verification
        self.audiences = frozenset(audience.strip() for audience in config.audiences)
        self._issuer = Issuer(config.issuer, fetcher, tls=_tls(config, place), any_issuer=self._any_issuer)
        self._mapping = CompiledClaimMapping(config.claim_mapping or CelClaimMappingConfig(), f"{place}.claimMapping")

    def concerns(self, claims: Mapping[str, Any]) -> bool:
        """Tell whether a token that says so would be verified here."""
        try:
            return self.issued(claims) and not self.audiences.isdisjoint(audiences(claims))
        except InvalidTokenError:
            return False

    def issued(self, claims: Mapping[str, Any]) -> bool:
        """Tell whether a token says that it is of this issuer."""
        return self._any_issuer or claims.get("iss") == self._issuer.url

    async def verify(self, token: str) -> Principal:
        claims = await self._issuer.verify(token, self.audiences)
        name, groups = self._mapping.identity(claims)
        return Principal(name, WorkloadAuthenticator.method, frozenset(groups), claims)


class CompiledClaimMapping:
    """From claims to an identity, in CEL: variables, then validations, then name and groups."""

    def __init__(self, config: CelClaimMappingConfig, place: str) -> None:
        """Compile; raise ConfigurationError, which names the expression."""
        self._variables = [
            (variable.name, _compiled(of_claims, variable.expression, f"{place}.variables[{number}]"))
            for number, variable in enumerate(config.variables)
        ]
        self._validations = [
            (_compiled(validation, each.expression, f"{place}.validations[{number}]"), each.message)
            for number, each in enumerate(config.validations)
        ]
        self._username = _compiled(of_claims, config.username or DEFAULT_USERNAME, f"{place}.username")
        self._groups = _compiled(of_claims, config.groups, f"{place}.groups") if config.groups else None

    def identity(self, claims: Mapping[str, Any]) -> tuple[str, Sequence[str]]:
        """Return the user name and the groups; raise InvalidTokenError if the claims are not what they have to be."""
        data: dict[str, Any] = {"claims": dict(claims), "vars": {}}
        try:
            for name, expression in self._variables:
                data["vars"] = {**data["vars"], name: expression.evaluate(data)}
            for expression, message in self._validations:
                if not expression.holds(data):
                    raise InvalidTokenError(message or "the token's claims are not accepted")
            name = self._username.evaluate(data)
            groups = self._groups.evaluate(data) if self._groups is not None else []
        except ExpressionError as error:
            raise InvalidTokenError(f"the token's claims cannot be mapped: {error}") from error
        if not isinstance(name, str) or not name or not name.isprintable():
            raise InvalidTokenError("the token's claims give no user name")
        if not isinstance(groups, list) or not all(isinstance(group, str) for group in groups):
            raise InvalidTokenError("the token's claims give no list of groups")
        return name, groups


def _compiled(compile_expression: Any, text: str, place: str) -> Expression:
    try:
        expression: Expression = compile_expression(text)
    except ExpressionError as error:
        raise ConfigurationError(ConfigProblem(f"invalid CEL expression: {error}", place)) from None
    return expression


def _tls(config: BearerOidcConfig, place: str) -> ssl.SSLContext | None:
    try:
        if config.certificate_authority_file:
            return read_last_good(Path(config.certificate_authority_file), _trusting)
        return ssl.create_default_context(cadata=config.certificate_authority) if config.certificate_authority else None
    except (OSError, ValueError) as error:
        raise ConfigurationError(ConfigProblem(f"the certificate authority cannot be read: {error}", place)) from None


def _trusting(content: bytes) -> ssl.SSLContext:
    # Comments between the certificates may be in any encoding.
    return ssl.create_default_context(cadata=content.decode("ascii", "ignore"))
