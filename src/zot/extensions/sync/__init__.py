"""Mirroring of other registries (`extensions.sync`): what a client asks for is fetched, stored and served."""
