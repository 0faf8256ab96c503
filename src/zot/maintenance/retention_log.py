"""Log the decisions of collection and retention in zot's fields and words; deletions also in the audit log."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from zot.catalog.rows import DanglingManifest, TagRow
from zot.logs.fields import fields
from zot.logs.setup import AUDIT
from zot.maintenance.retention import REFERRER, UNTAGGED, RetentionDecision
from zot.oci.names import Repository

_log = logging.getLogger("zot.retention")
_audit = logging.getLogger(AUDIT)


def decided(repository: Repository, decision: RetentionDecision, *, dry_run: bool) -> None:
    """Log the decision of a retention policy on a tag or an untagged manifest.

    A decision to keep is logged as info in a dry run, and otherwise as debug: it is the same in each sweep.
    """
    line = decision_fields(repository, decision, dry_run=dry_run)
    message = "applied policy" if decision.candidate.tag else "applied untagged policy"
    _log.log(logging.DEBUG if decision.keep and not dry_run else logging.INFO, message, extra=fields(**line))
    if not decision.keep:
        _audit.info(message, extra=fields(**line))


def decision_fields(repository: Repository, decision: RetentionDecision, *, dry_run: bool) -> dict[str, Any]:
    """Return the fields of a decision in zot's log."""
    candidate = decision.candidate
    return {
        "module": "retention",
        "dry-run": dry_run,
        "repository": repository,
        "mediaType": candidate.media_type,
        "digest": candidate.digest,
        **({"tag": candidate.tag} if candidate.tag else {"reference": candidate.digest}),
        "lastPullTimestamp": _time(candidate.pulled_s),
        "pushTimestamp": _time(candidate.pushed_s),
        "decision": "keep" if decision.keep else "delete",
        "reason": decision.reason,
    }


def removed_manifest(repository: Repository, manifest: DanglingManifest, *, dry_run: bool) -> None:
    """Log the deletion of an untagged manifest, or of a referrer without its subject."""
    line = {
        "module": "gc",
        "dry-run": dry_run,
        "repository": repository,
        "reference": manifest.digest,
        **({"subject": manifest.subject} if manifest.subject else {}),
        "decision": "delete",
        "reason": REFERRER if manifest.subject else UNTAGGED,
    }
    message = "removed manifest without reference" if manifest.subject else "removed untagged manifest"
    _log.info(message, extra=fields(**line))
    _audit.info(message, extra=fields(**line))


def removed_attached(repository: Repository, row: TagRow, *, dry_run: bool) -> None:
    """Log the deletion of a cosign tag whose image is missing."""
    line = {
        "module": "gc",
        "dry-run": dry_run,
        "repository": repository,
        "tag": row.name,
        "reference": row.digest,
        "decision": "delete",
        "reason": REFERRER,
    }
    _log.info("removed manifest without reference", extra=fields(**line))
    _audit.info("removed manifest without reference", extra=fields(**line))


def _time(at_s: float | None) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat() if at_s else "0001-01-01T00:00:00Z"
