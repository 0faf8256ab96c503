"""Authenticates workloads (CI jobs, Kubernetes pods) by the ID tokens of their platform (OpenID Connect Core, 2).

There is no shared secret: the registry trusts the issuer, and requires an audience and claims of each token.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zot.auth.authenticators.bearer import challenge, scope_of
from zot.auth.cel import Expression, ExpressionError, compile_claim, compile_validation
from zot.auth.fetch import Fetcher
from zot.auth.issuer import Issuer
from zot.auth.last_good_files import read_last_good
from zot.auth.principal import Principal
from zot.auth.tokens import InvalidTokenError, audiences, unverified_claims
from zot.config.auth import BearerConfig, BearerOidcConfig, CelClaimMappingConfig
from zot.config.errors import ConfigProblem, ConfigurationError
from zot.registry.errors import Unavailable
from zot.registry.request import Request

CONFIG_KEY = "http.auth.bearer.oidc"
_SHOWN_LENGTH = 200

DEFAULT_USERNAME = "claims.iss + '/' + claims.sub"


class WorkloadAuthenticator:
    """Verifies tokens of the issuers in `http.auth.bearer.oidc`."""

    method = "oidc"

    def __init__(self, config: BearerConfig, fetcher: Fetcher) -> None:
        """Compile the expressions; no issuer is contacted yet.

        Raises ConfigurationError if an expression or a certificate is invalid.
        """
        self._realm = config.realm
        self._service = config.service
        self._issuers = [
            _TrustedIssuer(entry, f"{CONFIG_KEY}[{number}]", fetcher) for number, entry in enumerate(config.oidc)
        ]

    def accepts(self, token: str) -> bool:
        """Tell whether the token names a configured issuer and audience; it is not verified yet."""
        claims = unverified_claims(token)
        return claims is not None and any(issuer.accepts(claims) for issuer in self._issuers)

    async def verify(self, token: str) -> Principal:
        """Return the principal of the token.

        Raises InvalidTokenError, or Unavailable if the issuer cannot be reached.
        """
        claims = unverified_claims(token)
        if claims is None:
            raise InvalidTokenError("the token is malformed")
        issuers = [issuer for issuer in self._issuers if issuer.accepts(claims)]
        if not issuers:
            raise InvalidTokenError(self.mismatch(token) or "the token is not of a known issuer")
        failure: InvalidTokenError | Unavailable | None = None
        for issuer in issuers:
            try:
                return await issuer.verify(token)
            except (InvalidTokenError, Unavailable) as error:
                failure = error
        assert failure is not None  # no issuer returned a principal
        raise failure

    def mismatch(self, token: str) -> str | None:
        """Return why a token of a configured issuer is not for this registry (its audience); None for other tokens."""
        claims = unverified_claims(token)
        if claims is None:
            return None
        expected = sorted({name for issuer in self._issuers if issuer.is_named(claims) for name in issuer.audiences})
        if not expected or any(issuer.accepts(claims) for issuer in self._issuers):
            return None
        audience = repr(claims["aud"])[:_SHOWN_LENGTH] if "aud" in claims else "none"
        return f"the token is for the audience {audience}, this registry accepts {' or '.join(map(repr, expected))}"

    def challenge(self, request: Request | None, own_realm: str, error: str = "") -> str:
        """Return the WWW-Authenticate header, with this registry's endpoint `own_realm` if no realm is configured."""
        return challenge(self._realm or own_realm, self._service or "zot", scope_of(request), error)


class _TrustedIssuer:
    """A configured issuer, with the audiences it is accepted for and the mapping of its claims."""

    def __init__(self, config: BearerOidcConfig, config_key: str, fetcher: Fetcher) -> None:
        self._any_issuer = config.skip_issuer_verification
        self.audiences = frozenset(audience.strip() for audience in config.audiences)
        self._issuer = Issuer(config.issuer, fetcher, tls=_tls(config, config_key), any_issuer=self._any_issuer)
        mapping = config.claim_mapping or CelClaimMappingConfig()
        self._mapping = CompiledClaimMapping(mapping, f"{config_key}.claimMapping")

    def accepts(self, claims: Mapping[str, Any]) -> bool:
        """Tell whether unverified claims name this issuer and one of its audiences."""
        try:
            return self.is_named(claims) and not self.audiences.isdisjoint(audiences(claims))
        except InvalidTokenError:
            return False

    def is_named(self, claims: Mapping[str, Any]) -> bool:
        """Tell whether unverified claims name this issuer."""
        return self._any_issuer or claims.get("iss") == self._issuer.url

    async def verify(self, token: str) -> Principal:
        claims = await self._issuer.verify(token, self.audiences)
        name, groups = self._mapping.identity(claims)
        return Principal(name, WorkloadAuthenticator.method, frozenset(groups), claims)


class CompiledClaimMapping:
    """Maps claims to a user name and groups, in CEL: variables, then validations, then name and groups."""

    def __init__(self, config: CelClaimMappingConfig, config_key: str) -> None:
        """Compile the expressions. Raises ConfigurationError, which names the invalid one."""
        self._variables = [
            (variable.name, _compiled(compile_claim, variable.expression, f"{config_key}.variables[{number}]"))
            for number, variable in enumerate(config.variables)
        ]
        self._validations = [
            (_compiled(compile_validation, each.expression, f"{config_key}.validations[{number}]"), each.message)
            for number, each in enumerate(config.validations)
        ]
        self._username = _compiled(compile_claim, config.username or DEFAULT_USERNAME, f"{config_key}.username")
        self._groups = _compiled(compile_claim, config.groups, f"{config_key}.groups") if config.groups else None

    def identity(self, claims: Mapping[str, Any]) -> tuple[str, Sequence[str]]:
        """Return the user name and the groups. Raises InvalidTokenError if a validation or the mapping fails."""
        data: dict[str, Any] = {"claims": dict(claims), "vars": {}}
        try:
            for name, expression in self._variables:
                data["vars"] = {**data["vars"], name: expression.evaluate(data)}
            for expression, message in self._validations:
                if not expression.is_true(data):
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


def _compiled(compile_expression: Any, text: str, config_key: str) -> Expression:
    try:
        expression: Expression = compile_expression(text)
    except ExpressionError as error:
        raise ConfigurationError(ConfigProblem(f"invalid CEL expression: {error}", config_key)) from None
    return expression


def _tls(config: BearerOidcConfig, config_key: str) -> ssl.SSLContext | None:
    try:
        if config.certificate_authority_file:
            return read_last_good(Path(config.certificate_authority_file), _tls_context)
        return ssl.create_default_context(cadata=config.certificate_authority) if config.certificate_authority else None
    except (OSError, ValueError) as error:
        problem = ConfigProblem(f"the certificate authority cannot be read: {error}", config_key)
        raise ConfigurationError(problem) from None


def _tls_context(content: bytes) -> ssl.SSLContext:
    # Comments between the certificates may have any encoding.
    return ssl.create_default_context(cadata=content.decode("ascii", "ignore"))
