"""Images as the command line names them: `repo:tag` or `repo@digest`."""

from typing import NamedTuple

import click


class ImageArgument(NamedTuple):
    """A repository with a tag or a digest; the other one is empty."""

    repository: str
    tag: str
    digest: str

    @classmethod
    def parse(cls, text: str) -> "ImageArgument":
        """Return the parts of a name. Raises ClickException."""
        repository, at, digest = text.partition("@")
        tag = ""
        if not at:
            repository, _, tag = text.partition(":")
        if not repository or not (tag or digest):
            raise click.ClickException("invalid image reference format, use [repo:tag] or [repo@digest]")
        return cls(repository, tag, digest)

    @property
    def reference(self) -> str:
        """The tag or the digest."""
        return self.tag or self.digest


def is_image_reference(text: str) -> bool:
    """Tell whether an argument names an image, and not a platform."""
    return "@" in text or ":" in text


def check_image(_context: click.Context, _parameter: click.Parameter, text: str) -> str:
    """Return the argument, having checked that it names an image. Raises ClickException."""
    ImageArgument.parse(text)
    return text
