"""Garbage collection, retention, scrub, and the scheduler that runs them while the registry serves."""
