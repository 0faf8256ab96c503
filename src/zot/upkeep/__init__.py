"""The store looked after while it serves: collection, retention, verification, undo, backup. In the jobs process."""
