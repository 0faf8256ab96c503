"""Search: an index of what the catalog has, and the queries on it."""
