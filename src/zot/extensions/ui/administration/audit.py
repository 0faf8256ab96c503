"""The administrators' page of the audit log: its newest lines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from zot.extensions.ui.addresses import AdministrationView, Links
from zot.extensions.ui.administration.parts import AdministrationParts
from zot.extensions.ui.page import ROWS, HtmlPage, bounds_of
from zot.logs.audit_tail import AuditFilter, read_tail

_FILTERS = ("user", "repository", "action", "status")


async def audit(parts: AdministrationParts, fields: Mapping[str, str]) -> HtmlPage:
    """Return the newest lines that fit the filters; a log that is off or cannot be read says so."""
    file = parts.config.log.audit
    if not file:
        return HtmlPage("admin_audit.html", {"is_on": False})
    given = {name: fields.get(name, "").strip() for name in _FILTERS}
    offset = bounds_of(fields).offset
    try:
        found = await parts.pool.run(read_tail, Path(file), AuditFilter(**given), ROWS, offset)
    except OSError as error:
        return HtmlPage("admin_problem.html", {"text": f"{file} cannot be read: {error.strerror}."}, 503)

    def at(other: int) -> str:
        return Links.administration(AdministrationView.AUDIT, **given, offset=str(other) if other else "")

    values = {
        "is_on": True,
        "file": file,
        "filters": given,
        "found": found,
        "newer_page": at(max(0, offset - ROWS)) if offset else None,
        "older_page": at(offset + ROWS) if found.more else None,
    }
    return HtmlPage("admin_audit.html", values)
