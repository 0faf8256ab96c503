"""Optional parts of the server, a folder each. Each declares itself (`zot.extensions.declaration`)."""
