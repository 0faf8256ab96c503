"""Values of the OCI specifications, without I/O: parsed once from what clients send, then trusted."""
