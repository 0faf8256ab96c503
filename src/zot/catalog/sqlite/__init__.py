"""The embedded catalog: one SQLite database, read by every process, written by one."""
