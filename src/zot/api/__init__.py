"""HTTP to use case and back. What a request may do is decided here once, on the parsed Request."""
