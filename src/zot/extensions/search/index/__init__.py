"""The search index: a database that follows the catalog's change log, and the queries on it."""
