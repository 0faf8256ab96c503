"""The rules between the keys of a configuration, with zot's error messages."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from zot.config.errors import ConfigurationError
from zot.config.load import load_tree

BAD = "invalid server config: "
ROOT = {"rootDirectory": "/data"}
TLS = {"cert": "c.pem", "key": "k.pem", "cacert": "ca.pem"}
REDIS = {"name": "redis", "url": "redis://localhost:6379"}
POSTGRES = {"name": "postgres", "url": "postgres://zot:secret@h:5432/zot"}
BUCKET = {"name": "s3", "bucket": "b", "region": "eu-west-1"}
TABLES = {"name": "dynamodb", "region": "r", "cacheTablename": "t"}
S3 = {**ROOT, "storageDriver": BUCKET}


def storage(**values: Any) -> dict[str, Any]:
    """Return a configuration with these keys of the main store."""
    return {"storage": {**ROOT, **values}}


def sub_path(**values: Any) -> dict[str, Any]:
    """Return a configuration with these keys of a sub-path."""
    return storage(subPaths={"/a": {"rootDirectory": "/a", **values}})


def policy(**values: Any) -> dict[str, Any]:
    """Return a configuration with this retention policy."""
    return storage(retention={"policies": [values]})


def http(**values: Any) -> dict[str, Any]:
    """Return a configuration with these keys of the HTTP server."""
    return {"storage": ROOT, "http": values}


def auth(**values: Any) -> dict[str, Any]:
    """Return a configuration with these authentication methods."""
    return http(auth=values)


def mtls(**values: Any) -> dict[str, Any]:
    """Return a configuration with this identity from client certificates."""
    return http(tls=TLS, auth={"mtls": values})


def provider(name: str, **values: Any) -> dict[str, Any]:
    """Return a configuration with this provider of browser logins."""
    return auth(openid={"providers": {name: values}})


def bearer(**values: Any) -> dict[str, Any]:
    """Return a configuration with these bearer tokens."""
    return auth(bearer=values)


def upstream(**values: Any) -> dict[str, Any]:
    """Return a configuration with this upstream token endpoint."""
    return bearer(upstreamTokenEndpoint=values)


def extension(**values: Any) -> dict[str, Any]:
    """Return a configuration with these extensions."""
    return {"storage": ROOT, "extensions": values}


def registry(**values: Any) -> dict[str, Any]:
    """Return a configuration with this upstream registry."""
    return extension(sync={"registries": [{"urls": ["https://upstream"], **values}]})


def content(**values: Any) -> dict[str, Any]:
    """Return a configuration with this mirrored content."""
    return registry(content=[values])


def oauth2(**values: Any) -> dict[str, Any]:
    """Return a configuration with this credential helper."""
    return registry(credentialHelper="oauth2", oauth2CredentialHelper=values)


def access(**values: Any) -> dict[str, Any]:
    """Return a configuration with API keys and these rules."""
    return http(auth={"apikey": True}, accessControl=values)


def grouped(group: str) -> dict[str, Any]:
    """Return a configuration with rules for a group, and users without groups."""
    policies = [{"groups": [group], "actions": ["read"]}]
    return http(auth={"htpasswd": {"path": "p"}}, accessControl={"repositories": {"**": {"policies": policies}}})


ONLY_LOGIN = (
    "access control config requires one of htpasswd, ldap, openid or mTLS authentication or using only "
    "'anonymousPolicy' policies"
)
LDAP = "invalid LDAP configuration: invalid LDAP configuration, missing mandatory key: "
URI_ONLY = " is only supported for URI/URL MTLS identity attribute"
ROOTS = BAD + "invalid storage config, "
DATABASE = BAD + "invalid database config, "
OAUTH2 = BAD + "invalid oauth2CredentialHelper config: oauth2 credential helper "
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ASSERTION = {"tokenURL": "https://t", "assertionFile": "a"}

PROBLEMS = [
    (http(port="99999"), BAD + "invalid port 99999"),
    (http(port="http"), BAD + "invalid port http"),
    (http(port=-1), BAD + "invalid port -1"),
    (storage(gcDelay="-1h"), BAD + "invalid garbage-collect delay specified -1h0m0s"),
    (storage(gcInterval="-1s"), BAD + "invalid garbage-collect interval specified -1s"),
    (sub_path(gc=True, gcDelay="0s"), BAD + "invalid GC delay configuration - cannot be negative or zero: 0s"),
    (storage(gcTimeWindow="1h"), BAD + 'invalid gcTimeWindow "1h", expected format "HH:MM-HH:MM"'),
    (storage(gcTimeWindow="25:00-01:00"), BAD + 'invalid gcTimeWindow "25:00-01:00": invalid time "25:00"'),
    (
        storage(gcTimeWindow="01:00-1:00"),
        BAD + 'invalid gcTimeWindow "01:00-1:00": start and end of the window cannot be equal',
    ),
    (policy(repositories=["["]), BAD + "retention repo glob pattern could not be compiled: ["),
    (policy(keepTags=[{"patterns": ["("]}]), BAD + "retention tag regex could not be compiled: ("),
    (auth(ldap={"address": "a", "baseDN": "b"}), LDAP + "userAttribute"),
    (auth(ldap={"userAttribute": "uid", "baseDN": "b"}), LDAP + "address"),
    (auth(ldap={"userAttribute": "uid", "address": "a"}), LDAP + "basedn"),
    (auth(mtls={}), BAD + "mTLS configuration requires TLS to be enabled with CA certificate"),
    (mtls(identityAttributes=["CN", "Shoe"]), BAD + "unsupported identity attribute: Shoe"),
    (mtls(dnsSanIndex=1), BAD + "dnsSanIndex" + URI_ONLY),
    (mtls(emailSanIndex=1), BAD + "emailSanIndex" + URI_ONLY),
    (mtls(uriSanIndex=1), BAD + "uriSanIndex" + URI_ONLY),
    (mtls(uriSanPattern="x"), BAD + "uriSanPattern" + URI_ONLY),
    (mtls(identityAttributes="url", uriSanPattern="("), BAD + "invalid URI SAN pattern: ("),
    (
        provider("oidc", clientid="i", scopes=["openid"]),
        BAD + "OpenID provider config requires clientid, issuer and scopes parameters",
    ),
    (provider("github", clientid="i"), BAD + "OAuth2 provider config requires clientid and scopes parameters"),
    (provider("facebook"), BAD + "unsupported openid/oauth2 provider"),
    (
        bearer(cert="c", awsSecretsManager={"region": "r", "secretName": "s"}),
        BAD + "cannot configure both cert and awsSecretsManager for bearer authentication",
    ),
    (bearer(awsSecretsManager={"secretName": "s"}), BAD + "awsSecretsManager region must be specified"),
    (bearer(awsSecretsManager={"region": "r"}), BAD + "awsSecretsManager secretName must be specified"),
    (
        bearer(awsSecretsManager={"region": "r", "secretName": "s", "refreshInterval": "-1s"}),
        BAD + "awsSecretsManager refreshInterval must be non-negative",
    ),
    (
        upstream(realm="https://x"),
        BAD + "upstreamTokenEndpoint.realm and upstreamTokenEndpoint.service must be configured together",
    ),
    (upstream(realm="x", service="s"), BAD + "upstreamTokenEndpoint.realm must be an absolute URL"),
    (
        upstream(realm="http://x", service="s"),
        BAD + "upstreamTokenEndpoint.realm must use https unless upstreamTokenEndpoint.allowInsecureHttp is true",
    ),
    (registry(maxRetries=1), BAD + "retryDelay is required when using maxRetries"),
    (registry(maxRetryDelay="1s"), BAD + "retryDelay is required when using maxRetryDelay"),
    (
        registry(retryDelay="2s", maxRetryDelay="1s"),
        BAD + "maxRetryDelay must be greater than or equal to retryDelay",
    ),
    (registry(reqConcurrent=0), BAD + "reqConcurrent must be greater than 0"),
    (registry(reqPerSec=0), BAD + "reqPerSec must be a finite value greater than 0"),
    (registry(reqPerSec="NaN"), BAD + "reqPerSec must be a finite value greater than 0"),
    (registry(maxIdleConnsPerHost=-1), BAD + "maxIdleConnsPerHost must be greater than 0"),
    (registry(manifestCheckInterval="-1s"), BAD + "manifestCheckInterval cannot be negative"),
    (registry(manifestCheckInterval="1s"), BAD + "manifestCheckInterval requires onDemand to be enabled"),
    (registry(credentialHelper="oauth2"), OAUTH2 + "requires an oauth2CredentialHelper config"),
    (oauth2(assertionFile="a"), OAUTH2 + "requires a tokenURL"),
    (oauth2(tokenURL="https://t"), OAUTH2 + "requires an assertionFile or a signingFile"),
    (oauth2(**ASSERTION, signingFile="s"), OAUTH2 + "allows only assertionFile or signingFile"),
    (oauth2(**ASSERTION, audience="a"), OAUTH2 + "allows audience, subjectTokenType and requestedTokenType only when"),
    (oauth2(**ASSERTION, grantType=EXCHANGE), OAUTH2 + "requires an audience when grantType is " + EXCHANGE),
    (
        oauth2(**ASSERTION, grantType=EXCHANGE, audience="a", subjectTokenType="jwt"),
        OAUTH2 + "requires subjectTokenType and requestedTokenType to be absolute URIs",
    ),
    (
        {**registry(preserveDigest=True), "http": {"compat": []}},
        BAD + "can not use PreserveDigest option without enabling http.Compat",
    ),
    (content(prefix="["), BAD + "sync prefix could not be compiled: ["),
    (content(prefix="a", tags={"regex": "("}), BAD + "sync content regex could not be compiled: ("),
    (content(prefix="a", tags={"excludeRegex": "("}), BAD + "sync content excludeRegex could not be compiled: ("),
    (
        content(prefix="a", stripPrefix=True, destination="/"),
        BAD + "can not use stripPrefix true and destination '/' without using glob patterns in prefix",
    ),
    (
        storage(subPaths={"/a": {"rootDirectory": "/data/"}}),
        ROOTS + "default storage and substore (route: /a) cannot use the same root directory",
    ),
    (
        storage(subPaths={"/a": {"rootDirectory": "/data/a"}}),
        ROOTS + "substore (route: /a) root directory cannot be inside default storage root directory",
    ),
    (
        storage(subPaths={"/a": {"rootDirectory": "/b/a"}, "/b": {"rootDirectory": "/b"}}),
        ROOTS + "substore (route: /a) root directory cannot be inside substore (route: /b) root directory",
    ),
    (
        {"storage": S3},
        DATABASE + "dedupe set to true with remote storage and database, but no remote database configured",
    ),
    (
        storage(cacheDriver={"name": "dynamodb"}, remoteCache=True),
        DATABASE + "cannot have local storage driver with remote database!",
    ),
    ({"storage": {**S3, "cacheDriver": {"name": "etcd"}}}, DATABASE + "unsupported database driver"),
    (
        sub_path(storageDriver={"name": "s3"}, cacheDriver=REDIS, remoteCache=True),
        DATABASE + "unsupported database driver",
    ),
    (
        sub_path(cacheDriver={"name": "dynamodb"}, remoteCache=True),
        DATABASE + "cannot have local storage driver with remote database!",
    ),
    (auth(sessionDriver={"name": "badDriver"}), BAD + "session store driver badDriver is not allowed!"),
    (auth(sessionDriver={"url": "redis://h"}), BAD + "must provide session driver name!"),
    (auth(sessionDriver={"name": "redis", "url": 5}), BAD + "cachedriver redis has invalid value for url"),
    (extension(ui={}), BAD + "failed to enable ui, search extension must be enabled"),
    (
        {"storage": {**S3, "dedupe": False}, "extensions": {"search": {"cve": {}}}},
        BAD + "failed to enable cve scanning due to incompatibility with remote storage, please disable cve",
    ),
    (extension(metrics={"prometheus": {"path": "/a/../b"}}), BAD + "invalid metrics path"),
    (extension(metrics={"prometheus": {"path": "metrics"}}), BAD + "metrics path must start with /"),
    (extension(metrics={"prometheus": {"path": "/v2"}}), BAD + "provided metrics path is disallowed"),
    (extension(metrics={"prometheus": {"path": "/readyz"}}), BAD + "provided metrics path is disallowed"),
    (extension(metrics={"prometheus": {"path": "/v2/_catalog"}}), BAD + "provided metrics path is disallowed"),
    (extension(metrics={"prometheus": {"path": "/zot/auth/login"}}), BAD + "provided metrics path is disallowed"),
    (extension(events={"sinks": [{"type": "smtp"}]}), BAD + "event sink is not supported"),
    (http(accessControl={"repositories": {"**": {"defaultPolicy": ["read"]}}}), BAD + ONLY_LOGIN),
    (http(accessControl={"adminPolicy": {"users": ["root"], "actions": ["read"]}}), BAD + ONLY_LOGIN),
    (http(accessControl={"repositories": {"**": {"policies": []}}}), BAD + ONLY_LOGIN),
    (access(repositories={"[": {"policies": []}}), "syntax error in pattern: failed to compile authorization pattern"),
    ({"storage": {**ROOT, "storageDriver": {"name": "swift"}, "dedupe": False}}, BAD + "unsupported storage driver"),
    (
        {"storage": {**S3, "dedupe": False}, "extensions": {"sync": {}}},
        BAD + "using both sync and remote storage features needs config.Extensions.Sync.DownloadDir to be specified",
    ),
    (
        storage(redirectBlobURL=True),
        BAD + "invalid storage config, redirectBlobURL is supported only for s3/gcs/azure storage",
    ),
    ({**storage(), "cluster": {"hashKey": "0123456789abcdef"}}, BAD + "cannot have 0 members in a scale out cluster"),
    (
        {**storage(), "cluster": {"members": ["a:1"], "hashKey": "short"}},
        BAD + "hashKey for scale out cluster must have 16 characters",
    ),
]

# Not checked by zot, or only at start.
FURTHER_PROBLEMS = [
    ({"http": {"port": "0"}}, "image store not found", "storage.rootDirectory"),
    (sub_path(rootDirectory=""), "image store not found", 'storage.subPaths["/a"].rootDirectory'),
    (storage(subPaths={"a": {"rootDirectory": "/a"}}), "invalid route", "storage.subPaths"),
    (storage(subPaths={"/a/b": {"rootDirectory": "/a"}}), "invalid route", "storage.subPaths"),
    (storage(minFreePercent=100), "invalid limit", "storage.minFreePercent"),
    (storage(minFreeBytes=-1), "invalid limit", "storage.minFreeBytes"),
    (storage(maxRepos=-1), "invalid limit", "storage.maxRepos"),
    (storage(quotas=[{"repositories": "[", "bytes": 1}]), "invalid repository pattern", "storage.quotas[0]"),
    (storage(quotas=[{"repositories": "a", "bytes": -1}]), "invalid limit", "storage.quotas[0].bytes"),
    (storage(quotas=[{"repositories": "a"}]), "storage.quotas[0].bytes is missing", ""),
    (storage(retention={"delay": "-1s"}), "invalid retention delay -1s", "storage.retention.delay"),
    (storage(storageDriver={"name": "s3"}, dedupe=False), "invalid parameter of driver s3", "storageDriver.bucket"),
    (storage(storageDriver={**BUCKET, "chunksize": 1}, dedupe=False), "invalid size 1", "storageDriver.chunksize"),
    (storage(cacheDriver={**REDIS, "url": "http://h"}, remoteCache=True), "invalid value for url", "cacheDriver.url"),
    (storage(cacheDriver={"name": "postgres"}), "invalid URL", "storage.cacheDriver.url: postgres://"),
    (sub_path(cacheDriver=POSTGRES, remoteCache=True), "cannot have local storage driver", "cacheDriver"),
    (http(tls={"cert": "c"}), "HTTPS needs a certificate and its key", "http.tls.key"),
    (http(compat=["docker1"]), "unsupported media type compatibility 'docker1'", "docker2s2"),
    (http(ratelimit={"rate": 0}), "invalid rate 0", "http.ratelimit.rate"),
    (http(workers=-1), "invalid number of workers -1", "http.workers"),
    (storage() | {"scheduler": {"numWorkers": -1}}, "invalid number of workers -1", "scheduler.numWorkers"),
    (http(drainTimeout="-1s"), "invalid drain timeout -1s", "http.drainTimeout"),
    (http(limits={"maxPageSize": 0}), "invalid limit 0", "http.limits.maxPageSize"),
    (http(limits={"idleTimeout": "0s"}), "invalid limit 0", "http.limits.idleTimeout"),
    (http(limits={"minBytesPerSecond": -1}), "invalid limit -1", "http.limits.minBytesPerSecond: 0 or more"),
    (auth(failDelay=-1), "invalid delay -1", "http.auth.failDelay"),
    (mtls(identityAttributes="URI", uriSanIndex=-1), "invalid index -1", "http.auth.mtls.uriSanIndex"),
    (bearer(oidc=[{"audiences": ["a"]}]), "needs its URL", "http.auth.bearer.oidc[0].issuer"),
    (bearer(oidc=[{"issuer": "https://i"}]), "at least one audience", "http.auth.bearer.oidc[0].audiences"),
    (access(immutableTags=[{"repositories": "["}]), "invalid repository pattern", "immutableTags[0]"),
    (access(immutableTags=[{"repositories": "a", "tags": "("}]), "invalid tag pattern", "immutableTags[0].tags"),
    (registry(urls=[]), "needs at least one URL", "extensions.sync.registries[0].urls"),
    (extension(events={"sinks": [{"type": "http"}]}), "address field cannot be empty", "sinks[0].address"),
]

ACCEPTED = [
    http(port=""),
    http(port="0"),
    storage(gcTimeWindow="22:00-06:00"),
    storage(gcTimeWindow=""),
    storage(cacheDriver=REDIS, remoteCache=True),
    {"storage": {**S3, "cacheDriver": REDIS}},
    storage(cacheDriver=POSTGRES),
    {"storage": {**S3, "cacheDriver": POSTGRES}},
    {"storage": {**ROOT, "storageDriver": {"name": "gcs", "bucket": "b"}, "dedupe": False}},
    sub_path(storageDriver=BUCKET, cacheDriver=TABLES, remoteCache=True),
    auth(sessionDriver={"name": "local"}),
    auth(sessionDriver=REDIS),
    auth(sessionDriver={"name": "redis", "keyprefix": 8}),
    auth(sessionDriver={}),
    mtls(identityAttributes=["uri", "CN"], uriSanPattern="spiffe://(.*)", dnsSanIndex=1),
    mtls(identityAttributes=["DNSName"], dnsSanIndex=1),
    http(accessControl={"repositories": {"**": {"anonymousPolicy": ["read"]}}}),
    http(accessControl={"metrics": {"anonymousPolicy": ["read"]}}),
    http(tls=TLS, accessControl={"repositories": {"**": {"defaultPolicy": ["read"]}}}),
    bearer(oidc=[{"issuer": "https://i", "audiences": ["a"]}]),
    registry(preserveDigest=True),
    registry(maxRetries=3, retryDelay="1s", maxRetryDelay="1m", reqConcurrent=5, reqPerSec=0.5),
    content(prefix="/a/**", stripPrefix=True, destination="/"),
    oauth2(**ASSERTION, grantType=EXCHANGE, audience="a", subjectTokenType="urn:x:jwt"),
    extension(search={}, ui={}),
]


@pytest.mark.parametrize(("tree", "text"), PROBLEMS, ids=range(len(PROBLEMS)))
def test_problems_have_the_message_of_zot(tree: dict[str, Any], text: str) -> None:
    """A configuration that zot refuses is refused, and the error starts with zot's message."""
    with pytest.raises(ConfigurationError, match="^" + re.escape(text)):
        load_tree(tree)


