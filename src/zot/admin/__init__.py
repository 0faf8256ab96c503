"""What operators ask of a store: collection previews, usage, tag history, backup and restore."""
