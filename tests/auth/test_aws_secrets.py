"""Keys of a token server in AWS Secrets Manager, against moto."""

import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest
from aiobotocore.session import get_session
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from servers.moto import CREDENTIALS, MotoServer
from zot.auth import aws_secrets
from zot.auth.authenticators.bearer import BearerAuthenticator
from zot.auth.aws_secrets import AwsSecretKeys, parse
from zot.auth.tokens import InvalidTokenError
from zot.config.auth import AwsSecretsManagerConfig
from zot.registry.errors import Unavailable

RSA, EC = RSAKey.generate_key(2048), ECKey.generate_key("P-256")


def pem(key: RSAKey | ECKey) -> str:
    """Give the public part as PEM."""
    return key.as_pem(private=False).decode()


def sign(key: RSAKey | ECKey, **header: str) -> str:
    """Make a token."""
    algorithm = "RS256" if isinstance(key, RSAKey) else "ES256"
    claims = {"exp": int(time.time()) + 60, "sub": "ci", "access": []}
    return jwt.encode({"alg": algorithm, **header}, claims, key)


@pytest.fixture
async def secret(
    moto_server: MotoServer, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> AsyncIterator[Callable[[Mapping[str, str]], Any]]:
    """Give what writes the secret called like the test."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(aws_secrets, "_RETRY_INTERVAL_S", 0.0)
    name = request.node.name
    async with get_session().create_client(
        "secretsmanager", region_name="eu-west-1", endpoint_url=moto_server.url
    ) as client:

        async def write(keys: Mapping[str, str]) -> None:
            text = json.dumps(keys)
            try:
                await client.create_secret(Name=name, SecretString=text)
            except client.exceptions.ResourceExistsException:
                await client.put_secret_value(SecretId=name, SecretString=text)

        yield write


def keys_of(server: MotoServer, name: str, refresh: str = "1m") -> AwsSecretKeys:
    """Describe the secret as a configuration does."""
    settings = {"region": "eu-west-1", "secretName": name, "refreshInterval": refresh}
    return AwsSecretKeys(AwsSecretsManagerConfig.model_validate(settings), endpoint_url=server.url)


async def test_a_token_is_verified_by_the_key_that_it_names(
    moto_server: MotoServer, secret: Callable[[Mapping[str, str]], Any], request: pytest.FixtureRequest
) -> None:
    """PEM and JWK sets; a token that names none, or another, is refused."""
    await secret({"one": pem(RSA), "two": json.dumps({"keys": [EC.as_dict(private=False)]})})
    bearer = BearerAuthenticator("realm", "zot", keys_of(moto_server, request.node.name))
    assert (await bearer.verify(sign(RSA, kid="one"), time.time())).name == "ci"
    assert (await bearer.verify(sign(EC, kid="two"), time.time())).name == "ci"
    for wrong in (sign(RSA), sign(RSA, kid="two"), sign(EC, kid="one"), sign(RSA, kid="three")):
        with pytest.raises(InvalidTokenError):
            await bearer.verify(wrong, time.time())


async def test_a_changed_secret_is_read_again(
    moto_server: MotoServer, secret: Callable[[Mapping[str, str]], Any], request: pytest.FixtureRequest
) -> None:
    """After `refreshInterval` the old key is worth nothing, also for tokens that were verified before."""
    await secret({"one": pem(RSA)})
    bearer = BearerAuthenticator("realm", "zot", keys_of(moto_server, request.node.name, "0s"))
    token = sign(RSA, kid="one")
    assert (await bearer.verify(token, time.time())).name == "ci"
    await secret({"one": pem(EC)})
    with pytest.raises(InvalidTokenError):
        await bearer.verify(token, time.time())
    assert (await bearer.verify(sign(EC, kid="one"), time.time())).name == "ci"


async def test_a_secret_that_can_not_be_read_lets_nobody_in_and_heals(
    moto_server: MotoServer, secret: Callable[[Mapping[str, str]], Any], request: pytest.FixtureRequest
) -> None:
    """It is not known whether the token is right, which is no refusal."""
    bearer = BearerAuthenticator("realm", "zot", keys_of(moto_server, request.node.name))
    with pytest.raises(Unavailable):
        await bearer.verify(sign(RSA, kid="one"), time.time())
    await secret({"one": "no key"})
    with pytest.raises(Unavailable):
        await bearer.verify(sign(RSA, kid="one"), time.time())
    await secret({"one": pem(RSA)})
    assert (await bearer.verify(sign(RSA, kid="one"), time.time())).name == "ci"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"a": 5}', '{"a": ""}', "null", '{"a": "{\\"keys\\": []}"}'])
def test_a_secret_without_keys_is_an_error(text: str) -> None:
    """It never means that any signature counts."""
    with pytest.raises(ValueError):  # noqa: PT011 - of libraries, too
        parse(text)