@pytest.mark.parametrize(("tree", "text", "key"), FURTHER_PROBLEMS, ids=range(len(FURTHER_PROBLEMS)))
def test_further_problems_name_the_key(tree: dict[str, Any], text: str, key: str) -> None:
    """A configuration that could never work is refused, and the error names the key."""
    with pytest.raises(ConfigurationError, match=f"^{BAD}.*{re.escape(text)}.*{re.escape(key)}"):
        load_tree(tree)


@pytest.mark.parametrize("tree", ACCEPTED, ids=range(len(ACCEPTED)))
def test_accepted(tree: dict[str, Any]) -> None:
    """A valid configuration is accepted without a warning."""
    assert load_tree(tree).warnings == ()


def test_a_list_of_members_is_not_needed() -> None:
    """Zot's list is accepted with a warning where all members have one store and one catalog, and is refused elsewhere.

    Nothing passes a request on to the member that would have its data.
    """
    shared = storage(storageDriver=BUCKET, cacheDriver={**REDIS, "url": "redis://h"}, remoteCache=True)
    members = {"members": ["a:1", "b:1"], "hashKey": "0123456789abcdef"}
    for tree in ({**shared, "cluster": members}, {**storage(), "cluster": {**members, "members": ["a:1"]}}):
        (warning,) = load_tree(tree).warnings
        assert warning.startswith("cluster: not needed")
    for tree in (
        {**storage(), "cluster": members},
        {**storage(storageDriver=BUCKET, dedupe=False), "cluster": members},
    ):
        with pytest.raises(ConfigurationError, match=r"share nothing.*cluster\.members"):
            load_tree(tree)


