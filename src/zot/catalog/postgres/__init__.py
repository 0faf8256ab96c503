"""The catalog in PostgreSQL: tables, a function for each command, and one statement a read."""
