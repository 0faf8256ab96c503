"""An S3 server that keeps objects in files: one that tests share, and others that a test breaks and restarts."""

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

import programs
from servers.process import Process, accepts, free_port

ACCESS_KEY = "access"
SECRET_KEY = "a-secret"


class S3Server(Process):
    """A versitygw on a free port. After `stop` or `kill` it restarts with the same buckets on the same port."""

    def __init__(self, folder: Path) -> None:
        """Describe the server; nothing starts yet."""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.buckets = folder / "buckets"
        """Has a directory for each bucket, with a file for each object."""
        self.buckets.mkdir()
        keys = ["--access", ACCESS_KEY, "--secret", SECRET_KEY, "--port", f"127.0.0.1:{self.port}"]
        super().__init__(
            [programs.require("versitygw"), *keys, "--quiet", "posix", self.buckets],
            log=folder / "versitygw.log",
            ready=lambda: accepts(self.port),
        )

    def make_bucket(self) -> dict[str, object]:
        """Make a bucket; return the parameters of `storageDriver` by which it is reached."""
        bucket = f"bucket-{uuid4().hex[:12]}"
        (self.buckets / bucket).mkdir()
        return {
            "name": "s3",
            "bucket": bucket,
            "region": "us-east-1",
            "regionendpoint": self.url,
            "forcepathstyle": True,
            "secure": False,
            "accesskey": ACCESS_KEY,
            "secretkey": SECRET_KEY,
            "rootdirectory": "/zot",
        }


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """One running S3 server for the whole run. Each test makes a bucket of its own."""
    with S3Server(tmp_path_factory.mktemp("s3")) as server:
        yield server
