"""Pure values of the OCI specifications, no I/O: text is parsed once, at the border, into these types."""
