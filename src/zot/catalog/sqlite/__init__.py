"""The embedded catalog: one SQLite database, read by everybody, written by one."""
