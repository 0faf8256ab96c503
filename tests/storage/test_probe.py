"""Asking object stores at a start."""

from __future__ import annotations

import pytest

from servers.versitygw import S3Server
from zot.config.driver_options import S3, driver_options
from zot.storage.interface import StorageError
from zot.storage.probe import ProbedStore, probe

pytestmark = pytest.mark.needs("versitygw")


def options(parameters: dict[str, object]) -> dict[str, S3]:
    """Return a store with these parameters, by its root."""
    parsed = driver_options(parameters, S3, "storageDriver")
    return {parsed.location: parsed}


def test_an_object_store_has_an_identity_and_the_times_of_starts(s3_server: S3Server) -> None:
    """The first start makes the identity, which stays; each one finds the time of the last."""
    stores = options(s3_server.make_bucket())
    [(root, first)] = probe(stores, {}, 5).items()
    assert root.startswith("s3://bucket-")
    assert root.endswith("/zot/zot")
    assert first.store
    assert probe(stores, {root: first.store}, 7) == {root: ProbedStore(first.store, 5)}
    assert probe(stores, {}, 9) == {root: ProbedStore(first.store, 7)}


def test_what_is_wrong_with_an_object_store_is_one_sentence(s3_server: S3Server) -> None:
    """Wrong credentials, a wrong region, a server that is away, and another store than the expected one are named."""
    bucket = s3_server.make_bucket()
    wrong = {
        "secret": bucket | {"secretkey": "another", "rootdirectory": "/1"},
        "region": bucket | {"region": "eu-west-1", "rootdirectory": "/2"},
        "address": bucket | {"regionendpoint": "http://127.0.0.1:1", "rootdirectory": "/3"},
        "store": bucket | {"rootdirectory": "/4"},
    }
    stores = {name: options(parameters) for name, parameters in wrong.items()}
    roots = {name: next(iter(each)) for name, each in stores.items()}
    answers = probe({root: each for store in stores.values() for root, each in store.items()}, {roots["store"]: "x"}, 1)
    problems = {name: answers[root].problem for name, root in roots.items()}
    assert "SignatureDoesNotMatch" in problems["secret"]
    assert "expecting" in problems["region"]
    assert "http://127.0.0.1:1 does not answer" in problems["address"]
    assert "is empty or not a store, but store x is expected" in problems["store"]
    assert not any("\n" in problem for problem in problems.values())


def test_a_probe_that_ends_early_is_an_error(monkeypatch: pytest.MonkeyPatch, s3_server: S3Server) -> None:
    """The start says why, rather than going on without an answer."""
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(StorageError, match="cannot ask the object stores"):
        probe(options(s3_server.make_bucket()), {}, 1)
