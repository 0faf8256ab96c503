"""From HTTP to the use cases and back. Authorization is decided here once, on the parsed Request."""
