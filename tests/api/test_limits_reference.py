"""The table of limits says what the code holds."""

from pathlib import Path

import pytest

from zot.accounts.sessions import session
from zot.api import access_log, client_address, image_diff, ratelimit, route, tag_history
from zot.api.auth import apikey, login, token
from zot.api.body import TransferLimits
from zot.api.connection import ConnectionLimits
from zot.api.manifests import MANIFESTS_LIMIT_BYTES, SMALL_MANIFESTS_LIMIT_BYTES
from zot.api.metrics.state import REPOSITORIES_LIMIT
from zot.api.protocol import BUFFERED_LIMIT_BYTES, HEAD_BYTES
from zot.auth import credentials, fetch, password_cache, scopes, throttle, tokens
from zot.auth.authenticators.ldap import LdapAuthenticator
from zot.catalog.sqlite.client import WAITING_LIMIT
from zot.config.http import HttpConfig
from zot.config.own_keys import KEYS, OwnKey
from zot.config.parse import DEPTH_LIMIT, FILE_LIMIT_BYTES
from zot.extensions.search.graphql import document
from zot.extensions.search.interface import PAGE_LIMIT, TEXT_LIMIT
from zot.extensions.search.routes import graphql
from zot.extensions.ui import zui_build
from zot.layout.interface import INDEX_LIMIT_BYTES
from zot.layout.manifest_files import MANIFEST_LIMIT_BYTES
from zot.logs.writer import KEPT_LIMIT_BYTES, QUEUE_LIMIT_BYTES
from zot.oci.image_diff import CONTENT_LIMIT_BYTES
from zot.oci.manifest import CONTAINERS_LIMIT
from zot.oci.names import REPOSITORY_LENGTH_LIMIT
from zot.oci.ranges import RANGES_LIMIT
from zot.registry.blob_commit import BLOB_LIMIT_BYTES
from zot.registry.large_manifests import LARGE_BYTES
from zot.registry.registry import RegistryLimits
from zot.storage.append import COLLECTED_LIMIT_BYTES

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "limits.md"
ROWS = {
    cells[1]: (cells[2], cells[3])
    for line in PAGE.read_text().splitlines()
    if len(cells := [cell.strip() for cell in line.split("|")]) == 6
}

KIB, MIB = 1 << 10, 1 << 20


def size(limit_bytes: int) -> str:
    """A number of bytes, as the page writes it."""
    return f"{limit_bytes // MIB} MiB" if limit_bytes % MIB == 0 else f"{limit_bytes // KIB} KiB"


MANIFESTS_ON_THEIR_WAY = (
    f"{size(MANIFESTS_LIMIT_BYTES)}, at least four of `http.limits.maxManifestBytes`; "
    f"and {size(SMALL_MANIFESTS_LIMIT_BYTES)} of manifests of up to {size(LARGE_BYTES)}"
)


