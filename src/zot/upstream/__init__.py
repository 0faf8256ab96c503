"""A client of other registries: bounded in time, size and number, and careful with credentials."""