def test_session_keys_are_refused_with_redis(tmp_path: Any) -> None:
    """With the redis driver a file of session keys is an error, as in zot."""
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"hashKey": "x" * 32}), encoding="utf-8")
    text = "invalid server config: session keys not supported when redis session driver is used!"
    with pytest.raises(ConfigurationError, match=text):
        load_tree(auth(sessionDriver=REDIS, sessionKeysFile=str(keys)))
    assert load_tree(auth(sessionDriver={"name": "local"}, sessionKeysFile=str(keys))).warnings == ()


@pytest.mark.parametrize("size", [1, 15, 17, 33, 64])
def test_encryption_keys_of_invalid_length_are_refused(tmp_path: Any, size: int) -> None:
    """An encryption key of a length that AES lacks is a problem, and the error does not show the key."""
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"hashKey": "x" * 64, "encryptKey": "y" * size}), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"invalid encryptKey .*sessionKeysFile: 16, 24 or 32 bytes") as caught:
        load_tree(auth(sessionKeysFile=str(keys)))
    assert "yy" not in str(caught.value)


def test_a_short_hash_key_is_a_warning(tmp_path: Any) -> None:
    """A hash key below the recommended 32 bytes is accepted with a warning, as in zot."""
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({"hashKey": "x" * 31}), encoding="utf-8")
    (warning,) = load_tree(auth(sessionKeysFile=str(keys))).warnings
    assert warning.startswith("http.auth.sessionKeysFile: hashKey is short")


