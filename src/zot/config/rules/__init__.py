"""Checks of a whole configuration beyond the shape of its values."""
