"""Parameters of the drivers of object stores and DynamoDB are parsed as in zot."""

from __future__ import annotations

from typing import Any

import pytest

from zot.config.driver_options import S3, Azure, DynamoDb, Gcs, driver_options, unknown_parameters
from zot.config.errors import ConfigurationError


def test_s3() -> None:
    """Parameters are converted to their types, and absent ones have the defaults of zot's driver."""
    driver = {"name": "s3", "bucket": "b", "secure": "false", "chunksize": "5242880", "secretkey": "hidden"}
    options = driver_options(driver, S3, "key")
    assert (options.bucket, options.secure, options.chunk_bytes) == ("b", False, 5 << 20)
    assert (options.storage_class, options.force_path_style) == ("STANDARD", False)
    assert options.secret_key is not None
    assert options.secret_key.get_secret_value() == "hidden"
    assert "hidden" not in repr(options)


def test_gcs_and_azure() -> None:
    """These object stores have the default root directory /zot."""
    assert driver_options({"name": "gcs", "bucket": "b"}, Gcs, "key").root_directory == "/zot"
    azure = {"name": "azure", "accountname": "a", "container": "c", "credentials": {"type": "shared_key"}}
    options = driver_options(azure, Azure, "key")
    assert (options.root_directory, options.credentials.type) == ("/zot", "shared_key")


def test_unknown_parameters_are_named() -> None:
    """An unknown parameter is not an error, as in zot, and its name is returned."""
    driver = {"name": "dynamodb", "region": "r", "cachetablename": "t", "colour": "red"}
    assert unknown_parameters(driver_options(driver, DynamoDb, "key")) == ["colour"]


@pytest.mark.parametrize(
    ("driver", "key"),
    [
        ({"name": "s3"}, "key.bucket"),
        ({"name": "s3", "bucket": "b", "secure": "hidden"}, "key.secure"),
        ({"name": "s3", "bucket": "b", "secretkey": ["hidden"]}, "key.secretkey"),
        ({"name": "s3", "bucket": "b", "chunksize": 5}, "key.chunksize"),
    ],
)
def test_wrong_parameters_are_refused(driver: dict[str, Any], key: str) -> None:
    """The error for a missing or invalid parameter names its key and does not show its value."""
    with pytest.raises(ConfigurationError, match=key) as caught:
        driver_options(driver, S3, "key")
    assert "hidden" not in str(caught.value)
