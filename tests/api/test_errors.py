"""Refusals and faults as answers: each in the specification's form, and nothing of the inside in it."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp import web

from zot.api.errors import error_response, to_registry_error
from zot.catalog.interface import CatalogError, CatalogFullError, CatalogUnavailableError
from zot.registry import errors
from zot.registry.errors import RegistryError
from zot.storage.interface import (
    ContentMissingError,
    StorageBusyError,
    StorageError,
    StorageFullError,
    UploadLockedError,
)

SECRET = "/srv/data/secret: Permission denied"
# The specification's codes, and what it has no code for.
CODES = {
    "BLOB_UNKNOWN", "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DENIED", "DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID", "MANIFEST_UNKNOWN", "NAME_INVALID", "NAME_UNKNOWN", "SIZE_INVALID", "TOOMANYREQUESTS",
    "UNAUTHORIZED", "UNSUPPORTED",
} | {"PAGINATION_NUMBER_INVALID", "PRECONDITION_FAILED", "UNAVAILABLE", "UNKNOWN"}  # fmt: skip


def all_errors() -> Iterator[type[RegistryError]]:
    """Every refusal there is."""
    waiting = [RegistryError]
    while waiting:
        found = waiting.pop()
        yield found
        waiting += found.__subclasses__()


def told(response: web.Response) -> dict[str, Any]:
    """The error that an answer tells of."""
    assert isinstance(response.body, bytes)
    (error,) = json.loads(response.body)["errors"]
    assert isinstance(error, dict)
    return error


@pytest.mark.parametrize("kind", sorted(set(all_errors()), key=str))
def test_every_refusal_has_a_code_a_status_and_a_message(kind: type[RegistryError]) -> None:
    """Its answer has the form of the specification, with a code that clients know."""
    response = error_response(kind("what it is about", name="team/app", length=3))
    error = told(response)
    assert error["code"] in CODES
    assert error["message"]
    assert error["detail"] == {"name": "team/app", "length": "3", "description": "what it is about"}
    assert response.content_type == "application/json"
    assert 400 <= response.status < 600
    assert told(error_response(kind()))["detail"]["description"]


def test_the_tree_of_errors_names_all_of_them() -> None:
    """The tree at the head of the module has every class of it."""
    assert errors.__doc__
    named = set(errors.__doc__.replace("(", " ").replace(")", " ").split())
    assert {
        name for name, kind in vars(errors).items() if isinstance(kind, type) and kind.__module__ == errors.__name__
    } <= named


@pytest.mark.parametrize(
    ("error", "status", "code", "retry_after"),
    [
        (StorageFullError(SECRET), 503, "UNAVAILABLE", "60"),
        (CatalogFullError(SECRET), 503, "UNAVAILABLE", "60"),
        (CatalogUnavailableError(SECRET), 503, "UNAVAILABLE", "5"),
        (StorageBusyError(SECRET), 503, "UNAVAILABLE", "1"),
        (UploadLockedError(SECRET), 409, "BLOB_UPLOAD_INVALID", None),
        (StorageError(SECRET), 500, "UNKNOWN", None),
        (ContentMissingError(SECRET), 500, "UNKNOWN", None),
        (CatalogError(SECRET), 500, "UNKNOWN", None),
        (ValueError(SECRET), 500, "UNKNOWN", None),
        (errors.Unavailable("later", retry_after_s=7), 503, "UNAVAILABLE", "7"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_faults_are_told_without_their_insides(
    error: Exception, status: int, code: str, retry_after: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault of this side is 5xx, with when to come back if it passes; what it is stands in the log alone."""
    with caplog.at_level(logging.ERROR):
        response = error_response(to_registry_error(error))
    assert (response.status, told(response)["code"]) == (status, code)
    assert response.headers.get("Retry-After") == retry_after
    assert "secret" not in str(told(response))
    assert (SECRET in caplog.text) == ((status >= 500 and code != "UNAVAILABLE") or retry_after in {"60", "5"})
