"""The administrators' pages of what the server does by itself: its jobs, and what collection would delete."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

from zot.admin.asking import ANSWER_S, ask_for_rows
from zot.admin.preview import CollectionSummary
from zot.admin.requests import ListJobs, PreviewPage, StartJob, SummarizeCollection
from zot.auth.principal import Principal
from zot.extensions.ui.addresses import AdministrationView, Links
from zot.extensions.ui.administration.parts import AdministrationParts, record
from zot.extensions.ui.forms import Form
from zot.extensions.ui.page import ROWS, HtmlPage, bounds_of, list_pages
from zot.maintenance.scheduler import TaskState
from zot.maintenance.units import elapsed
from zot.oci.names import InvalidNameError, parse_repository

_ABOUT = {
    "ChangeLogTrim": "removes old entries of the change log",
    "GCTaskGenerator": "collects garbage, and applies retention",
    "OrphanFilesGenerator": "removes files that the catalog does not know",
    "ScrubGenerator": "verifies content by its digests",
    "UnfinishedDeletes": "finishes deletes that a crash interrupted",
}
_LOOK_S = 2.0
"""How long a page looks for repositories of which something would be deleted."""


async def jobs(parts: AdministrationParts, _: Mapping[str, str]) -> HtmlPage:
    """Return the background tasks. Raises NotAnsweredError, AdminError."""
    found = await ask_for_rows(parts.ask, ListJobs())
    rows = [{"job": each, "about": _ABOUT.get(each.task.partition(" ")[0], ""), "took": _took(each)} for each in found]
    return HtmlPage("admin_jobs.html", {"rows": rows, "runs": any(each.state == "running" for each in found)})


def _took(job: TaskState) -> str:
    last = job.last
    return "" if last is None or last.ended_s is None else elapsed(last.ended_s - last.started_s)


async def start_job(parts: AdministrationParts, principal: Principal, form: Form) -> str:
    """Start a task; return the address of the page that shows it. Raises AdminError, NotAnsweredError."""
    (before,) = await ask_for_rows(parts.ask, StartJob(task=form.text("task")))
    record(principal, "start job", before.task)
    return Links.administration(AdministrationView.JOBS)


async def collection(parts: AdministrationParts, fields: Mapping[str, str]) -> HtmlPage:
    """Return what collection would delete: of each repository in short, or of one with the reasons.

    Raises NotAnsweredError, AdminError.
    """
    name = fields.get("repository", "").strip()
    if name:
        return await _of_repository(parts, name, fields)
    after = fields.get("after", "")
    until_s, is_cut = math.inf, False

    def enough(rows: list[CollectionSummary]) -> bool:
        nonlocal until_s, is_cut
        until_s = min(until_s, time.monotonic() + _LOOK_S)  # from the first row on
        is_cut = sum(each.count > 0 for each in rows) >= ROWS or time.monotonic() > until_s
        return is_cut

    rows = await ask_for_rows(parts.ask, SummarizeCollection(after=after), limit_s=2 * ANSWER_S, enough=enough)
    values = {
        "after": after,
        "rows": [each for each in rows if each.count],
        "looked": len(rows),
        "to": rows[-1].repository if rows else "",
        "next": Links.administration(AdministrationView.COLLECTION, after=rows[-1].repository) if is_cut else None,
    }
    return HtmlPage("admin_collection.html", values)


async def _of_repository(parts: AdministrationParts, name: str, fields: Mapping[str, str]) -> HtmlPage:
    try:
        repository = parse_repository(name)
    except InvalidNameError as error:
        text = f"This is no name of a repository: {error}."
        return HtmlPage("admin_problem.html", {"text": text}, 400)
    bounds = bounds_of(fields)
    request = PreviewPage(repository=repository, limit=bounds.limit, offset=bounds.offset)
    (found,) = await ask_for_rows(parts.ask, request, limit_s=2 * ANSWER_S)
    address = Links.administration(AdministrationView.COLLECTION, repository=repository)
    values = {
        "name": repository,
        "found": found,
        "delete_pages": list_pages(bounds, found.summary.count, address),
    }
    return HtmlPage("admin_collection_of.html", values)