def test_problems_are_in_the_order_of_zot() -> None:
    """All problems are reported, first the one that zot would report."""
    with pytest.raises(ConfigurationError) as caught:
        load_tree({
            "storage": {**ROOT, "gcDelay": "-1s", "storageDriver": {"name": "swift"}, "dedupe": False},
            "http": {"port": "x", "auth": {"sessionDriver": {"name": "y"}}},
            "cluster": {"hashKey": "z"},
        })  # fmt: skip
    lines = str(caught.value).splitlines()
    assert [line.removeprefix(BAD).split(" ")[1] for line in lines] == [
        "port", "garbage-collect", "store", "storage", "have", "for",
    ]  # fmt: skip


WARNINGS = [
    (storage(gc=False, gcDelay="1h"), "storage.gcDelay: ignored"),
    (storage(gc=False, gcInterval="1h"), "storage.gcInterval: ignored"),
    (sub_path(gcTimeWindow="01:00-02:00"), 'storage.subPaths["/a"].gcTimeWindow: ignored'),
    (storage(cacheDriver=REDIS), "storage.cacheDriver: ignored"),
    (storage(**{**S3, "dedupe": False, "storageDriver": {**BUCKET, "colour": "red"}}), "storageDriver.colour: unknown"),
    (storage(cacheDriver={"name": "redis", "colour": "red"}, remoteCache=True), "storage.cacheDriver.colour: unknown"),
    (auth(sessionDriver={**REDIS, "keyprefix": []}), "http.auth.sessionDriver.keyprefix: not a text"),
    (storage(cacheDriver={**POSTGRES, "colour": "red"}), "storage.cacheDriver.colour: unknown"),
    (storage(remoteCache=True), "storage.remoteCache: ignored, because there is no cacheDriver"),
    (extension(mgmt={}), "extensions.mgmt: ignored"),
    (extension(apikey={"enable": True}), "extensions.apikey: ignored"),
    (http(tls={}), "http.tls: ignored: HTTPS needs cert and key"),
    (http(address="0.0.0.0"), "http.address: every client that reaches"),
    (access(repositories={"**": {"policies": []}}), "http.accessControl: no rule grants any action"),
    (access(), "http.accessControl: it is empty: without access control"),
    (access(repositories={}), "http.accessControl: it is empty"),
    (access(repositories={"**": {}}), "http.accessControl: it is empty"),
    (access(repositories={"**": {"policies": None}}, adminPolicy={}), "http.accessControl: it is empty"),
    (access(groups={"a": {}}, metrics={}), "http.accessControl: it is empty"),
    (
        access(repositories={"a/**": {}, "**": {"defaultPolicy": ["read"]}}),
        'http.accessControl.repositories["a/**"]: it is empty and ignored',
    ),
    (access(adminPolicy={"users": ["a"], "actions": ["read", "push"]}), "unknown action 'push'"),
    (
        access(
            groups={"Devs": {"users": ["a"]}},
            adminPolicy={"groups": ["Devs"], "actions": ["read"]},
        ),
        "http.accessControl.groups: group names are read in lower case: write 'devs'",
    ),
    (registry(credentialHelper="vault"), "unknown helper 'vault'"),
    (registry(pollInterval="1h"), "pollInterval: ignored: without content"),
    (extension(search={"cve": {"trivy": {"sbom": {"format": "x"}}}}), "unknown format 'x'"),
    (extension(events={"enable": True}), "extensions.events.sinks: no events are sent"),
    (
        extension(events={"enable": True, "sinks": [{"type": "http", "address": "http://h", "colour": "red"}]}),
        "extensions.events.sinks[0].colour: unknown key",
    ),
    (
        {**content(prefix="/a/**"), **policy(repositories=["/a/**"])},
        "content[0]: a retention policy for /a/** may delete",
    ),
    (
        {
            **content(prefix="/x/**", stripPrefix=True, destination="/a/y"),
            **sub_path(retention={"policies": [{"repositories": ["y/**"]}]}),
        },
        "content[0]: a retention policy for a/y/** may delete",
    ),
]


