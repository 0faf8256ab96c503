"""`extensions.scrub`: verifies everything stored, again and again."""
