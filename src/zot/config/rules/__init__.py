"""Validation of a whole configuration: rules between keys, limits of values, and warnings."""
