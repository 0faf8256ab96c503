"""Masking of secrets in configurations, for the log and for `zot config`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zot.config.model import Config

MASK = "******"

# Keys, of drivers and headers too, that hold secrets; in lower case without `_` and `-`.
_SECRETS = frozenset({
    "accesskey", "accountkey", "apikey", "authorization", "bearer", "bindpassword", "clientsecret", "connectionstring",
    "cookie", "encryptkey", "hashkey", "password", "privatekey", "proxyauthorization", "secret", "secretkey",
    "sentinelpassword", "sessiontoken", "token", "xapikey",
})  # fmt: skip
# A password may contain any character, so the match extends to the last `@`.
_PASSWORD = re.compile(r"(://[^/:@\s]*:)\S*@")
_PARAMETER = re.compile(r"([?&][^=&#\s]+)=([^&#\s]*)")


def masked(config: Config) -> dict[str, Any]:
    """Return the configuration as JSON values under zot's keys, with secrets masked."""
    dump: dict[str, Any] = config.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {name: mask(value) for name, value in dump.items()}


def mask(value: Any, key: str = "") -> Any:
    """Return the value of `key` with its secrets masked."""
    if isinstance(value, dict):
        return {name: mask(item, str(name)) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [mask(item, key) for item in value]
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
        return value
    if is_secret(key):
        return MASK
    return mask_urls(value) if isinstance(value, str) else value


def is_secret(key: str) -> bool:
    """Tell whether a text or number under this key is a secret."""
    return key.lower().replace("_", "").replace("-", "") in _SECRETS


def mask_urls(text: str) -> str:
    """Mask the passwords and the secret query parameters of the URLs in a text."""
    text = _PASSWORD.sub(rf"\1{MASK}@", text)
    return _PARAMETER.sub(lambda found: f"{found[1]}={MASK}" if is_secret(found[1][1:]) else found[0], text)
