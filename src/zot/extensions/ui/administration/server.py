"""The administrators' pages about the server itself: how it is, and its configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping

from zot.admin.asking import ask_for_rows
from zot.admin.requests import AskStatus
from zot.config.masking import masked
from zot.extensions.ui.administration.parts import AdministrationParts
from zot.extensions.ui.page import HtmlPage
from zot.maintenance.units import elapsed


async def status(parts: AdministrationParts, _: Mapping[str, str]) -> HtmlPage:
    """Return how the server is. Raises NotAnsweredError, AdminError."""
    (found,) = await ask_for_rows(parts.ask, AskStatus())
    values = {
        "status": found,
        "stores": found.stores,
        "uptime": elapsed(found.now_s - found.started_s),
        "certificate_left": elapsed(max(0.0, found.certificate.ends_s - found.now_s)) if found.certificate else "",
        "failed": [each for each in found.jobs if each.last is not None and each.last.failed],
    }
    return HtmlPage("admin_server.html", values)


async def configuration(parts: AdministrationParts, _: Mapping[str, str]) -> HtmlPage:
    """Return the configuration that this process runs by, defaults filled in, secrets masked."""
    text = json.dumps(masked(parts.config), indent=2, ensure_ascii=False)
    return HtmlPage("admin_configuration.html", {"text": text})
