"""Opens the parts of a server: stores, catalog, accounts, HTTP server, background work, administration."""