@pytest.mark.parametrize(("tree", "text"), WARNINGS, ids=range(len(WARNINGS)))
def test_warnings(tree: dict[str, Any], text: str) -> None:
    """A questionable but valid configuration is accepted with one warning that names the key."""
    warnings = load_tree(tree).warnings
    assert len(warnings) == 1
    assert text in warnings[0]


# Each may come with other warnings about the same mistake.
ACCESS_WARNINGS = [
    (access(adminPolicy={"actions": ["read"]}), "http.accessControl: adminPolicy applies to no user"),
    (
        access(repositories={"**": {"policies": [{"actions": ["read"]}]}}),
        'repositories["**"].policies[0] applies to no user',
    ),
    (
        access(repositories={"**": {"policies": [{"actions": ["read"]}]}}),
        "http.accessControl: no rule grants any action",
    ),
    (grouped("ops"), "http.accessControl.groups: the group 'ops' has no members"),
    (access(repositories={"/a": {"defaultPolicy": ["read"]}}), 'repositories["/a"]: no name of a repository matches'),
    (
        http(address="0.0.0.0", accessControl={"repositories": {"**": {"anonymousPolicy": ["delete"]}}}),
        'http.accessControl.repositories["**"].anonymousPolicy: every client that reaches http.address',
    ),
    (provider("github", clientid="i", scopes=["user"]), "http.auth.openid.providers.github: anyone with an account"),
    (
        provider("oidc", clientid="i", scopes=["openid"], issuer="https://gitlab.com"),
        "http.auth.openid.providers.oidc: anyone with an account",
    ),
    (auth(bearer={"realm": "r", "service": "s"}), "http.auth.bearer: ignored: bearer tokens need"),
    (
        auth(bearer={"realm": "r", "service": "s", "cert": "c"}, htpasswd={"path": "p"}),
        "http.auth.bearer: bearer tokens replace all other authentication methods",
    ),
    (auth(openid={}), "http.auth.openid.providers: without a provider"),
    (upstream(realm="http://x", service="s", allowInsecureHttp=True), "http.auth.bearer.upstreamTokenEndpoint"),
]


