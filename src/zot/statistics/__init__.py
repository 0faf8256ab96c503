"""Counts of pulls and pushes of manifests, for retention and search."""
