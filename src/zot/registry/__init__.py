"""The use cases of a registry: the readable heart. No HTTP here, no driver of anything."""
