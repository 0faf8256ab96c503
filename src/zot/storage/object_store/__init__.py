"""Content in an object store: one driver of the storage, above a thin driver for each kind of object store."""
