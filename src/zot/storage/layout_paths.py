"""The paths below a root: an OCI image layout for each repository, as zot has it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from uuid import uuid4

from zot.oci.digest import Digest, algorithm_of, hex_of
from zot.oci.names import Repository
from zot.storage.interface import UploadKey, UploadMissingError

# A session comes from a URL and becomes a file name: it must not leave the directory, nor hide in it.
_SESSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True, slots=True)
class LayoutPaths:
    """Paths below `root`. Names and digests are safe in paths by their grammars."""

    root: str

    def repository(self, repository: Repository) -> str:
        """Return the directory that is the repository's image layout."""
        return f"{self.root}/{repository}"

    def oci_layout(self, repository: Repository) -> str:
        """Return the file that marks a directory as an image layout."""
        return f"{self.root}/{repository}/oci-layout"

    def index_json(self, repository: Repository) -> str:
        """Return the file that lists the manifests of the layout."""
        return f"{self.root}/{repository}/index.json"

    def blobs(self, repository: Repository, algorithm: str) -> str:
        """Return the directory of the repository's content with digests of that algorithm."""
        return f"{self.root}/{repository}/blobs/{algorithm}"

    def content(self, repository: Repository, digest: Digest) -> str:
        """Return the file of that content."""
        return f"{self.root}/{repository}/blobs/{algorithm_of(digest)}/{hex_of(digest)}"

    def quarantine_directory(self, repository: Repository) -> str:
        """Return the directory of quarantined content, outside of every layout."""
        return f"{self.root}/.zot/quarantine/{repository}"

    def quarantined(self, repository: Repository, digest: Digest) -> str:
        """Return the file of quarantined content."""
        return f"{self.quarantine_directory(repository)}/{digest.replace(':', '-')}"

    def uploads(self, repository: Repository) -> str:
        """Return the directory of the repository's staged files."""
        return f"{self.root}/{repository}/.uploads"

    def staged(self, upload: UploadKey) -> str:
        """Return the staged file of an upload. Raises UploadMissingError if no upload can have that session."""
        if not is_session(upload.session):
            raise UploadMissingError(f"{upload.session[:128]!r} is no upload session")
        return f"{self.root}/{upload.repository}/.uploads/{upload.session}"

    def temporary(self, repository: Repository) -> str:
        """Return a new name for a file that is renamed soon. After a crash it looks like an old upload."""
        return f"{self.root}/{repository}/.uploads/{uuid4()}"


def is_session(name: str) -> bool:
    """Return whether a file of that name in `.uploads` can belong to a session."""
    return _SESSION.fullmatch(name) is not None
