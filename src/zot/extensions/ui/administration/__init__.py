"""Pages for administrators: what the server holds and does, who uses it, and what was changed."""