@pytest.mark.parametrize(("tree", "text"), ACCESS_WARNINGS)
def test_rules_that_grant_too_much_or_nothing_are_warnings(tree: dict[str, Any], text: str) -> None:
    """A rule or authentication method that grants access to any client, or to none, is a warning with its key."""
    assert [warning for warning in load_tree(tree).warnings if text in warning]


def test_retention_that_keeps_what_is_mirrored_is_fine() -> None:
    """A policy that keeps exactly the mirrored tags draws no warning."""
    kept = policy(repositories=["a"], keepTags=[{"patterns": ["v.*"]}])
    assert load_tree({**content(prefix="a", tags={"regex": "v.*"}), **kept}).warnings == ()


@pytest.mark.parametrize(
    ("parameters", "paths"),
    [
        ({"accesskey": "a"}, ["storage.storageDriver.accesskey"]),
        ({"secretkey": "s"}, ["storage.storageDriver.secretkey"]),
        ({"accesskey": "a", "secretkey": "s"}, []),
        ({"region": ""}, ["storage.storageDriver.region"]),
        ({"region": "", "regionendpoint": "https://s3.eu-west-1.amazonaws.com"}, ["storage.storageDriver.region"]),
        ({"region": "", "regionendpoint": "https://minio.example"}, []),
    ],
)
def test_what_s3_would_use_in_place_is_said(parameters: dict[str, str], paths: list[str]) -> None:
    """A key without its other half, and a region that AWS needs and the configuration lacks, are warned of."""
    loaded = load_tree(storage(storageDriver=BUCKET | parameters, dedupe=False, remoteCache=False))
    said = [warning.partition(":")[0] for warning in loaded.warnings]
    assert [path for path in said if path.endswith(("key", ".region"))] == paths
