"""A whole registry in the test's own process, with the ways in of a configuration: HTTP in front, memory behind."""

import base64
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from zot.accounts import build as accounts_build
from zot.accounts.sqlite_engine import SqliteAccountsEngine
from zot.api.application import Application
from zot.api.auth import build as auth_build
from zot.api.body import TransferLimits
from zot.api.client_address import ClientAddresses
from zot.api.connection import ConnectionLimits, ConnectionServer
from zot.api.cors import Cors
from zot.api.distribution import Distribution
from zot.api.middleware import Middleware, RequestIds
from zot.auth import build as auth_of
from zot.auth import cel
from zot.auth.credentials import Login
from zot.catalog.memory.driver import MemoryCatalog
from zot.catalog.sqlite.snapshot import snapshot
from zot.config.load import load_tree
from zot.config.state_directory import StateDirectory
from zot.foundation.threads import ThreadPool
from zot.registry import build as registry_of
from zot.registry.content_cache import ContentCache
from zot.registry.unimported import NothingUnimported
from zot.storage.interface import Storage
from zot.storage.memory import MemoryStorage

UI = {"X-ZOT-API-CLIENT": "zot-ui"}
EMPTY_INDEX = b'{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"

PEOPLE = {"alice": "alice-secret", "bob": "bob:secret", "root": "root-secret"}


def basic(name: str, password: str | None = None) -> dict[str, str]:
    """Give the header of a login, by the right password unless another is given."""
    pair = f"{name}:{PEOPLE[name] if password is None else password}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def entered(name: str, password: str) -> Login:
    """Give a login as somebody types it."""
    return Login(name, password, f"{name}:{password}")


class Site:
    """A running registry."""

    def __init__(self, url: str, auth: auth_of.Auth, stores: accounts_build.AccountStores | None) -> None:
        """Take what `serving` has made."""
        self.url = url
        self.auth = auth
        self.stores = stores

    @asynccontextmanager
    async def client(self, **options: Any) -> AsyncIterator[aiohttp.ClientSession]:
        """Open a browser, or what is like one: it keeps cookies, of addresses too."""
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(self.url, cookie_jar=jar, **options) as client:
            yield client

    async def status(self, path: str, method: str = "GET", **options: Any) -> int:
        """Send one request with nothing from before, and give the status."""
        async with self.client() as client, client.request(method, path, allow_redirects=False, **options) as response:
            return response.status


@asynccontextmanager
async def serving(
    root: Path,
    http: Mapping[str, Any],
    *,
    port: int = 0,
    tls: ssl.SSLContext | None = None,
    storage: Storage | None = None,
) -> AsyncIterator[Site]:
    """Serve the section `http` of a configuration, with `root` for what is kept of users."""
    tree = {"storage": {"rootDirectory": str(root)}, "http": dict(http)}
    config = load_tree(tree, cel.compile_condition).config
    pool = ThreadPool("passwords", 2, 64)
    stores = await accounts_build.open_stores(
        config, SqliteAccountsEngine(StateDirectory.of(config.storage), snapshot), pool
    )
    parts = auth_of.AuthParts(pool, pool, stores.accounts if stores else None, stores.sessions if stores else None)
    auth = auth_of.build(config, parts)
    addresses = ClientAddresses(config.http.trusted_proxies)
    catalog, storage = MemoryCatalog(), storage or MemoryStorage()
    built = registry_of.build(config, registry_of.RegistryParts(catalog, storage, NothingUnimported(), ContentCache()))
    registry = replace(built, redirects=lambda _: True)
    outside = auth_build.build(config.http, auth, addresses)
    distribution = Distribution(registry, outside.authorizer, TransferLimits(), addresses, ())
    middleware = Middleware(
        RequestIds(addresses), Cors(config.http.allow_origin, credentials=outside.authenticator.has_passwords)
    )
    application = Application(distribution, middleware, outside.routes)
    runner = web.ServerRunner(ConnectionServer(application.handle, ConnectionLimits(), (), application.add_headers))
    await runner.setup()
    listener = web.TCPSite(runner, "127.0.0.1", port, ssl_context=tls)
    await listener.start()
    try:
        yield Site(f"{'https' if tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}", auth, stores)
    finally:
        await runner.cleanup()
        await auth.close()
        if stores is not None:
            await stores.close()
        pool.close()
