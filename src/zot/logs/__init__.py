"""The log and the audit log, as zot's JSON lines or as text, written by a separate thread."""
