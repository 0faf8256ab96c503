"""Counts of pulls: what repositories and tags are used for."""
