"""Parameters of the drivers of object stores and of DynamoDB (for Redis see `redis_options`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ConfigDict, ValidationError

from zot.config.errors import ConfigProblem, ConfigurationError
from zot.config.section import Flag, Secret, Section, zot_key

if TYPE_CHECKING:
    from collections.abc import Mapping

MIB = 1 << 20
SMALLEST_CHUNK_BYTES = 5 * MIB
LARGEST_CHUNK_BYTES = 64 * MIB
"""Of larger chunks a few would be all that may be in memory."""


class Driver(Section):
    """Parameters of a driver. Unknown ones are ignored with a warning, as in zot."""

    model_config = ConfigDict(extra="allow")

    name: str = zot_key("name", doc="Name of the driver.")


class S3(Driver):
    """Amazon S3 and compatible object stores."""

    bucket: str = zot_key("bucket", doc="Name of the bucket.")
    region: str = zot_key("region", "", doc="Region of the bucket.")
    region_endpoint: str = zot_key("regionendpoint", "", doc="Address of an S3-compatible server.")
    force_path_style: Flag = zot_key("forcepathstyle", False, doc="Name the bucket in the path, not in the host.")
    root_directory: str = zot_key("rootdirectory", "", doc="Prefix of keys.")
    access_key: Secret | None = zot_key("accesskey", None, doc="Access key; absent: the credentials of the machine.")
    secret_key: Secret | None = zot_key("secretkey", None, doc="Secret of the access key.")
    session_token: Secret | None = zot_key("sessiontoken", None, doc="Token of temporary credentials.")
    secure: Flag = zot_key("secure", True, doc="Use HTTPS.")
    skip_verify: Flag = zot_key("skipverify", False, doc="Do not verify the server's certificate.")
    v4_auth: Flag = zot_key("v4auth", True, doc="Accepted; version 4 signatures are always used.")
    encrypt: Flag = zot_key("encrypt", False, doc="Encrypt objects on the server.")
    key_id: str = zot_key("keyid", "", doc="KMS key of the encryption.")
    chunk_bytes: int = zot_key("chunksize", 10 * MIB, doc="Size of a part of an upload, at least 5 MiB.")
    multipart_copy_chunk_bytes: int = zot_key("multipartcopychunksize", 32 * MIB, doc="Size of a part of a copy.")
    multipart_copy_max_concurrency: int = zot_key("multipartcopymaxconcurrency", 100, doc="Parts copied at once.")
    multipart_copy_threshold_bytes: int = zot_key(
        "multipartcopythresholdsize", 32 * MIB, doc="Size from which copies are made in parts."
    )
    storage_class: str = zot_key("storageclass", "STANDARD", doc="Storage class of new objects.")
    object_acl: str = zot_key("objectacl", "private", doc="Access control of new objects.")
    user_agent: str = zot_key("useragent", "", doc="Suffix of the User-Agent header.")
    use_dual_stack: Flag = zot_key("usedualstack", False, doc="Use dual-stack (IPv4 and IPv6) endpoints.")
    accelerate: Flag = zot_key("accelerate", False, doc="Use S3 Transfer Acceleration.")
    log_level: str = zot_key("loglevel", "off", doc="Accepted and ignored.")

    @property
    def prefix(self) -> str:
        """The prefix of all keys, without a slash at its ends: `rootdirectory` twice, as zot has it."""
        root = self.root_directory.strip("/")
        return f"{root}/{root}" if root else ""

    @property
    def location(self) -> str:
        """What operators call the store: the bucket and the prefix. It has no secret."""
        return f"s3://{self.bucket}/{self.prefix}"


class Gcs(Driver):
    """Google Cloud Storage."""

    bucket: str = zot_key("bucket", doc="Name of the bucket.")
    key_file: str = zot_key("keyfile", "", doc="File of a service account.")
    credentials: dict[str, Any] | None = zot_key("credentials", None, doc="Content of such a file.")
    root_directory: str = zot_key("rootdirectory", "/zot", doc="Prefix of keys.")
    chunk_bytes: int = zot_key("chunksize", 16 * MIB, doc="Size of a part of an upload.")
    max_concurrency: int = zot_key("maxconcurrency", 50, doc="Requests at once.")


class AzureCredentials(Section):
    """Credentials for Azure."""

    type: str = zot_key("type", "", doc="`shared_key`, `client_secret` or `default_credentials`.")
    account_key: Secret | None = zot_key("accountkey", None, doc="With `shared_key`.")
    tenant_id: str = zot_key("tenantid", "", doc="With `client_secret`.")
    client_id: str = zot_key("clientid", "", doc="With `client_secret`.")
    secret: Secret | None = zot_key("secret", None, doc="With `client_secret`.")


class Azure(Driver):
    """Azure Blob Storage."""

    account_name: str = zot_key("accountname", doc="Name of the account.")
    container: str = zot_key("container", doc="Name of the container.")
    root_directory: str = zot_key("rootdirectory", "/zot", doc="Prefix of keys.")
    credentials: AzureCredentials = zot_key("credentials", AzureCredentials.model_construct(), doc="Credentials.")
    realm: str = zot_key("realm", "core.windows.net", doc="Domain of the service.")
    service_url: str = zot_key("serviceurl", "", doc="Address of the service.")
    connection_string: Secret | None = zot_key(
        "connectionstring", None, doc="Connection string, in place of all other parameters."
    )
    max_retries: int = zot_key("max_retries", 5, doc="Retries of a failed request.")
    retry_delay: str = zot_key("retry_delay", "100ms", doc="Delay before a retry.")
    skip_verify: Flag = zot_key("skipverify", False, doc="Do not verify the server's certificate.")


class DynamoDb(Driver):
    """Amazon DynamoDB."""

    region: str = zot_key("region", doc="Region of the tables.")
    endpoint: str = zot_key("endpoint", "", doc="Address of a DynamoDB-compatible server.")
    cache_table: str = zot_key("cachetablename", doc="Table of blobs.")
    repository_table: str = zot_key("repometatablename", "", doc="Table of repositories.")
    image_table: str = zot_key("imagemetatablename", "", doc="Table of images.")
    repository_blobs_table: str = zot_key("repoblobsinfotablename", "", doc="Table of the blobs of repositories.")
    user_table: str = zot_key("userdatatablename", "", doc="Table of users.")
    api_key_table: str = zot_key("apikeytablename", "", doc="Table of API keys.")
    version_table: str = zot_key("versiontablename", "", doc="Table of the version.")


D = TypeVar("D", bound=Driver)

DRIVERS: dict[str, type[Driver]] = {"s3": S3, "gcs": Gcs, "azure": Azure, "dynamodb": DynamoDb}


def driver_options(driver: Mapping[str, Any], model: type[D], key: str) -> D:
    """Parse the parameters of a driver; raise ConfigurationError with paths below `key` if they are invalid."""
    try:
        options = model.model_validate(dict(driver), by_name=False)
    except ValidationError as error:
        text = f"invalid parameter of driver {driver.get('name')}"
        # The error omits the values, since any of them may be a secret.
        details = error.errors(include_input=False, include_url=False)
        problems = (ConfigProblem(text, ".".join([key, *map(str, detail["loc"])]), detail["msg"]) for detail in details)
        raise ConfigurationError(*problems) from None
    if isinstance(options, S3) and options.chunk_bytes < SMALLEST_CHUNK_BYTES:
        raise ConfigurationError(
            ConfigProblem(f"invalid size {options.chunk_bytes}", f"{key}.chunksize", "at least 5 MiB")
        )
    return options


def unknown_parameters(options: Driver) -> list[str]:
    """Return the names of unknown parameters, sorted."""
    return sorted(options.model_extra or {})
