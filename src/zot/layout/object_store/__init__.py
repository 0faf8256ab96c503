"""Layouts in an object store: one driver of the layouts, above a thin driver for each kind of object store."""
