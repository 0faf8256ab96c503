"""The scripts that Redis runs, composed of the files in `lua/` at import."""

from __future__ import annotations

from importlib.resources import files

from zot.databases.redis_calls import RedisScript


def _composed(*names: str) -> RedisScript:
    folder = files("zot.catalog.redis") / "lua"
    return RedisScript("\n".join((folder / f"{name}.lua").read_text() for name in names), repeatable=True)


COMMANDS = _composed(
    "keys", "scope", "blobs", "uploads", "carried", "tags", "manifests", "layouts", "owners", "carry_out"
)
"""Carries out one command: idempotent, or its outcome is remembered."""

READS = _composed("keys", "reads")
"""Answers one read."""