@pytest.mark.parametrize(
    ("what", "limit"),
    [
        ("Header fields of a request", f"{ConnectionLimits().headers}"),
        ("Requests on one connection", f"{ConnectionLimits().requests:,}, and {ConnectionLimits().age_s / 60:.0f} min"),
        ("Time without a byte from a client that sends", f"{HttpConfig().read_timeout_s:.0f} s"),
        ("Time without a byte to a client that reads", f"{HttpConfig().write_timeout_s:.0f} s"),
        ("Query parameters", f"{route._QUERY_FIELDS_LIMIT}"),
        ("`X-Forwarded-For` and `Forwarded` headers of a request", size(client_address._HEADERS_LIMIT)),
        ("Blob, beside quotas and the disk", f"{BLOB_LIMIT_BYTES >> 50} PiB"),
        ("Repository name", f"{REPOSITORY_LENGTH_LIMIT} characters"),
        ("Tags moved by one push (`?tag=`)", f"{RegistryLimits().tags_per_push}"),
        ("Manifests being received, of all clients", MANIFESTS_ON_THEIR_WAY),
        (
            "Bytes of request bodies that connections hold",
            f"{size(BUFFERED_LIMIT_BYTES)}, and {size(HEAD_BYTES)} of each connection",
        ),
        ("Bytes of uploads buffered before a write, of a store", size(COLLECTED_LIMIT_BYTES)),
        ("Lists and objects in a manifest", f"{CONTAINERS_LIMIT:,}"),
        ("Ranges of one request", f"{RANGES_LIMIT:,}"),
        ("`index.json` to import", size(INDEX_LIMIT_BYTES)),
        ("Text of a GraphQL query", f"{size(document.TEXT_LIMIT_BYTES)}, {document.TOKENS_LIMIT:,} tokens"),
        ("Body of a GraphQL request", size(graphql.BODY_LIMIT_BYTES)),
        ("Fields of a query, those of a fragment counted wherever it is used", f"{document.FIELDS_LIMIT}"),
        ("Fields at the root of a query", f"{document.ROOT_FIELDS_LIMIT}"),
        ("Operations and fragments of a query", f"{document.DEFINITIONS_LIMIT}"),
        ("Levels of a query", f"{document.DEPTH_LIMIT}"),
        ("Values of an introspection, by a rough count", f"{document.INTROSPECTION_LIMIT:,}"),
        ("Text that is searched for, and each name of a filter", f"{TEXT_LIMIT} characters"),
        ("Tags restored by one request", f"{tag_history.RESTORED_LIMIT:,}"),
        ("Changes and tags of a page of history, where `n` is not given", f"{tag_history.ROWS}"),
        ("Manifest or config that is compared", size(CONTENT_LIMIT_BYTES)),
        ("Comparisons made at once by a process", f"{image_diff.AT_ONCE}"),
        (
            "Files of a build of zui (`extensions.ui.path`)",
            f"{zui_build.FILES_LIMIT:,}, {size(zui_build.BYTES_LIMIT)} in all",
        ),
        ("Rows held of a list that is sent whole", f"{PAGE_LIMIT:,}"),
        ("`Authorization` header", size(credentials.AUTHORIZATION_LENGTH_LIMIT)),
        ("Verified passwords in the cache", f"{password_cache.COUNT_LIMIT:,}, for {password_cache.LIFETIME_S:.0f} s"),
        (
            "Names and addresses with failed logins",
            f"{throttle.COUNT_LIMIT:,}, for {throttle.FORGOTTEN_AFTER_S / 60:.0f} min",
        ),
        ("Delay of a login after failures", f"{throttle.LONGEST_DELAY_S:.0f} s"),
        ("Scope of an API key", f"{scopes.SCOPE_LENGTH_LIMIT} characters"),
        ("API keys of one user", f"{apikey.KEYS_LIMIT}"),
        ("Request for an API key", size(apikey.BODY_LIMIT_BYTES)),
        ("Form of `/zot/auth/token`", size(token.FORM_LIMIT_BYTES)),
        ("Token", size(tokens.TOKEN_LENGTH_LIMIT)),
        ("Logins started at providers, by address", f"{login.LOGINS_PER_S:.0f} a second"),
        ("Time of a login at a provider", f"{session.PENDING_LIFETIME_S // 60} min"),
        ("Session", f"{session.LIFETIME_S // 3600} h"),
        (
            "Time of a login by LDAP; logins waiting for one",
            f"{LdapAuthenticator.login_limit_s:.0f} s, {LdapAuthenticator.waiting_limit}",
        ),
        ("Answer of an issuer or provider", f"{size(fetch.RESPONSE_LIMIT_BYTES)}, {fetch.TIMEOUT_S:.0f} s"),
        ("Changes waiting for the catalog's writer", f"{WAITING_LIMIT:,}"),
        ("Clients and paths counted by a rate limit", f"{ratelimit.BUCKETS_LIMIT:,}"),
        (
            "Log lines waiting",
            f"{size(QUEUE_LIMIT_BYTES)}; {size(KEPT_LIMIT_BYTES)} for warnings, errors and audit lines",
        ),
        (
            "Path and header values in an access line",
            f"{access_log._TARGET_LIMIT:,} and {access_log._HEADER_LIMIT} characters",
        ),
        ("Repositories with separate metrics", f"{REPOSITORIES_LIMIT:,}"),
        ("Configuration file", f"{size(FILE_LIMIT_BYTES)}, {DEPTH_LIMIT} levels"),
    ],
)
def test_constants_are_as_documented(what: str, limit: str) -> None:
    """Each bound that no key sets is the one in the code."""
    assert ROWS[what][0] == limit


@pytest.mark.parametrize("entry", [each for each in KEYS if each.path.startswith(("http.limits.", "storage.minFree"))])
def test_keys_are_as_documented(entry: OwnKey) -> None:
    """Each key that sets a bound has a row with its default."""
    limit, *others = (limit for limit, named in ROWS.values() if named == f"`{entry.path}`")
    assert set(others) <= {limit}
    default = entry.default_text.replace("2m0s", "2 min").replace("5s", "5 s")
    assert limit == default or (isinstance(entry.default, int | float) and f"{entry.default:,g}" in limit)


def test_what_is_built_without_a_configuration_has_the_same_limits() -> None:
    """Each limit has one default, whatever builds the registry and its connections."""
    keys = HttpConfig()
    limits, registry, connection = keys.limits, RegistryLimits(), ConnectionLimits()
    assert registry.manifest_bytes == MANIFEST_LIMIT_BYTES == limits.max_manifest_bytes
    assert registry.page == limits.max_page_size
    assert registry.uploads_per_repository == limits.max_uploads_per_repository
    assert connection.header_bytes == limits.max_header_bytes
    assert (connection.header_s, connection.keep_alive_s) == (limits.header_timeout_s, limits.idle_timeout_s)
    transfer = TransferLimits()
    assert transfer.floor_bytes_per_s == limits.min_bytes_per_second
    assert (transfer.sending_idle_s, transfer.taking_idle_s) == (keys.read_timeout_s, keys.write_timeout_s)
