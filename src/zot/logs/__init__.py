"""The log and the audit log: zot's JSON lines, or lines for people, written by a thread of their own."""
