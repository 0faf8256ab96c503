"""Counts pulls and pushes of manifests, for retention and for users."""

from __future__ import annotations

import re
from collections.abc import Sequence

from aiohttp import web

from zot.api.completed_requests import CompletedRequest
from zot.api.headers import CONTENT_DIGEST
from zot.api.http_request import HttpRequest
from zot.auth.principal import ANONYMOUS
from zot.oci.digest import Digest
from zot.registry.request import PullManifest, PushManifest
from zot.statistics.recorder import StatisticsRecorder

# The names by which signatures and referrers are found without a referrers API: no image was pulled by them.
_ATTACHED = re.compile(r"sha(?:256|384|512)-[0-9a-f]{64,128}(?:\.[a-z]+)?")


class PullCounts:
    """Adds each pulled and pushed manifest to the statistics."""

    def __init__(self, recorder: StatisticsRecorder) -> None:
        """Count into `recorder`."""
        self._recorder = recorder

    def observe(self, completed: Sequence[CompletedRequest]) -> None:
        """Count completed pulls (GET, not HEAD) and pushes."""
        for each in completed:
            self._count(each.http, each.response)

    def _count(self, http: HttpRequest, response: web.StreamResponse) -> None:
        request = http.request
        if isinstance(request, PullManifest):
            if response.status == 200 and not request.head and not _ATTACHED.fullmatch(request.reference):
                self._recorder.record_pull(request.repository, Digest(response.headers[CONTENT_DIGEST]))
        elif isinstance(request, PushManifest) and response.status == 201:
            by = (http.principal or ANONYMOUS).name
            self._recorder.record_push(request.repository, Digest(response.headers[CONTENT_DIGEST]), by)
