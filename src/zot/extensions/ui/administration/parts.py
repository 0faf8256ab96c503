"""What the administrators' pages are made from, and the audit of what is done in them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from zot.admin.asking import Ask
from zot.api.authorization import Authorizer
from zot.auth.build import Auth
from zot.auth.principal import Principal
from zot.config.model import Config
from zot.extensions.search.interface import Search
from zot.foundation.threads import ThreadPool
from zot.logs.audit_tail import PAGES
from zot.logs.fields import fields
from zot.logs.setup import AUDIT

_audit = logging.getLogger(AUDIT)


@dataclass(frozen=True, slots=True)
class AdministrationParts:
    """What the pages ask."""

    config: Config
    ask: Ask
    search: Search
    authorizer: Authorizer
    auth: Auth
    is_administrator: Callable[[Principal], bool]
    pool: ThreadPool
    """Reads files."""


def record(principal: Principal, action: str, subject: str, **more: str) -> None:
    """Write to the audit log what an administrator did, and to what; the request itself has a line of its own."""
    name = principal.name or "anonymous"
    _audit.info(PAGES, extra=fields(subject=name, action=action, object=subject, result="done", **more))
