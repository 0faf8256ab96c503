"""Bytes by (repository, digest), and the staged bytes of uploads. One interface, several drivers."""
