"""Why an upstream registry gave no usable answer."""

from __future__ import annotations


class UpstreamError(Exception):
    """The upstream could not tell, or sent what cannot be used; the same request may succeed later.

    An upstream that does not have what was asked for raises nothing: the call returns None.
    """

    def __init__(self, message: str, retry_after_s: int = 5) -> None:
        """Describe the failure in one sentence; `retry_after_s` is when to try again."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class UpstreamRefusedError(UpstreamError):
    """The upstream refuses the configured credentials."""


class UpstreamPausedError(UpstreamError):
    """The upstream is not asked at the moment: it failed a moment ago, asked for a pause, or has too much to do."""
